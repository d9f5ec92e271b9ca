"""What does the market show at this moment? Last prices, depth, quotes, limits, the auction's print.

Everything is looked up at the moment that is asked about, so a ticker that nobody watches costs nothing.
Before a day's first row, and on days without a session, the board still shows the session before: that is
what the broker sends to a fresh subscriber too (kite.md 5.2), stamped with that session's time.

Own orders are no matter of this file: venue.py lays them over the depth.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from operator import attrgetter
from random import Random
from typing import NamedTuple

from exchange import auctions
from exchange.agenda import NEVER, SECOND, midnight_us, moment_of
from exchange.auctions import Called, Print
from exchange.nouns import Candle, Depth, Listing, Market, Quote, Tape
from exchange.strips import NO_DEPTH, Kind, Range, Shock, Strip, plain, shaken
from exchange.timetable import Mark, Timetable, Timetables
from rulebook.auction import Bid, band
from rulebook.hours import Calendar, UnknownYearError
from rulebook.records import Paise

DAYS_KEPT = 7  # the session before a long weekend is still asked for
_SECOND = timedelta(seconds=1)
_QTY = attrgetter("qty")


class View(NamedTuple):
    """What the book of a ticker meets in one row."""

    row: int
    last: Paise
    low: int  # the lowest and the highest price at which something traded in this row
    high: int
    traded: int
    depth: Depth


@dataclass(slots=True, eq=False)
class Page:
    """A ticker's day. Its strip is read when it is first asked for, and anew when a shock has changed."""

    listing: Listing
    day: date
    midnight_us: int
    midnight: datetime
    timetable: Timetable
    tape: Callable[[], Tape]
    close_before: Paise
    lower: Paise
    upper: Paise
    closes_us: int  # when the closing auction is matched; NEVER where there is none
    mis_ends_us: int | None  # the square-off, which the broker may bring forward; None: no MIS today
    shocks: list[Shock] = field(default_factory=list)
    print: Print | None = None
    is_shaken: bool = False  # the strip does not have the newest shock yet
    _strip: Strip | None = None

    @property
    def strip(self) -> Strip:
        if self._strip is None or self.is_shaken:
            tape = self.tape() if self._strip is None else self._strip.base
            self._strip = shaken(tape, self.shocks, self.limits) if self.shocks else plain(tape)
            self.is_shaken = False
        return self._strip

    @property
    def limits(self) -> Range:
        return Range(self.lower, self.upper, self.listing.tick)

    def second(self, us: int) -> int:
        return (us - self.midnight_us) // SECOND

    def moment(self, second: int) -> datetime:
        return self.midnight + second * _SECOND

    def row(self, us: int) -> int:
        return self.strip.row_at(self.second(us))

    def view(self, row: int) -> View:
        strip = self.strip
        low, high = strip.reach(row)
        return View(row, Paise(strip.lasts[row]), low, high, strip.traded(row), strip.depth(row))


