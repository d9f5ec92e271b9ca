"""Do the exchange's pages answer as NSE's do, to a browser and to what is none?"""

import csv
import json
from dataclasses import replace
from datetime import date, time, timedelta
from io import StringIO
from urllib.parse import quote, urlencode

import pytest

from exchange.faults import Fault
from exchange.nouns import Listing
from exchange.nse import COOKIE_LIFE, CSV_COLUMNS, INDICES, PAGES, SEGMENTS, Nse, holiday_rows
from exchange.web import Answer, request
from rulebook.hours import Closure, SymbolClass
from rulebook.records import Paise
from tests.exchange_market import CALENDAR, INDEX, Trader

TABLE = """
09:15:00 100.00 100
09:16:10 101.00 100
"""
BROWSER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"}
REFERER = {"referer": "https://www.nseindia.com/option-chain"}
NIFTY_50 = f"/api/equity-stock-indices?index={quote('NIFTY 50')}"
HOLIDAYS = "/api/holiday-master?type=trading"
CONSTITUENTS = "/content/indices/ind_nifty50list.csv"
SHARES = tuple(
    Listing(
        f"S{number:03}", f"Share, No. {number}", 10 + number, Paise(5), industry="Services", isin=f"INE{number:09}",
        symbol_class=SymbolClass.OTHER if number % 2 else SymbolClass.FNO,
    )
    for number in range(120)
)  # fmt: skip


class Visitor:
    """Somebody who looks at the pages, without the sockets between."""

    def __init__(self, *faults: Fault, start: str = "09:00", till: str = "09:16:30") -> None:
        tapes = {"S000": TABLE, "NIFTY 50": TABLE}
        self.trader = Trader(tapes, *faults, start=start, listings=(INDEX, *SHARES))
        self.nse = Nse(self.trader.exchange, self.trader.faults)
        self.trader.till(till)

    def get(self, target: str, **headers: str) -> Answer:
        return self.nse.answer(request("GET", target, headers, b""))

    def cookies(self, page: str = "/option-chain") -> dict[str, str]:
        answer = self.get(page, **BROWSER)
        pairs = [value.split(";")[0] for name, value in answer.headers if name == "Set-Cookie"]
        return {"cookie": "; ".join(pairs)}

    def asked(self, target: str) -> Answer:
        """As a browser does it."""
        return self.get(target, **BROWSER, **REFERER, **self.cookies())


# --- the dance ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_page_gives_the_cookies_that_the_api_wants(page):
    visitor = Visitor()
    cookies = visitor.cookies(page)

    assert {"nsit", "nseappid", "bm_sv", "ak_bmsc"} == {
        pair.split("=")[0] for pair in cookies["cookie"].split("; ")
    }
    assert 200 == visitor.get(NIFTY_50, **BROWSER, **REFERER, **cookies).status


@pytest.mark.parametrize("target", [NIFTY_50, HOLIDAYS])
@pytest.mark.parametrize(
    ("missing", "status"),
    [("cookie", 401), ("nsit", 401), ("nseappid", 401), ("referer", 403), ("user-agent", 403)],
)
def test_what_is_no_browser_is_shown_a_page_and_no_data(target, missing, status):
    visitor = Visitor()
    headers = {**BROWSER, **REFERER, **visitor.cookies()}
    if missing in headers:
        del headers[missing]
    else:
        headers["cookie"] = "; ".join(c for c in headers["cookie"].split("; ") if not c.startswith(missing))
    answer = visitor.get(target, **headers)

    assert (status, "text/html; charset=utf-8") == (answer.status, answer.content_type)
    assert b"<html>" in answer.body


def test_cookies_of_one_s_own_making_do_not_open():
    visitor = Visitor()
    real = visitor.cookies()["cookie"]

    for made in (
        "nsit=1; nseappid=1",
        real.replace("nsit=", "nsit=0"),
        real.replace("nseappid=", "nseappid=0"),
    ):
        assert 401 == visitor.get(NIFTY_50, **BROWSER, **REFERER, cookie=made).status


def test_cookies_live_an_hour_and_two_visitors_do_not_share_them():
    visitor = Visitor()
    first, second = visitor.cookies(), visitor.cookies()
    assert first != second
    visitor.trader.wait(COOKIE_LIFE.total_seconds() - 1)
    assert {200} == {
        visitor.get(NIFTY_50, **BROWSER, **REFERER, **cookies).status for cookies in (first, second)
    }
    visitor.trader.wait(1)

    assert 401 == visitor.get(NIFTY_50, **BROWSER, **REFERER, **first).status


