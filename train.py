"""What can be learned from the candles, and is it good enough to trade? Replay, fit, judge, promote.

Promotes a winner only on evidence from days that training never saw. Knows no broker.
"""

import argparse
import hashlib
import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cli
import flags
import learning
from outcome import DataError
from rulebook.bars import MINUTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from backtest import Span
    from market import Market
    from network import DuelingDoubleDQN
    from rulebook.rules import Rules
    from sizes import Shape
    from training import Populated, Workshop

log = logging.getLogger("train")


def main() -> None:
    cli.main(PROGRAM)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--steps", type=flags.whole(1, 100_000_000), metavar="N", help="gradient steps, at most"
    )
    parser.add_argument(
        "--minutes", type=flags.between(0, 100_000), metavar="F", help="stop training after so long"
    )
    parser.add_argument(
        "--batch-size",
        type=flags.whole(1, 65_536),
        metavar="N",
        help="decisions a step (default: the recipe's)",
    )
    parser.add_argument(
        "--lr", type=flags.between(0, 1), metavar="F", help="learning rate of AdamW (default: the recipe's)"
    )
    parser.add_argument(
        "--gamma", type=flags.between(0, 1), metavar="F", help="discount of the bootstrap (default: 0.99)"
    )
    parser.add_argument(
        "--seed", type=flags.whole(0, 2**32 - 1), metavar="N", help="of weights and draws (default: 0)"
    )
    parser.add_argument(
        "--recipe", choices=("default", "given", "tuned"), default="default",
        help="numbers of training: the shipped ones, those of the specification, or what --fn tune found",
    )  # fmt: skip
    parser.add_argument("--checkpoint-path", metavar="PATH", help="go on from this model, and write it")
    parser.add_argument(
        "--strategy",
        metavar="NAME",
        help="for backtest: a name in strategies/ (default: sma_cross), or the path of your own file",
    )
    _add_flags_of_many(parser)


def _add_flags_of_many(parser: argparse.ArgumentParser) -> None:
    """Of what teaches many networks: certify, walk_forward, tune."""
    parser.add_argument(
        "--kinds", type=flags.some_of(*EDGES), default=EDGES, metavar="A,B",
        help=f"for certify: of {', '.join(EDGES)} (default: all)",
    )  # fmt: skip
    for name, default, what in (
        ("--markets", 3, "for certify: planted markets of each kind and strength"),
        ("--seeds", 3, "for certify, walk_forward and tune: networks taught in each market or fold"),
        ("--folds", 4, "for walk_forward and tune: blocks of days, each held out once"),
        ("--trials", 30, "for tune: recipes to try, those of earlier runs included"),
        ("--removed", 20, "for certify: markets with the edge removed"),
    ):
        parser.add_argument(
            name, type=flags.whole(0, 1000), default=default, metavar="N", help=f"{what} (default: {default})"
        )
    parser.add_argument(
        "--jobs", type=flags.whole(1, 1024), metavar="N", help="processes side by side (default: one a core)"
    )
    parser.add_argument(
        "--backend", choices=("local", "ray"), default="local",
        help="where certify, walk_forward and tune work: processes here, or tasks of Ray",
    )  # fmt: skip
    parser.add_argument(
        "--ray-address", metavar="HOST:PORT", help="of a running Ray cluster (default: one for this run)"
    )


# --- the model ------------------------------------------------------------------------------------------


def build_model(cfg: "Mapping[str, Any]") -> "DuelingDoubleDQN":
    """The untaught network of that configuration, as `load_config` answers it."""
    from network import DuelingDoubleDQN

    return DuelingDoubleDQN(shape_of(cfg["timeframes"], cfg["lookbacks"], cfg.get("feature_version", 2)))


def shape_of(timeframes: "Sequence[str]", lookbacks: "Mapping[str, int]", feature_version: int) -> "Shape":
    """The base timeframe first, whatever the order in the file."""
    from features import NAMES
    from sizes import Shape

    in_order = sorted(timeframes, key=lambda name: MINUTES[name])
    return Shape(len(NAMES[feature_version]), {name: lookbacks[name] for name in in_order})


