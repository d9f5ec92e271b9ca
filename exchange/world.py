"""What does the synthetic market do on a day? Every stock's session out of levels, walks, prints and edges.

Whatever is asked is made when it is asked, from the seed and the calendar alone: any stock, any day, in
any order, in this process or in another, with the same result. What several stocks share (a day's market
and industries) is kept for a while.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from exchange.depths import Ladder, book_of
from exchange.edges import BACK_PERCENT, FAR_PERCENT, Edge, Name, Plan, Role, Shock, Strike, drift_lengths
from exchange.fixed_point import (
    BASIS_POINT,
    COIN_SD,
    OCTAVE,
    Ints,
    scaled_along,
    scaled_one,
    stream,
    words,
)
from exchange.levels import (
    INDUSTRY,
    MARKET,
    Days,
    Levels,
    Process,
    levels,
    limits,
    own_process,
    process,
    remembered_days,
    spans_of,
)
from exchange.listings import Profile, leader_of
from exchange.paths import BLOCK_S, Hours, Walk, Window, walk
from exchange.prints import WITH_HEAT_PERCENT, Flow, flow, prints, sides
from exchange.tapes import NO_TAPE, RowTape
from exchange.touches import bursts, calm_and_storm, held_back, lay, pulled_back, shocks
from rulebook.hours import Calendar, SymbolClass
from rulebook.records import Paise

# Days on which everything stood still: from, until, why. The first three are history; the last is invented,
# so that a year that users look at has one.
HALTS: dict[date, tuple[str, str, str]] = {
    date(2020, 3, 13): ("09:20", "10:20", "the index 10 % down: market-wide circuit breaker"),
    date(2020, 3, 23): ("09:58", "10:58", "the index 10 % down: market-wide circuit breaker"),
    date(2021, 2, 24): ("11:40", "15:30", "the exchange's telecom links failed"),
    date(2026, 6, 17): ("11:05", "11:25", "invented"),
}

# A day's volume varies by a third beside what volatility brings.
BUSY_DAY = OCTAVE * 20 // 100
BUSY_DAY_MEAN = -OCTAVE * 15 // 100

KEPT_WALKS = 96  # a month of the market and three industries: what a reader of one stock's month goes through
KEPT_MIDS = 64  # a day of all constituents: what the index is made of

Halts = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Stock:
    """A stock's numbers by day, and the shocks that are planted in it: the plan, its edge, what is whose."""

    profile: Profile
    own: Process
    busy: Ints  # octaves
    levels: Levels
    planted: tuple[tuple[Plan, Edge, Role], ...]


class Opened(NamedTuple):
    """A session of a stock before anything is printed."""

    mids: Ints  # of every second of continuous trading, paise with 8 bits behind the point
    trading: Callable[[], Flow]  # made when it is asked for: the index needs fifty paths and no volume
    pulls: list[Strike]  # of vwap_reversion, which hang on the path


