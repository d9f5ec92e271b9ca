"""Which candles do we lack? Get them: index, login token, history, imputation.

The user's first script: `python fetch.py` downloads what config.json asks for. Knows the broker
and NSE only through broker.py and net.py.
"""

import argparse
import json

import cli
from settings import load_config, persist_config

__all__ = ["load_config", "main", "persist_config"]


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
        type=cli.day,
        metavar="YYYY-MM-DD",
        help="first day (default: the configured from_dates)",
    )
    parser.add_argument(
        "--to", dest="end", type=cli.day, metavar="YYYY-MM-DD", help="last day (default: now)"
    )
    parser.add_argument(
        "--interval",
        choices=("1m", "3m", "5m", "15m", "1h", "1d"),
        help="one timeframe (default: every configured one)",
    )
    parser.add_argument(
        "--symbols", type=cli.symbols, metavar="A,B,C", help="these tickers (default: the configured ones)"
    )
    parser.add_argument(
        "--force-refresh-token",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="log in anew although the token still works",
    )
    parser.add_argument(
        "--max-workers",
        type=cli.whole(1, 16),
        default=4,
        metavar="N",
        help="downloads at a time, within the broker's rate limit (default: 4)",
    )


DOWNLOAD, LOGIN, INDEX = "downloading candles", "the login at the broker", "the index's list"

PROGRAM = cli.Program(
    name="fetch",
    what="Download NSE history: the index's tickers, a login token, candles, imputation.",
    tasks=(
        cli.Task(
            "index",
            "refresh config.tickers from NSE",
            cli.later(INDEX),
            stage="index",
            only_stage=True,
            exclusive=True,
        ),
        cli.Task(
            "token", "make sure that the access token works", cli.later(LOGIN), stage="token", only_stage=True
        ),
        cli.Task(
            "history",
            "download what is missing",
            cli.later(DOWNLOAD),
            stage="history",
            only_stage=True,
            exclusive=True,
        ),
        cli.Task(
            "impute",
            "fill gaps inside sessions, rebuild features",
            cli.later(DOWNLOAD),
            stage="impute",
            only_stage=True,
            exclusive=True,
        ),
        cli.Task("load_config", "print the validated configuration, secrets absent", _show_config),
        cli.Task(
            "persist_config", "write it back, atomically, key order kept", _rewrite_config, exclusive=True
        ),
        cli.Task("nse_tickers", "print the index's constituents; persists nothing", cli.later(INDEX)),
        cli.Task("ensure_token", "print the access token's last four characters", cli.later(LOGIN)),
        cli.Task(
            "incremental_history", "one pass of incremental download", cli.later(DOWNLOAD), exclusive=True
        ),
        cli.Task(
            "run_imputation",
            "re-impute every raw file and what depends on it",
            cli.later(DOWNLOAD),
            exclusive=True,
        ),
        cli.Task("login", "the daily login: opens the page, takes the token, writes .env", cli.later(LOGIN)),
        cli.Task("doctor", "check the installation and say how to mend it", cli.later("the doctor")),
    ),
    everything=("index", "token", "history", "impute"),
    add_flags=_add_flags,
    examples=("", "--symbols INFY,TCS --interval 5m history", "--fn load_config"),
)

if __name__ == "__main__":
    main()
