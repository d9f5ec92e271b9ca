"""What do the exchange's own web pages say? Constituents of an index and holidays, and when they say nothing.

| path                                | gives                                  | wants                       |
|-------------------------------------|----------------------------------------|-----------------------------|
| /, /option-chain and the like       | an HTML page that sets cookies         | a browser's User-Agent      |
| /content/indices/ind_...list.csv    | constituents as CSV (the archive)      | a browser's User-Agent      |
| /api/equity-stock-indices?index=... | constituents as JSON, index row first  | that, cookies and a Referer |
| /api/holiday-master?type=trading    | holidays of the year by segment        | the same                    |
| /api/equity-stockIndices            | 404 since May 2026                     |                             |
| /robots.txt                         | forbids /api/                          | nothing                     |

As kite.md 6 describes them. Decided here, because nothing published says it: without cookies an address
under /api/ answers 401, without a browser's User-Agent or a Referer 403, each with an HTML page. Cookies
live for an hour. Which shares an index has follows from the market's list alone: NIFTY 50 are its first
fifty. The newer keys of the holiday rows (morning_session, evening_session) are left out, and a list of
clearing holidays is that of trading: settlement-only holidays are no matter of trading.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from io import StringIO
from typing import Any, Protocol

from exchange.answers import amount
from exchange.faults import Faults
from exchange.nouns import Listing, Market, Quote
from exchange.web import CSV, Answer, Request, Routes, as_json, as_text
from rulebook.hours import Calendar, PhaseKind, SymbolClass, ist_day

Object = dict[str, Any]

COOKIE_LIFE = timedelta(hours=1)
SEGMENTS = ("CBM", "CD", "CM", "CMOT", "COM", "FO", "IRD", "MF", "NDM", "NTRP", "SLBS")
CSV_COLUMNS = ("Company Name", "Industry", "Symbol", "Series", "ISIN Code")
PAGES = ("/", "/option-chain", "/market-data/live-equity-market", "/market-data/constituents")
FNO_INDEX = "SECURITIES IN F&O"


@dataclass(frozen=True, slots=True)
class Index:
    """A name of an index, its file in the archive, and its places in the market's list."""

    file: str
    first: int
    past_last: int


INDICES: Mapping[str, Index] = {
    "NIFTY 50": Index("ind_nifty50list", 0, 50),
    "NIFTY NEXT 50": Index("ind_niftynext50list", 50, 100),
    "NIFTY 100": Index("ind_nifty100list", 0, 100),
    "NIFTY 200": Index("ind_nifty200list", 0, 200),
    "NIFTY 500": Index("ind_nifty500list", 0, 500),
    "NIFTY MIDCAP 150": Index("ind_niftymidcap150list", 100, 250),
    "NIFTY SMALLCAP 250": Index("ind_niftysmallcap250list", 250, 500),
}
_BY_FILE = {f"{index.file}.csv": index for index in INDICES.values()}


class Floor(Protocol):
    """What the pages need of the venue."""

    @property
    def now(self) -> datetime: ...
    @property
    def market(self) -> Market: ...
    @property
    def calendar(self) -> Calendar: ...
    def quote(self, ticker: str) -> Quote | None: ...


