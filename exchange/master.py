"""What stands in the day's list of instruments? Shares and indices of NSE, and the live futures of F&O names.

The broker makes its list anew at about 08:30 (DOC:market-quotes); until then yesterday's is served. The
futures are there because a client derives from them who is an F&O name today, and so closes by auction;
they are listed and cannot be traded, nor have they quotes or candles.

Invented: their lot, and their exchange tokens. Expiry: the last Tuesday of the month since September 2025,
the last Thursday before (SEBI, circular of 2025-05-26), or the trading day before it. A month that the
calendar does not know is not listed.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from io import StringIO

from exchange.answers import amount
from exchange.fields import INSTRUMENT_COLUMNS
from exchange.nouns import Listing
from rulebook.hours import IST, Calendar, SymbolClass, UnknownYearError
from rulebook.records import Paise

MADE_AT = time(8, 30)
CARRIED = ("NSE", "NFO")
EMPTY = ("BSE", "BFO", "CDS", "BCD", "MCX", "NCO", "MF")
FUTURE_LOT = 500
_MONTHS_LISTED = 3
_SLOTS = 4  # one more than are listed at once, so that a token is not taken over while it lives
_FUTURES_FROM = 1_000_000
_SEGMENT_NFO = 2
_TUESDAY, _THURSDAY = 1, 3
_TUESDAYS_FROM = date(2025, 9, 1)

Row = tuple[str | int | float, ...]


def list_day(now: datetime) -> date:
    """Of which day the list is that is served now."""
    here = now.astimezone(IST)
    return here.date() if here.time() >= MADE_AT else here.date() - timedelta(days=1)


def as_csv(listings: Sequence[Listing], calendar: Calendar, day: date, exchange: str | None = None) -> str:
    """Of one exchange, or of all."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(INSTRUMENT_COLUMNS)
    if exchange in (None, "NSE"):
        writer.writerows(map(_row, listings))
    if exchange in (None, "NFO"):
        writer.writerows(_futures(listings, calendar, day))
    return out.getvalue()


def stale(listings: Sequence[Listing]) -> list[Listing]:
    """A list that is old: the first share has another tick size, the last one another token."""
    shares = [listing for listing in listings if not listing.is_index]
    if not shares:
        return list(listings)
    first, last = shares[0].ticker, shares[-1].ticker
    return [_aged(listing, listing.ticker == first, listing.ticker == last) for listing in listings]


def _aged(listing: Listing, other_tick: bool, other_token: bool) -> Listing:
    tick = Paise(10 if listing.tick == 5 else 5) if other_tick else listing.tick
    token = listing.exchange_token + 500_000 if other_token else listing.exchange_token
    return replace(listing, tick=tick, exchange_token=token)


def _row(listing: Listing) -> Row:
    """The last price of the list is none to go by, so there is none."""
    tick, lot = (0, 0) if listing.is_index else (amount(listing.tick), listing.lot)
    segment = "INDICES" if listing.is_index else "NSE"
    return (listing.token, listing.exchange_token, listing.ticker, listing.name,
            0, "", 0, tick, lot, "EQ", segment, "NSE")  # fmt: skip


def _futures(listings: Sequence[Listing], calendar: Calendar, day: date) -> Iterator[Row]:
    expiries = live_expiries(calendar, day)
    for listing in listings:
        if listing.is_index or listing.symbol_class is not SymbolClass.FNO:
            continue
        for expiry in expiries:
            slot = (expiry.year * 12 + expiry.month) % _SLOTS
            token = _FUTURES_FROM + listing.exchange_token * _SLOTS + slot
            name = f"{listing.ticker}{expiry:%y%b}FUT".upper()
            yield (token * 256 + _SEGMENT_NFO, token, name, listing.ticker, 0, expiry.isoformat(),
                   0, amount(listing.tick), FUTURE_LOT, "FUT", "NFO-FUT", "NFO")  # fmt: skip


def live_expiries(calendar: Calendar, day: date) -> list[date]:
    """The three nearest that have not passed."""
    found = []
    for ahead in range(_MONTHS_LISTED + 1):
        month = day.year * 12 + day.month - 1 + ahead
        expiry = _expiry(calendar, *divmod(month, 12))
        if expiry is not None and expiry >= day:
            found.append(expiry)
    return found[:_MONTHS_LISTED]


def _expiry(calendar: Calendar, year: int, month_from_0: int) -> date | None:
    following = date(year + month_from_0 // 11, (month_from_0 + 1) % 12 + 1, 1)
    last = following - timedelta(days=1)
    weekday = _TUESDAY if last >= _TUESDAYS_FROM else _THURSDAY
    usual = last - timedelta(days=(last.weekday() - weekday) % 7)
    try:
        return usual if calendar.is_trading_day(usual) else calendar.previous_session(usual)
    except UnknownYearError:
        return None
