"""What does train.py do when it is told to learn? Its tasks, one for each `--fn`.

The work is training.py's. Here it is started, and its answer put into words.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import cli
from clock import Clock
from outcome import ConfigError

if TYPE_CHECKING:
    from cells import Backend
    from judging import Judged
    from learner import Recipe, Told
    from settings import Settings
    from training import Workshop
    from walking import Walker

log = logging.getLogger("train")
PACE_EVERY_S = 10.0
DAILY_MAX_LOSS_R = 3.0  # where .env is silent; live trading asks for it


def workshop(
    settings: "Settings",
    clock: Clock,
    most_r: float = DAILY_MAX_LOSS_R,
    recipe: "Recipe | None" = None,
    model_path: Path | None = None,
    **how: Any,
) -> "Workshop":
    """Where the stages of that configuration work."""
    from learner import Recipe
    from study import study
    from training import MODEL, Workshop

    found = study(settings, most_r, log.info)
    folder = settings.paths.checkpoints / found.key
    return Workshop(found, recipe or Recipe(), folder, model_path or folder / MODEL, clock, log.info, **how)


def _shop(run: cli.Run) -> "Workshop":
    """As the command line has it."""
    recipe, asked = _recipe(run), run.args.checkpoint_path
    return workshop(
        run.settings, run.clock, max_loss_r(run), recipe, Path(asked) if asked else None,
        minutes=run.args.minutes, at_step=_paced(run.clock, recipe.steps + recipe.bootstrapped),
    )  # fmt: skip


def max_loss_r(run: cli.Run) -> float:
    return float(run.environment("DAILY_MAX_LOSS_R").text("DAILY_MAX_LOSS_R") or DAILY_MAX_LOSS_R)


def _recipe(run: cli.Run) -> "Recipe":
    from learner import GIVEN, Recipe

    args = run.args
    asked = {"batch": args.batch_size, "lr": args.lr, "gamma": args.gamma, "seed": args.seed}
    recipe = GIVEN if args.recipe == "given" else Recipe()
    if args.recipe == "tuned":
        from tuning import BEST, tuned_recipe

        recipe = tuned_recipe(recipe, run.settings.paths.checkpoints / BEST)
    if args.steps:  # shared between its two parts as the recipe does
        share = recipe.steps / (recipe.steps + recipe.bootstrapped)
        first = max(1, round(args.steps * share))
        asked |= {"steps": first, "bootstrapped": args.steps - first}
    return replace(recipe, **{name: value for name, value in asked.items() if value is not None})


def _paced(clock: Clock, steps: int) -> "Callable[[Told], None]":
    """A line now and then: how fast, and how long it will take."""
    since: list[tuple[float, int]] = []

    def at_step(told: "Told") -> None:
        now_s = clock.monotonic()
        since[:] = since or [(now_s, told.step)]
        began_s, first = since[0]
        passed_s = now_s - began_s
        if told.step > first and passed_s >= PACE_EVERY_S * len(since):
            since.append((now_s, told.step))
            rate = (told.step - first) / passed_s
            left_min = (steps - told.step) / rate / 60
            log.info("step %d of %d, %.1f a second, about %.0f min left", told.step, steps, rate, left_min)

    return at_step


def load_ckpt(run: cli.Run) -> cli.Answer:
    import checkpoint
    from training import kept

    shop = _shop(run)
    taught = kept(shop)
    if taught is None:
        return cli.Answer({"path": str(shop.model_path), "loaded": False}, f"{shop.model_path}: not there")
    card = taught.card
    found = {"path": str(shop.model_path), "loaded": True, "steps": card.steps, "model_hash": card.model_hash,
             "card": str(checkpoint.card_path(shop.model_path))}  # fmt: skip
    return cli.Answer(found, f"{shop.model_path}: {card.steps:,} steps, {card.model_hash[:12]}, loaded")


def make_features(run: cli.Run) -> cli.Answer:
    from study import features_of

    columns, hashes = features_of(run.settings, log.info)
    rows = {name: sum(len(each.values) for each in found.values()) for name, found in columns.items()}
    width = next(iter(next(iter(columns.values())).values())).values.shape[1]
    lines = [
        f"{name}: {count:,} bars of {len(columns[name])} tickers, {width} features each"
        for name, count in rows.items()
    ]
    return cli.Answer({"bars": rows, "features": width, "hashes": hashes}, "\n".join(lines))


def replay(holdout: bool, is_traced: bool) -> "Callable[[cli.Run], cli.Answer]":
    def run_it(run: cli.Run) -> cli.Answer:
        from training import replay_of, traced

        memory = (traced if is_traced else replay_of)(_shop(run), holdout)
        trades = memory.trades
        found: dict[str, Any] = {"transitions": len(memory), "trades": len(trades)}
        text = f"{len(memory):,} transitions, {len(trades):,} trades"
        if is_traced and trades:
            means = {"R": [t.r for t in trades], "MAE(R)": [t.mae_r for t in trades],
                     "%MFE": [t.percent_mfe for t in trades], "IS": [t.shortfall_percent for t in trades],
                     "plan_adherence": [t.adherence_percent for t in trades]}  # fmt: skip
            found["means"] = mean = {name: sum(each) / len(each) for name, each in means.items()}
            text += "; means: " + ", ".join(f"{name} {value:.2f}" for name, value in mean.items())
        return cli.Answer(found, text)

    return run_it


def fit(run: cli.Run) -> cli.Answer:
    import checkpoint
    from training import fitted

    shop = _shop(run)
    card = fitted(shop).card
    files = {"model": str(shop.model_path), "card": str(checkpoint.card_path(shop.model_path)),
             "looks": str(shop.looks_path), "picture": str(shop.looks_path.with_suffix(".svg"))}  # fmt: skip
    earned = card.scores["validation_r_a_day"]
    text = (
        f"the best of it: step {card.steps:,}, {earned:+.2f} R a day on validation days, margin {card.margin}"
    )
    found = {**files, "steps": card.steps, "scores": dict(card.scores), "model_hash": card.model_hash}
    return cli.Answer(found, "\n".join([text, *files.values()]))


def judge(run: cli.Run) -> cli.Answer:
    """Evaluate, beside the baselines and the current winner; promote nothing."""
    from judging import judged

    found = judged(_shop(run), run.settings.paths.winner)
    return cli.Answer(_answer(found), "\n".join([*found.notes, _beside(found), found.verdict.text]))


def promote(run: cli.Run) -> cli.Answer:
    from judging import promoted

    found, version = promoted(_shop(run), run.settings.paths.winner)
    lines = [*found.notes, _beside(found), found.verdict.text]
    if version:
        lines.append(
            f"{run.settings.paths.winner}: version {version}; undo it with: python train.py --fn rollback"
        )
    return cli.Answer({**_answer(found), "version": version}, "\n".join(lines))


def rollback(run: cli.Run) -> cli.Answer:
    import winner

    version = winner.rollback(run.settings.paths.winner, run.clock)
    return cli.Answer(
        {"version": version}, f"{run.settings.paths.winner}: version {version} is in force again"
    )


def roll_holdout(run: cli.Run) -> cli.Answer:
    """A rolling holdout moves with every download, and what was judged on it with it; dates stand still."""
    from settings import load_config, persist_config
    from study import holdout_of, market_of

    span = holdout_of(run.settings, market_of(run.settings))
    config = load_config(run.config_path)
    holdout = {"start": span.first.isoformat(), "end": span.last.isoformat()}
    persist_config({**config, "holdout": holdout}, run.config_path)
    return cli.Answer(holdout, f"{run.config_path}: holdout is {span.first} to {span.last} from now on")


def _answer(found: "Judged") -> dict[str, Any]:
    return {
        **found.evaluation.as_json(), "verdict": found.verdict.as_json(), "attempt": found.attempt,
        "winner": found.winner.as_json() if found.winner else None,
        "model_hash": found.taught.card.model_hash,
    }  # fmt: skip


def _beside(found: "Judged") -> str:
    """A line for each policy."""
    records = [
        found.evaluation.policy,
        *([found.winner] if found.winner else []),
        *found.evaluation.baselines.values(),
    ]
    rows = [f"{'':<16}{'trades':>8}{'R a trade':>12}{'R a day':>10}"]
    rows += [f"{r.name:<16}{r.trades:>8,}{r.avg_reward:>+12.3f}{r.r_a_day:>+10.3f}" for r in records]
    return "\n".join([*rows, found.evaluation.random_said])


# --- folds and seeds --------------------------------------------------------------------------------------


def walk_forward(run: cli.Run) -> cli.Answer:
    found = _walker(run).walk(_recipe(run))
    rows = [f"{'days':<26}{'trades':>8}{'worst':>10}{'median':>10}{'best':>10}  R a day, over seeds"]
    for (first, last), earned, trades in zip(found.blocks, found.r_a_day, found.trades, strict=True):
        low, middle, high = min(earned), median(earned), max(earned)
        rows.append(f"{first} to {last}{sum(trades):>10,}{low:>+10.3f}{middle:>+10.3f}{high:>+10.3f}")
    rows.append(f"score {found.score:+.3f}: of each seed the fold at the worst quartile, of those the median")
    return cli.Answer({**asdict(found), "score": found.score}, "\n".join(rows))


def tune(run: cli.Run) -> cli.Answer:
    import tuning

    folder = run.settings.paths.checkpoints
    found = tuning.tune(_walker(run), _recipe(run), run.args.trials, folder, log.info)
    changes = ", ".join(f"{name} {value:.4g}" for name, value in found.changes.items())
    lines = [
        f"{found.trials} trials, {found.given_up} of them given up early",
        f"the recipe as it stands: {found.score_before:+.3f} R a day; the best: {found.score:+.3f}",
        changes,
        "teach by it with: python train.py --recipe tuned",
    ]
    return cli.Answer(asdict(found), "\n".join(lines))


def _walker(run: cli.Run) -> "Walker":
    from study import study
    from walking import Place, Walker

    place = Place(str(run.config_path.resolve()), max_loss_r(run))
    found = study(run.settings, place.max_loss_r, log.info)
    return Walker(found, place, run.args.folds, run.args.seeds, _cells_folder(run), _backend(run), log.info)


def _cells_folder(run: cli.Run) -> Path:
    return run.settings.paths.checkpoints / "cells"


def _backend(run: cli.Run) -> "Backend":
    """Here, or on a cluster; nothing else knows which."""
    from cells import Local
    from cluster import Cluster

    jobs = run.args.jobs or os.cpu_count() or 1
    if run.args.ray_address and run.args.backend != "ray":
        raise ConfigError("--ray-address is the address of a cluster; add --backend ray")
    return Cluster(run.args.ray_address, jobs) if run.args.backend == "ray" else Local(jobs)


# --- the certificate --------------------------------------------------------------------------------------


def certify(run: cli.Run) -> cli.Answer:
    """The learner, on markets of our own."""
    import certify as certificate

    args, recipe = run.args, _recipe(run)
    asked = certificate.Asked(
        args.kinds, (certificate.STRONG_BP, certificate.WEAK_BP), args.markets,
        args.seeds, args.removed, recipe.steps, recipe.bootstrapped,
    )  # fmt: skip
    rows = certificate.certificate(asked, _cells_folder(run), _backend(run), log.info)
    return cli.Answer({"rows": [asdict(row) for row in rows]}, certificate.table(rows))
