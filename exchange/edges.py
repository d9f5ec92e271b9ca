"""Which edges are planted in the synthetic market, and where is each of them?

Off by default. Each has a name and a strength, and what is hidden can be read by whoever examines a
model: which shocks are true, when, in which direction, how long they drift.

- momentum_after_shock: about one true shock and one fake a stock and day. Both are a jump of 2.2 to 4
  standard deviations of a five-minute bar on 3.5 to 8 times the volume. Before a true one six bars were
  quiet (half the volatility) and a drift follows over 6 to 9 bars; before a fake they were busy (a quarter
  more) and none follows. Only the bars before tell them apart.
- lead_lag: the first stock of an industry has such shocks, with nothing before them, and does not drift;
  the others of its industry do, the same way, over the 6 to 9 bars after the bar of the shock.
- vwap_reversion: at the end of a bar whose price lies further from the day's average price than 0.55 of
  the stock's usual session (69 basis points of an average stock), a drift of that distance (weak: 64 % of
  it) sets in, back towards the average, over 6 to 9 bars. One at a time, from the seventh bar on.

Strengths: strong drifts 70 basis points, weak 45; none plants the same shocks without any drift, which is
the market with the edge removed. Shocks stay in the price, and so do drifts, but for vwap_reversion's.
Each edge draws from streams of its own, so that switching it on moves no other draw. Sessions of other
than ordinary hours have none. touches.py lays them over a session's path.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache
from math import isqrt
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from exchange.fixed_point import BASIS_POINT, OCTAVE, Ints, multipliers, stream, uniforms
from exchange.levels import HEAT_MEAN, ORDINARY_S, Process
from exchange.listings import Profile
from exchange.paths import BLOCK_S, volatility_shape
from outcome import ConfigError

BAR_S = 300
BARS = 72  # 09:15 to 15:15, so that the hours of auction stocks and of others have the same shocks
BARS_A_SESSION = ORDINARY_S // BAR_S

BARS_BEFORE = 6
DRIFT_BARS_LEAST, DRIFT_BARS_MOST = 6, 9
JUMP_LEAST, JUMP_MOST = OCTAVE * 22 // 10, OCTAVE * 4  # standard deviations of a bar
VOLUME_LEAST, VOLUME_MOST = OCTAVE * 181 // 100, OCTAVE * 3  # octaves: 3.5 and 8 times
STRIKES_WITHIN_S = 60  # of the bar's start
ROUNDS = 3  # shocks of a day at most
WAIT_BARS = 28  # 0 to 28 bars of peace before each, evenly: 2.07 shocks a day, counted over 3,000 days

StrEnumT = TypeVar("StrEnumT", bound=StrEnum)


class Name(StrEnum):
    MOMENTUM = "momentum_after_shock"
    VWAP = "vwap_reversion"
    LEAD_LAG = "lead_lag"


class Strength(StrEnum):
    STRONG = "strong"
    WEAK = "weak"
    NONE = "none"


class Role(Enum):
    """What of a shock a stock has: all of it, the jump that others follow, or the drift after another's."""

    WHOLE = "whole"
    LEADER = "leader"
    FOLLOWER = "follower"


DRIFT_BP = {Strength.STRONG: 70, Strength.WEAK: 45, Strength.NONE: 0}
# vwap_reversion: how far is far, in percent of a session's volatility, and how much of it drifts back.
FAR_PERCENT = 55
BACK_PERCENT = {Strength.STRONG: 100, Strength.WEAK: 64, Strength.NONE: 0}


@dataclass(frozen=True, slots=True)
class Edge:
    name: Name
    strength: Strength


@dataclass(frozen=True, slots=True)
class Shock:
    """One planted event as a stock meets it. Seconds count from midnight."""

    edge: Name
    ticker: str
    at_s: int
    direction: int
    is_true: bool
    jump_bp: int  # 0 where the stock only follows
    volume_percent: int  # of the usual, until the bar ends; 100 where the stock only follows
    drift_bp: int  # 0 where none follows, or where the strength is none
    drift_from_s: int
    drift_until_s: int
    leader: str = ""  # whose shock it was, where it was another's


class Strike(NamedTuple):
    """A shock in a session, in units of the process; `bar` counts from the open."""

    bar: int
    is_true: bool
    direction: int
    jump: int  # a logarithm
    volume: int  # octaves
    drift: int  # a logarithm
    length: int  # bars of drift
    strikes_s: int  # after the bar's start


