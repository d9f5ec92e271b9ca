"""The synthetic market: what a seed would have traded, on any day since 2015, for whoever asks.

The same seed, symbols, edges and calendar give the same bytes. The index is made of the listed stocks: of
50 it is the NIFTY 50, of fewer it is theirs. See docs/market.md for what the process can and cannot do.
"""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np

from exchange.edges import Edge, Shock
from exchange.fixed_point import Ints
from exchange.kept import Shelf, month_of, shelf_name
from exchange.listings import INDEX_BASE, INDEX_TICK, INDEX_TICKER, Profile, index_listing, profiles
from exchange.nouns import Candle, Listing
from exchange.tapes import NO_TAPE, Bars, RowTape, joined
from exchange.world import World
from rulebook.hours import Calendar, SymbolClass
from rulebook.records import Paise

# 1,000,000 shares: 50 prices of 31 bits times free floats in this unit add up to less than 2**63.
FLOAT_UNIT = 1_000_000
KEPT_DAYS = 128
NO_LIMIT = Paise(0)


class SyntheticMarket:
    """Implements nouns.Market. `cache`: a folder in which made minutes are kept, None keeps none."""

    def __init__(
        self,
        seed: int,
        calendar: Calendar,
        symbols: int = 50,
        edges: Sequence[Edge] = (),
        cache: Path | None = None,
    ) -> None:
        self.seed, self.calendar, self.edges = seed, calendar, tuple(edges)
        self._profiles = profiles(symbols)
        self._index = _Index(self._profiles)
        self._listings = (*(profile.listing for profile in self._profiles), index_listing())
        self._world = World(seed, calendar, self._profiles, self.edges)
        self.shelf = None if cache is None else Shelf(cache, shelf_name(seed, symbols, self.edges, calendar))
        self._made_bars = lru_cache(KEPT_DAYS)(self.fresh_bars)
        self._begun: dict[tuple[str, date], dict[date, Bars]] = {}  # months that are not whole yet

    @property
    def listings(self) -> Sequence[Listing]:
        return self._listings

    def tape(self, ticker: str, day: date) -> RowTape:
        return self._index_tape(day) if ticker == INDEX_TICKER else self._world.tape(ticker, day)

    def minutes(self, ticker: str, day: date) -> Sequence[Candle]:
        return self._bars(ticker, day).candles()

    def previous_close(self, ticker: str, day: date) -> Paise:
        if ticker != INDEX_TICKER:
            return self._world.close_before(ticker, day)
        closes = (self._world.close_before(profile.ticker, day) << 8 for profile in self._index.profiles)
        return Paise(self._index.level([np.array([close]) for close in closes]).item())

    def circuit(self, ticker: str, day: date) -> tuple[Paise, Paise]:
        """0 and 0 for the index, which has none."""
        if ticker == INDEX_TICKER:
            return NO_LIMIT, NO_LIMIT
        lower, upper = self._world.limits(ticker, day)
        return Paise(lower), Paise(upper)

    def shocks(self, ticker: str, day: date) -> list[Shock]:
        """The hidden state of the planted edges, for whoever examines a model and not for the model."""
        return [] if ticker == INDEX_TICKER else self._world.shocks(ticker, day)

    def fresh_bars(self, ticker: str, day: date) -> Bars:
        """Made anew, whatever has been kept."""
        return self.tape(ticker, day).bars(day)

    def _bars(self, ticker: str, day: date) -> Bars:
        if self.shelf is None:
            return self._made_bars(ticker, day)
        kept = self.shelf.day(ticker, day)
        return self._remembered(self.shelf, ticker, day) if kept is None else kept

    def _remembered(self, shelf: Shelf, ticker: str, day: date) -> Bars:
        """A month is kept when its last session has been asked for; whole months are asked for in order."""
        month = day.replace(day=1)
        begun = self._begun.setdefault((ticker, month), {})
        if day not in begun:
            begun[day] = self._made_bars(ticker, day)
        found, sessions = begun[day], month_of(self.calendar, month)
        if all(session in begun for session in sessions):
            shelf.put(ticker, month, joined([begun[session] for session in sessions]))
            del self._begun[ticker, month]
        return found

    def _index_tape(self, day: date) -> RowTape:
        if not self.calendar.is_trading_day(day):
            return NO_TAPE
        seconds = self._world.seconds(day, SymbolClass.FNO)
        mids = [self._world.opened(profile.ticker, day).mids for profile in self._index.profiles]
        return RowTape(seconds, self._index.level(mids), np.zeros_like(seconds))


class _Index:
    """Free-float weights, fixed on the base prices."""

    def __init__(self, listed: Sequence[Profile]) -> None:
        self.profiles = [profile for profile in listed if profile.in_index]
        self._floats = [profile.float_shares // FLOAT_UNIT for profile in self.profiles]
        worth = sum(f * p.base << 8 for f, p in zip(self._floats, self.profiles, strict=True))
        self._step = worth * INDEX_TICK // INDEX_BASE

    def level(self, mids: Sequence[Ints]) -> Ints:
        """From the prices of the constituents, with 8 bits behind the point: paise on the index's tick."""
        worth = sum((f * m for f, m in zip(self._floats, mids, strict=True)), np.zeros_like(mids[0]))
        return (worth + self._step // 2) // self._step * INDEX_TICK
