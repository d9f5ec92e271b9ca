"""How is the rule book made fast? Its own functions, compiled; nothing is written a second time.

`compiled` takes a plain function of rulebook/ or strategies/ and returns it compiled by numba, with
every function of ours that it calls compiled likewise: the code objects are the very ones that the
live loop runs, only their names are bound to compiled callees. `signals` runs a strategy's step over
every bar; `simulate` walks a table and what was said about it with walk.walk; `backtest` does both.

The only file that knows numba. Compiled code is kept on disk under a hash of all sources, because
numba's own cache does not notice that a callee in another file has changed.
"""

import gc
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcome import ConfigError, SuiteError
from rulebook import tables
from rulebook.outcomes import outcomes as rulebook_outcomes
from rulebook.rules import Rules, are_apart
from rulebook.tables import Fixed, Result, Table
from rulebook.walk import NATURAL, walk
from strategies import GUIDE, Strategy

ROOT = Path(__file__).resolve().parent
OURS = ("rulebook", "strategies", "among", "features", "kernels")
# Whose sums may be added in any order: many numbers at once. The rules are whole numbers and stay exact.
UNORDERED = {"kernels"}
Ints = NDArray[np.int64]
Spans = Iterator[tuple[int, int]]  # first row, and the one after the last
Telling = Iterator[tuple[int, int, "Signals"]]  # and what is said about these rows, from its row 0 on
ROWS_AT_ONCE = 512  # what is said about them fits into the cache of one core, prices beside it
THREADS = os.cpu_count() or 1
TOLD_AT_ONCE = 32  # of those, rows about which one ticker after the other speaks
ROOM = 1 << 16  # trades; memory that is not written is not taken


def sources_hash() -> str:
    """Of everything that compiled code can come from."""
    folders = sorted(path for folder in OURS for path in (ROOT / folder).glob("*.py"))
    files = [Path(__file__), *(ROOT / f"{name}.py" for name in ("among", "features", "kernels")), *folders]
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
    lean: dict[str, Any] = {"_nrt": False, "no_cfunc_wrapper": True, "nogil": True}
    inner: dict[str, Any] = {} if is_entry else {"no_cpython_wrapper": True, "forceinline": True}
    unordered = copy.__module__ in UNORDERED
    dispatcher = numba.njit(cache=is_entry, fastmath=unordered, **lean, **inner)(copy)
    if not is_entry and copy.__module__.startswith("rulebook."):
        _take_whole_numbers_as_int64(dispatcher)
    return dispatcher  # type: ignore[no-any-return]


def _take_whole_numbers_as_int64(dispatcher: Any) -> None:
    """A price of 32 bits, an action of 8 and a constant are the same to the rules, but each would be compiled
    for itself: 121 functions instead of 85, and a third more time until the first answer."""
    from numba.core import types

    def widest(each: Any) -> Any:
        if isinstance(each, types.Integer):
            return types.int64
        return types.boolean if isinstance(each, types.BooleanLiteral) else each

    typed = dispatcher.get_call_template
    dispatcher.get_call_template = lambda args, kws: typed(tuple(map(widest, args)), kws)


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
    rows = table.close.shape[0]
    found, tell = _silence(rows, len(tickers)), _teller_of(strategy)
    for _ in _told(strategy, tell, _turned(table, slice(None)), tickers, found, rows):
        pass
    return found


def _silence(rows: int, tickers: int) -> Signals:
    return Signals(np.zeros((rows, tickers), np.int8), np.zeros((rows, tickers), np.float64))


def _teller_of(strategy: Strategy) -> Callable[..., Any]:
    """Its step over rows and tickers, compiled by the first call."""
    # The module's name holds the file's path: what is kept on disk refers to PARAMETERS by that name.
    where = strategy.step.__module__.rpartition(".")[2]
    with _blame(strategy):
        return _teller(strategy.step, f"{where}_{hashlib.sha256(strategy.source).hexdigest()[:16]}")


def _told(
    strategy: Strategy, tell: Callable[..., Any], table: Table, tickers: Sequence[str], into: Signals,
    rows_at_once: int,
) -> Spans:  # fmt: skip
    """From row to row; `into` holds what is said about these, from row 0 on, until the next are asked for."""
    rows = table.close.shape[1]
    state = np.array([strategy.new_state(ticker) for ticker in tickers], np.float64).reshape(len(tickers), -1)
    session_bars = np.zeros(len(tickers), np.int64)
    for first in range(0, rows, rows_at_once):
        end = min(first + rows_at_once, rows)
        with _blame(strategy):
            wrong = tell(
                table, strategy.parameters, first, end, state, session_bars, into.action.T, into.confidence.T
            )
        if wrong:
            raise SuiteError(
                f"strategy {strategy.name} answered something else than an action of 1, -1 or 0 "
                "with a confidence within [0, 1]; the event path names the bar"
            )
        yield first, end


