"""What does the exchange trade on days that were recorded? A folder of candles, turned into ticks.

Candles are what was traded, to the paisa and the share. What they cannot tell is filled in plausibly and
the same for the same folder: the path inside a candle (inside.py), spreads and depth, the official close.

A minute without a candle has no trade. A session without any candle of a ticker cannot be played: whoever
asks for it is told what to fetch. Before its first candle a ticker was not listed. The broker's history of
such days is empty, as it is at the broker.
"""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np

from exchange.depths import Ladder, book_of
from exchange.fixed_point import stream, words
from exchange.inside import Insides, insides
from exchange.levels import limits, spans_of
from exchange.nouns import Candle, Listing, RefusalError
from exchange.prints import half_spread
from exchange.recordings import Recording, day_of, only, recordings
from exchange.tapes import NO_TAPE, Bars, RowTape, midnight_s
from outcome import DataError
from rulebook.hours import Calendar
from rulebook.records import Paise
from rulebook.stops import half_up

KEPT_TAPES = 128
CLOSE_S = 30 * 60  # the official close is the average of the last half hour
NO_LIMIT = Paise(0)


class NotRecordedError(RefusalError, DataError):
    """A client gets it in the broker's envelope, a command line as a sentence."""


class RecordedMarket:
    """Implements nouns.Market."""

    def __init__(self, folder: Path, calendar: Calendar) -> None:
        self._folder, self._calendar = folder, calendar
        self._recordings = recordings(folder)
        self._listings = tuple(found.listing for found in self._recordings.values())
        self._tapes = lru_cache(KEPT_TAPES)(self._made_tape)

    @property
    def listings(self) -> Sequence[Listing]:
        return self._listings

    def tape(self, ticker: str, day: date) -> RowTape:
        return self._tapes(ticker, day)

    def minutes(self, ticker: str, day: date) -> Sequence[Candle]:
        has_candles = self._calendar.is_trading_day(day) and len(self._recordings[ticker].on(day).opened_s)
        return self.tape(ticker, day).bars(day).candles() if has_candles else ()

    def previous_close(self, ticker: str, day: date) -> Paise:
        """Of the last recorded session before; before the first one the first price of all."""
        recording = self._recordings[ticker]
        bars = self._in_session(recording, recording.before(day))
        if not len(bars.opened_s):
            return Paise(int(recording.bars.open[0]))
        return _official_close(bars, recording.listing.tick)

    def circuit(self, ticker: str, day: date) -> tuple[Paise, Paise]:
        """The band around the close before; on a day that went further, as far as it went."""
        recording = self._recordings[ticker]
        if recording.listing.is_index:
            return NO_LIMIT, NO_LIMIT
        lower, upper = limits(recording.profile, self.previous_close(ticker, day))
        bars = recording.on(day)
        if len(bars.opened_s):
            lower, upper = min(lower, int(bars.low.min())), max(upper, int(bars.high.max()))
        return Paise(lower), Paise(upper)

    # --- how

    def _made_tape(self, ticker: str, day: date) -> RowTape:
        recording = self._recordings[ticker]
        if not self._calendar.is_trading_day(day) or day < recording.first_day:
            return NO_TAPE
        bars = self._in_session(recording, recording.on(day))
        if not len(bars.opened_s):
            raise self._not_recorded(recording, day)
        rows = self._rows(recording, day, bars)
        if recording.listing.is_index:
            return RowTape(rows.seconds, rows.lasts, rows.shares)
        return RowTape(rows.seconds, rows.lasts, rows.shares, lambda: self._ladder(recording, day, rows))

    def _in_session(self, recording: Recording, bars: Bars) -> Bars:
        """One day's candles within continuous trading, counted from midnight; auctions are the venue's."""
        if not len(bars.opened_s):
            return bars
        day = day_of(int(bars.opened_s[0]))
        if not self._calendar.is_trading_day(day):
            return only(bars, np.zeros(len(bars.opened_s), np.bool_))
        session = self._calendar.session_of(day, recording.listing.symbol_class)
        seconds = bars.opened_s - midnight_s(day)
        inside = [(start <= seconds) & (seconds < until) for start, until in spans_of(session)]
        return only(bars._replace(opened_s=seconds), np.any(inside, axis=0))

    def _rows(self, recording: Recording, day: date, bars: Bars) -> Insides:
        """The last candle of a span may be cut short by its end, and is walked faster."""
        session = self._calendar.session_of(day, recording.listing.symbol_class)
        ends = np.array([until for _, until in spans_of(session)], np.int64)
        left = ends[np.searchsorted(ends, bars.opened_s, side="right")] - bars.opened_s
        lengths = np.minimum(left, recording.length_s)
        found = []
        for length_s in np.unique(lengths).tolist():
            part = only(bars, lengths == length_s)
            source = stream("recorded", recording.listing.ticker, day, length_s)
            drawn = words(source, length_s * len(part.opened_s))
            found.append(insides(part, length_s, recording.listing.tick, drawn))
        joined = [np.concatenate(columns) for columns in zip(*found, strict=True)]
        order = np.argsort(joined[0], kind="stable")
        return Insides(*(column[order] for column in joined))

    def _ladder(self, recording: Recording, day: date, rows: Insides) -> Ladder:
        """Around each print: what was bought was bought at the ask."""
        ticker, tick = recording.listing.ticker, recording.listing.tick
        half = half_spread(int(rows.lasts[0]), recording.profile.turnover_crore) >> 8
        apart = tick * (1 + 2 * half // tick)
        lower, upper = self.circuit(ticker, day)
        bids = rows.lasts - apart * rows.bought
        asks = bids + apart
        key = int(words(stream("recorded depth", ticker, day), 1)[0])
        book = book_of(recording.profile, key, (lower, upper), half)
        return Ladder(book, rows.seconds, np.where(bids < lower, 0, bids), np.where(asks > upper, 0, asks))

    def _not_recorded(self, recording: Recording, day: date) -> NotRecordedError:
        name, first, last = recording.name, recording.first_day, recording.last_day
        remedy = f"get them with `python fetch.py --symbols {name} history`, or start on another day"
        sentence = f"{self._folder} has no candles of {name} on {day} (it has {first} to {last}): {remedy}"
        return NotRecordedError(502, "DataException", sentence)


def _official_close(bars: Bars, tick: Paise) -> Paise:
    """The average of the last half hour, by candles; the last price where nothing was traded in it."""
    late = only(bars, bars.opened_s >= int(bars.opened_s[-1]) + 60 - CLOSE_S)
    shares = int(late.volume.sum())
    if not shares:
        return Paise(int(bars.close[-1]))
    worth = int(((late.open + late.high + late.low + late.close) * late.volume).sum())
    return Paise(max(tick, half_up(worth // (4 * shares), tick)))
