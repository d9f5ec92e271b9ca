"""What are the bars of today, as far as they are known? Ours of ticks, and the broker's where they have come.

Theory of operation
-------------------
One object a day. Ticks go in as they come; a second after each boundary the caller asks `close`, and gets a
row of bars for the base timeframe and for each coarser one that ends there, as the candles on disk would
have them: a ticker without a trade has its last close of this session without volume, marked `filled`, and
none before its first trade (sessions_grid.imputed); a coarser bar is made of the traded bars inside
(sessions_grid.resampled).

A tick that is stamped beyond the boundary waits in its own bar, and one that is too late belongs to the bar
in progress, as rulebook.bars says. What is no trade of this session is counted in `strays` and left out: a
tick of another day (the broker repeats the last one to whoever subscribes), one after continuous trading,
and one while the day's volume is 0, whose price is yesterday's. Quotes between trades come as ticks too: a
bar that sold nothing and never left the last close was not traded.

Bars during which ticks were missed (we joined late, the connection was down) are `incomplete` until the
broker's candle has come. The running total of volume is then taken up where it stands, so that no bar is
given what was sold before it. Knows no clock and no file; prices are paise.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from rulebook.bars import BarBuilder
from rulebook.hours import IST
from rulebook.records import Bar, Tick
from sessions_grid import Grid

Changes = dict[str, dict[datetime, dict[str, Bar]]]  # by timeframe, opening and ticker


class Place(NamedTuple):
    """Which bar of whom."""

    ticker: str
    timeframe: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """All bars of one timeframe and moment, by ticker; who has not traded in this session has none."""

    timeframe: str
    opened_at: datetime
    bars: Mapping[str, Bar]


@dataclass(frozen=True, slots=True)
class Closed:
    """What ended since it was asked last, in order of time, the finer first; a row of nobody is left out."""

    rows: tuple[Row, ...]
    incomplete: tuple[Place, ...]  # of these rows: ticks were missed, so the broker's candle is wanted


class LiveBars:
    """Today's bars of all tickers. `grids`: the base timeframe's first; `joined_at`: when ticks began."""

    def __init__(self, tickers: Iterable[str], grids: Sequence[Grid], day: date, joined_at: datetime) -> None:
        self.strays = 0
        self._base, *self._coarser = _days(grids, day)
        names = sorted(set(tickers))
        self._series = {each.timeframe: {name: _Series() for name in names} for each in self._days}
        self._builders = {name: BarBuilder(name, self._base.minutes, self._base.opens[0]) for name in names}
        self._totals = {name: _Total() for name in names}
        self._ended = 0  # bars of the base timeframe
        if joined_at > self._base.opens[0]:
            self.missed(self._base.opens[0], joined_at)
            self._ended = max(0, bisect_right(self._base.opens, joined_at) - 1)
            for builder in self._builders.values():
                builder.close(self._base.opens[self._ended])  # what opened before is not ours to make

    # --- what comes in ---

    def add(self, tick: Tick) -> None:
        if not self._is_trade_of_today(tick):
            self.strays += 1
            return
        ours = self._totals[tick.ticker].ours_of(tick) if tick.price > 0 else tick  # which will be refused
        bar = self._builders[tick.ticker].add(ours)
        if bar is not None:
            self._keep(bar)

    def missed(self, since: datetime, until: datetime) -> None:
        """No tick was seen between: what was open then is incomplete, for all tickers."""
        first = max(0, bisect_right(self._base.opens, since) - 1)
        end = bisect_left(self._base.opens, until)
        for ticker, series in self._series[self._base.timeframe].items():
            series.missed |= set(range(first, end)) - series.confirmed
            if end - first > 1:  # within one bar the running total loses nothing
                self._totals[ticker].is_lost = True

    def close(self, boundary: datetime) -> Closed | None:
        """What has ended by then; None where that is nothing, as when it is asked again."""
        end = bisect_right(self._base.ends, boundary)
        if end <= self._ended:
            return None
        rows, incomplete = [], []
        for n in range(self._ended, end):
            for day, number in self._closing(n):
                rows.append(Row(day.timeframe, day.opens[number], self._row(day, number)))
                incomplete += list(self._incomplete_at(day, number))
        return Closed(tuple(row for row in rows if row.bars), tuple(incomplete))

    def correct(
        self,
        ticker: str,
        timeframe: str,
        candles: Sequence[Bar],
        asked: tuple[datetime, datetime] | None = None,
    ) -> Changes:
        """The broker's finished candles in place of ours; what has changed by them, bars made of them too.

        Candles of other days, outside of the session or of bars that have not ended here change nothing.
        Where an answer has none, nothing was traded and nothing is missing: from its first candle to its
        last, or in the whole span of openings that it was `asked` for.
        """
        day = self._day(timeframe)
        series = self._series[timeframe][ticker]
        told = {day.number[c.opened_at]: c for c in candles if c.opened_at in day.number}
        told = {n: candle for n, candle in told.items() if self._has_ended(day, n)}
        first, last = asked or (day.opens[min(told, default=0)], day.opens[max(told, default=0)])
        covered = range(bisect_left(day.opens, first), bisect_right(day.opens, last))
        if told or asked:
            series.missed -= {n for n in covered if self._has_ended(day, n)}
        if not told:
            return {}
        series.traded |= told
        series.confirmed |= set(told)
        found = {timeframe: self._settled(day, ticker, min(told))}
        if day is self._base and found[timeframe]:
            for coarse in self._coarser:
                found[coarse.timeframe] = self._remade(coarse, ticker, min(found[timeframe]))
        return {
            name: {self._day(name).opens[n]: {ticker: bar} for n, bar in bars.items()}
            for name, bars in found.items()
            if bars
        }

    # --- what is known ---

    @property
    def late(self) -> int:
        """Ticks that came too late for their own bar."""
        return sum(builder.late for builder in self._builders.values())

    @property
    def incomplete(self) -> tuple[Place, ...]:
        """Everything that has ended today and still waits for the broker's candle."""
        return tuple(
            place
            for day in self._days
            for n in range(len(day.opens))
            if self._has_ended(day, n)
            for place in self._incomplete_at(day, n)
        )

    def bars(self, ticker: str, timeframe: str) -> tuple[Bar, ...]:
        """Of today, in order."""
        return tuple(bar for _, bar in sorted(self._series[timeframe][ticker].known.items()))

    # --- the day's rows ---

    @property
    def _days(self) -> "list[_Day]":
        return [self._base, *self._coarser]

    def _day(self, timeframe: str) -> "_Day":
        return next(each for each in self._days if each.timeframe == timeframe)

    def _is_trade_of_today(self, tick: Tick) -> bool:
        assert tick.at.utcoffset() is not None
        is_today = self._base.midnight <= tick.at < self._base.ends[-1]
        return is_today and (tick.volume_today > 0 or tick.price <= 0)  # no price: the builder says so

    def _keep(self, bar: Bar) -> None:
        self._series[self._base.timeframe][bar.ticker].traded[self._base.number[bar.opened_at]] = bar

    def _closing(self, n: int) -> "Iterator[tuple[_Day, int]]":
        """That base bar, then the coarser ones that end with it."""
        end = self._base.opens[n] + timedelta(minutes=self._base.minutes)  # a short last one as well
        for builder in self._builders.values():
            bar = builder.close(end)
            if bar is not None:
                self._keep(bar)
        self._ended = n + 1
        for ticker in self._builders:
            self._settled(self._base, ticker, n)
        yield self._base, n
        for day in self._coarser:
            number = day.ending.get(n + 1)
            if number is not None:
                for ticker in self._builders:
                    self._remade(day, ticker, n)
                yield day, number

    def _row(self, day: "_Day", n: int) -> dict[str, Bar]:
        series = self._series[day.timeframe]
        return {name: each.known[n] for name, each in series.items() if n in each.known}

    def _has_ended(self, day: "_Day", n: int) -> bool:
        return day.parts[n].stop <= self._ended

    def _incomplete_at(self, day: "_Day", n: int) -> Iterator[Place]:
        """A coarser bar lacks what one of its finer ones lacks, unless the broker has told it itself."""
        for ticker, base in self._series[self._base.timeframe].items():
            lacks = not base.missed.isdisjoint(day.parts[n])
            if lacks and n not in self._series[day.timeframe][ticker].confirmed:
                yield Place(ticker, day.timeframe, day.opens[n])

    def _settled(self, day: "_Day", ticker: str, first: int) -> dict[int, Bar]:
        """Every bar from that one on that has ended, filled where it was not traded; those that are new."""
        series, found = self._series[day.timeframe][ticker], {}
        last = series.known.get(first - 1)
        for n in range(first, len(day.opens)):
            if not self._has_ended(day, n):
                break
            own = series.traded.get(n)
            if own is None or (n not in series.confirmed and _is_untraded(own, last)):
                own = _filled(last or own, day.opens[n])
            if own is not None and own != series.known.get(n):
                series.known[n] = found[n] = own
            last = own
        return found

    def _remade(self, day: "_Day", ticker: str, changed: int) -> dict[int, Bar]:
        """The coarser bars from the one on in which that base bar lies; those that are new."""
        series, fine = self._series[day.timeframe][ticker], self._series[self._base.timeframe][ticker].known
        first = next(n for n, part in enumerate(day.parts) if changed in part)
        for n, part in enumerate(day.parts[first:], first):
            if not self._has_ended(day, n):
                break
            if n not in series.confirmed:
                inside = [fine[at] for at in part if at in fine and not fine[at].filled]
                if inside:
                    series.traded[n] = _joined(inside, day.opens[n])
        return self._settled(day, ticker, first)


