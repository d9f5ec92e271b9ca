"""Where does every process stand at each session's open and close? The market, the industries, each stock.

A stock's logarithm is beta x market + its industry + its own, and each of the three is a process of the
same kind. Of each day only numbers are drawn here: how hot the day is (volatility clusters over days and
months), what the session brings in sum, the gap of the night before, at most one jump. They are drawn for
all days since 2015 at once, each from a stream of its own, so that a price at any open is a sum over the
days before and no second of them has to be walked. paths.py fills a session with seconds.

The sums are anchored: the base price holds at the open of the first session of 2026. Whoever starts the
exchange in another month therefore sees the same history.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from math import isqrt

import numpy as np

from exchange.fixed_point import (
    BASIS_POINT,
    COIN_SD,
    OCTAVE,
    Ints,
    Stream,
    gaussians,
    multipliers,
    remembering,
    scaled,
    stream,
    uniforms,
)
from exchange.listings import FIRST_DAY, REFERENCE, Profile
from rulebook.hours import Calendar, PhaseKind, Session, SymbolClass

ORDINARY_S = 22_500  # 09:15 to 15:30

# A day's heat remembers days, weeks, months and a year, with a fifth of an octave each: volatility varies
# by a third, and the size of a day's move is correlated with the day before at about 0.15. The mean
# heat is below 0, so that squared volatility is on average what the tables say.
HEAT_DAYS = (2, 7, 30, 120, 365)
HEAT = OCTAVE * 21 // 100
HEAT_MEAN = -OCTAVE * 19 // 100

# Stocks heat up with the market, as they do in every crisis.
HEAT_SHARED_SHIFT = 1  # half of it

# Three nights in 64 bring news: three times the usual gap.
NEWS_NIGHTS = OCTAVE * 3 // 64
NEWS_FACTOR = 3

# What holding a stock overnight has paid in every market studied; a session's expectation is 0, so
# that an intraday system has no drift to live on. 4 basis points are about 10 % a year.
PREMIUM_A_NIGHT = 4 * BASIS_POINT

# A stock runs into its circuit limit about once in 1,000 days, a thin one in 400: often enough that
# a market of 50 shows one a month. It runs this much beyond the limit, so that it stays there.
CIRCUIT_DAYS = OCTAVE // 1_000
CIRCUIT_DAYS_THIN = OCTAVE // 400
BEYOND_LIMIT_BP = 200


@dataclass(frozen=True, slots=True)
class Habits:
    """What kind of process: volatility of a session in basis points, and shares of it in percent."""

    volatility_bp: int
    gap_percent: int
    jump_days: int  # probability, 16 bits behind the point
    jump_percent: int


# Market and industry together move a stock of beta 1 by 80 basis points: of an average stock's 125 that
# gives correlations of 0.3 across industries and 0.5 within one (NIFTY names: 0.2 to 0.6).
MARKET = Habits(volatility_bp=70, gap_percent=60, jump_days=OCTAVE * 3 // 100, jump_percent=80)
INDUSTRY = Habits(volatility_bp=38, gap_percent=45, jump_days=OCTAVE * 3 // 100, jump_percent=80)
OWN_GAP_PERCENT, OWN_JUMP_DAYS, OWN_JUMP_PERCENT = 45, OCTAVE // 10, 110


@dataclass(frozen=True, slots=True)
class Process:
    """One process by day; every array has an entry for every day of the calendar, traded or not."""

    heat: Ints  # octaves by which the day is hotter than the average
    sigma: Ints  # of the session, in logarithms of prices
    total: Ints  # what the session brings, its jump aside
    gap: Ints  # what the night before has brought
    jump: Ints  # 0 on most days
    jump_at: Ints  # which part of the session has passed by then, 16 bits behind the point

    @property
    def move(self) -> Ints:
        return self.total + self.jump


class Days:
    """The days since 2015 in a row, as far as the calendar goes."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.count = (date(max(calendar.years), 12, 31) - FIRST_DAY).days + 1
        known = max(FIRST_DAY, date(min(calendar.years), 1, 1))
        sessions = calendar.sessions_between(known, self.day_at(self.count - 1))
        self.sessions = np.array([self.index(day) for day in sessions], np.int64)

    def index(self, day: date) -> int:
        return (day - FIRST_DAY).days

    def day_at(self, index: int) -> date:
        return FIRST_DAY + timedelta(days=index)

    @cached_property
    def shares(self) -> Ints:
        """By how much a short session's volatility is less than a whole one's, 16 bits behind the point."""
        shares = np.full(self.count, OCTAVE, np.int64)
        short = {day for day, special in self._calendar.specials.items() if special.phases}
        for year in self._calendar.years.values():
            short |= {day for day, closure in year.closures.items() if closure.closes_ist is not None}
        for day in short:
            if 0 <= self.index(day) < self.count:
                length = length_s(self._calendar.session_of(day, SymbolClass.OTHER))
                shares[self.index(day)] = isqrt(length * OCTAVE * OCTAVE // ORDINARY_S)
        return shares


def spans_of(session: Session) -> tuple[tuple[int, int], ...]:
    """Continuous trading in seconds from midnight, ends excluded."""
    return tuple(
        (phase.starts_ist.hour * 3600 + phase.starts_ist.minute * 60,
         phase.ends_ist.hour * 3600 + phase.ends_ist.minute * 60)
        for phase in session.phases
        if phase.kind is PhaseKind.CONTINUOUS
    )  # fmt: skip


def length_s(session: Session) -> int:
    return sum(until - start for start, until in spans_of(session))


# --- processes ------------------------------------------------------------------------------------


def process(seed: int, name: str, habits: Habits, days: Days, heated_by: Process | None = None) -> Process:
    """The same name and seed, the same process; every quantity has a stream of its own."""

    def of(what: str) -> Stream:
        return stream(seed, what, name)

    heat = remembered_days(seed, "heat", name, days.count) * (HEAT // COIN_SD)
    if heated_by is not None:
        heat = heat + (heated_by.heat >> HEAT_SHARED_SHIFT)
    sigma = habits.volatility_bp * BASIS_POINT * multipliers(heat + HEAT_MEAN) >> 16
    sigma = sigma * days.shares >> 16
    jumps = uniforms(of("jump day"), days.count) < habits.jump_days
    return Process(
        heat=heat,
        sigma=sigma,
        total=_times(gaussians(of("total"), days.count), sigma),
        gap=_gaps(of("gap"), of("news"), sigma, habits.gap_percent),
        jump=jumps * _times(gaussians(of("jump"), days.count), sigma) * habits.jump_percent // 100,
        jump_at=uniforms(of("jump at"), days.count),
    )


def remembered_days(seed: int, what: str, name: str, count: int) -> Ints:
    """By day, in coins. A stream for each period, so that a calendar with another year only adds days."""
    total = np.zeros(count, np.int64)
    for period in HEAT_DAYS:
        total += remembering(stream(seed, what, period, name), count, (period,))
    return total


def own_habits(profile: Profile) -> Habits:
    """What is left of the stock's volatility when market and industry have had their part; at least half."""
    shared = (profile.beta_percent * MARKET.volatility_bp // 100) ** 2 + INDUSTRY.volatility_bp**2
    left = max(profile.volatility_bp**2 - shared, profile.volatility_bp**2 // 4)
    return Habits(isqrt(left), OWN_GAP_PERCENT, OWN_JUMP_DAYS, OWN_JUMP_PERCENT)


def own_process(seed: int, profile: Profile, days: Days, market: Process) -> Process:
    """A stock's own part; on its circuit days the jump is one through the limit."""
    own = process(seed, profile.ticker, own_habits(profile), days, heated_by=market)
    chance = CIRCUIT_DAYS if profile.in_index else CIRCUIT_DAYS_THIN
    is_locked = uniforms(stream(seed, "circuit day", profile.ticker), days.count) < chance
    side = 1 - 2 * (uniforms(stream(seed, "circuit side", profile.ticker), days.count) & 1)
    far = (profile.band_percent * 100 + BEYOND_LIMIT_BP) * BASIS_POINT
    jump = np.where(is_locked, side * far, own.jump)
    return Process(own.heat, own.sigma, own.total, own.gap, jump, own.jump_at)


def _gaps(source: Stream, news: Stream, sigma: Ints, percent: int) -> Ints:
    drawn = gaussians(source, len(sigma))
    factor = np.where(uniforms(news, len(sigma)) < NEWS_NIGHTS, NEWS_FACTOR, 1)
    return _times(drawn * factor, sigma) * percent // 100


def _times(gaussian: Ints, sigma: Ints) -> Ints:
    """32 bits of sigma and up to 20 of the Gaussian."""
    return gaussian * sigma >> 16


# --- levels ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Levels:
    """A stock's logarithm against its base price, by session, and what the exchange calls its close."""

    sessions: Ints  # indices of days
    opens: Ints
    closes: Ints
    official: Ints  # paise

    def at(self, day: int) -> int:
        """Which session that day is."""
        return int(np.searchsorted(self.sessions, day))


def levels(
    profile: Profile, days: Days, market: Process, industry: Process, own: Process, planted: Ints
) -> Levels:
    """`planted`: what the planted edges add to each day's session and never take back."""
    moves = profile.beta_percent * market.move // 100 + industry.move + own.move + planted
    gaps = profile.beta_percent * market.gap // 100 + industry.gap + own.gap + PREMIUM_A_NIGHT
    moves, gaps = moves[days.sessions], gaps[days.sessions]
    closes = np.cumsum(moves + gaps)
    opens = closes - moves
    anchor = min(int(np.searchsorted(days.sessions, days.index(REFERENCE))), len(opens) - 1)
    closes, opens = closes - opens[anchor], opens - opens[anchor]
    return Levels(days.sessions, opens, closes, _official(profile, closes))


def limits(profile: Profile, close_before: int) -> tuple[int, int]:
    """The circuit of a day by the official close before it, on the tick inside the band."""
    tick, width = profile.listing.tick, close_before * profile.band_percent
    lowest = -((width - close_before * 100) // (100 * tick)) * tick
    return max(tick, lowest), (close_before * 100 + width) // (100 * tick) * tick


def _official(profile: Profile, closes: Ints) -> Ints:
    """On the tick, inside the day's circuit, which hangs on the close before: only such days are a chain."""
    tick = profile.listing.tick
    exact = scaled(profile.base << 8, closes)
    official: Ints = np.maximum((exact + (tick << 7)) // (tick << 8), 1) * tick
    far = np.abs(np.diff(official)) * 100 >= official[:-1] * profile.band_percent
    free = official.copy()
    for first in (np.flatnonzero(far) + 1).tolist():
        session = first
        while session < len(official):
            lowest, highest = limits(profile, int(official[session - 1]))
            kept = min(max(int(free[session]), lowest), highest)
            if kept == official[session] and session > first:
                break
            official[session] = kept
            session += 1
    return official