class Board:
    def __init__(
        self,
        market: Market,
        listings: Mapping[str, Listing],
        calendar: Calendar,
        hours: Timetables,
        seed: int,
    ) -> None:
        self.market: Market = market
        self._listings = listings
        self._calendar = calendar
        self._hours = hours
        self._seed = seed
        self.day = date.min  # whose books are open; venue.py turns it
        self._pages: dict[tuple[str, date], Page] = {}
        self._closes: dict[tuple[str, date], Paise] = {}  # where ours is not the market's own

    def page(self, ticker: str, day: date) -> Page:
        found = self._pages.get((ticker, day))
        if found is None:
            found = self._pages[ticker, day] = self._open(ticker, day)
        return found

    def today(self, ticker: str) -> Page:
        return self.page(ticker, self.day)

    def begin(self, day: date) -> None:
        """Turn to that day; drop what no quote shows any more, but not a day that shocks have changed."""
        self.day = day
        oldest = day - timedelta(days=DAYS_KEPT)
        for ticker, day in [key for key, page in self._pages.items() if key[1] < oldest and not page.shocks]:
            del self._pages[ticker, day]

    # Shocks

    def shake(self, ticker: str, shock: Shock) -> Page:
        """A shock strikes today."""
        page = self.today(ticker)
        page.shocks.append(shock)
        page.is_shaken = True
        return page

    def is_halted(self, ticker: str, us: int) -> bool:
        page = self.today(ticker)
        second = page.second(us)
        return any(shock.kind is Kind.HALT and shock.holds(second) for shock in page.shocks)

    # Prices

    def last(self, ticker: str, us: int) -> Paise:
        """What an order is judged by: the day's last price, before the first one the previous close."""
        page = self.today(ticker)
        closing = self._print(page, us)
        if closing is not None:
            return closing.price
        row = page.row(us)
        return Paise(page.strip.lasts[row]) if row >= 0 else page.close_before

    def quote(self, ticker: str, us: int) -> Quote | None:
        """None for a ticker that has not traded yet."""
        page: Page | None = self.today(ticker)
        assert page is not None
        row = page.row(us)
        if row < 0:
            page = self._session_before(ticker, page.day)
            row = -1 if page is None else len(page.strip.seconds) - 1
        return None if page is None or row < 0 else _quote(page, row, self._print(page, us))

    def _session_before(self, ticker: str, day: date) -> Page | None:
        try:
            return self.page(ticker, self._calendar.previous_session(day))
        except UnknownYearError:
            return None

    # The auctions

    def open_by_auction(self, page: Page, own: Sequence[Bid]) -> Called:
        """Match the pre-open orders at the first price of the tape."""
        anchor = Paise(page.strip.lasts[0])
        lowest, highest = band(anchor)
        # No band binds here: what is more generous than the closing auction's is as good as a market order.
        keen = [
            Bid(bid.side, bid.qty)
            if bid.limit is not None and bid.side * (bid.limit - (highest if bid.side > 0 else lowest)) > 0
            else bid
            for bid in own
        ]
        luck = Random(f"{self._seed}:opening:{page.listing.ticker}:{page.day}")
        return auctions.call(keen, anchor, anchor, page.listing.tick, page.strip.volumes[0], luck)

    def reference(self, page: Page) -> Paise | None:
        """The average price of the last minutes, around which the auction keeps its band."""
        ends_us = page.timetable.continuous_ends_us
        if ends_us is None:
            return None
        length_s = auctions.REFERENCE_S
        return auctions.average_price(page.strip, page.second(ends_us), length_s, page.listing.tick)

    def close_by_auction(self, page: Page, own: Sequence[Bid]) -> Called | None:
        """Match the closing auction and make its price public; None where nothing ever traded."""
        reference = self.reference(page)
        if reference is None or page.closes_us == NEVER:
            return None
        tick = page.listing.tick
        anchor = auctions.within_band(self._anchor(page), reference, tick)
        shares = page.strip.volumes[-1] // auctions.SHARE_OF_THE_DAY
        luck = Random(f"{self._seed}:closing:{page.listing.ticker}:{page.day}")
        called = auctions.call(own, anchor, reference, tick, shares, luck)
        page.print = Print(page.closes_us, called.price, called.qty)
        if own or page.shocks:
            self._closes[page.listing.ticker, page.day] = called.price
        return called

    def official_close(self, ticker: str, day: date) -> Paise | None:
        """Of a day that is over: the market's own, unless a disaster or an order of ours made another."""
        ours = self._closes.get((ticker, day))
        if ours is not None:
            return ours
        try:
            return self.market.previous_close(ticker, self._calendar.next_session(day))
        except UnknownYearError:
            return None

    def minutes(self, ticker: str, day: date) -> Sequence[Candle] | None:
        """The day's candles where nothing has struck it; None: they have to be built from its rows."""
        page = self._pages.get((ticker, day))
        return None if page is not None and page.shocks else self.market.minutes(ticker, day)

    def _anchor(self, page: Page) -> Paise:
        official = None if page.shocks else self.official_close(page.listing.ticker, page.day)
        return Paise(page.strip.lasts[-1]) if official is None else official

    def _print(self, page: Page, us: int) -> Print | None:
        """The auction's, from its moment on; matched here where no order of ours took part."""
        if us < page.closes_us:
            return None
        if page.print is None:
            self.close_by_auction(page, ())
        return page.print

    def _open(self, ticker: str, day: date) -> Page:
        listing, midnight = self._listings[ticker], midnight_us(day)
        timetable = self._hours.of(day, listing.symbol_class)
        is_bound = timetable.session is not None and not listing.is_index
        lower, upper = self.market.circuit(ticker, day) if is_bound else (Paise(0), Paise(0))
        closes_us = None if listing.is_index else timetable.moment(Mark.CLOSING)
        return Page(
            listing=listing,
            day=day,
            midnight_us=midnight,
            midnight=moment_of(midnight),
            timetable=timetable,
            tape=lambda: self.market.tape(ticker, day),
            close_before=self.market.previous_close(ticker, day),
            lower=lower,
            upper=upper,
            closes_us=NEVER if closes_us is None else closes_us,
            mis_ends_us=timetable.moment(Mark.SQUARE_OFF),
        )


def _quote(page: Page, row: int, closing: Print | None) -> Quote:
    strip = page.strip
    shares, turnover, last = strip.volumes[row], strip.turnovers[row], Paise(strip.lasts[row])
    traded_row = _last_trade(strip, row)
    traded_at = at = page.moment(strip.seconds[row])
    if traded_row != row:
        traded_at = page.moment(strip.seconds[traded_row])
    depth, traded = strip.depth(row), strip.traded(traded_row)
    if closing:
        shares, turnover = shares + closing.qty, turnover + closing.qty * closing.price
        last, traded, depth = closing.price, closing.qty, NO_DEPTH
        traded_at = at = moment_of(closing.at_us)
    return Quote(
        ticker=page.listing.ticker,
        at=at,
        last=last,
        last_qty=traded,
        last_trade_at=traded_at,
        average=Paise(turnover // shares) if shares else last,
        volume=shares,
        buy_qty=sum(map(_QTY, depth.bids)),
        sell_qty=sum(map(_QTY, depth.asks)),
        open=Paise(strip.lasts[0]),
        high=Paise(max(strip.highs[row], last)),
        low=Paise(min(strip.lows[row], last)),
        close=page.close_before,
        lower_circuit=page.lower,
        upper_circuit=page.upper,
        depth=depth,
    )


def _last_trade(strip: Strip, row: int) -> int:
    """The last row in which shares changed hands: where the running total first was what it is."""
    return bisect_left(strip.volumes, strip.volumes[row], 0, row + 1)