# --- one ticker -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Series:
    """Bars of one ticker and timeframe by their number in the session."""

    traded: dict[int, Bar] = field(default_factory=dict)
    known: dict[int, Bar] = field(default_factory=dict)  # of what has ended, filled ones too
    confirmed: set[int] = field(default_factory=set)  # by the broker
    missed: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Total:
    """Of the day's volume: what was counted into bars, and what was sold while nobody looked."""

    counted: int = 0
    unseen: int = 0
    is_lost: bool = False  # the next tick tells how much that was

    def ours_of(self, tick: Tick) -> Tick:
        if self.is_lost:
            self.unseen, self.is_lost = tick.volume_today - self.counted, False
        volume = tick.volume_today - self.unseen
        self.counted = max(self.counted, volume)
        return replace(tick, volume_today=volume) if self.unseen else tick


def _is_untraded(bar: Bar, last: Bar | None) -> bool:
    """Whether there were quotes only. Without a bar before it today's volume was sold before we came."""
    close = bar.close if last is None else last.close
    return bar.volume == 0 and bar.low == bar.high == close


def _filled(last: Bar | None, opened_at: datetime) -> Bar | None:
    if last is None:
        return None
    return Bar(last.ticker, opened_at, last.close, last.close, last.close, last.close, 0, filled=True)


