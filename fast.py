"""How is the rule book made fast? Its own functions, compiled; nothing is written a second time.

`compiled` takes a plain function of rulebook/ or strategies/ and returns it compiled by numba, with
every function of ours that it calls compiled likewise: the code objects are the very ones that the
live loop runs, only their names are bound to compiled callees. `signals` runs a strategy's step over
every bar; `simulate` walks a table and what was said about it with walk.walk.

The only file that knows numba. Compiled code is kept on disk under a hash of all sources, because
numba's own cache does not notice that a callee in another file has changed.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcome import SuiteError
from rulebook import tables
from rulebook.rules import Rules
from rulebook.tables import Fixed, Result, Table
from rulebook.walk import walk
from strategies import Strategy

ROOT = Path(__file__).resolve().parent
OURS = ("rulebook", "strategies", "features")
Ints = NDArray[np.int64]
ROOM = 1 << 16  # trades; memory that is not written is not taken


def sources_hash() -> str:
    """Of everything that compiled code can come from."""
    folders = sorted(path for folder in OURS for path in (ROOT / folder).glob("*.py"))
    files = [Path(__file__), ROOT / "features.py", *folders]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


@cache
def compiled(function: FunctionType, is_entry: bool = True) -> Callable[..., Any]:
    """The same function and all of ours that it calls, as machine code; `is_entry`: Python calls it."""
    return _compiled(function, function.__qualname__, is_entry)


def _compiled(
    function: FunctionType, name: str, is_entry: bool, bound: Mapping[str, Any] = MappingProxyType({})
) -> Callable[..., Any]:
    import numba

    scope = {**function.__globals__, **bound}
    for callee_name in function.__code__.co_names:
        callee = scope.get(callee_name)
        if isinstance(callee, FunctionType) and callee.__module__.split(".")[0] in OURS:
            scope[callee_name] = compiled(callee, is_entry=False)
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    copy.__module__, copy.__qualname__ = function.__module__, name
    numba.config.CACHE_DIR = str(_cache_folder())  # type: ignore[attr-defined]
    # Nothing here allocates, and counting references to arrays at every call took two thirds of the
    # time; handing whole tables to small functions took most of the rest (303 ms to 23 ms for 1.9
    # million ticker-bars). Only the entry is called from Python and kept on disk, its callees inside it.
    lean: dict[str, Any] = {"_nrt": False, "no_cfunc_wrapper": True}
    inner: dict[str, Any] = {} if is_entry else {"no_cpython_wrapper": True, "forceinline": True}
    return numba.njit(cache=is_entry, **lean, **inner)(copy)  # type: ignore[no-any-return]


@cache
def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rl-trader" / "numba" / sources_hash()


# --- what a strategy says ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signals:
    """An action and a confidence for every row and ticker."""

    action: NDArray[np.int8]
    confidence: NDArray[np.float64]


def signals(strategy: Strategy, table: Table, tickers: Sequence[str]) -> Signals:
    """The strategy's answer to every traded bar, by its own `step`."""
    shape = table.close.shape
    state = np.array([strategy.new_state(ticker) for ticker in tickers], np.float64).reshape(shape[1], -1)
    found = Signals(np.zeros(shape, np.int8), np.zeros(shape, np.float64))
    counts = np.full((shape[1], 2), -1, np.int64)
    # The module's name holds the file's path: what is kept on disk refers to PARAMETERS by that name.
    where = strategy.step.__module__.rpartition(".")[2]
    tell = _teller(strategy.step, f"{where}_{hashlib.sha256(strategy.source).hexdigest()[:16]}")
    if tell(table, strategy.parameters, state, counts, found.action, found.confidence):
        raise SuiteError(
            f"strategy {strategy.name} answered something else than an action of 1, -1 or 0 "
            "with a confidence within [0, 1]; the event path names the bar"
        )
    return found


def STEP(*_: Any) -> tuple[int, float]:  # noqa: N802  (a constant to the code that is compiled)
    """Stands for the strategy's own step, to which the name is bound when _tell is compiled."""
    raise AssertionError("_tell runs compiled only")


@cache
def _teller(step: FunctionType, name: str) -> Callable[..., Any]:
    # numba's cache tells functions apart by name and byte code, not by what their names are bound to.
    assert isinstance(_tell, FunctionType)
    return _compiled(_tell, f"_tell_{name}", True, {"STEP": _compiled(step, step.__qualname__, False)})


def _tell(table: Table, p: Any, state: Any, counts: Any, action: Any, confidence: Any) -> int:
    """Answers how many answers were none; `counts` holds each ticker's session bar and day."""
    rows, tickers = table.close.shape
    wrong = 0
    for row in range(rows):
        day = table.day[row]
        for s in range(tickers):
            if table.close[row, s] != 0:
                counts[s, 0] = counts[s, 0] + 1 if counts[s, 1] == day else 0
                counts[s, 1] = day
                said, sure = STEP(
                    state[s], p, counts[s, 0], table.open[row, s], table.high[row, s],
                    table.low[row, s], table.close[row, s], table.volume[row, s],
                )  # fmt: skip
                action[row, s], confidence[row, s] = said, sure
                wrong += said < -1 or said > 1 or not 0.0 <= sure <= 1.0
    return wrong


# --- a run ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk found: a row a trade, a row a stop's move, and the tallies (tables.py names them)."""

    trades: Ints
    moves: Ints
    tallies: Ints


def simulate(
    table: Table,
    fixed: Fixed,
    rules: Rules,
    said: Signals,
    finer: Table | None = None,
    first_fine: Ints | None = None,
    room: int = ROOM,
) -> Walked:
    """All trades of a table. Room for them is doubled until they fit; the walk itself never allocates."""
    rows = table.close.shape[0]
    if finer is None or first_fine is None:
        finer, first_fine = table, np.zeros(rows + 1, np.int64)
    while True:
        held, sums, result = _memory(table.close.shape[1], room)
        compiled(walk)(
            table, finer, first_fine, fixed, rules, said.action, said.confidence, held, sums, result
        )
        trades, moves = result.tallies[tables.TRADES], result.tallies[tables.STOP_MOVES]
        if max(trades, moves // tables.MOVES_A_TRADE) <= room:
            return Walked(result.trades[:trades], result.moves[:moves], result.tallies)
        room = 2 * max(room, int(trades))


def _memory(tickers: int, room: int) -> tuple[Ints, Ints, Result]:
    held = np.zeros((tickers, tables.COLUMNS), np.int64)
    held[:, tables.STOPPED] = tables.LONG_AGO
    result = Result(
        np.empty((room, tables.TRADE_COLUMNS), np.int64),
        np.empty((room * tables.MOVES_A_TRADE, 3), np.int64),
        np.zeros(tables.TALLIES, np.int64),
    )
    return held, np.zeros(tables.DAY_SUMS, np.int64), result