@contextmanager
def _blame(strategy: Strategy) -> Iterator[None]:
    """What goes wrong in a user's own step is told as a matter of his file."""
    from numba.core.errors import NumbaError, UnsupportedBytecodeError

    path = strategy.step.__code__.co_filename
    try:
        yield
    except (ArithmeticError, ValueError) as error:
        raise ConfigError(
            f"strategy {path}: step failed with {error or type(error).__name__}; ask for that case before "
            f"it is computed, every price is above 0 but a difference or a cell of state can be 0; {GUIDE}"
        ) from error
    except (NumbaError, UnsupportedBytecodeError, NotImplementedError, RuntimeError) as error:
        found = re.search(rf'{re.escape(Path(path).name)}", line (\d+)', str(error))
        line = f":{found.group(1)}" if found else ""
        raise ConfigError(
            f"strategy {path}{line}: step cannot be compiled; it may use whole and decimal numbers, its own "
            f"row of state, math and plain functions of its file, no list, dict or text; {GUIDE}"
        ) from error


def STEP(*_: Any) -> tuple[int, float]:  # noqa: N802  (a constant to the code that is compiled)
    """Stands for the strategy's own step, to which the name is bound when _tell is compiled."""
    raise AssertionError("_tell runs compiled only")


@cache
def _teller(step: FunctionType, name: str) -> Callable[..., Any]:
    # numba's cache tells functions apart by name and byte code, not by what their names are bound to.
    assert isinstance(_tell, FunctionType)
    return _compiled(_tell, f"_tell_{name}", True, {"STEP": _compiled(step, step.__qualname__, False)})


def _tell(
    table: Table, p: Any, first: int, end: int, state: Any, session_bars: Any, action: Any, confidence: Any
) -> int:
    """Rows `first` to `end`, written from row 0 on. Answers how many answers were none."""
    wrong = 0
    tickers = table.close.shape[0]
    rows = TOLD_AT_ONCE if tickers > 1 else max(1, end - first)
    for block in range(first, end, rows):
        for s in range(tickers):
            own, seen, today = state[s], session_bars[s], table.day[max(block - 1, 0)]
            for row in range(block, min(block + rows, end)):
                here, there = row & NATURAL, row - first & NATURAL
                if table.day[here] != today:
                    today, seen = table.day[here], 0
                said, sure = 0, 0.0
                if table.close[s, here] != 0:
                    said, sure = STEP(
                        own, p, seen, table.open[s, here], table.high[s, here], table.low[s, here],
                        table.close[s, here], table.volume[s, here],
                    )  # fmt: skip
                    seen += 1
                    wrong += said < -1 or said > 1 or not 0.0 <= sure <= 1.0
                action[s, there], confidence[s, there] = said, sure
            session_bars[s] = seen
    return wrong


# --- a run ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk found: a row a trade, a row a stop's move, and the tallies (tables.py names them).

    Trades of a ticker stand in order of time, and so do its moves; those of different tickers do not.
    """

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
    """All trades of a table about which everything has been said."""
    rows = table.close.shape[0]

    def spans(part: slice, _table: Table) -> Telling:
        yield 0, rows, Signals(_rows(said.action, part), _rows(said.confidence, part))

    return _walked(table, fixed, rules, spans, finer, first_fine, room)


def backtest(
    table: Table,
    fixed: Fixed,
    rules: Rules,
    strategy: Strategy,
    tickers: Sequence[str],
    heard: range | None = None,
    finer: Table | None = None,
    first_fine: Ints | None = None,
    room: int = ROOM,
) -> Walked:
    """All trades of a strategy; what it says outside of the rows `heard` only warms it.

    The same as `simulate` of `signals`, some rows at a time: what is said is walked while the processor's
    cache still has it, and it never stands in memory as a whole.
    """
    rows = range(table.close.shape[0]) if heard is None else heard
    is_apart = are_apart(len(tickers), len(table.close), rules)
    rows_at_once, width = (max(1, len(table.close)), 1) if is_apart else (ROWS_AT_ONCE, len(tickers))
    said, tell = _silence(rows_at_once, width), _teller_of(strategy)

    def spans(part: slice, some: Table) -> Telling:
        names = tickers[part]
        for first, end in _told(strategy, tell, some, names, said, rows_at_once):
            said.action[: max(0, rows.start - first)] = 0
            said.action[max(0, rows.stop - first) :] = 0
            yield first, end, said

    return _walked(table, fixed, rules, spans, finer, first_fine, room)


def _walked(
    table: Table,
    fixed: Fixed,
    rules: Rules,
    spans: Callable[[slice, Table], Telling],
    finer: Table | None,
    first_fine: Ints | None,
    room: int,
) -> Walked:
    """Room for trades is doubled until they fit; the walk itself never allocates."""
    rows, tickers = table.close.shape
    if finer is None or first_fine is None:
        finer, first_fine = table, np.zeros(rows + 1, np.int64)
    # Who stands alone is walked alone: the walk leaves out what is quiet, and reads one column at a time.
    width = 1 if are_apart(tickers, rows, rules) else tickers
    parts = [slice(s, s + width) for s in range(0, tickers, width)]
    while True:
        result = _result(room)
        with _garbage_kept():
            for part in parts:
                some, some_finer, some_fixed = _part(part, table, finer, fixed)
                held, sums = _memory(part)
                for first, end, said in spans(part, some):
                    compiled(walk)(
                        some, some_finer, first_fine, some_fixed, rules, said.action.T, said.confidence.T,
                        first, end, held, sums, result,
                    )  # fmt: skip
        trades, moves = result.tallies[tables.TRADES], result.tallies[tables.STOP_MOVES]
        if max(trades, moves // tables.MOVES_A_TRADE) <= room:
            return Walked(result.trades[:trades], result.moves[:moves], result.tallies)
        room = 2 * max(room, int(trades))


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Of every bar and ticker, by side (0 buys, 1 sells): net R, and the row of the end or NO_TRADE."""

    r: NDArray[np.float32]
    exit_row: NDArray[np.int32]