def _joined(bars: Sequence[Bar], opened_at: datetime) -> Bar:
    """One coarser bar; sessions_grid.resampled does the same to whole histories."""
    high, low = max(bar.high for bar in bars), min(bar.low for bar in bars)
    volume = sum(bar.volume for bar in bars)
    return Bar(bars[0].ticker, opened_at, bars[0].open, high, low, bars[-1].close, volume)


# --- one day ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Day:
    """One timeframe's bars of the session: when each opens and ends, and of which base bars it is made."""

    timeframe: str
    minutes: int
    midnight: datetime
    opens: tuple[datetime, ...]
    ends: tuple[datetime, ...]
    parts: tuple[range, ...]
    number: Mapping[datetime, int]
    ending: Mapping[int, int]  # number by the count of base bars after which it ends


def _days(grids: Sequence[Grid], day: date) -> Iterator[_Day]:
    base = grids[0].of(day)
    assert len(base), f"{day} has no session: ask the calendar first"
    assert grids[0].timeframe != "1d", "a bar of 1d spans a session: a finer base timeframe is wanted"
    closes_at = grids[0].calendar.session_of(day, grids[0].symbol_class).closes_at
    for grid in grids:
        seconds = grid.of(day)
        opens = tuple(datetime.fromtimestamp(at, IST) for at in seconds.tolist())
        ends = tuple(min(at + timedelta(seconds=grid.length_s), closes_at) for at in opens)
        firsts = [bisect_left(base.tolist(), at) for at in seconds.tolist()]
        parts = tuple(range(a, b) for a, b in zip(firsts, [*firsts[1:], len(base)], strict=True))
        yield _Day(
            grid.timeframe, grid.length_s // 60, datetime.combine(day, datetime.min.time(), IST), opens, ends,
            parts, {at: n for n, at in enumerate(opens)}, {part.stop: n for n, part in enumerate(parts)},
        )  # fmt: skip
