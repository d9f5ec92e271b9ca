"""What is known of the market without waiting for a tick? Candles on disk, and the broker's of today.

Bars and features of a day that somebody only looks at: a dry run, a one-shot view, a script. It is the Mind
of a session that decides nothing. In a session's hours the features are those of the newest bar that is over;
outside of them, and before the first bar, of the last one on disk.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from broker import INTERVALS
from kite.books import CandleRow
from kite.client import KiteClient
from live_bars import LiveBars
from live_features import LiveFeatures
from outcome import DataError
from rulebook.bars import MINUTES
from rulebook.records import Bar, Tick
from session_events import Candles
from session_mind import Closed
from sessions_grid import Grid, opened_s
from study import lookbacks, recipes
from trading_wiring import Wiring

if TYPE_CHECKING:
    import pandas as pd

Windows = dict[str, np.ndarray[Any, Any]]
Flags = np.ndarray[Any, Any]
LAST_BARS = 200  # of a file: the newest of a session is among them


class SoFar:
    """Without `features` and `frames` the candles on disk cannot be read, without `bars` today has none."""

    def __init__(
        self, tickers: Iterable[str], base: Grid, bars_needed: int,
        frames: "Mapping[str, Mapping[str, pd.DataFrame]]", features: LiveFeatures | None,
        bars: LiveBars | None,
    ) -> None:  # fmt: skip
        self.tickers = tuple(sorted(tickers))
        self.bars_needed = bars_needed
        self._timeframe, self._base = base.timeframe, base
        self._frames = frames
        self._features = features
        self._bars = bars

    # --- a Mind ---

    @property
    def wanting(self) -> tuple[str, ...]:
        places = self._bars.incomplete if self._bars else ()
        return tuple(sorted({place.ticker for place in places}))

    def rows(self) -> dict[datetime, dict[str, Bar]]:
        """The base bars of today, by opening and ticker."""
        found: dict[datetime, dict[str, Bar]] = {}
        for name in self.tickers:
            for bar in () if self._bars is None else self._bars.bars(name, self._timeframe):
                found.setdefault(bar.opened_at, {})[name] = bar
        return dict(sorted(found.items()))

    def correct(self, candles: Candles) -> None:
        if self._bars is None or self._features is None:
            return
        changed: dict[str, dict[datetime, dict[str, Bar]]] = {}
        for ticker, rows in candles.found.items():
            told = [_bar(ticker, row) for row in rows]
            found = self._bars.correct(ticker, candles.timeframe, told, candles.asked)
            for timeframe, by_time in found.items():
                for opened_at, bars in by_time.items():
                    changed.setdefault(timeframe, {}).setdefault(opened_at, {}).update(bars)
        for timeframe, of_all in changed.items():
            self._features.correct(timeframe, of_all)

    def add(self, tick: Tick) -> None:
        """Bars of ticks are for who stays."""

    def missed(self, since: datetime, until: datetime) -> None:
        """Of ticks nothing is made."""

    def close(self, boundary: datetime, *, decides: bool) -> Closed:  # noqa: ARG002  a Mind is asked so
        return Closed(boundary, {}, {}, {})

    # --- what is seen ---

    def newest_at(self, timeframe: str, before: datetime | None = None) -> datetime:
        """When the newest bar of it opened that was over by then."""
        length = timedelta(minutes=MINUTES[timeframe])
        stamps = [at for at in self._stamps(timeframe) if before is None or at + length <= before]
        if not stamps:
            raise DataError(f"there are no candles of {timeframe}: python fetch.py history impute")
        return max(stamps)

    def seen_at(self) -> dict[str, datetime]:
        """The openings of the newest bars that the features know, by timeframe."""
        base_at = self.newest_at(self._timeframe)
        closed_at = base_at + timedelta(minutes=MINUTES[self._timeframe])
        others = {name: self.newest_at(name, closed_at) for name in self._frames if name != self._timeframe}
        return {self._timeframe: base_at, **others}

    def windows(self) -> tuple[Windows, Flags]:
        """By timeframe bar x ticker x feature, up to the newest bar; and who has that bar, in numbers."""
        newest_at = self.newest_at(self._timeframe)
        assert self._features is not None, "where there are candles there are features"
        windows, is_there = self._features.windows(newest_at)
        for window in windows.values():
            is_there = is_there & np.isfinite(window).all(axis=(0, 2))
        return windows, is_there

    def is_finite(self) -> dict[str, bool]:
        """Whose features are whole, and numbers; nobody's where there is too little history."""
        try:
            _, is_there = self.windows()
        except DataError:
            return dict.fromkeys(self.tickers, False)
        wanting = self.wanting
        places = zip(self.tickers, is_there, strict=True)
        return {name: bool(is_sound) and name not in wanting for name, is_sound in places}

    def _stamps(self, timeframe: str) -> Iterator[datetime]:
        """Of bars that the features know: a share may have some when others have none any more."""
        grid = Grid(self._base.calendar, timeframe)
        for name, frame in self._frames.get(timeframe, {}).items():
            stamps = opened_s(frame.tail(LAST_BARS))
            for second in stamps[grid.places(stamps).minute >= 0].tolist():
                yield datetime.fromtimestamp(second, UTC)
            if self._bars is not None:
                yield from (bar.opened_at for bar in self._bars.bars(name, timeframe))


def so_far(w: Wiring) -> SoFar:
    """Of the candles on disk; today's come by `correct`. DataError where there are none to read."""
    made, now = recipes(w.run.settings), w.run.clock.now()
    features = LiveFeatures(w.shares, made, lookbacks(w.run.settings))
    features.begin(w.frames)
    bars, over_by = None, w.day.over_by(now)
    if w.day.is_open:
        bars = LiveBars(w.shares, [recipe.grid for recipe in made.values()], w.day.day, now)
        if over_by is not None:
            bars.close(over_by)
    return SoFar(w.shares, w.grid, lookbacks(w.run.settings)[w.grid.timeframe], w.frames, features, bars)


def nothing(w: Wiring) -> SoFar:
    """Where the candles cannot be read."""
    return SoFar(w.shares, w.grid, lookbacks(w.run.settings)[w.grid.timeframe], {}, None, None)


def catch_up(known: SoFar, w: Wiring, client: KiteClient) -> None:
    """Today's candles of all tickers, as the broker has them now; three a second is its limit."""
    if not known.wanting:
        return
    timeframe, first = w.grid.timeframe, min(session.opens_at for session in w.day.sessions.values())
    last = w.run.clock.now() - timedelta(minutes=MINUTES[timeframe])
    codes = {name: share.token for name, share in w.shares.items()}
    interval, _ = INTERVALS[timeframe]
    found = {name: client.candles(codes[name], interval, first, last) for name in known.wanting}
    known.correct(Candles(timeframe, (first, last), found))


def _bar(ticker: str, row: CandleRow) -> Bar:
    return Bar(ticker, row.opened_at, row.open, row.high, row.low, row.close, row.volume)
