"""How is the local exchange started? `python -m exchange serve`, `env` for a shell, `history` beforehand."""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

from exchange.control import read_speed
from exchange.server import FACTS, Plan, serve
from facts import read_calendar
from outcome import ConfigError, ExitCode, SuiteError
from rulebook.hours import IST

DEFAULT_PORT = 8700
# What the scripts read, and the key of the ready line that it comes from (interfaces.md).
ENVIRONMENT = {
    "KITE_API_URL": "kite_api_url",
    "KITE_LOGIN_URL": "kite_login_url",
    "KITE_WS_URL": "kite_ws_url",
    "NSE_URL": "nse_url",
    "NSE_ARCHIVES_URL": "nse_archives_url",
    "CLOCK_URL": "clock_url",
    "ZERODHA_API_KEY": "api_key",
    "ZERODHA_API_SECRET": "api_secret",
}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "env":
            return _print_environment(arguments.port)
        if arguments.command == "history":
            return _make_history(arguments)
        return serve(_plan(arguments))
    except (SuiteError, ValueError) as error:
        print(f"exchange: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, SuiteError) else ExitCode.USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m exchange", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("serve", help="run until interrupted; one JSON line on stdout when ready")
    run.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)"
    )
    run.add_argument("--start", type=_moment, default="2026-11-20T09:00", help="IST (default: %(default)s)")
    run.add_argument("--speed", type=_speed, default="1", help="of the clock; max is lock-step (default: 1)")
    run.add_argument("--market", default="synthetic", help="synthetic, or recorded:DIR (default: synthetic)")
    run.add_argument("--seed", type=int, default=1)
    run.add_argument("--symbols", type=int, default=50, help="how many stocks (default: %(default)s)")
    run.add_argument("--edges", default="", help="planted edges by name, e.g. momentum_after_shock:strong")
    run.add_argument("--faults", type=Path, help="a JSON list of faults")
    run.add_argument("--cache", type=Path, default=None, help="folder of made history, kept by seed")
    make = commands.add_parser("history", help="make the synthetic market's past at once, for --cache")
    make.add_argument("--cache", type=Path, required=True)
    make.add_argument("--first", type=date.fromisoformat, default="2024-11-20")
    make.add_argument("--last", type=date.fromisoformat, default="2026-11-19")
    make.add_argument("--seed", type=int, default=1)
    make.add_argument("--symbols", type=int, default=50)
    make.add_argument("--edges", default="")
    show = commands.add_parser("env", help="the environment that points the scripts at a running exchange")
    show.add_argument("--port", type=int, default=DEFAULT_PORT)
    return parser


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no moment; write 2026-11-20T09:00") from None
    return moment.replace(tzinfo=IST) if moment.tzinfo is None else moment.astimezone(IST)


def _speed(text: str) -> float | None:
    try:
        return read_speed(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number above 0 nor max") from None


def _plan(arguments: argparse.Namespace) -> Plan:
    return Plan(
        port=arguments.port,
        start=arguments.start,
        rate=arguments.speed,
        market=arguments.market,
        seed=arguments.seed,
        symbols=arguments.symbols,
        edges=_named(arguments.edges),
        faults=arguments.faults,
        cache=arguments.cache,
    )


def _named(edges: str) -> tuple[str, ...]:
    return tuple(name for name in edges.split(",") if name)


def _make_history(arguments: argparse.Namespace) -> int:
    from exchange import edges
    from exchange.backfill import Recipe, make_history

    calendar, planted = read_calendar(FACTS), edges.read(_named(arguments.edges))
    recipe = Recipe(arguments.seed, calendar, arguments.symbols, planted, arguments.cache)
    made = make_history(recipe, arguments.first, arguments.last, os.cpu_count() or 1)
    print(f"{made} files made in {arguments.cache}")
    return ExitCode.DONE


def _print_environment(port: int) -> int:
    url = f"http://127.0.0.1:{port}/control/ready"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            ready = json.load(answer)
    except (urllib.error.URLError, ValueError) as error:
        raise ConfigError(
            f"no exchange answers on port {port} ({error}); start one: python -m exchange serve --port {port}"
        ) from None
    for name, key in ENVIRONMENT.items():
        print(f"export {name}={ready[key]}")
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
