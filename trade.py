"""Run one session: events in, intents out, protective stops resting at the broker.

config.paper_trading decides between paper and LIVE; there is no flag that makes it live. The thin
shell around the rule book: it takes events from one queue and carries out what the book answers.
"""

import argparse

import cli
import flags
from positions_now import Held, Positions
from scripting import (
    build_live_features,
    can_enter,
    enter_trade,
    exit_trade,
    fetch_realtime_quotes,
    infer,
    load_winner,
    loop_until,
    portfolio_state,
    should_exit_long,
    should_exit_short,
)

__all__ = [
    "Held",
    "Positions",
    "build_live_features",
    "can_enter",
    "enter_trade",
    "exit_trade",
    "fetch_realtime_quotes",
    "infer",
    "load_winner",
    "loop_until",
    "main",
    "portfolio_state",
    "should_exit_long",
    "should_exit_short",
]


def main() -> None:
    cli.main(PROGRAM)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--paper",
        dest="mode",
        action="store_const",
        const="paper",
        help="simulated orders, whatever config.paper_trading says",
    )
    parser.add_argument(
        "--dry-run",
        dest="mode",
        action="store_const",
        const="dry-run",
        help="every gate, no order; exit code 3 if a gate would block",
    )
    parser.add_argument(
        "--loop-ms",
        type=flags.whole(10, 60_000),
        default=250,
        metavar="N",
        help="pace of the loop where no tick wakes it (default: 250)",
    )
    parser.add_argument(
        "--end",
        type=flags.clock_time,
        metavar="HH:MM:SS",
        help="flat by then today (default: hard_trading_end)",
    )
    parser.add_argument(
        "--confirm-live",
        action="store_true",
        help="the first live session of an account here: I mean it (for units)",
    )
    parser.add_argument("--date", type=flags.day, metavar="YYYY-MM-DD", help="for why, replay, eod_pack")
    parser.add_argument("--at", type=flags.clock_time, metavar="HH:MM:SS", help="for why: the moment")
    parser.add_argument("--symbol", metavar="A", help="for why: the ticker")
    parser.add_argument("--out", metavar="PATH", help="for eod_pack, backup, restore: the file")


def _session(run: cli.Run) -> cli.Answer:
    from trading import session

    return session(run)


def _halt(run: cli.Run) -> cli.Answer:
    from emergency import halt

    return halt(run)


def _flatten(run: cli.Run) -> cli.Answer:
    from emergency import flatten

    return flatten(run)


def _unlock(run: cli.Run) -> cli.Answer:
    from emergency import unlock

    return unlock(run)


def _quotes(run: cli.Run) -> cli.Answer:
    from one_shot import quotes

    return quotes(run)


def _features(run: cli.Run) -> cli.Answer:
    from one_shot import features

    return features(run)


def _infer(run: cli.Run) -> cli.Answer:
    from one_shot import infer

    return infer(run)


def _show_winner(run: cli.Run) -> cli.Answer:
    from trading import show_winner

    return show_winner(run)


def _why(run: cli.Run) -> cli.Answer:
    from why import why

    return why(run)


def _replay(run: cli.Run) -> cli.Answer:
    from day_replay import replay

    return replay(run)


def _verify_ledger(run: cli.Run) -> cli.Answer:
    from ledger_desk import verify_ledger

    return verify_ledger(run)


def _show_ledger(run: cli.Run) -> cli.Answer:
    from ledger_desk import show_ledger

    return show_ledger(run)


SESSION, UPKEEP = "trading", "upkeep"

PROGRAM = cli.Program(
    name="trade",
    what="Run one intraday session, paper or LIVE by config.paper_trading.",
    tasks=(
        cli.Task("load_winner", "load the promoted model and show its card", _show_winner),
        cli.Task("one_shot_quotes", "print the quotes once", _quotes, stage="quotes"),
        cli.Task("one_shot_features", "print the live features once", _features, stage="features"),
        cli.Task("one_shot_infer", "print action and confidence once", _infer, stage="infer"),
        cli.Task(
            "loop",
            "the session",
            _session,
            stage="loop",
            exclusive=True,
            only_looks=lambda args: args.mode == "dry-run",
        ),
        cli.Task("halt", "no entries, flatten, stay halted for the day", _halt),
        cli.Task("flatten", "close what is open", _flatten),
        cli.Task("unlock", "end a halt or a loss lock", _unlock),
        cli.Task("why", "why there was or was no trade (--symbol, --at, --date)", _why),
        cli.Task("replay", "replay a day's journal to the same decisions (--date)", _replay),
        cli.Task("ledger_verify", "check the journal's chain", _verify_ledger),
        cli.Task("ledger_show", "print the journal", _show_ledger),
        cli.Task("eod_pack", "the day as one ZIP (--date, --out)", cli.later(UPKEEP)),
        cli.Task("backup", "copy state, journal and models to one file (--out)", cli.later(UPKEEP)),
        cli.Task("restore", "put a backup back (--out)", cli.later(UPKEEP)),
        cli.Task("migrate", "bring configuration and journal to this version", cli.later(UPKEEP)),
        cli.Task("test_alert", "send one message to every configured sink", cli.later(UPKEEP)),
    ),
    everything=("loop",),
    add_flags=_add_flags,
    examples=("--paper", "--dry-run", "--fn why --symbol INFY --at 10:15:00", "--fn halt"),
)

if __name__ == "__main__":
    main()
