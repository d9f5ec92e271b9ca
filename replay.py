"""What happened to a policy in a market, bar by bar? Transitions of a few integers over one feature matrix.

A policy is asked at every bar, with some chance of a random action instead; the rule book trades what it
says, contest, limits and costs included. A trade is one transition, from the bar at whose close it was
decided to the bar in which it ended; a bar at which a ticker had no trade and got none is one, too (HOLD,
earns nothing, the next bar). A day is an episode. `backtrace` then writes what each trade came to: its net
R as reward, and for whoever looks at a transition the measures of the trade and its R bar by bar, which add
up to it.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

import fast
from backtest import closed_trades
from lessons import Lessons, Rows
from rulebook.trades import ClosedTrade
from sizes import HOLD

NO_TRADE = -1
COLUMNS = {
    "row": "i",
    "next_row": "i",
    "ticker": "h",
    "action": "b",
    "reward": "f",
    "done": "b",
    "trade": "i",
}


class Place(NamedTuple):
    """A bar's close of one ticker; `Lessons.windows` has what was to be seen there."""

    row: int
    ticker: int


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of one ticker. `action`: 0 BUY, 1 SELL, 2 HOLD."""

    state: Place
    action: int
    reward: float
    next_state: Place
    done: bool
    meta: Mapping[str, Any] = field(default_factory=dict)


class Moved(NamedTuple):
    """Some transitions, column by column."""

    row: Rows
    next_row: Rows
    ticker: NDArray[np.int64]
    action: NDArray[np.int64]
    reward: NDArray[np.float32]
    done: NDArray[np.bool_]


class ReplayMemory:
    """Twenty bytes a transition; what was seen stays in `lessons`."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self.clear()

    def __len__(self) -> int:
        return len(self._columns["row"])

    def clear(self) -> None:
        self._columns: dict[str, array[Any]] = {name: array(kind) for name, kind in COLUMNS.items()}
        self._given: dict[int, Mapping[str, Any]] = {}
        self.trades: list[ClosedTrade] = []
        self.marks: list[list[float]] = []  # of each trade, once it has been traced back

    def push(self, transition: Transition) -> None:
        state, after = transition.state, transition.next_state
        if state.ticker != after.ticker or after.row < state.row:
            raise ValueError(f"a transition goes on in its own ticker: {state} to {after}")
        if transition.meta:
            self._given[len(self)] = dict(transition.meta)
        values = (state.row, after.row, state.ticker, transition.action, transition.reward, transition.done)
        for name, value in zip(COLUMNS, (*values, NO_TRADE), strict=True):
            self._columns[name].append(value)

    def extend(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Many at once."""
        for name, values in columns.items():
            self._columns[name].frombytes(values.astype(COLUMNS[name]).tobytes())

    def sample(self, batch_size: int) -> list[Transition]:
        return [self[int(pick)] for pick in self._rng.integers(0, len(self), batch_size)]

    def __getitem__(self, number: int) -> Transition:
        row, next_row, ticker, action, reward, done, trade = (self._columns[n][number] for n in COLUMNS)
        meta = self._given.get(number, {}) if trade == NO_TRADE else self._meta(int(trade))
        return Transition(
            Place(int(row), int(ticker)), int(action), float(reward), Place(int(next_row), int(ticker)),
            bool(done), meta,
        )  # fmt: skip

    def moved(self, picks: NDArray[np.int64]) -> Moved:
        """Of these numbers."""
        kinds = (np.int64, np.int64, np.int64, np.int64, np.float32, np.bool_)
        return Moved(
            *(self.column(name)[picks].astype(kind) for name, kind in zip(COLUMNS, kinds, strict=False))
        )

    def column(self, name: str) -> NDArray[Any]:
        """A copy: while somebody looks at its memory, an array cannot grow."""
        return np.array(self._columns[name])

    def reward_trades(self, rewards: Sequence[float]) -> None:
        """By number of the trade."""
        found, trade = self.column("reward"), self.column("trade")
        found[trade != NO_TRADE] = np.asarray(rewards, np.float32)[trade[trade != NO_TRADE]]
        self._columns["reward"] = array("f", found.tobytes())

    def _meta(self, number: int) -> dict[str, Any]:
        if number >= len(self.marks):
            return {}
        trade = self.trades[number]
        return {
            "R": trade.r, "MAE(R)": trade.mae_r, "%MFE": trade.percent_mfe, "IS": trade.shortfall_percent,
            "plan_adherence": trade.adherence_percent, "step_rewards": self.marks[number],
            "exit_reason": trade.reason.name,
        }  # fmt: skip


Memory = TypeVar("Memory", bound=ReplayMemory)


# --- made -------------------------------------------------------------------------------------------------


def explored(
    lessons: Lessons, rows: Rows, signals: fast.Signals, epsilon: float, rng: np.random.Generator
) -> fast.Signals:
    """The same signals, at those decisions with the chance of any action, as sure as chance has it."""
    found = fast.Signals(signals.action.copy(), signals.confidence.copy())
    shape = (len(rows), signals.action.shape[1])
    at_random = (rng.random(shape) < epsilon) & lessons.panel.is_there[rows]
    found.action[rows] = np.where(at_random, rng.integers(-1, 2, shape), found.action[rows])
    found.confidence[rows] = np.where(at_random, rng.random(shape), found.confidence[rows])
    return found


def replayed(lessons: Lessons, rows: Rows, signals: fast.Signals, seed: int = 0) -> ReplayMemory:
    """What the rule book makes of these signals at these decisions, not yet traced back."""
    return fill(ReplayMemory(seed), lessons, rows, signals)


def fill(memory: Memory, lessons: Lessons, rows: Rows, signals: fast.Signals) -> Memory:
    """The same, into a memory that is there."""
    market = lessons.market
    walked = fast.simulate(
        market.table, market.fixed, lessons.rules, signals, market.finer, market.first_fine
    )
    memory.trades = closed_trades(market.tickers, walked)
    place = {name: number for number, name in enumerate(market.tickers)}
    ticker = np.array([place[trade.ticker] for trade in memory.trades], np.int64)
    decided = _row_before(lessons, [trade.decided_at.timestamp() for trade in memory.trades])
    ended = _row_of(lessons, [trade.exited_at.timestamp() for trade in memory.trades])
    side = np.array([0 if trade.side > 0 else 1 for trade in memory.trades], np.int64)
    last = _last_rows(lessons)
    memory.extend({
        "row": decided, "next_row": ended, "ticker": ticker, "action": side,
        "reward": np.zeros(len(ticker)), "done": ended == last[ended], "trade": np.arange(len(ticker)),
    })  # fmt: skip
    _add_holds(memory, lessons, rows, (ticker, decided, ended), last)
    return memory


def _add_holds(
    memory: ReplayMemory, lessons: Lessons, rows: Rows, trades: tuple[Rows, Rows, Rows], last: Rows
) -> None:
    is_free = np.zeros(lessons.panel.is_there.shape, np.bool_)
    is_free[rows] = lessons.panel.is_there[rows]
    for ticker, decided, ended in zip(*trades, strict=True):
        is_free[decided:ended, ticker] = False
    row, ticker = np.nonzero(is_free)
    done = row == last[row]
    memory.extend({
        "row": row, "next_row": np.where(done, row, row + 1), "ticker": ticker,
        "action": np.full(len(row), HOLD), "reward": np.zeros(len(row)), "done": done,
        "trade": np.full(len(row), NO_TRADE),
    })  # fmt: skip


def _row_before(lessons: Lessons, moments_s: Sequence[float]) -> Rows:
    """The bar at whose close it was."""
    return np.searchsorted(lessons.market.table.opened_s, np.array(moments_s, np.int64)) - 1


def _row_of(lessons: Lessons, moments_s: Sequence[float]) -> Rows:
    """The bar in which it was."""
    return np.searchsorted(lessons.market.table.opened_s, np.array(moments_s, np.int64), side="right") - 1


def _last_rows(lessons: Lessons) -> Rows:
    """For each row the last one of its day."""
    day = lessons.market.table.day
    found: Rows = np.searchsorted(day, day, side="right") - 1
    return found


# --- traced back --------------------------------------------------------------------------------------------


def backtrace(memory: ReplayMemory, lessons: Lessons) -> None:
    """Rewards and measures of every trade."""
    memory.reward_trades([trade.r for trade in memory.trades])
    memory.marks = [_marks(lessons, trade) for trade in memory.trades]


def _marks(lessons: Lessons, trade: ClosedTrade) -> list[float]:
    """What each bar of it added: closes against the entry, the last one what it really came to."""
    first, last = _row_of(lessons, [trade.entered_at.timestamp(), trade.exited_at.timestamp()])
    closes = lessons.market.table.close[first:last, lessons.market.tickers.index(trade.ticker)]
    worth = trade.side * (closes * trade.qty - trade.entry_value) / trade.risk
    return [float(step) for step in np.diff([0.0, *worth, trade.r])]