def test_the_archive_wants_a_browser_and_nothing_else():
    visitor = Visitor()

    assert 200 == visitor.get(CONSTITUENTS, **BROWSER).status
    assert 403 == visitor.get(CONSTITUENTS, **{"user-agent": "python-requests/2.32"}).status
    assert 403 == visitor.get(CONSTITUENTS).status


def test_robots_are_told_to_stay_out_of_the_api():
    answer = Visitor().get("/robots.txt")

    assert (200, "text/plain") == (answer.status, answer.content_type)
    assert b"Disallow: /api/" in answer.body


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/api/equity-stockIndices?index=NIFTY%2050", 404),
        ("GET", "/api/allIndices", 404),
        ("GET", "/content/indices/ind_niftyfiftylist.csv", 404),
        ("POST", NIFTY_50, 405),
    ],
)
def test_what_is_not_there_is_an_html_page(method, target, status):
    visitor = Visitor()
    headers = {**BROWSER, **REFERER, **visitor.cookies()}
    answer = visitor.nse.answer(request(method, target, headers, b""))

    assert status == answer.status
    assert answer.body.startswith(b"<html>")


# --- the constituents -----------------------------------------------------------------------------------


def rows_of(answer: Answer) -> list[dict[str, str]]:
    assert (200, "text/csv") == (answer.status, answer.content_type)
    return list(csv.DictReader(StringIO(answer.body.decode())))


def test_the_csv_has_the_published_columns_and_quotes_what_has_a_comma():
    rows = rows_of(Visitor().get(CONSTITUENTS, **BROWSER))

    assert list(CSV_COLUMNS) == list(rows[0])
    assert {
        "Company Name": "Share, No. 0", "Industry": "Services", "Symbol": "S000", "Series": "EQ",
        "ISIN Code": "INE000000000",
    } == rows[0]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("NIFTY 50", 0, 50), ("NIFTY NEXT 50", 50, 50), ("NIFTY 100", 0, 100), ("NIFTY 200", 0, 120),
        ("NIFTY 500", 0, 120), ("NIFTY MIDCAP 150", 100, 20), ("NIFTY SMALLCAP 250", 250, 0),
    ],
)  # fmt: skip
def test_each_index_has_its_places_in_the_market_s_list_in_both_forms(name, first, count):
    visitor = Visitor()
    expected = [share.ticker for share in SHARES[first : first + count]]
    told = json.loads(visitor.asked(f"/api/equity-stock-indices?{urlencode({'index': name})}").body)

    assert expected == [
        row["Symbol"] for row in rows_of(visitor.get(f"/content/indices/{INDICES[name].file}.csv", **BROWSER))
    ]
    assert [name, *expected] == [row["symbol"] for row in told["data"]]


def test_the_json_has_the_index_first_and_prices_and_who_is_who():
    told = json.loads(Visitor().asked(NIFTY_50).body)
    index, share, silent = told["data"][:3]

    assert ("NIFTY 50", "20-Nov-2026 09:16:30") == (told["name"], told["timestamp"])
    assert (1, "NIFTY 50", 101, 1) == (
        index["priority"],
        index["symbol"],
        index["lastPrice"],
        index["pChange"],
    )
    assert (0, "S000", "EQ", "S000EQN") == tuple(
        share[n] for n in ("priority", "symbol", "series", "identifier")
    )
    assert (100, 101, 100, 101, 100, 1, 1, 200) == tuple(
        share[n]
        for n in (
            "open",
            "dayHigh",
            "dayLow",
            "lastPrice",
            "previousClose",
            "change",
            "pChange",
            "totalTradedVolume",
        )
    )
    assert ("Share, No. 0", "Services", True, "INE000000000") == tuple(
        share["meta"][n] for n in ("companyName", "industry", "isFNOSec", "isin")
    )
    assert ("S001", False, 0) == (silent["symbol"], silent["meta"]["isFNOSec"], silent["totalTradedVolume"])
    assert {"declines": "0", "advances": "1", "unchanged": "49"} == told["advance"]


