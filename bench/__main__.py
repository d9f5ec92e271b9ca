"""Which benchmark is to run? `python -m bench NAME [--quick]`; `all` for every one, `page` for the document.

Each prints a table and leaves a JSON under reports/bench/; `page` makes docs/performance.md from what
lies there, so no figure of the document was typed. Peers live in .venv-bench (`make bench` makes it);
one that cannot be run is named in the table, with the reason.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import (
    backtest_sma,
    events,
    features,
    fetching,
    local_exchange,
    machine,
    order_path,
    report_html,
    results,
    rulebook,
    session,
    startup,
    store,
    ticks,
)
from bench.results import FOLDER, Outcome, as_table, keep, tell
from files import write_atomically

BENCHMARKS: dict[str, Callable[[bool], Awaitable[Outcome]]] = {
    module.NAME: module.measure
    for module in (
        backtest_sma,
        rulebook,
        events,
        features,
        fetching,
        report_html,
        startup,
        store,
        ticks,
        local_exchange,
        order_path,
        session,
    )
}
PAGE = results.FOLDER.parent.parent / "docs" / "performance.md"
INTRODUCTION = """\
# Performance, measured

Made by `python -m bench page` from the JSON files of the last runs; do not edit. `make bench` runs all of
it (`make bench ARGS=--quick` within five minutes), `python -m bench NAME` one.

How to read it: figures are medians with their least and greatest; a ratio is taken within one turn, in
which each program runs once beside the others, because the machine is shared and drifts. Programs that are
compared first had to compute the same trades. The load is the number of programs that wanted to run,
ours included. A bar that does not hold is printed as such.
"""


def main() -> int:
    args = arguments()
    if args.name == "page":
        write_page(PAGE)
        return 0
    names = list(BENCHMARKS) if args.name == "all" else [args.name]
    return max(run(name, args.quick) for name in names)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Time the suite beside its peers.")
    parser.add_argument("name", choices=[*BENCHMARKS, "all", "page"], help="what to measure")
    parser.add_argument("--quick", action="store_true", help="fewer turns: all within five minutes")
    return parser.parse_args()


def run(name: str, quick: bool) -> int:
    """0 where every bar holds."""
    before = machine.load()
    outcome = asyncio.run(_measured(name, quick))
    document = keep(outcome, before, quick)
    tell(f"\n## {outcome.title}\n\n{as_table(document)}")
    return 0 if all(bar.holds for bar in outcome.bars) else 1


async def _measured(name: str, quick: bool) -> Outcome:
    return await BENCHMARKS[name](quick)


def write_page(to: Path) -> None:
    """Every benchmark in its order; one that was not run is said."""
    parts = [INTRODUCTION]
    for name in BENCHMARKS:
        path = FOLDER / f"{name}.json"
        if path.exists():
            document = json.loads(path.read_text())
            parts.append(f"## {document['title']}\n\n{as_table(document)}\n")
        else:
            parts.append(f"## {name}\n\nNot measured here yet: `python -m bench {name}`.\n")
    write_atomically(to, "\n".join(parts).encode(), 0o644)
    tell(f"{to}: written")


if __name__ == "__main__":
    sys.exit(main())
