"""What can be learned from the candles, and is it good enough to trade? Replay, fit, judge, promote.

Promotes a winner only on evidence from days that training never saw. Knows no broker.
"""

import argparse
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cli
import flags
from outcome import DataError
from rulebook.bars import MINUTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backtest import Span
    from market import Market
    from network import DuelingDoubleDQN, Shape
    from rulebook.rules import Rules
    from settings import Settings


def main() -> None:
    cli.main(PROGRAM)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--steps", type=flags.whole(1, 100_000_000), metavar="N", help="gradient steps, at most"
    )
    parser.add_argument(
        "--batch-size",
        type=flags.whole(1, 65_536),
        default=512,
        metavar="N",
        help="transitions a step (default: 512)",
    )
    parser.add_argument(
        "--lr",
        type=flags.between(0, 1),
        default=3e-4,
        metavar="F",
        help="learning rate of AdamW (default: 3e-4)",
    )
    parser.add_argument(
        "--gamma",
        type=flags.between(0, 1),
        default=0.99,
        metavar="F",
        help="discount where there is a bootstrap (default: 0.99)",
    )
    parser.add_argument("--checkpoint-path", metavar="PATH", help="go on from this file, and write it")
    parser.add_argument(
        "--strategy",
        metavar="NAME",
        help="for backtest: a name in strategies/ (default: sma_cross), or the path of your own file",
    )


# --- the model ------------------------------------------------------------------------------------------


def build_model(cfg: "Mapping[str, Any]") -> "DuelingDoubleDQN":
    """The untaught network of that configuration, as `load_config` answers it."""
    from network import DuelingDoubleDQN

    return DuelingDoubleDQN(shape_of(cfg["timeframes"], cfg["lookbacks"], cfg.get("feature_version", 2)))


def shape_of(timeframes: "Sequence[str]", lookbacks: "Mapping[str, int]", feature_version: int) -> "Shape":
    """The base timeframe first, whatever the order in the file."""
    from features import NAMES
    from network import Shape

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
    from facts import read_calendar, read_tariff
    from market import Hours, load

    settings, facts = run.settings, Path(__file__).resolve().parent / "config"
    rules = settings.rules(_max_loss_r(run))
    hours = Hours(settings.safe_trading_start, settings.safe_trading_end, settings.hard_trading_end)
    market = load(settings.paths.raw, settings.tickers, settings.base_timeframe, hours,
                  read_calendar(facts), read_tariff(facts))  # fmt: skip
    return market, rules, _holdout(settings, market)


def _holdout(settings: "Settings", market: "Market") -> "Span":
    from backtest import Span

    holdout = settings.holdout
    if holdout.start is not None and holdout.end is not None:
        span = Span(holdout.start, holdout.end)
    else:
        span = Span(market.days[-min(holdout.last_sessions or 1, len(market.days))], market.days[-1])
    if not span.days_of(market):
        raise DataError(f"no candles between {span.first} and {span.last}; fetch them or move the holdout")
    return span


def _max_loss_r(run: cli.Run) -> float:
    return float(run.environment("DAILY_MAX_LOSS_R").text("DAILY_MAX_LOSS_R") or DAILY_MAX_LOSS_R)


def _settings_hash(run: cli.Run) -> str:
    """Of all that was set: config.json, and the one limit of .env that ends a simulated day."""
    limit = f"DAILY_MAX_LOSS_R={_max_loss_r(run)!r}".encode()
    return hashlib.sha256(run.config_path.read_bytes() + b"\0" + limit).hexdigest()[:12]


DAILY_MAX_LOSS_R = 3.0  # where .env is silent; live trading asks for it
LEARNER = "the learner"

PROGRAM = cli.Program(
    name="train",
    what="Teach a Dueling Double DQN on downloaded history and promote a winner only on evidence.",
    tasks=(
        cli.Task("build_model", "print the layer table, parameters, multiply-adds", _build_model),
        cli.Task("load_ckpt", "load --checkpoint-path into the model", cli.later(LEARNER)),
        cli.Task("make_features", "compute what the model sees", cli.later(LEARNER), stage="features"),
        cli.Task(
            "make_train_replay",
            "transitions of the training days",
            cli.later(LEARNER),
            stage="populate-train",
        ),
        cli.Task(
            "backtrace_train",
            "trace rewards back over each closed trade",
            cli.later(LEARNER),
            stage="backtrace-train",
        ),
        cli.Task("fit", "train", cli.later(LEARNER), stage="train", exclusive=True),
        cli.Task(
            "make_holdout_replay", "transitions of the holdout", cli.later(LEARNER), stage="populate-holdout"
        ),
        cli.Task(
            "backtrace_holdout",
            "trace rewards back, on the holdout",
            cli.later(LEARNER),
            stage="backtrace-holdout",
        ),
        cli.Task("eval", "score the greedy policy on the holdout", cli.later(LEARNER), stage="evaluate"),
        cli.Task(
            "promote",
            "make it the winner if the evidence says so",
            cli.later(LEARNER),
            stage="promote",
            exclusive=True,
        ),
        cli.Task("backtest", "any strategy or the winner over the holdout, with real costs", _backtest),
        cli.Task(
            "lookahead_check",
            "recompute on cut and altered futures, compare bit for bit",
            _lookahead,
        ),
        cli.Task("certify", "score the learner on markets with a known edge", cli.later(LEARNER)),
        cli.Task("roll_holdout", "freeze a rolling holdout to dates", cli.later(LEARNER), exclusive=True),
        cli.Task("walk_forward", "folds and seeds, here or on a cluster", cli.later(LEARNER)),
        cli.Task("tune", "search hyper-parameters", cli.later(LEARNER)),
        cli.Task("rollback", "put the previous winner back", cli.later(LEARNER), exclusive=True),
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
