"""How do ticks become bars, and how does a bar become ticks again? Also the true range, bar by bar.

A bar's inside is unknown, so it is walked the way that hurts: open, the extreme against the position,
the extreme for it, close. Who has no position sees the nearest extreme first. A bar of the finer
timeframe, where there is one, replaces guessing. Knows no rule and no clock: times arrive in ticks.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from rulebook.hours import IST
from rulebook.records import Bar, Paise, Tick

ATR_BARS = 14
LAST_TRADE_BEFORE_END_S = 1  # the close is traded just before the boundary, not on it

MINUTES = {"1m": 1, "3m": 3, "5m": 5, "15m": 15, "1h": 60, "1d": 24 * 60}


# --- true range: plain integers, compiled by fast.py --------------------------------------------


def true_range(high: int, low: int, last_close: int) -> int:
    """With the gap from the last close of the same session; 0 stands for none (the first bar).

    The night's gap is left out: nothing is held overnight, so it is no risk of ours, and it would widen
    every stop of the morning.
    """
    if last_close == 0:
        return high - low
    return max(high, last_close) - min(low, last_close)


def next_atr(atr_milli: int, count: int, range_: int) -> int:
    """Wilder's average of `count` + 1 true ranges, in thousandths of a paisa; a plain mean of the first 14.

    Integers, so that every machine and every caller gets the same stop.
    """
    if count >= ATR_BARS - 1:  # a constant divisor compiles to a multiplication
        return ((ATR_BARS - 1) * atr_milli + 1_000 * range_) // ATR_BARS
    return (count * atr_milli + 1_000 * range_) // (count + 1)


def is_warm(count: int) -> bool:
    """Whether the average rests on a whole window."""
    return count >= ATR_BARS


# --- a bar to its path ----------------------------------------------------------------------------


def adverse_first(sign: int, high: int, low: int) -> tuple[int, int]:
    """The two extremes in the order that hurts a position of that sign."""
    return (low, high) if sign > 0 else (high, low)


def nearest_first(open_: int, high: int, low: int) -> tuple[int, int]:
    """For who has no position: the extreme that lies nearer to the open."""
    return (high, low) if high - open_ < open_ - low else (low, high)


def point_second(point: int, length_s: int) -> int:
    """When the open (0), the extremes (1, 2) and the close (3) of a bar are traded."""
    return length_s - LAST_TRADE_BEFORE_END_S if point == 3 else point * length_s // 3


def path(bar: Bar, length_s: int, sign: int = 0) -> Iterator[Tick]:
    """The bar as four ticks."""
    if sign:
        extremes = adverse_first(sign, bar.high, bar.low)
    else:
        extremes = nearest_first(bar.open, bar.high, bar.low)
    for point, price in enumerate((bar.open, *extremes, bar.close)):
        at = bar.opened_at + timedelta(seconds=point_second(point, length_s))
        yield Tick(bar.ticker, at, Paise(price))


# --- ticks to bars --------------------------------------------------------------------------------


def bar_start(at: datetime, minutes: int, session_open: datetime) -> datetime:
    """The opening time of the bar that this moment belongs to; bars count from the session's open."""
    assert at.utcoffset() is not None
    whole = (at - session_open) // timedelta(minutes=minutes)
    return session_open + whole * timedelta(minutes=minutes)


class BarBuilder:
    """Bars of one ticker and timeframe from its ticks; volume from the day's running total.

    A tick for a bar that is already closed, or before the one in progress, is not forced into it: it
    counts in `late` and belongs to the bar in progress. A tick that is no price raises and changes nothing.
    """

    def __init__(self, ticker: str, minutes: int, session_open: datetime) -> None:
        assert session_open.utcoffset() is not None
        self._ticker = ticker
        self._minutes = minutes
        self._session_open = session_open.astimezone(IST)
        self._bar: Bar | None = None
        self._closed_until = self._session_open
        self._volume_before = 0
        self.late = 0

    def add(self, tick: Tick) -> Bar | None:
        """The bar that this tick closed, if it did."""
        assert tick.ticker == self._ticker, "a builder a ticker"
        if tick.price <= 0:
            raise ValueError(f"{tick.ticker} {tick.at}: price {tick.price} paise")
        start = bar_start(tick.at, self._minutes, self._session_open)
        earliest = self._bar.opened_at if self._bar else self._closed_until
        if start < earliest:
            self.late += 1
            start = earliest
        closed = self.close(start) if self._bar and start > self._bar.opened_at else None
        self._bar = self._with(tick, start)
        return closed

    def close(self, boundary: datetime) -> Bar | None:
        """The bar in progress, if it ends by then: a quiet ticker's bar is closed by the clock.

        What had no tick by then is closed as well: no tick opens it afterwards.
        """
        bar = self._bar
        if bar is not None and bar.opened_at + timedelta(minutes=self._minutes) > boundary:
            return None
        ended = bar_start(boundary, self._minutes, self._session_open)
        self._closed_until = max(self._closed_until, ended)
        if bar is not None:
            self._bar = None
            self._volume_before += bar.volume
        return bar

    def _with(self, tick: Tick, start: datetime) -> Bar:
        bar = self._bar
        volume = max(0, tick.volume_today - self._volume_before)
        if bar is None:
            return Bar(tick.ticker, start, tick.price, tick.price, tick.price, tick.price, volume)
        return Bar(
            bar.ticker,
            bar.opened_at,
            bar.open,
            max(bar.high, tick.price),
            min(bar.low, tick.price),
            tick.price,
            max(bar.volume, volume),  # a total that steps back is the feed's error, not a sale undone
        )