def _build_model(run: cli.Run) -> cli.Answer:
    settings = run.settings
    lookbacks = {str(name): bars for name, bars in settings.lookbacks.items()}
    shape = shape_of(settings.timeframes, lookbacks, settings.feature_version)
    layers = [layer._asdict() for layer in shape.layers()]
    rows = [f"{'layer':<14}{'parameters':>12}{'multiply-adds':>16}  sizes"]
    rows += [
        f"{layer.name:<14}{layer.parameters:>12,}{layer.multiply_adds:>16,}  {layer.sizes}"
        for layer in shape.layers()
    ]
    rows.append(
        f"{'together':<14}{shape.parameters:>12,}{shape.multiply_adds:>16,}  for one ticker's decision"
    )
    found = {"layers": layers, "parameters": shape.parameters, "multiply_adds": shape.multiply_adds}
    return cli.Answer(found, "\n".join(rows))


# --- teaching ---------------------------------------------------------------------------------------------


def load_checkpoint(model: "DuelingDoubleDQN", path: "Path | str") -> None:
    """Put the weights of that file into the model; nothing if there is no such file."""
    import checkpoint

    if checkpoint.is_there(Path(path)):
        stored = checkpoint.read(Path(path))
        version = stored.card.feature_version
        checkpoint.require(stored, version, model.shape.features, model.shape.lookbacks)
        model.load_state_dict(checkpoint.unpack(stored))


def load_features(cfg: "Mapping[str, Any]") -> "dict[str, dict[str, np.ndarray[Any, Any]]]":
    """What the model sees, as it lies on disk or is made anew: by ticker and timeframe."""
    from settings import settings_of
    from study import features_of

    columns, _ = features_of(settings_of(cfg), log.info)
    base = next(iter(columns.values()))
    return {ticker: {name: each[ticker].values for name, each in columns.items()} for ticker in base}


def populate_replay(cfg: "Mapping[str, Any]", holdout: bool) -> "Populated":
    """Transitions of the model of this configuration over its training days or its holdout."""
    from training import replay_of

    return replay_of(_workshop(cfg), holdout)


def backtrace_rewards(memory: "Populated", cfg: "Mapping[str, Any]") -> None:  # noqa: ARG001  (the contract)
    """Write what each closed trade came to, and its measures."""
    from replay import backtrace

    backtrace(memory, memory.study.lessons)


def train_ddqn(model: "DuelingDoubleDQN", memory: "Populated", cfg: "Mapping[str, Any]") -> dict[str, Any]:
    """Teach the model on the memory's study; what was looked at on the way, and the seconds it took."""
    from training import fitted

    shop = _workshop(cfg)
    began_s = shop.clock.monotonic()
    if memory.study.key != shop.study.key:
        raise DataError("that memory is of other settings, candles or features: populate it anew")
    taught = fitted(shop)
    model.load_state_dict(taught.network.state_dict())
    looks = json.loads(shop.looks_path.read_text())
    return {"losses": [look["loss"] for look in looks], "looks": looks,
            "seconds": shop.clock.monotonic() - began_s}  # fmt: skip


def evaluate(model: "DuelingDoubleDQN", holdout: "Populated") -> dict[str, float]:
    """The greedy policy through the rule book on those days."""
    import evaluation
    from policy import signals_of

    study = holdout.study
    signals = signals_of(model, study.lessons, study.rows(holdout.holdout))
    return evaluation.evaluate(study.lessons.market, study.lessons.rules, study.span, signals).numbers()


def maybe_promote_winner(
    metrics: "Mapping[str, float]", ckpt_path: "Path | str", winner_dir: "Path | str"
) -> bool:
    """Make that model the winner if the evidence says so; whether it did.

    The evidence is gathered anew, by the config.json at hand: `metrics`, as `evaluate` answers them, have to
    be of this model, or nothing is promoted.
    """
    from judging import evaluated, promoted
    from settings import load_config
    from training import kept

    shop = replace(_workshop(load_config()), model_path=Path(ckpt_path))
    taught = kept(shop)
    if taught is None:
        raise DataError(f"{ckpt_path}: no model there; train it with: python train.py --fn fit")
    found = evaluated(shop, taught.network).numbers()
    if any(found.get(name) != value for name, value in metrics.items()):
        raise DataError(f"these metrics are not those of {ckpt_path}; evaluate it anew")
    return promoted(shop, Path(winner_dir))[1] is not None


def _workshop(cfg: "Mapping[str, Any]") -> "Workshop":
    """Of a configuration as a dict, with the recipe as it is by default."""
    from clock import SystemClock
    from learning import workshop
    from settings import settings_of

    return workshop(settings_of(cfg), SystemClock())


# --- strategies and models over the holdout ----------------------------------------------------------------


