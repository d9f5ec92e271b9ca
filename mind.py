"""What does the winner say at a bar's close? Bars of ticks, features of bars, the network asked.

The bars are ours until the broker's candles have come (live_bars.py), the features are walked on bar by bar
(live_features.py), and the network (ml.py) is asked once for all tickers. A ticker whose bars of today miss
ticks is not decided about: the broker's candle mends it. One that traded nothing in a bar has its filled one.

Two objects: WinnersMind makes bars, and what came of them is one value, Seen; Decider makes decisions of that
and of nothing else. So a journal that holds what was seen can be asked again (day_replay.py).
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from kite.books import CandleRow
from live_bars import Changes, LiveBars
from outcome import DataError
from rulebook.records import Action, Bar, Decision, Tick
from session_events import Candles
from session_mind import Closed, Said, Seen

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
        self._timeframe = timeframe
        self._decider = Decider(engine, features, timeframe, stamps)
        self._corrected: Changes = {}  # since the last boundary
        self.bars_needed = engine.lookbacks[timeframe]

    def add(self, tick: Tick) -> None:
        self._bars.add(tick)

    def missed(self, since: datetime, until: datetime) -> None:
        self._bars.missed(since, until)

    def correct(self, candles: Candles) -> None:
        """The broker's own, of bars that are over."""
        changed: Changes = {}
        for ticker, rows in candles.found.items():
            bars = [_bar(ticker, row) for row in rows]
            found = self._bars.correct(ticker, candles.timeframe, bars, candles.asked)
            for into in (changed, self._corrected):
                _merge(into, found)
        self._decider.correct(changed)

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
        closed, ended = self._bars.close(boundary), Changes()
        for row in closed.rows if closed else ():
            ended.setdefault(row.timeframe, {})[row.opened_at] = dict(row.bars)
        corrected, self._corrected = self._corrected, {}
        return self._decider.decide(Seen(boundary, ended, corrected, self.wanting, decides))


class Decider:
    """Of one day. The same history and model that see the same say the same."""

    def __init__(
        self, engine: "InferenceEngine", features: "LiveFeatures", timeframe: str, stamps: Mapping[str, str]
    ) -> None:
        self._engine = engine
        self._features = features
        self._timeframe = timeframe
        self._stamps = stamps

    def correct(self, rows: Mapping[str, Mapping[datetime, Mapping[str, Bar]]]) -> None:
        """What is not new costs nothing."""
        for timeframe, by_time in rows.items():
            self._features.correct(timeframe, by_time)

    def decide(self, seen: Seen) -> Closed:
        self.correct(seen.corrected)
        self.correct(seen.ended)
        newest = max(seen.ended.get(self._timeframe, {}).items(), default=None, key=lambda row: row[0])
        bars: Mapping[str, Bar] = newest[1] if newest else {}
        is_finite = {name: name not in seen.incomplete for name in self._engine.tickers}
        said = self._said(bars, is_finite) if seen.decides and bars else {}
        return Closed(seen.at, bars, said, is_finite, self._stamps, seen)

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


def _merge(into: Changes, found: Changes) -> None:
    for timeframe, by_time in found.items():
        for opened_at, bars in by_time.items():
            into.setdefault(timeframe, {}).setdefault(opened_at, {}).update(bars)


def _bar(ticker: str, row: CandleRow) -> Bar:
    return Bar(ticker, row.opened_at, row.open, row.high, row.low, row.close, row.volume)