class Plan:
    """A stock's shocks on all days: an array for each quantity, a row for each of a day's rounds."""

    def __init__(
        self, seed: int, name: Name, profile: Profile, own: Process, is_ordinary: NDArray[np.bool_]
    ) -> None:
        self.name = name
        self._chance = _Chance(seed, name, profile.ticker, len(is_ordinary))
        self._length = self._chance.whole("length", DRIFT_BARS_LEAST, DRIFT_BARS_MOST)
        self._bars = self._placed(is_ordinary)
        self._is_true = (
            self._chance.whole("true", 0, 1) if name is Name.MOMENTUM else np.ones_like(self._bars)
        )
        self._direction = 1 - 2 * self._chance.whole("direction", 0, 1)
        self._volume = self._chance.between("volume", VOLUME_LEAST, VOLUME_MOST)
        self._strikes_s = self._chance.whole("strikes", 0, STRIKES_WITHIN_S - 1)
        deviations = self._chance.between("jump", JUMP_LEAST, JUMP_MOST)
        self._jump = deviations * (_bar_sigma(profile, own, self._bars) >> 8) >> 8

    def strikes(self, day: int, strength: Strength) -> list[Strike]:
        """In the order of the day."""
        found = []
        for number in np.flatnonzero(self._bars[:, day] >= 0).tolist():
            is_true = bool(self._is_true[number, day])
            found.append(
                Strike(
                    bar=int(self._bars[number, day]),
                    is_true=is_true,
                    direction=int(self._direction[number, day]),
                    jump=int(self._jump[number, day]),
                    volume=int(self._volume[number, day]),
                    drift=DRIFT_BP[strength] * BASIS_POINT if is_true else 0,
                    length=int(self._length[number, day]),
                    strikes_s=int(self._strikes_s[number, day]),
                )
            )
        return found

    def moved(self, strength: Strength, role: Role) -> Ints:
        """What the shocks of each day add to its session, and never take back."""
        drift = 0 if role is Role.LEADER else DRIFT_BP[strength] * BASIS_POINT
        jump = 0 if role is Role.FOLLOWER else self._jump
        moved: Ints = ((self._bars >= 0) * self._direction * (jump + drift * self._is_true)).sum(axis=0)
        return moved

    def _placed(self, is_ordinary: NDArray[np.bool_]) -> Ints:
        """One after the other, each with room for the bars before and the drift after it."""
        wait = self._chance.whole("wait", 0, WAIT_BARS)
        ends = np.cumsum(BARS_BEFORE + wait + 1 + self._length, axis=0)
        return np.where(is_ordinary & (ends <= BARS), ends - 1 - self._length, -1)


def drift_lengths(seed: int, ticker: str, day: str) -> list[int]:
    """Of the drifts of vwap_reversion on a day, in bars; more than a day can have."""
    drawn = uniforms(stream(seed, Name.VWAP.value, ticker, day), BARS // DRIFT_BARS_LEAST)
    lengths = DRIFT_BARS_LEAST + (drawn * (DRIFT_BARS_MOST + 1 - DRIFT_BARS_LEAST) >> 16)
    return [int(length) for length in lengths]


def read(texts: Iterable[str]) -> tuple[Edge, ...]:
    """From "name" or "name:strength", as a command line has them."""
    found: dict[Name, Edge] = {}
    for text in texts:
        name, _, strength = text.strip().partition(":")
        edge = Edge(_one_of(Name, name), _one_of(Strength, strength or Strength.STRONG))
        if edge.name in found:
            raise ConfigError(f"edge {name!r} is named twice; name each once")
        found[edge.name] = edge
    return tuple(sorted(found.values(), key=lambda edge: edge.name))


def written(edge: Edge) -> str:
    """As `read` takes it."""
    return f"{edge.name}:{edge.strength}"


def _one_of(kind: type[StrEnumT], text: str) -> StrEnumT:
    try:
        return kind(text)
    except ValueError:
        what = f"unknown {kind.__name__.lower()} {text!r} of an edge"
        raise ConfigError(f"{what}: one of {', '.join(kind)}") from None


def _bar_sigma(profile: Profile, own: Process, bars: Ints) -> Ints:
    """Of a stock's five-minute bar at that time of that day, as a logarithm."""
    day = profile.volatility_bp * BASIS_POINT * multipliers(own.heat + HEAT_MEAN) >> 16
    return (day << 4) // isqrt(BARS_A_SESSION << 8) * _bar_shape().take(np.maximum(bars, 0)) >> 16


@cache
def _bar_shape() -> Ints:
    """How volatile each bar of the day is beside the average one, 16 bits behind the point."""
    shape = multipliers(volatility_shape(ORDINARY_S // BLOCK_S))[:: BAR_S // BLOCK_S]
    mean = isqrt(int((shape * shape).sum()) // len(shape))
    return (shape << 16) // mean


class _Chance:
    """Evenly drawn numbers for the rounds of all days, a stream for each quantity.

    A round's numbers stand one after the other in time, so that a longer calendar only adds to them.
    """

    def __init__(self, seed: int, name: Name, ticker: str, days: int) -> None:
        self._key = (seed, name.value, ticker)
        self._days = days

    def whole(self, what: str, least: int, most: int) -> Ints:
        return self.between(what, least, most + 1)

    def between(self, what: str, least: int, below: int) -> Ints:
        drawn = uniforms(stream(*self._key, what), ROUNDS * self._days).reshape(self._days, ROUNDS).T
        result: Ints = least + (drawn * (below - least) >> 16)
        return result
