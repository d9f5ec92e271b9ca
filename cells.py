"""Which pieces of a long piece of work are done already? Pure cells to result files, skipped when present.

A cell is a frozen dataclass of plain values; its work is a function of it alone. The result, plain JSON, lies
in a file named by a hash of the cell, the work's name and the sources it came from, so that whoever starts
the same work again pays for what is missing only, here or on another machine.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, is_dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from files import write_atomically

ROOT = Path(__file__).resolve().parent
Result = dict[str, Any]
Work = Callable[[Any], Result]


class Backend(Protocol):
    """Where cells are worked off: here (Local), or on a cluster."""

    def results(self, work: Work, cells: Sequence[Any]) -> Iterator[tuple[int, Result]]:
        """As they are done, with the cell's number."""
        ...


class Local:
    """Processes of this machine, each with a fresh interpreter."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs

    def results(self, work: Work, cells: Sequence[Any]) -> Iterator[tuple[int, Result]]:
        if self._jobs == 1 or len(cells) < 2:
            yield from ((number, work(cell)) for number, cell in enumerate(cells))
            return
        with ProcessPoolExecutor(self._jobs, get_context("spawn")) as pool:
            waiting: dict[Future[Result], int] = {
                pool.submit(work, cell): number for number, cell in enumerate(cells)
            }
            try:
                for done in as_completed(waiting):
                    yield waiting[done], done.result()
            finally:
                for each in waiting:
                    each.cancel()


def done(
    work: Work,
    cells: Sequence[Any],
    sources: str,
    folder: Path,
    backend: Backend,
    told: Callable[[str], None],
) -> list[Result]:
    """Every cell's result, in the cells' order."""
    paths = [folder / f"{key_of(work, cell, sources)}.json" for cell in cells]
    missing = [number for number, path in enumerate(paths) if _read(path) is None]
    told(f"{_named(work).__name__}: {len(cells)} cells, {len(cells) - len(missing)} of them done before")
    folder.mkdir(parents=True, exist_ok=True)
    for count, (place, result) in enumerate(backend.results(work, [cells[n] for n in missing]), 1):
        number = missing[place]
        document = {"cell": _plain(cells[number]), "result": result}
        write_atomically(paths[number], json.dumps(document, indent=1, allow_nan=False).encode() + b"\n")
        told(f"{count} of {len(missing)}: {_plain(cells[number])}")
    return [_result(path) for path in paths]


def key_of(work: Work, cell: Any, sources: str) -> str:
    """Where a work's inputs lie (the arguments of a partial) is not what they are, and no part of it."""
    named = _named(work)
    text = json.dumps([named.__module__, named.__qualname__, _plain(cell), sources], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def sources_hash(names: Iterable[str]) -> str:
    """Of these files and folders of ours."""
    paths = [path for name in names for path in sorted((ROOT / name).rglob("*.py")) or [ROOT / f"{name}.py"]]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _named(work: Work) -> Any:
    return work.func if isinstance(work, partial) else work


def _plain(cell: Any) -> Any:
    assert is_dataclass(cell) and not isinstance(cell, type)
    return json.loads(json.dumps(asdict(cell), default=str))


def _result(path: Path) -> Result:
    found = _read(path)
    assert found is not None, f"{path} was written a moment ago"
    return found


def _read(path: Path) -> Result | None:
    """A torn or foreign file counts as none."""
    try:
        found = json.loads(path.read_bytes())["result"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found, dict) else None