class Nse:
    """The web site and its archive."""

    def __init__(self, floor: Floor, faults: Faults) -> None:
        self._floor = floor
        self._faults = faults
        self._visits: dict[str, datetime] = {}  # nsit cookie -> when it was given
        self.routes = Routes(
            [
                *(("GET", path, self._home) for path in PAGES),
                ("GET", "/robots.txt", _robots),
                ("GET", "/content/indices/{file}", self._constituents_csv),
                ("GET", "/api/equity-stock-indices", self._guarded(self._constituents)),
                ("GET", "/api/holiday-master", self._guarded(self._holidays)),
                ("GET", "/api/equity-stockIndices", lambda _: _html(404, "Resource not found")),
            ]
        )

    def endpoint(self, asked: Request) -> str:
        found = self.routes.find(asked)
        return found[0] if found else f"{asked.method} {asked.path}"

    def answer(self, asked: Request) -> Answer:
        found = self.routes.find(asked)
        if found is None:
            return _html(405 if self.routes.knows_path(asked) else 404, "Resource not found")
        endpoint, handler, names = found
        if self._strikes("nse_down", endpoint):
            return _html(503, "Service Unavailable")
        if self._strikes("nse_blocked", endpoint):
            return _html(403, "Access Denied")
        if asked.path != "/robots.txt" and not _is_browser(asked):
            return _html(403, "Access Denied")
        answer = handler(asked, **names)
        return _other_shape(answer) if self._strikes("nse_changed", endpoint) else answer

    def _strikes(self, name: str, endpoint: str) -> bool:
        return self._faults.strikes(name, self._floor.now, endpoint) is not None

    # --- the cookies ---

    def _home(self, _: Request) -> Answer:
        now = self._floor.now
        self._visits = {nsit: at for nsit, at in self._visits.items() if now - at < COOKIE_LIFE}
        nsit = _digest(f"nsit {now.isoformat()} {len(self._visits)}")
        self._visits[nsit] = now
        told = {"nsit": nsit, "nseappid": _digest(f"nseappid {nsit}"), "bm_sv": _digest("bm"), "ak_bmsc": "0"}
        cookies = [("Set-Cookie", f"{name}={value}; Path=/; HttpOnly") for name, value in told.items()]
        return as_text("<!doctype html><title>NSE</title><h1>NSE, played</h1>", headers=cookies)

    def _guarded(self, handler: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        """What a script meets that asks the API without having looked at a page."""

        def asked_as_a_browser(asked: Request) -> Answer:
            if not self._has_visited(asked):
                return _html(401, "Unauthorized")
            return handler(asked) if asked.headers.get("referer") else _html(403, "Access Denied")

        return asked_as_a_browser

    def _has_visited(self, asked: Request) -> bool:
        pairs = (pair.strip().partition("=") for pair in asked.headers.get("cookie", "").split(";"))
        cookies = {name: value for name, _, value in pairs}
        given = self._visits.get(cookies.get("nsit", ""))
        if given is None or self._floor.now - given >= COOKIE_LIFE:
            return False
        return cookies.get("nseappid") == _digest(f"nseappid {cookies['nsit']}")

    # --- the constituents ---

    def _constituents_csv(self, _: Request, file: str) -> Answer:
        index = _BY_FILE.get(file)
        if index is None:
            return _html(404, "Resource not found")
        out = StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(
            (share.name, share.industry, share.ticker, share.series, share.isin)
            for share in self._shares()[index.first : index.past_last]
        )
        return as_text(out.getvalue(), content_type=CSV)

    def _constituents(self, asked: Request) -> Answer:
        name = asked.one("index")
        shares = self._shares()
        if name == FNO_INDEX:
            shares = [share for share in shares if share.symbol_class is SymbolClass.FNO]
        elif name in INDICES:
            shares = shares[INDICES[name].first : INDICES[name].past_last]
        else:
            return as_json({})
        rows = [self._share_row(share) for share in shares]
        changes = [row["change"] for row in rows]
        advance = {
            "declines": str(sum(change < 0 for change in changes)),
            "advances": str(sum(change > 0 for change in changes)),
            "unchanged": str(sum(change == 0 for change in changes)),
        }
        index_row = {**self._prices(name), "priority": 1, "symbol": name, "identifier": name}
        told = {"name": name, "advance": advance, "timestamp": _stamp(self._floor.now)}
        return as_json({**told, "data": [index_row, *rows], "marketStatus": self._market_status(index_row)})

    def _shares(self) -> Sequence[Listing]:
        return [listing for listing in self._floor.market.listings if not listing.is_index]

    def _share_row(self, share: Listing) -> Object:
        meta = {
            "symbol": share.ticker,
            "companyName": share.name,
            "industry": share.industry,
            "activeSeries": [share.series],
            "debtSeries": [],
            "isFNOSec": share.symbol_class is SymbolClass.FNO,
            **dict.fromkeys(
                ("isCASec", "isSLBSec", "isDebtSec", "isSuspended", "isETFSec", "isDelisted"), False
            ),
            "isin": share.isin,
        }
        named = {"priority": 0, "symbol": share.ticker, "identifier": f"{share.ticker}{share.series}N"}
        return {**named, "series": share.series, **self._prices(share.ticker), "meta": meta}

    def _prices(self, ticker: str) -> Object:
        """Zeros for a name without a price."""
        now = self._floor.quote(ticker)
        last, close = (0, 0) if now is None else (now.last, now.close)
        return {
            "open": amount(now.open) if now else 0,
            "dayHigh": amount(now.high) if now else 0,
            "dayLow": amount(now.low) if now else 0,
            "lastPrice": amount(last),
            "previousClose": amount(close),
            "change": amount(last - close),
            "pChange": round((last - close) * 100 / close, 2) if close else 0,
            "totalTradedVolume": now.volume if now else 0,
            "totalTradedValue": amount(now.volume * now.average) if now else 0,
            "lastUpdateTime": _stamp(now.at if now else self._floor.now),
        }

    def _market_status(self, index_row: Object) -> Object:
        now, calendar = self._floor.now, self._floor.calendar
        day = ist_day(now)
        is_open = calendar.is_trading_day(day) and (
            calendar.session_of(day, SymbolClass.OTHER).phase_at(now) is PhaseKind.CONTINUOUS
        )
        return {
            "market": "Capital Market",
            "marketStatus": "Open" if is_open else "Close",
            "tradeDate": _day_text(day),
            "index": index_row["symbol"],
            "last": index_row["lastPrice"],
            "variation": index_row["change"],
            "percentChange": index_row["pChange"],
            "marketStatusMessage": f"Normal Market is {'Open' if is_open else 'Closed'}",
        }

    # --- the holidays ---

    def _holidays(self, asked: Request) -> Answer:
        if asked.one("type") not in ("trading", "clearing"):
            return _html(404, "Resource not found")
        rows = holiday_rows(self._floor.calendar, ist_day(self._floor.now).year)
        return as_json(dict.fromkeys(SEGMENTS, rows))


def holiday_rows(calendar: Calendar, year: int) -> list[Object]:
    """Whole closures of a year; an evening session of a holiday is not flagged, and its day is listed."""
    listed = calendar.years.get(year)
    closed = {c.day: c.label for c in listed.closures.values() if c.closes_ist is None} if listed else {}
    evenings = {
        special.day: special.label
        for special in calendar.specials.values()
        if special.day.year == year and not special.tradable and special.label == "Muhurat"
    }
    days = {**closed, **evenings}
    return [
        {
            "tradingDate": _day_text(day),
            "weekDay": f"{day:%A}",
            "description": days[day],
            "Sr_no": number,
        }
        for number, day in enumerate(sorted(days), start=1)
    ]


def _is_browser(asked: Request) -> bool:
    return asked.headers.get("user-agent", "").startswith("Mozilla/")


def _robots(_: Request) -> Answer:
    return as_text("User-agent: *\nDisallow: /api/\n", content_type="text/plain")


def _html(status: int, title: str) -> Answer:
    return as_text(f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>", status)


def _other_shape(answer: Answer) -> Answer:
    """The site has been made anew: other columns, other keys, the same status."""
    if answer.content_type == CSV:
        head, _, rest = answer.body.decode().partition("\r\n")
        return as_text(f"{head.replace('Symbol', 'Ticker').replace(',', ';')}\r\n{rest}", content_type=CSV)
    if answer.content_type is not None and answer.content_type.startswith("application/json"):
        return as_json({"records": {"payload": json.loads(answer.body)}}, answer.status)
    return answer


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


def _day_text(day: date) -> str:
    return f"{day:%d-%b-%Y}"


def _stamp(at: datetime) -> str:
    return f"{at:%d-%b-%Y %H:%M:%S}"