def outcomes(
    table: Table,
    fixed: Fixed,
    rules: Rules,
    hold_bars: NDArray[np.int32] | None = None,
    finer: Table | None = None,
    first_fine: Ints | None = None,
) -> Outcomes:
    """What a trade decided at each bar's close would have earned, had it been alone in the account."""
    rows, tickers = table.close.shape
    if finer is None or first_fine is None:
        finer, first_fine = table, np.zeros(rows + 1, np.int64)
    if hold_bars is None:
        hold_bars = np.zeros((rows, tickers), np.int32)
    found = Outcomes(np.zeros((2, rows, tickers), np.float32), np.zeros((2, rows, tickers), np.int32))
    alone = rules._replace(max_loss_milli=0, max_loss=0, max_total=0, one_entry_a_bar=False)
    run = compiled(rulebook_outcomes)
    with _garbage_kept(), ThreadPoolExecutor(THREADS, "outcomes") as pool:  # compiled code lets others run

        def walk_one(s: int) -> None:
            part = slice(s, s + 1)
            some, some_finer, some_fixed = _part(part, table, finer, fixed)
            held, sums = _memory(part)
            run(some, some_finer, first_fine, some_fixed, alone, hold_bars, held, sums, _result(1), found.r,
                found.exit_row)  # fmt: skip

        list(pool.map(walk_one, range(tickers)))
    return found


def _part(part: slice, table: Table, finer: Table, fixed: Fixed) -> tuple[Table, Table, Fixed]:
    """Of some tickers, as compiled code takes it."""
    some = _turned(table, part)
    some_finer = some if finer is table else _turned(finer, part)
    return some, some_finer, Fixed._make([*(each[part] for each in fixed[:3]), *fixed[3:]])


def _turned(table: Table, part: slice) -> Table:
    """By ticker and row. One ticker and several are two kinds of array to the compiler, each compiled when it
    is first met: so the bars of one alone lie side by side, which a stride would not tell."""
    return Table._make([*(_rows(each, part).T for each in table[:5]), *table[5:]])


def _rows(array: NDArray[Any], part: slice) -> NDArray[Any]:
    """No copy where all are asked for and lie row by row, nor where one is and they lie ticker by ticker."""
    return np.ascontiguousarray(array[:, part])


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """The compiler makes millions of objects that live on; looking for dead ones is a tenth of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _memory(part: slice) -> tuple[Ints, Ints]:
    """Of the tickers of these numbers, all flat; and the day's sums."""
    held = np.zeros((part.stop - part.start, tables.COLUMNS), np.int64)
    held[:, tables.STOPPED] = tables.LONG_AGO
    held[:, tables.TICKER] = np.arange(part.start, part.stop)
    return held, np.zeros(tables.DAY_SUMS, np.int64)


def _result(room: int) -> Result:
    return Result(
        np.empty((room, tables.TRADE_COLUMNS), np.int64),
        np.empty((room * tables.MOVES_A_TRADE, 3), np.int64),
        np.zeros(tables.TALLIES, np.int64),
    )
