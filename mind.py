"""What does the winner say at a bar's close? Bars of ticks, features of bars, the network asked.

The bars are ours until the broker's candles have come (live_bars.py), the features are walked on bar by bar
(live_features.py), and the network (ml.py) is asked once for all tickers. A ticker whose bars of today miss
ticks is not decided about: the broker's candle mends it. One that traded nothing in a bar has its filled one.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from kite.books import CandleRow
from live_bars import Closed as Rows
from live_bars import LiveBars
from outcome import DataError
from rulebook.records import Action, Bar, Decision, Tick
from session_events import Candles
from session_mind import Closed, Said

if TYPE_CHECKING:
    from live_features import LiveFeatures
    from ml import InferenceEngine

log = logging.getLogger("model")


class WinnersMind:
    """Of one day; `timeframe` is the base one."""

    def __init__(
        self, engine: "InferenceEngine", bars: LiveBars, features: "LiveFeatures", timeframe: str,
        stamps: Mapping[str, str],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._bars = bars
        self._features = features
        self._timeframe = timeframe
        self._stamps = stamps
        self.bars_needed = engine.lookbacks[timeframe]

    def add(self, tick: Tick) -> None:
        self._bars.add(tick)

    def missed(self, since: datetime, until: datetime) -> None:
        self._bars.missed(since, until)

    def correct(self, candles: Candles) -> None:
        """The broker's own, of bars that are over."""
        changed: dict[str, dict[datetime, dict[str, Bar]]] = {}
        for ticker, rows in candles.found.items():
            bars = [_bar(ticker, row) for row in rows]
            for timeframe, by_time in self._bars.correct(
                ticker, candles.timeframe, bars, candles.asked
            ).items():
                for opened_at, of_moment in by_time.items():
                    changed.setdefault(timeframe, {}).setdefault(opened_at, {}).update(of_moment)
        for timeframe, by_time in changed.items():
            self._features.correct(timeframe, by_time)

    def rows(self) -> dict[datetime, dict[str, Bar]]:
        """The base bars of today so far, by opening and ticker."""
        found: dict[datetime, dict[str, Bar]] = {}
        for name in self._engine.tickers:
            for bar in self._bars.bars(name, self._timeframe):
                found.setdefault(bar.opened_at, {})[name] = bar
        return dict(sorted(found.items()))

    @property
    def wanting(self) -> tuple[str, ...]:
        """Tickers with a bar that misses ticks: the broker's candle is wanted."""
        return tuple(sorted({place.ticker for place in self._bars.incomplete}))

    def close(self, boundary: datetime, *, decides: bool) -> Closed:
        closed = self._bars.close(boundary) or Rows((), ())
        bars: Mapping[str, Bar] = {}
        for row in closed.rows:
            self._features.add(row.timeframe, row.opened_at, row.bars)
            if row.timeframe == self._timeframe:
                bars = row.bars
        wanting = self.wanting
        is_finite = {name: name not in wanting for name in self._engine.tickers}
        said = self._said(bars, is_finite) if decides and bars else {}
        return Closed(boundary, bars, said, is_finite, self._stamps)

    def _said(self, bars: Mapping[str, Bar], is_finite: dict[str, bool]) -> dict[str, Said]:
        opened_at = next(iter(bars.values())).opened_at
        try:
            windows, is_there = self._features.windows(opened_at)
        except DataError as error:  # too little history: the warm-up gate says so of each
            log.warning("%s", error)
            is_finite.update(dict.fromkeys(is_finite, False))
            return {}
        self._leave_out(windows, is_there, is_finite)
        q = self._engine.q(windows, is_there)
        found = self._engine.said(q, is_there)
        place = {name: s for s, name in enumerate(self._engine.tickers)}
        return {
            name: Said(Decision(Action(action), sure), tuple(float(value) for value in q[place[name]]))
            for name, (action, sure) in found.items()
        }

    def _leave_out(
        self, windows: Mapping[str, np.ndarray[Any, Any]], is_there: Any, is_finite: dict[str, bool]
    ) -> None:
        """Who has what is no number is not there; the others are decided about all the same."""
        for s, name in enumerate(self._engine.tickers):
            is_sound = all(bool(np.isfinite(window[:, s]).all()) for window in windows.values())
            is_finite[name] = is_finite[name] and is_sound
            if not is_finite[name]:
                is_there[s] = False
            if not is_sound:
                for window in windows.values():
                    window[:, s] = 0.0


def _bar(ticker: str, row: CandleRow) -> Bar:
    return Bar(ticker, row.opened_at, row.open, row.high, row.low, row.close, row.volume)
