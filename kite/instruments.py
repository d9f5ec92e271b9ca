"""What does the broker trade today, and under which token, tick and lot? The day's list, read strictly.

The list is made once a day at about 08:00; tokens move, tick sizes change with the price, F&O membership
changes (kite.md 1.3, 3.6, 6.4, 8). So a ticker is looked up by its symbol in the day's list, never by a
remembered token. Knows no network and no file: text in, instruments out.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from kite.units import UnitError, price_paise
from outcome import DataError
from rulebook.hours import SymbolClass
from rulebook.records import Instrument, Paise

COLUMNS = (
    "instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry", "strike",
    "tick_size", "lot_size", "instrument_type", "segment", "exchange",
)  # fmt: skip
INDEX_SEGMENT, FUTURES_SEGMENT = "INDICES", "NFO-FUT"
# Another series than EQ (trade-to-trade -BE, block -BL, SME -SM, bonds -N1 ...) ends in two letters or
# digits; a hyphen of a company's own name has more behind it or fewer (BAJAJ-AUTO, MCDOWELL-N).
_OTHER_SERIES = re.compile(r"(.+)-[A-Z0-9]{2}")


class MasterError(ValueError):
    """The list is not what it was: another shape, or values that no instrument has."""


class UnknownTickerError(DataError, LookupError):
    """No such share in today's list, or none that may be traded."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    token: int
    symbol: str
    name: str
    tick: Paise
    lot: int
    kind: str
    segment: str
    exchange: str
    expiry: date | None


@dataclass(frozen=True, slots=True)
class Share:
    """A share of NSE as it is traded today."""

    token: int
    name: str
    instrument: Instrument


@dataclass(frozen=True, slots=True)
class Master:
    """One day's instruments; `shares` are those of the series EQ."""

    day: date
    shares: Mapping[str, Share]
    indices: Mapping[str, int]
    futures: Mapping[str, tuple[Row, ...]]  # by underlying, nearest expiry first
    elsewhere: Mapping[str, str]  # of another series: by the plain symbol, and by its own

    def share(self, ticker: str) -> Share:
        """By its symbol in today's list, or in one of the spellings that people use."""
        symbol = self.normal(ticker)
        found = self.shares.get(symbol)
        if found is not None:
            return found
        if symbol in self.futures or symbol.replace(" ", "") in {
            name.replace(" ", "") for name in self.indices
        }:
            raise UnknownTickerError(f"{ticker} is an index: it is shown and cannot be traded; name a share")
        if symbol in self.elsewhere:
            raise UnknownTickerError(
                f"{ticker} is traded as {self.elsewhere[symbol]} today, without intraday margin; leave it out"
            )
        raise UnknownTickerError(
            f"{ticker} is not in the list of {self.day}; look for its symbol on the exchange's site"
        )

    def normal(self, ticker: str) -> str:
        """NSE:INFY, INFY-EQ, INFY.NS and infy are all INFY."""
        symbol = ticker.strip().upper().removeprefix("NSE:")
        for suffix in ("-EQ", ".NS", ".NSE"):
            symbol = symbol.removesuffix(suffix)
        return symbol

    def current_future(self, underlying: str) -> Row:
        """The contract that runs out next, today included."""
        for row in self.futures.get(self.normal(underlying), ()):
            if row.expiry is not None and row.expiry >= self.day:
                return row
        raise UnknownTickerError(f"{underlying} has no live future in the list of {self.day}")


def read_master(day: date, nse_csv: str, nfo_csv: str) -> Master:
    """From the two lists of the day; the second says which shares have a live future."""
    shares, indices, elsewhere = dict[str, Share](), dict[str, int](), dict[str, str]()
    futures = _by_underlying(read_rows(nfo_csv), day)
    for row in read_rows(nse_csv):
        if row.segment == INDEX_SEGMENT:
            indices[row.symbol] = row.token
        elif row.exchange == "NSE" and (other := _OTHER_SERIES.fullmatch(row.symbol)):
            elsewhere[other[1]] = elsewhere[row.symbol] = row.symbol
        elif row.exchange == "NSE" and row.kind == "EQ" and row.tick > 0:
            symbol_class = SymbolClass.FNO if row.symbol in futures else SymbolClass.OTHER
            shares[row.symbol] = Share(
                row.token, row.name, Instrument(row.symbol, row.tick, row.lot, symbol_class)
            )
    if not shares:
        raise MasterError(f"the list of {day} holds no share: ask for it again after 08:30")
    return Master(day, shares, indices, futures, elsewhere)


def read_rows(text: str) -> Iterator[Row]:
    """Every line, or MasterError with the first that makes no sense."""
    lines = csv.reader(io.StringIO(text))
    head = tuple(next(lines, ()))
    if head != COLUMNS:
        raise MasterError(f"the instruments list has other columns: {','.join(head)[:120]!r}")
    for number, values in enumerate(lines, start=2):
        try:
            yield _row(dict(zip(COLUMNS, values, strict=True)))
        except (ValueError, UnitError) as error:
            raise MasterError(f"the instruments list, line {number}: {error}") from None


def _row(values: Mapping[str, str]) -> Row:
    token, lot = int(values["instrument_token"]), int(float(values["lot_size"] or "1"))
    if token <= 0 or lot < 0 or not values["tradingsymbol"]:
        raise ValueError(f"{values['tradingsymbol']!r} has token {token} and lot {lot}")
    return Row(
        token,
        values["tradingsymbol"],
        values["name"],
        _tick(values["tick_size"]),
        max(lot, 1),  # an index has a lot of 0
        values["instrument_type"],
        values["segment"],
        values["exchange"],
        date.fromisoformat(values["expiry"]) if values["expiry"] else None,
    )


def _tick(text: str) -> Paise:
    """Currency contracts tick in parts of a paisa: not ours, and 0 here."""
    try:
        return price_paise(text)
    except UnitError:
        return Paise(0)


def _by_underlying(rows: Iterable[Row], day: date) -> dict[str, tuple[Row, ...]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.segment == FUTURES_SEGMENT and row.expiry is not None and row.expiry >= day:
            found.setdefault(row.name, []).append(row)
    return {name: tuple(sorted(rows, key=lambda row: row.expiry or date.max)) for name, rows in found.items()}
