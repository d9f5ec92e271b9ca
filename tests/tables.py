"""Small random markets, the same one as arrays for the compiled walk and as rows for the event path."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import numpy as np

import fast
from rulebook import tables
from rulebook.book import Book
from rulebook.charges import Rates
from rulebook.events import DayBegan
from rulebook.hours import IST, SymbolClass, Window
from rulebook.records import Action, Bar, Decision, ExitReason, Instrument, Paise, Side
from rulebook.rules import Rules
from rulebook.simulate import Row, Venue
from rulebook.situation import Limits
from rulebook.tables import Fixed, Table
from rulebook.trades import ClosedTrade, followed

RATES = Rates(300_000, 2_000, 250_000, 30_700, 1_000, 30_000, 1_800, 1, 5_000)
LIMITS = Limits(
    max_slippage_bps=10, order_min_interval_ms=0, max_orders_per_minute=100, winner_min_avg_reward=None
)
OPEN, SAFE_START, SAFE_END = time(9, 15), time(9, 20), time(15, 0)
ACTIONS = {1: Action.BUY, -1: Action.SELL, 0: Action.HOLD}


@dataclass(frozen=True)
class Market:
    """Days of five-minute bars (and, inside them, one-minute bars), with what a strategy said."""

    table: Table
    finer: Table
    first_fine: np.ndarray
    fixed: Fixed
    action: np.ndarray
    confidence: np.ndarray
    days: list[date]


def second_of_day(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second


def random_market(
    seed, *, tickers=3, days=2, bars=40, missing=0.05, thin=0.1, jump=0.004, says=0.3
) -> Market:
    """Jumpy prices, missing bars, bars so thin that orders are filled in parts."""
    rng = np.random.default_rng(seed)
    rows = days * bars
    fine_close = 10_000 * np.exp(np.cumsum(rng.standard_t(3, (rows * 5, tickers)) * jump / 2, axis=0)) + 50
    fine = candles(rng, fine_close.astype(np.int64))
    base = grouped(fine, 5)
    volume = np.where(rng.random((rows, tickers)) < thin, rng.integers(0, 900, (rows, tickers)), 10**6)
    gone = rng.random((rows, tickers)) < missing
    base = {name: np.where(gone, 0, values) for name, values in base.items()}
    fine = {name: np.where(np.repeat(gone, 5, axis=0), 0, values) for name, values in fine.items()}
    day = np.repeat(np.arange(days), bars)
    dates = [date(2026, 11, 2) + timedelta(days=n) for n in range(days)]
    midnight = np.array([int(datetime.combine(d, time(), IST).timestamp()) for d in dates])
    second = np.tile(second_of_day(OPEN) + 300 * np.arange(bars), days)
    fine_second = np.repeat(second, 5) + np.tile(60 * np.arange(5), rows)
    return Market(
        table_of(base, volume, midnight[day] + second, second, day, 300),
        table_of(fine, np.repeat(volume, 5, axis=0) // 5, midnight[np.repeat(day, 5)] + fine_second,
                 fine_second, np.repeat(day, 5), 60),
        5 * np.arange(rows + 1),
        fixed_of(tickers, days),
        np.where(rng.random((rows, tickers)) < says, rng.choice([1, -1], (rows, tickers)), 0).astype(np.int8),
        np.round(rng.random((rows, tickers)), 1).astype(np.float64),  # rounded: ties must happen
        dates,
    )  # fmt: skip


def candles(rng, close) -> dict[str, np.ndarray]:
    """Each opens near the last close, sometimes with a gap."""
    gap = np.where(rng.random(close.shape) < 0.1, rng.integers(-60, 60, close.shape), 0)
    open_ = np.maximum(100, np.vstack([close[:1], close[:-1]]) + gap)
    wick = rng.integers(0, 25, (2, *close.shape))
    high, low = np.maximum(open_, close) + wick[0], np.maximum(1, np.minimum(open_, close) - wick[1])
    return {"open": open_, "high": high, "low": low, "close": close}


def grouped(fine, size) -> dict[str, np.ndarray]:
    blocks = {name: values.reshape(-1, size, values.shape[1]) for name, values in fine.items()}
    return {"open": blocks["open"][:, 0], "high": blocks["high"].max(1),
            "low": blocks["low"].min(1), "close": blocks["close"][:, -1]}  # fmt: skip


def table_of(prices, volume, opened, second, day, length_s) -> Table:
    columns = [prices[name].astype(np.int32) for name in ("open", "high", "low", "close")]
    whole = [column.astype(np.int64) for column in (volume, opened, second, day)]
    return Table._make([*columns, *whole, length_s])


def fixed_of(tickers, days) -> Fixed:
    ones = np.ones(tickers, np.int64)
    return Fixed(5 * ones, ones, 0 * ones, np.full((days, 1), second_of_day(SAFE_START)),
                 np.full((days, 1), second_of_day(SAFE_END)), np.tile(np.array(RATES, np.int64), (days, 1)))  # fmt: skip


# --- the same market, event by event --------------------------------------------------------------


def name_of(s: int) -> str:
    return f"T{s:02d}"


def bars_at(table: Table, row: int) -> dict[str, Bar]:
    at = datetime.fromtimestamp(int(table.opened_s[row]), UTC)
    found = {}
    for s in range(table.close.shape[1]):
        if table.close[row, s]:
            open_, high, low, close, volume = (int(column[row, s]) for column in table[:5])
            found[name_of(s)] = Bar(
                name_of(s), at, Paise(open_), Paise(high), Paise(low), Paise(close), volume
            )
    return found


def rows_of(market: Market, day: int, with_finer: bool):
    for row in np.flatnonzero(market.table.day == day).tolist():
        bars = bars_at(market.table, row)
        fine: dict[str, list[Bar]] = {name: [] for name in bars}
        if with_finer:
            for each in range(market.first_fine[row], market.first_fine[row + 1]):
                for name, bar in bars_at(market.finer, each).items():
                    fine[name].append(bar)
        said = {
            name_of(s): Decision(ACTIONS[int(market.action[row, s])], float(market.confidence[row, s]))
            for s in range(market.action.shape[1])
        }
        yield Row(datetime.fromtimestamp(int(market.table.opened_s[row]), UTC), bars, said, fine)


def by_events(
    market: Market, rules: Rules, with_finer: bool = False, rates: Rates = RATES
) -> list[ClosedTrade]:
    names = [name_of(s) for s in range(market.action.shape[1])]
    book = Book(rules, LIMITS, {name: Instrument(name, Paise(5)) for name in names})
    venue = Venue(book, length_s=300, fine_length_s=60)
    for number, day in enumerate(market.days):
        start, safe_end, hard_end = (
            datetime.combine(day, clock, IST) for clock in (SAFE_START, SAFE_END, time(15, 8))
        )
        window = Window(start, safe_end, hard_end)
        venue.session(DayBegan({SymbolClass.OTHER: window}, rates), rows_of(market, number, with_finer))
    if not rules.is_intraday:
        last = int(market.table.opened_s[-1]) + market.table.length_s
        venue.close_everything(datetime.fromtimestamp(last, UTC), 0)
    return book.closed


def by_walk(market: Market, rules: Rules, with_finer: bool = False) -> list[ClosedTrade]:
    finer = (market.finer, market.first_fine) if with_finer else (None, None)
    said = fast.Signals(market.action, market.confidence)
    found = fast.simulate(market.table, market.fixed, rules, said, *finer)
    return [as_trade(row, found.moves) for row in found.trades]


def as_trade(row, moves) -> ClosedTrade:
    r = [int(value) for value in row]
    times = {
        n: datetime.fromtimestamp(r[n], UTC) for n in (tables.T_DECIDED, tables.T_ENTERED, tables.T_EXITED)
    }
    path = [(r[tables.T_ENTERED], r[tables.T_STOP])] + [
        (int(at), int(stop)) for s, at, stop in moves
        if s == r[tables.T_TICKER] and r[tables.T_ENTERED] <= at <= r[tables.T_EXITED]
    ]  # fmt: skip
    assert all(before[0] <= after[0] for before, after in pairwise(path))
    return ClosedTrade(
        ticker=name_of(r[tables.T_TICKER]), side=Side(r[tables.T_SIGN]), qty=r[tables.T_QTY],
        decided_at=times[tables.T_DECIDED], decision_price=Paise(r[tables.T_DECISION]),
        entered_at=times[tables.T_ENTERED], entry_value=r[tables.T_ENTRY], initial_stop=Paise(r[tables.T_STOP]),
        exited_at=times[tables.T_EXITED], exit_value=r[tables.T_OUT], intended_exit=Paise(r[tables.T_INTENDED]),
        reason=ExitReason(r[tables.T_REASON]), worst=Paise(r[tables.T_WORST]), best=Paise(r[tables.T_BEST]),
        charges=r[tables.T_CHARGES], followed=followed(ExitReason(r[tables.T_REASON])),
        stop_path=tuple((datetime.fromtimestamp(at, UTC), Paise(stop)) for at, stop in path),
    )  # fmt: skip