def test_the_list_of_f_and_o_names_is_an_index_too_and_an_unknown_one_is_empty():
    visitor = Visitor()
    told = json.loads(visitor.asked(f"/api/equity-stock-indices?index={quote('SECURITIES IN F&O')}").body)

    assert [share.ticker for share in SHARES[::2]] == [row["symbol"] for row in told["data"][1:]]
    assert {} == json.loads(visitor.asked("/api/equity-stock-indices?index=NIFTY").body)


@pytest.mark.parametrize(
    ("start", "till", "status"),
    [("09:00", "09:14:59", "Close"), ("09:00", "09:15", "Open"), ("16:00", "16:00", "Close")],
)
def test_the_market_is_open_while_it_trades(start, till, status):
    told = json.loads(Visitor(start=start, till=till).asked(NIFTY_50).body)

    assert (status, "20-Nov-2026") == tuple(told["marketStatus"][n] for n in ("marketStatus", "tradeDate"))


def test_the_market_is_closed_on_a_holiday():
    visitor = Visitor()
    visitor.trader.till("12:00", day=date(2026, 11, 24))

    assert "Close" == json.loads(visitor.asked(NIFTY_50).body)["marketStatus"]["marketStatus"]


# --- the holidays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["trading", "clearing"])
def test_every_segment_has_the_holidays_of_the_year(kind):
    told = json.loads(Visitor().asked(f"/api/holiday-master?type={kind}").body)

    assert list(SEGMENTS) == list(told)
    assert {
        "tradingDate": "26-Jan-2026",
        "weekDay": "Monday",
        "description": "Republic Day",
        "Sr_no": 2,
    } == told["CM"][1]
    assert told["CM"] == told["FO"] == holiday_rows(CALENDAR, 2026)


def test_an_unknown_list_of_holidays_is_not_found():
    assert 404 == Visitor().asked("/api/holiday-master?type=bank").status


def test_the_list_closes_the_days_that_the_calendar_closes_and_the_evening_s_day():
    listed = {row["tradingDate"] for row in holiday_rows(CALENDAR, 2026)}
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
    closed = {f"{day:%d-%b-%Y}" for day in days if day.weekday() < 5 and not CALENDAR.is_trading_day(day)}

    assert closed | {"08-Nov-2026"} == listed
    assert "01-Feb-2026" not in listed  # a Sunday on which the Budget was traded


def test_a_drill_on_a_saturday_and_an_early_close_are_no_holidays():
    early = date(2024, 7, 1)
    year = CALENDAR.years[2024]
    closures = {**year.closures, early: Closure(early, "half a day", time(13))}
    calendar = replace(CALENDAR, years={**CALENDAR.years, 2024: replace(year, closures=closures)})
    listed = {row["tradingDate"] for row in holiday_rows(calendar, 2024)}

    assert "01-Nov-2024" in listed  # Muhurat
    assert not listed & {"02-Mar-2024", "01-Jul-2024"}


def test_a_year_that_nobody_knows_has_no_holidays():
    assert [] == holiday_rows(CALENDAR, 2031)


# --- the faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [("nse_blocked", 403, b"Access Denied"), ("nse_down", 503, b"Service Unavailable")],
)
@pytest.mark.parametrize("target", ["/", CONSTITUENTS, NIFTY_50, HOLIDAYS])
def test_a_site_that_is_shut_says_so_to_a_browser_too(name, status, says, target):
    visitor = Visitor()
    headers = {**BROWSER, **REFERER, **visitor.cookies()}
    visitor.trader.faults.add(Fault(name))
    answer = visitor.get(target, **headers)

    assert status == answer.status
    assert says in answer.body


def test_a_site_that_was_made_anew_has_neither_the_columns_nor_the_keys():
    visitor = Visitor()
    headers = {**BROWSER, **REFERER, **visitor.cookies()}
    visitor.trader.faults.add(Fault("nse_changed"))
    rows = rows_of(visitor.get(CONSTITUENTS, **BROWSER))

    assert not set(CSV_COLUMNS) & set(rows[0])
    assert {"records"} == set(json.loads(visitor.get(NIFTY_50, **headers).body))
    assert {"records"} == set(json.loads(visitor.get(HOLIDAYS, **headers).body))


def test_a_fault_strikes_where_it_is_sent():
    visitor = Visitor(Fault("nse_down", where="GET /api/*"))

    assert 200 == visitor.get(CONSTITUENTS, **BROWSER).status
    assert "GET /api/holiday-master" == visitor.nse.endpoint(request("GET", HOLIDAYS, {}, b""))
    assert 503 == visitor.asked(HOLIDAYS).status