def _backtest(run: cli.Run) -> cli.Answer:
    import backtest
    import report
    import strategies

    strategy = strategies.find(run.args.strategy or "sma_cross")  # a slip of the pen is said at once
    market, rules, span = _market(run)
    found = backtest.run(market, strategy, rules, span, _settings_hash(run), run.clock.now())
    folder = run.config_path.resolve().parent / "reports"
    plain_name = re.sub(r"[^A-Za-z0-9._-]", "_", strategy.name)[:80]  # a file of the user's own has any name
    written = report.write(found, folder, f"backtest-{plain_name}-{strategy.hash}")
    document = json.loads(written.json.read_text())
    files = {kind: str(getattr(written, kind)) for kind in ("html", "json", "csv")}
    answer = {**files, "verdict": document["verdict"], "measures": document["measures"]}
    return cli.Answer(answer, "\n".join([document["verdict"]["sentence"], *files.values()]))


def _lookahead(run: cli.Run) -> cli.Answer:
    import backtest
    import strategies

    names = [run.args.strategy] if run.args.strategy else strategies.known()
    found = [strategies.find(name) for name in names]
    market, rules, _ = _market(run)
    checked = {strategy.name: backtest.lookahead(market, strategy, rules) for strategy in found}
    lines = [
        f"{name}: the same to the bit at {places} places, future cut off and altered"
        for name, places in checked.items()
    ]
    return cli.Answer(checked, "\n".join(lines))


def _market(run: cli.Run) -> "tuple[Market, Rules, Span]":
    """What is on disk, the rules as configured, and the holdout's days."""
    from study import holdout_of, market_of

    market = market_of(run.settings)
    return market, run.settings.rules(learning.max_loss_r(run)), holdout_of(run.settings, market)


def _settings_hash(run: cli.Run) -> str:
    """Of all that was set: config.json, and the one limit of .env that ends a simulated day."""
    limit = f"DAILY_MAX_LOSS_R={learning.max_loss_r(run)!r}".encode()
    return hashlib.sha256(run.config_path.read_bytes() + b"\0" + limit).hexdigest()[:12]


EDGES = ("shock", "reversion", "lead")  # planted.Kind, which needs numpy

PROGRAM = cli.Program(
    name="train",
    what="Teach a Dueling Double DQN on downloaded history and promote a winner only on evidence.",
    tasks=(
        cli.Task("build_model", "print the layer table, parameters, multiply-adds", _build_model),
        cli.Task("load_ckpt", "load --checkpoint-path into the model", learning.load_ckpt),
        cli.Task("make_features", "compute what the model sees", learning.make_features, stage="features"),
        cli.Task(
            "make_train_replay",
            "transitions of the training days",
            learning.replay(holdout=False, is_traced=False),
            stage="populate-train",
        ),
        cli.Task(
            "backtrace_train",
            "trace rewards back over each closed trade",
            learning.replay(holdout=False, is_traced=True),
            stage="backtrace-train",
        ),
        cli.Task("fit", "train", learning.fit, stage="train", exclusive=True),
        cli.Task(
            "make_holdout_replay",
            "transitions of the holdout",
            learning.replay(holdout=True, is_traced=False),
            stage="populate-holdout",
        ),
        cli.Task(
            "backtrace_holdout",
            "trace rewards back, on the holdout",
            learning.replay(holdout=True, is_traced=True),
            stage="backtrace-holdout",
        ),
        cli.Task(
            "eval",
            "score the greedy policy on the holdout",
            learning.judge,
            stage="evaluate",
            exclusive=True,
        ),
        cli.Task(
            "promote",
            "make it the winner if the evidence says so",
            learning.promote,
            stage="promote",
            exclusive=True,
        ),
        cli.Task("backtest", "any strategy or the winner over the holdout, with real costs", _backtest),
        cli.Task(
            "lookahead_check",
            "recompute on cut and altered futures, compare bit for bit",
            _lookahead,
        ),
        cli.Task("certify", "score the learner on markets with a known edge", learning.certify),
        cli.Task("roll_holdout", "freeze a rolling holdout to dates", learning.roll_holdout, exclusive=True),
        cli.Task("walk_forward", "score the recipe over folds and seeds", learning.walk_forward),
        cli.Task("tune", "search a better recipe over the same folds", learning.tune, exclusive=True),
        cli.Task("rollback", "put the previous winner back", learning.rollback, exclusive=True),
    ),
    everything=(
        "make_features",
        "make_train_replay",
        "backtrace_train",
        "fit",
        "make_holdout_replay",
        "backtrace_holdout",
        "eval",
        "promote",
    ),
    add_flags=_add_flags,
    examples=("", "--steps 2000 --fn fit", "--fn backtest --strategy sma_cross"),
)

if __name__ == "__main__":
    main()
