"""Which candles do we lack? Get them: index, login token, history, imputation.

The user's first script: `python fetch.py` downloads what config.json asks for. This file is its command line
and the functions that other code calls; what a task does stands in fetching.py.
"""

import argparse
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import cli
import flags
from settings import load_config, persist_config

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import pandas as pd

__all__ = [
    "ensure_access_token", "existing_range", "fetch_history", "get_index_tickers_from_nse", "impute",
    "load_config", "main", "persist_config", "save_history", "sync_instruments_cache",
]  # fmt: skip


def main() -> None:
    cli.main(PROGRAM)


def _show_config(run: cli.Run) -> cli.Answer:
    config = load_config(run.config_path)
    return cli.Answer(config, json.dumps(config, indent=2, ensure_ascii=False))


def _rewrite_config(run: cli.Run) -> cli.Answer:
    persist_config(load_config(run.config_path), run.config_path)
    return cli.Answer({"path": str(run.config_path)}, f"{run.config_path} is valid and written")


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--index", metavar="TEXT", help="instead of config.json's index, e.g. NIFTY100")
    parser.add_argument(
        "--from",
        dest="start",
        type=flags.day,
        metavar="YYYY-MM-DD",
        help="first day (default: the configured from_dates)",
    )
    parser.add_argument(
        "--to", dest="end", type=flags.day, metavar="YYYY-MM-DD", help="last day (default: now)"
    )
    parser.add_argument(
        "--interval",
        choices=("1m", "3m", "5m", "15m", "1h", "1d"),
        help="one timeframe (default: every configured one)",
    )
    parser.add_argument(
        "--symbols", type=flags.symbols, metavar="A,B,C", help="these tickers (default: the configured ones)"
    )
    parser.add_argument(
        "--force-refresh-token",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="log in anew although the token still works",
    )
    parser.add_argument(
        "--max-workers",
        type=flags.whole(1, 16),
        default=8,
        metavar="N",
        help="downloads at a time, within the broker's rate limit (default: 8)",
    )


def _doctor(run: cli.Run) -> cli.Answer:
    import doctor

    return doctor.examine(run)


def _task(name: str) -> Callable[[cli.Run], cli.Answer | None]:
    """One of fetching.py, which is imported when it runs: --help needs no pandas."""

    def run(run: cli.Run) -> cli.Answer | None:
        import fetching

        found: cli.Answer | None = getattr(fetching, name)(run)
        return found

    return run


INDEX, TOKEN, HISTORY, IMPUTE = (
    "refresh config.tickers from NSE",
    "make sure that the access token works",
    "download what is missing",
    "fill gaps inside sessions, rebuild features",
)
Task = cli.Task

PROGRAM = cli.Program(
    name="fetch",
    what="Download NSE history: the index's tickers, a login token, candles, imputation.",
    tasks=(
        Task("index", INDEX, _task("refresh_index"), stage="index", only_stage=True, exclusive=True),
        Task("token", TOKEN, _task("ensure_token"), stage="token", only_stage=True),
        Task("history", HISTORY, _task("download"), stage="history", only_stage=True, exclusive=True),
        Task("impute", IMPUTE, _task("impute"), stage="impute", only_stage=True, exclusive=True),
        Task("load_config", "print the validated configuration, secrets absent", _show_config),
        Task("persist_config", "write it back, atomically, key order kept", _rewrite_config, exclusive=True),
        Task("nse_tickers", "print the index's constituents; persists nothing", _task("show_index")),
        Task("ensure_token", "print the access token's last four characters", _task("ensure_token")),
        Task("incremental_history", "one pass of incremental download", _task("download"), exclusive=True),
        Task(
            "run_imputation",
            "re-impute raw files and what depends on them",
            _task("impute"),
            exclusive=True,
        ),
        Task("login", "the daily login: opens the page, takes the token, writes .env", _task("log_in")),
        Task("coverage", "which sessions are on disk, and why not the others", _task("report_coverage")),
        Task("doctor", "check the installation and say how to mend it", _doctor, first_aid=True),
    ),
    everything=("index", "token", "history", "impute"),
    add_flags=_add_flags,
    examples=("", "--symbols INFY,TCS --interval 5m history", "--fn login"),
)

# --- for other code, with config.json of the working directory -----------------------------------------


def _run() -> cli.Run:
    return cli.run_of(cli.parser(PROGRAM).parse_args([]), os.environ)


def get_index_tickers_from_nse(index: str) -> list[str]:
    import fetching

    return list(fetching.constituents(_run(), index).tickers)


def ensure_access_token() -> str:
    import fetching

    return fetching.working_token(_run())


def sync_instruments_cache(force: bool = False) -> str:
    """The path of the cached instruments of the day."""
    import fetching

    return fetching.instruments_path(_run(), force=force)


def existing_range(ticker: str, tf: str) -> "tuple[datetime | None, datetime | None]":
    """The first and the last opening time on disk."""
    import fetching

    return fetching.existing_range(_run(), ticker, tf)


def fetch_history(ticker: str, tf: str, start: "datetime", end: "datetime") -> "pd.DataFrame":
    import fetching

    return fetching.fetch_history(_run(), ticker, tf, start, end)


def impute(df: "pd.DataFrame") -> "pd.DataFrame":
    from data import impute

    return impute(df)


def save_history(df: "pd.DataFrame", ticker: str, tf: str) -> "Path":
    """Beside what is there: append, dedupe, sort, replace whole."""
    import fetching

    return fetching.save_history(_run(), df, ticker, tf)


if __name__ == "__main__":
    main()