class World:
    """The processes of a seed, a calendar and some stocks, with what is planted in them."""

    def __init__(
        self, seed: int, calendar: Calendar, profiles: tuple[Profile, ...], edges: tuple[Edge, ...] = ()
    ) -> None:
        self.seed = seed
        self.calendar = calendar
        self.profiles = {profile.ticker: profile for profile in profiles}
        self.edges = edges
        self._days: Days | None = None
        # Wrapped one by one: what is kept belongs to this world and goes with it.
        self.stock = lru_cache(None)(self._stock)
        self.opened = lru_cache(KEPT_MIDS)(self._opened)
        self._market = lru_cache(None)(self._make_market)
        self._industry = lru_cache(None)(self._make_industry)
        self._plan = lru_cache(None)(self._make_plan)
        self._market_walk = lru_cache(KEPT_WALKS)(self._walk_market)
        self._industry_walk = lru_cache(KEPT_WALKS)(self._walk_industry)
        self._hours = lru_cache(KEPT_WALKS)(self._widest_hours)
        self._length = lru_cache(KEPT_WALKS)(self._traded_seconds)

    @property
    def days(self) -> Days:
        """Made when it is first needed: a server that starts has other things to do."""
        if self._days is None:
            self._days = Days(self.calendar)
        return self._days

    # --- what a market is asked -------------------------------------------------------------------

    def trades(self, ticker: str, day: date) -> bool:
        """Whether there is a session for that stock; the calendar must know the year."""
        return self.calendar.is_trading_day(day) and day >= self.profiles[ticker].listed_on

    def tape(self, ticker: str, day: date) -> RowTape:
        if not self.trades(ticker, day):
            return NO_TAPE
        profile, opened, name = self.profiles[ticker], self.opened(ticker, day), day.isoformat()
        mids, trading, limits = opened.mids, opened.trading(), self.limits(ticker, day)
        rows = prints(self.seed, profile, name, mids, self._hours(day).seconds, trading, limits)

        def ladder() -> Ladder:
            half = trading.half_spread.take(rows.at // BLOCK_S)
            bids, asks = sides(mids.take(rows.at), half, profile.listing.tick, limits)
            key = int(words(stream(self.seed, "depth", ticker, name), 1)[0])
            book = book_of(profile, key, limits, int(trading.half_spread[-1]) >> 8)
            return Ladder(book, rows.seconds, bids, asks)

        return RowTape(rows.seconds, rows.lasts, rows.shares, ladder)

    def close_before(self, ticker: str, day: date) -> Paise:
        """The official close of the session before; before the first one its own opening level."""
        found = self.stock(ticker).levels
        session = found.at(self.days.index(day)) - 1
        if session < 0:
            return Paise(max(1, scaled_one(self.profiles[ticker].base << 8, int(found.opens[0])) >> 8))
        return Paise(int(found.official[session]))

    def limits(self, ticker: str, day: date) -> tuple[int, int]:
        return limits(self.profiles[ticker], self.close_before(ticker, day))

    def shocks(self, ticker: str, day: date) -> list[Shock]:
        """What is planted in that session, in the order of the day."""
        if not self.trades(ticker, day):
            return []
        index, opens_s = self.days.index(day), self._hours(day).spans[0][0]
        leader = leader_of(self.profiles[ticker]).ticker
        found = [
            shock
            for plan, edge, role in self.stock(ticker).planted
            for shock in shocks(ticker, edge.name, plan.strikes(index, edge.strength), role, opens_s, leader)
        ]
        back = self._back()
        if back is not None:
            pulls = self.opened(ticker, day).pulls
            found += shocks(ticker, back.name, pulls, Role.WHOLE, opens_s, leader)
        return sorted(found, key=lambda shock: shock.at_s)

    def seconds(self, day: date, symbol_class: SymbolClass) -> Ints:
        """Of that class's continuous trading."""
        return self._hours(day).seconds[: self._length(day, symbol_class)]

    # --- a session --------------------------------------------------------------------------------

    def _opened(self, ticker: str, day: date) -> Opened:
        stock, hours, index = self.stock(ticker), self._hours(day), self.days.index(day)
        level = int(stock.levels.opens[stock.levels.at(index)])
        base, name = stock.profile.base << 8, day.isoformat()
        strikes = [(plan.strikes(index, edge.strength), edge, role) for plan, edge, role in stock.planted]
        halts = _halts(day, hours)

        logs, heat = self._path(stock, day, strikes)
        windows = [
            window for found, _, role in strikes if role is not Role.FOLLOWER for window in bursts(found)
        ]
        price, ends = scaled_one(base, level) >> 8, logs[BLOCK_S - 1 :: BLOCK_S].copy()

        @cache
        def trading() -> Flow:
            busy = int(stock.busy[index])
            return flow(self.seed, stock.profile, name, busy, heat, ends, price, windows, halts)

        back = self._back()
        pulls: list[Strike] = []
        if back is not None and self.days.shares[index] == OCTAVE:
            far = stock.profile.volatility_bp * BASIS_POINT * FAR_PERCENT // 100
            shares = trading().chance * trading().shares >> 16
            lengths = drift_lengths(self.seed, ticker, name)
            logs, pulls = pulled_back(logs, shares, far, BACK_PERCENT[back.strength], lengths)
        length = self._length(day, stock.profile.listing.symbol_class)
        mids = scaled_along(base, logs[:length] + level, BLOCK_S)
        return Opened(mids, trading, pulls)

    def _path(self, stock: Stock, day: date, planted: list[tuple[list[Strike], Edge, Role]]) -> Walk:
        """The logarithm from the open on, as the levels know it and with the calm before true shocks."""
        before = [
            w for found, edge, _ in planted if edge.name is Name.MOMENTUM for w in calm_and_storm(found)
        ]
        profile, market = stock.profile, self._market_walk(day)
        industry = self._industry_walk(profile.listing.industry, day)
        shared = (market.logs * ((profile.beta_percent << 16) // 100) >> 16) + industry.logs
        own = self._walk(profile.ticker, stock.own, day, market.heat, before)
        logs = own.logs + (held_back(shared, before) if before else shared)
        for found, _, role in planted:
            lay(logs, found, role)
        return Walk(logs, own.heat)

    def _walk_market(self, day: date) -> Walk:
        return self._walk("market", self._market(), day)

    def _walk_industry(self, industry: str, day: date) -> Walk:
        heat = self._market_walk(day).heat
        return self._walk(f"industry {industry}", self._industry(industry), day, heat)

    def _walk(
        self, name: str, of: Process, day: date, heated_by: Ints | None = None, windows: Sequence[Window] = ()
    ) -> Walk:
        hours = self._hours(day)
        index, halts = self.days.index(day), _halts(day, hours)
        return walk(self.seed, name, day.isoformat(), of, index, hours, heated_by, windows, halts)

    def _widest_hours(self, day: date) -> Hours:
        """Of the class that trades longest: the market goes on while auction stocks wait."""
        classes = (self.calendar.session_of(day, symbol_class) for symbol_class in SymbolClass)
        return max((Hours(spans_of(session)) for session in classes), key=lambda hours: hours.length)

    def _traded_seconds(self, day: date, symbol_class: SymbolClass) -> int:
        """Seconds of continuous trading that the class has."""
        return self._hours(day).position(spans_of(self.calendar.session_of(day, symbol_class))[-1][1])

    # --- what lies behind all sessions ------------------------------------------------------------

    def _stock(self, ticker: str) -> Stock:
        profile, market = self.profiles[ticker], self._market()
        own = own_process(self.seed, profile, self.days, market)
        busy = remembered_days(self.seed, "busy day", ticker, self.days.count)
        heated = own.heat * WITH_HEAT_PERCENT // 100 + BUSY_DAY_MEAN
        planted = tuple(self._planted(profile))
        moved = np.zeros(self.days.count, np.int64)
        for plan, edge, role in planted:
            moved = moved + plan.moved(edge.strength, role)
        industry = self._industry(profile.listing.industry)
        found = levels(profile, self.days, market, industry, own, moved)
        return Stock(profile, own, busy * (BUSY_DAY // COIN_SD) + heated, found, planted)

    def _planted(self, profile: Profile) -> Iterator[tuple[Plan, Edge, Role]]:
        for edge in self.edges:
            if edge.name is Name.MOMENTUM:
                yield self._plan(edge.name, profile), edge, Role.WHOLE
            elif edge.name is Name.LEAD_LAG:
                leader = leader_of(profile)
                yield self._plan(edge.name, leader), edge, Role.LEADER if leader == profile else Role.FOLLOWER

    def _back(self) -> Edge | None:
        return next((edge for edge in self.edges if edge.name is Name.VWAP), None)

    def _make_plan(self, name: Name, profile: Profile) -> Plan:
        own = own_process(self.seed, profile, self.days, self._market())
        return Plan(self.seed, name, profile, own, self.days.shares == OCTAVE)

    def _make_market(self) -> Process:
        return process(self.seed, "market", MARKET, self.days)

    def _make_industry(self, industry: str) -> Process:
        return process(self.seed, f"industry {industry}", INDUSTRY, self.days, self._market())


def _halts(day: date, hours: Hours) -> Halts:
    """As positions in the session."""
    if day not in HALTS:
        return []
    start, until, _ = HALTS[day]
    return [(hours.position(_second(start)), hours.position(_second(until)))]


def _second(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60
