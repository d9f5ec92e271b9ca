"""Which candles does the broker's history show now? Aggregated from minutes, and cut at this moment.

A candle is named by its start; both ends of what is asked for are inclusive by it (kite.md 1.4). Larger
ones are counted from the session's opening: 09:15, 10:15 and so on. The running candle is the last row,
built from the rows up to now, and nothing of the future is in it.

A day's candle closes at the official close: the closing auction's price or the average of the last half
hour (what Market.previous_close says of the next session); today's at the last price, or the auction's
once it is known. The auction's shares are in no candle, as they are on no tape.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby

from exchange.agenda import SECOND, Agenda, micros, midnight_us
from exchange.board import Board, Page
from exchange.nouns import Candle, Listing
from exchange.timetable import Timetables
from rulebook.hours import ist_day

DAY = 1_440


class Candles:
    def __init__(self, agenda: Agenda, board: Board, hours: Timetables) -> None:
        self._agenda = agenda
        self._board = board
        self._hours = hours
        self._days: dict[tuple[str, date], Candle | None] = {}  # of days that are over

    def of(self, listing: Listing, minutes: int, first: datetime, last: datetime) -> list[Candle]:
        """By start, both ends included. Of a day's candle only the date counts."""
        days = self._sessions(listing, first, last)
        if minutes == DAY:
            return [candle for day in days if (candle := self._day(listing, day)) is not None]
        first_us, last_us = micros(first), micros(last)
        return [
            candle
            for day in days
            for candle in self._intraday(listing, day, minutes)
            if first_us <= candle.opened_s * SECOND <= last_us
        ]

    def _sessions(self, listing: Listing, first: datetime, last: datetime) -> Iterator[date]:
        day, until = ist_day(first), min(ist_day(last), self._board.day)
        while day <= until:
            if self._hours.of(day, listing.symbol_class).session is not None:
                yield day
            day += timedelta(days=1)

    def _intraday(self, listing: Listing, day: date, minutes: int) -> Iterator[Candle]:
        rows = self._minutes(listing, day)
        if minutes == 1:
            yield from rows
            return
        opens_us = self._hours.of(day, listing.symbol_class).opens_us
        assert opens_us is not None
        opens_s, length_s = opens_us // SECOND, 60 * minutes
        for n, group in groupby(rows, key=lambda candle: (candle.opened_s - opens_s) // length_s):
            yield merged(opens_s + n * length_s, list(group))

    def _minutes(self, listing: Listing, day: date) -> Sequence[Candle]:
        """The market's own, up to this minute; what a disaster has changed is built from its rows."""
        made = self._board.minutes(listing.ticker, day)
        if made is not None and day < self._board.day:
            return made
        page, now_us = self._board.page(listing.ticker, day), self._agenda.now_us
        until_row = page.row(now_us) + 1
        if made is None:
            return built(page, 0, until_row)
        minute_s = now_us // SECOND // 60 * 60
        done = [candle for candle in made if candle.opened_s < minute_s]
        running = page.strip.row_at(minute_s - page.midnight_us // SECOND - 1) + 1
        return [*done, *built(page, running, until_row)]

    def _day(self, listing: Listing, day: date) -> Candle | None:
        if day == self._board.day:
            return self._today(listing, day)
        key = (listing.ticker, day)
        if key not in self._days:
            rows = self._minutes(listing, day)
            close = self._board.official_close(listing.ticker, day)
            self._days[key] = _closed_at(merged(_midnight_s(day), rows), close) if rows else None
        return self._days[key]

    def _today(self, listing: Listing, day: date) -> Candle | None:
        rows = self._minutes(listing, day)
        if not rows:
            return None
        last = self._board.last(listing.ticker, self._agenda.now_us)
        return _closed_at(merged(_midnight_s(day), rows), last)


def built(page: Page, first_row: int, until_row: int) -> list[Candle]:
    """One-minute candles of these rows."""
    strip, midnight_s = page.strip, page.midnight_us // SECOND
    rows = range(first_row, until_row)
    found = []
    for minute, group in groupby(rows, key=lambda row: strip.seconds[row] // 60):
        inside = list(group)
        reaches = [strip.reach(row) for row in inside]
        volume_before = strip.volumes[inside[0] - 1] if inside[0] else 0
        found.append(
            Candle(
                midnight_s + 60 * minute,
                strip.lasts[inside[0]],
                max(high for _, high in reaches),
                min(low for low, _ in reaches),
                strip.lasts[inside[-1]],
                strip.volumes[inside[-1]] - volume_before,
            )
        )
    return found


def merged(opened_s: int, rows: Sequence[Candle]) -> Candle:
    """One candle of several, which are in order."""
    return Candle(
        opened_s,
        rows[0].open,
        max(row.high for row in rows),
        min(row.low for row in rows),
        rows[-1].close,
        sum(row.volume for row in rows),
    )


def _closed_at(candle: Candle, close: int | None) -> Candle:
    """With the official close, which may lie outside what traded before it."""
    if close is None:
        return candle
    return candle._replace(close=close, high=max(candle.high, close), low=min(candle.low, close))


def _midnight_s(day: date) -> int:
    return midnight_us(day) // SECOND
