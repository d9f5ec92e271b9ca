"""What does a session ask of whoever makes bars and decisions? And what does it get at a bar's close?

mind.py is the one that trades: bars of ticks, features of bars, the winner's decisions. A simulation has its
own. Knows neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from rulebook.records import Bar, Decision, Tick
from session_events import Candles

Rows = Mapping[str, Mapping[datetime, Mapping[str, Bar]]]  # by timeframe, opening and ticker


@dataclass(frozen=True, slots=True)
class Said:
    """What was decided about a ticker, and the values that it rests on."""

    decision: Decision
    q: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a boundary's decisions rest on, beside history, model and what was seen before."""

    at: datetime
    ended: Rows
    corrected: Rows  # since the boundary before: the broker's in the place of ours
    incomplete: tuple[str, ...]  # whose bars miss ticks: nothing is said of them
    decides: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """One boundary: bars of the base timeframe, what is said about each ticker, whose features are sound."""

    at: datetime
    bars: Mapping[str, Bar]
    said: Mapping[str, Said]
    is_finite: Mapping[str, bool]
    stamps: Mapping[str, str] = field(default_factory=dict)  # of the data that the decisions rest on
    seen: Seen | None = None


class StillMind:
    """Says nothing: of a session that only leaves."""

    bars_needed = 0
    wanting: tuple[str, ...] = ()

    def add(self, tick: Tick) -> None:
        pass

    def rows(self) -> Mapping[datetime, Mapping[str, Bar]]:
        return {}

    def close(self, boundary: datetime, *, decides: bool) -> Closed:  # noqa: ARG002  as Mind
        return Closed(boundary, {}, {}, {})

    def correct(self, candles: Candles) -> None:
        pass

    def missed(self, since: datetime, until: datetime) -> None:
        pass


class Mind(Protocol):
    """Makes bars of ticks and decisions of bars."""

    bars_needed: int

    @property
    def wanting(self) -> tuple[str, ...]: ...
    def rows(self) -> Mapping[datetime, Mapping[str, Bar]]: ...
    def add(self, tick: Tick) -> None: ...
    def close(self, boundary: datetime, *, decides: bool) -> Closed: ...
    def correct(self, candles: Candles) -> None: ...
    def missed(self, since: datetime, until: datetime) -> None: ...
