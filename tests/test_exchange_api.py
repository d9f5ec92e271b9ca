"""Does the REST interface speak as the broker does? Shapes, refusals, edges, over a real exchange."""

import csv
import gzip
import json
from datetime import date, datetime, timedelta
from io import BytesIO, StringIO
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import answers, asks, baskets, fields, history, master
from exchange.api import Api
from exchange.faults import Fault
from exchange.fields import ANSWERS, Keyed, Kind, OrNull, misfits
from exchange.login import Logins, checksum_of
from exchange.nouns import (
    Candle,
    Changes,
    Flow,
    Funds,
    Holding,
    Listing,
    OrderRequest,
    OrderView,
    RefusalError,
    Terms,
)
from exchange.web import Answer, request
from facts import read_calendar, read_tariff
from kite import books
from kite.instruments import read_master
from rulebook.charges import order_charges
from rulebook.hours import IST, SymbolClass
from rulebook.records import OrderType, Paise, Side
from tests.conftest import ROOT
from tests.exchange_market import DAY, Trader, at, tape

TODAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=IST)
CALENDAR = read_calendar(ROOT / "config")
RATES = read_tariff(ROOT / "config").rates_on(TODAY)

INFY = Listing("INFY", "INFOSYS", 1594, Paise(10))
THIN = Listing("THIN", "THIN & DRY, LTD", 77, Paise(5), symbol_class=SymbolClass.OTHER)
NIFTY = Listing("NIFTY 50", "NIFTY 50", 1001, Paise(5), is_index=True)


# --- the published lists ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shape", "found"),
    [
        ("INFY", Kind.TEXT, []),
        (1, Kind.TEXT, ["data is 1, not text"]),
        (72, Kind.AMOUNT, []),
        (72.5, Kind.AMOUNT, []),
        (True, Kind.AMOUNT, ["data is True, not amount"]),
        (72.0, Kind.COUNT, ["data is 72.0, not count"]),
        (True, Kind.COUNT, ["data is True, not count"]),
        (1, Kind.FLAG, ["data is 1, not flag"]),
        ("2026-11-20 09:15:01", Kind.MOMENT, []),
        ("2026-11-20T09:15:01", Kind.MOMENT, ["data is '2026-11-20T09:15:01', not 2026-11-20 09:15:01"]),
        ("2026-11-20T09:15:00+0530", Kind.CANDLE_TIME, []),
        ("9:15:00", Kind.CLOCK, ["data is '9:15:00', not 09:15:01"]),
        ("123", Kind.ID, []),
        (123, Kind.ID, ["data is 123, not digits as text"]),
        ({"any": 1}, Kind.OBJECT, []),
        (None, OrNull(Kind.ID), []),
        (None, Kind.ID, ["data is None, not digits as text"]),
        ({"a": 1}, {"a": Kind.COUNT, "b?": Kind.COUNT}, []),
        ({}, {"a": Kind.COUNT, "b?": Kind.COUNT}, ["data.a is missing"]),
        ({"a": 1, "c": 2}, {"a": Kind.COUNT}, ["data.c is no published field"]),
        ({"NSE:INFY": {"x": "1"}}, Keyed({"x": Kind.COUNT}), ["data.NSE:INFY.x is '1', not count"]),
        ([1, "2"], [Kind.COUNT], ["data[1] is '2', not count"]),
        (["x", 1], (Kind.TEXT, Kind.COUNT), []),
        (["x"], (Kind.TEXT, Kind.COUNT), ["data is \"['x']\", of another form"]),
        ({}, [Kind.COUNT], ["data is '{}', of another form"]),
        ([], {"a": Kind.COUNT}, ["data is '[]', of another form"]),
    ],
)  # fmt: skip
def test_a_value_that_is_not_as_published_is_told_by_its_place(value, shape, found):
    assert found == list(misfits(value, shape))


# --- amounts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paise", "written"),
    [(0, "0"), (7200, "72"), (10940, "109.4"), (5, "0.05"), (-201, "-2.01"), (150, "1.5")],
)
def test_amounts_are_written_as_the_broker_writes_them(paise, written):
    assert written == json.dumps(answers.amount(paise))


@pytest.mark.parametrize(
    ("value", "qty", "written"),
    [
        (0, 0, "0"),
        (72_00 * 3, 3, "72"),
        (100_00 + 100_05, 2, "100.025"),
        (200_00, 3, "66.666667"),
        (1, 3, "0.003333"),
    ],
)
def test_an_average_has_six_decimals_at_most(value, qty, written):
    assert written == json.dumps(answers.average(value, qty))


@given(st.integers(-(10**12), 10**12))
def test_an_amount_reads_back_to_the_paisa(paise):
    assert paise == round(json.loads(json.dumps(answers.amount(paise))) * 100)


# --- an order -----------------------------------------------------------------------------------------


def a_view(**changed) -> OrderView:
    asked = OrderRequest("INFY", Side.BUY, 10, "MIS", OrderType.LIMIT, price=Paise(1500_00), tag="mine")
    usual = {
        "order_id": "261120000000001", "exchange_order_id": "1261120000000001", "request": asked, "order_type": OrderType.LIMIT,
        "qty": 10, "price": Paise(1500_00), "trigger": Paise(0), "status": "OPEN", "filled": 0, "cancelled": 0, "value": 0, "placed_at": NOON,
        "exchange_at": NOON, "updated_at": NOON, "modifications": 0, "protection_milli": 0, "tags": ("mine",),
    }  # fmt: skip
    return OrderView(**{**usual, **changed})


def spelled(**changed: Any) -> Any:
    order = answers.order(a_view(**changed), INFY.token, "LX0001")
    assert [] == list(misfits(order, fields.ORDER))
    return order


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"status": "CANCELLED", "cancelled": 10}, {"pending_quantity": 10, "cancelled_quantity": 10}),
        ({"status": "CANCELLED", "filled": 4, "cancelled": 6, "value": 4 * 1500_00}, {"pending_quantity": 6, "filled_quantity": 4}),
        ({"status": "REJECTED"}, {"pending_quantity": 0, "cancelled_quantity": 0}),
        ({"filled": 4, "value": 4 * 1500_00}, {"pending_quantity": 6, "average_price": 1500}),
        ({"status": "COMPLETE", "filled": 10, "value": 15000_50}, {"pending_quantity": 0, "average_price": 1500.05}),
        ({"modifications": 1}, {"modified": True}),
        ({"protection_milli": 2_500}, {"market_protection": 2.5}),
        ({"protection_milli": 2_000}, {"market_protection": 2}),
        ({"protection_milli": -1}, {"market_protection": -1}),
        ({"exchange_order_id": None, "exchange_at": None, "updated_at": None}, {"exchange_order_id": None, "exchange_timestamp": None, "exchange_update_timestamp": None}),
        ({"placed_at": NOON.astimezone(tz=None)}, {"order_timestamp": "2026-11-20 12:00:00"}),
        ({"message": "no", "message_raw": "RMS:no"}, {"status_message": "no", "status_message_raw": "RMS:no"}),
    ],
)  # fmt: skip
def test_an_order_s_odd_numbers_are_the_broker_s(changed, shown):
    order = spelled(**changed)

    assert shown == {name: order[name] for name in shown}


def test_an_order_without_tags_has_no_such_field_and_one_of_the_broker_has_a_tag_of_null():
    asked = OrderRequest("INFY", Side.SELL, 10, "MIS", OrderType.MARKET, placed_by_broker=True)

    assert "tags" not in spelled(tags=())
    assert ("mine", ["mine"]) == (spelled()["tag"], spelled()["tags"])
    order = spelled(request=asked, tags=("mktp", "mktp:2.00"))
    assert (None, ["mktp", "mktp:2.00"], "ADMINSQF") == (order["tag"], order["tags"], order["placed_by"])


def test_an_order_frame_is_the_order_with_the_frame_s_own_status():
    frame = answers.order_frame(a_view(filled=4, value=4 * 1500_00), INFY.token, "LX0001", "UPDATE")

    assert [] == list(misfits(frame, fields.ORDER_FRAME))
    assert ("UPDATE", 6, "LX0001", "") == tuple(
        frame[n] for n in ("status", "unfilled_quantity", "user_id", "checksum")
    )


# --- positions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "shown"),
    [
        (Flow("INFY", "MIS", 10, 15000_00, 0, 0), {"quantity": 10, "average_price": 1500, "value": -15000, "pnl": 50, "close_price": 0}),
        (Flow("INFY", "MIS", 0, 0, 10, 15000_00), {"quantity": -10, "average_price": 1500, "value": 15000, "pnl": -50}),
        (Flow("INFY", "MIS", 10, 15000_00, 10, 15100_00), {"quantity": 0, "average_price": 0, "value": 100, "pnl": 100, "unrealised": 100, "realised": 0}),
        (Flow("INFY", "MIS", 10, 15000_00, 4, 6040_00), {"quantity": 6, "average_price": 1500, "buy_price": 1500, "sell_price": 1510, "pnl": 70}),
        (Flow("INFY", "CNC", 0, 0, 0, 0, overnight=3), {"quantity": 3, "overnight_quantity": 3, "average_price": 1490, "close_price": 1490, "day_buy_quantity": 0, "buy_quantity": 3}),
    ],
)  # fmt: skip
def test_a_position_adds_up_at_a_price_of_1505(flow, shown):
    row = answers.position(flow, INFY.token, 1505_00, 1490_00, False)

    assert [] == list(misfits(row, fields.POSITION))
    assert shown == {name: row[name] for name in shown}


def test_the_day_knows_nothing_of_yesterday():
    flow = Flow("INFY", "NRML", 1, 1500_00, 4, 6000_00, overnight=3)
    net, day = (answers.position(flow, INFY.token, 1505_00, 1490_00, of_day) for of_day in (False, True))

    assert (0, 3, 4) == (net["quantity"], net["overnight_quantity"], net["buy_quantity"])
    assert (-3, 0, 1, 1500) == (
        day["quantity"],
        day["overnight_quantity"],
        day["buy_quantity"],
        day["average_price"],
    )


FLOWS = st.builds(
    lambda bought, sold, at, overnight: Flow("INFY", "MIS", bought, bought * at, sold, sold * (at + 5), overnight),
    st.integers(0, 500), st.integers(0, 500), st.integers(1, 10**6), st.integers(-50, 50),
)  # fmt: skip


@given(FLOWS, st.integers(1, 10**6), st.integers(1, 10**6), st.booleans())
def test_the_numbers_of_a_position_agree_with_each_other(flow, last, close, of_day):
    row = answers.position(flow, INFY.token, last, close, of_day)
    paise = {
        name: round(value * 100) for name, value in row.items() if name.endswith(("value", "pnl", "m2m"))
    }

    assert row["quantity"] == row["buy_quantity"] - row["sell_quantity"]
    assert paise["value"] == paise["sell_value"] - paise["buy_value"]
    assert paise["pnl"] == paise["value"] + row["quantity"] * last
    assert row["quantity"] == (flow.bought - flow.sold if of_day else flow.net)


# --- funds --------------------------------------------------------------------------------------------


def test_the_funds_of_the_account_agree_with_each_other():
    told = answers.margins(Funds(opening=100_000_00, blocked=30_000_00, realised=250_50, unrealised=-100_00))
    equity = told["equity"]

    assert [] == list(misfits(told, ANSWERS["GET /user/margins"]))
    assert 70_150.5 == equity["net"] == equity["available"]["live_balance"]
    assert equity["net"] == equity["available"]["cash"] - equity["utilised"]["debits"]
    assert (30_000, 250.5, -100) == tuple(
        equity["utilised"][n] for n in ("exposure", "m2m_realised", "m2m_unrealised")
    )
    assert (False, 0) == (told["commodity"]["enabled"], told["commodity"]["net"])


# --- charges and margins ------------------------------------------------------------------------------


@given(st.sampled_from(Side), st.integers(1, 10**10))
def test_the_charges_block_is_the_rule_book_s_sum_before_it_is_rounded(side, value):
    block = answers.charges([(side, value)], RATES)
    items = "transaction_tax exchange_turnover_charge sebi_turnover_charge brokerage stamp_duty"

    assert [] == list(misfits(block, fields.CHARGES))
    assert abs(order_charges(side, value, RATES) - block["total"] * 100) <= 0.5 + 1e-6
    assert block["total"] == pytest.approx(sum(block[name] for name in items.split()) + block["gst"]["total"])


def test_the_worked_example_of_the_fact_sheet_comes_out():
    # kite.md 7: Rs 50,000 in and out cost 30.00 12.50 3.07 0.10 1.50 5.97, together 53.14.
    block = answers.charges([(Side.BUY, 50_000_00), (Side.SELL, 50_000_00)], RATES)
    names = "brokerage transaction_tax exchange_turnover_charge sebi_turnover_charge stamp_duty"

    assert [30.0, 12.5, 3.07, 0.1, 1.5] == [round(block[name], 2) for name in names.split()]
    assert (5.97, 53.14) == (round(block["gst"]["total"], 2), round(block["total"], 2))


def an_order(side: Side, qty: int, product: str = "MIS", ticker: str = "INFY") -> baskets.Priced:
    asked = OrderRequest(ticker, side, qty, product, OrderType.MARKET)
    return baskets.priced(asked, Paise(1500_00), lambda o: o.qty * 300_00, lambda _: 5)


@pytest.mark.parametrize(
    ("orders", "held", "initial", "final"),
    [
        ([an_order(Side.BUY, 10)], {}, 3000, 3000),
        ([an_order(Side.BUY, 10), an_order(Side.SELL, 10)], {}, 6000, 3000),
        ([an_order(Side.BUY, 10), an_order(Side.SELL, 15)], {}, 7500, 4500),
        ([an_order(Side.SELL, 10)], {("INFY", "MIS"): 10}, 3000, 0),
        ([an_order(Side.SELL, 10)], {("INFY", "MIS"): 4}, 3000, 1800),
        ([an_order(Side.SELL, 10)], {("INFY", "CNC"): 10}, 3000, 3000),
        (
            [an_order(Side.SELL, 10), an_order(Side.SELL, 10, ticker="THIN")],
            {("INFY", "MIS"): 10},
            6000,
            3000,
        ),
        ([], {}, 0, 0),
    ],
)
def test_what_closes_in_a_basket_needs_no_margin(orders, held, initial, final):
    told = baskets.basket(orders, held, RATES, compact=False)

    assert [] == list(misfits(told, ANSWERS["POST /margins/basket"]))
    assert (initial, final) == (told["initial"]["total"], told["final"]["total"])
    assert len(orders) == len(told["orders"])


def test_compact_leaves_everything_out_but_the_totals():
    told = baskets.basket([an_order(Side.BUY, 10)], {}, RATES, compact=True)

    assert {"initial", "final", "orders"} == set(told)
    for row in (told["initial"], told["final"], *told["orders"]):
        assert [] == list(misfits(row, fields.MARGIN_COMPACT))


@pytest.mark.parametrize(("product", "leverage"), [("MIS", 5), ("CNC", 1)])
def test_only_intraday_orders_have_leverage(product, leverage):
    assert leverage == an_order(Side.BUY, 1, product).leverage


# --- what a client asks -------------------------------------------------------------------------------

LEAST = {
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "10", "product": "MIS",
    "order_type": "LIMIT", "price": "1500.1",
}  # fmt: skip


def test_an_order_form_is_read_and_what_is_unknown_is_passed_over():
    form = {**LEAST, "trigger_price": "1499", "validity": "IOC", "disclosed_quantity": "2", "tag": "mine",
            "market_protection": "2.5", "variety": "regular", "order_id": "1", "algo_id": "x"}  # fmt: skip
    expected = OrderRequest(
        "INFY",
        Side.BUY,
        10,
        "MIS",
        OrderType.LIMIT,
        "regular",
        "IOC",
        Paise(1500_10),
        Paise(1499_00),
        2,
        2_500,
        "mine",
    )

    assert expected == asks.order_request(form, "regular")


def test_a_form_of_the_least_fields_has_the_broker_s_defaults():
    asked = asks.order_request(LEAST, "regular")

    assert ("DAY", None, 0, 0, None) == (
        asked.validity,
        asked.trigger,
        asked.disclosed_qty,
        asked.protection_milli,
        asked.tag,
    )


@pytest.mark.parametrize("name", [name for name in LEAST if name != "price"])
@pytest.mark.parametrize("empty", [None, ""])
def test_a_missing_field_is_named(name, empty):
    form = {key: value for key, value in LEAST.items() if key != name}
    with pytest.raises(RefusalError) as caught:
        asks.order_request(form if empty is None else {**form, name: empty}, "regular")

    assert (400, "InputException", f"Missing or empty field `{name}`") == (
        caught.value.status, caught.value.error_type, caught.value.message
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transaction_type", "buy"), ("product", "XYZ"), ("order_type", "STOP"), ("validity", "GTC"),
        ("quantity", "-1"), ("quantity", "1.5"), ("quantity", "ten"), ("quantity", "1" * 10), ("quantity", "\u0661"),
        ("price", "1500.101"), ("price", "nan"), ("price", "-1"), ("price", "1e3"), ("price", "inf"),
        ("trigger_price", "x"), ("market_protection", "-2"), ("market_protection", "100.1"), ("market_protection", "x"),
        ("market_protection", "0.0001"), ("exchange", "NASDAQ"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_read_is_named(name, value):
    with pytest.raises(RefusalError, match=f"Invalid `{name}`"):
        asks.order_request({**LEAST, name: value}, "regular")


@pytest.mark.parametrize(
    ("changed", "what"), [({"exchange": "BSE"}, "NSE only"), ({"autoslice": "true"}, "autoslice")]
)
def test_what_is_left_out_is_refused_in_so_many_words(changed, what):
    with pytest.raises(RefusalError, match=what):
        asks.order_request({**LEAST, **changed}, "regular")


@pytest.mark.parametrize(
    ("said", "milli"),
    [("-1", -1), ("-1.0", -1), ("0", 0), ("2", 2_000), ("0.5", 500), ("100", 100_000), ("", None)],
)
def test_market_protection_is_percent_or_minus_one(said, milli):
    assert milli == asks.Fields({"market_protection": said}).protection_milli()


@pytest.mark.parametrize(
    ("said", "price"), [("0", None), ("0.0", None), ("", None), ("0.05", 5), ("1500", 1500_00)]
)
def test_a_price_of_zero_is_none(said, price):
    assert price == asks.Fields({"price": said}).maybe_price("price")


def test_a_modification_says_only_what_it_changes():
    assert Changes() == asks.changes({"variety": "regular", "order_id": "1"}, "regular")
    assert Changes(5, Paise(1500_00), OrderType.MARKET, Paise(1490_00), "DAY", 0, -1) == asks.changes(
        {"quantity": "5", "price": "1500", "order_type": "MARKET", "trigger_price": "1490.0", "validity": "DAY",
         "disclosed_quantity": "0", "market_protection": "-1"}, "regular")  # fmt: skip


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"{", b"null"])
def test_a_body_that_is_no_array_of_orders_is_refused(body):
    with pytest.raises(RefusalError, match="Invalid JSON"):
        asks.rows(body)


# --- history ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "days"),
    [("minute", 60), ("3minute", 100), ("5minute", 100), ("10minute", 100), ("15minute", 200), ("30minute", 200),
     ("60minute", 400), ("day", 2000)],
)  # fmt: skip
def test_each_interval_has_its_limit_of_days(interval, days):
    first = TODAY - timedelta(days=days)

    assert history.span(interval, first.isoformat(), TODAY.isoformat())
    with pytest.raises(RefusalError, match=f"interval exceeds max limit: {days} days") as caught:
        history.span(interval, (first - timedelta(days=1)).isoformat(), TODAY.isoformat())
    assert (400, "InputException") == (caught.value.status, caught.value.error_type)


@pytest.mark.parametrize(
    ("interval", "first", "last", "begins", "ends"),
    [
        (
            "minute",
            "2026-11-20 09:40:00",
            "2026-11-20 09:44:00",
            "2026-11-20T09:40:00",
            "2026-11-20T09:44:00",
        ),
        ("minute", "2026-11-20 09:40", "2026-11-20T09:44", "2026-11-20T09:40:00", "2026-11-20T09:44:00"),
        ("minute", "2026-11-20T09:40:00+05:30", "2026-11-20", "2026-11-20T09:40:00", "2026-11-20T23:59:59"),
        ("5minute", "2026-11-20", "2026-11-20", "2026-11-20T00:00:00", "2026-11-20T23:59:59"),
        ("day", "2026-11-19 15:30:00", "2026-11-20 09:00:00", "2026-11-19T00:00:00", "2026-11-20T23:59:59"),
    ],
)
def test_a_span_is_read_as_clients_write_it(interval, first, last, begins, ends):
    found = history.span(interval, first, last)

    assert (begins, ends) == tuple(f"{at:%Y-%m-%dT%H:%M:%S}" for at in (found.first, found.last))
    assert timedelta(hours=5, minutes=30) == found.first.utcoffset() == found.last.utcoffset()


@pytest.mark.parametrize(
    ("interval", "first", "last", "what"),
    [
        ("2minute", "2026-11-20", "2026-11-20", "invalid interval"),
        ("minute", "", "2026-11-20", "invalid from date"),
        ("minute", "2026-11-20", "tomorrow", "invalid to date"),
        ("minute", "2026-11-31", "2026-11-20", "invalid from date"),
        ("minute", "2026-11-20 24:00:00", "2026-11-20", "invalid from date"),
        ("minute", "2026-11-20 10:00:00", "2026-11-20 09:59:59", "invalid from date"),
    ],
)
def test_a_span_that_is_none_is_an_input_exception(interval, first, last, what):
    with pytest.raises(RefusalError, match=what):
        history.span(interval, first, last)


def test_candles_are_rows_and_a_day_s_is_stamped_at_midnight():
    opened_s = int(datetime(2026, 11, 20, 9, 15, tzinfo=IST).timestamp())
    found = [Candle(opened_s, 1500_00, 1510_50, 1499_95, 1505_00, 1000)]

    assert {"candles": [["2026-11-20T09:15:00+0530", 1500, 1510.5, 1499.95, 1505, 1000]]} == answers.candles(
        found, 1, False
    )
    assert ["2026-11-20T00:00:00+0530", 0] == [
        answers.candles(found, 1440, True)["candles"][0][i] for i in (0, 6)
    ]


# --- the list of instruments ---------------------------------------------------------------------------


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def test_the_list_has_the_published_columns_and_each_kind_of_row():
    rows = {row["tradingsymbol"]: row for row in rows_of(master.as_csv([NIFTY, INFY, THIN], CALENDAR, TODAY))}

    assert list(fields.INSTRUMENT_COLUMNS) == list(rows["INFY"])
    assert ("408065", "1594", "0.1", "1", "EQ", "NSE", "NSE", "", "0") == tuple(
        rows["INFY"][name] for name in ("instrument_token", "exchange_token", "tick_size", "lot_size",
                                        "instrument_type", "segment", "exchange", "expiry", "strike")
    )  # fmt: skip
    assert ("256265", "INDICES", "NSE", "0") == tuple(
        rows["NIFTY 50"][name] for name in ("instrument_token", "segment", "exchange", "tick_size")
    )
    assert "THIN & DRY, LTD" == rows["THIN"]["name"]


def test_who_has_a_live_future_is_an_f_and_o_name_and_nobody_else():
    rows = rows_of(master.as_csv([NIFTY, INFY, THIN], CALENDAR, TODAY, "NFO"))

    assert {"INFY"} == {row["name"] for row in rows}
    assert ["INFY26NOVFUT", "INFY26DECFUT", "INFY27JANFUT"] == [row["tradingsymbol"] for row in rows]
    assert {("NFO-FUT", "FUT", "NFO")} == {
        (row["segment"], row["instrument_type"], row["exchange"]) for row in rows
    }
    assert {2} == {int(row["instrument_token"]) % 256 for row in rows}


@pytest.mark.parametrize(
    ("day", "expiries"),
    [
        # The last Tuesday of November 2026 is Guru Nanak Jayanti.
        ("2026-11-20", ["2026-11-23", "2026-12-29", "2027-01-25"]),
        ("2026-11-23", ["2026-11-23", "2026-12-29", "2027-01-25"]),
        ("2026-11-24", ["2026-12-29", "2027-01-25", "2027-02-23"]),
        ("2025-08-01", ["2025-08-28", "2025-09-30", "2025-10-28"]),
        ("2027-12-30", []),
    ],
)
def test_futures_expire_on_the_last_tuesday_or_the_session_before_it(day, expiries):
    assert expiries == [
        found.isoformat() for found in master.live_expiries(CALENDAR, date.fromisoformat(day))
    ]


def test_the_futures_of_two_days_that_share_a_month_share_its_token():
    before, after = (
        {
            row["tradingsymbol"]: row["instrument_token"]
            for row in rows_of(master.as_csv([INFY], CALENDAR, day, "NFO"))
        }
        for day in (TODAY, date(2026, 11, 25))
    )

    assert {name: before[name] for name in ("INFY26DECFUT", "INFY27JANFUT")} == {
        name: after[name] for name in ("INFY26DECFUT", "INFY27JANFUT")
    }
    assert 4 == len({*before.values(), *after.values()})


@pytest.mark.parametrize(
    ("clock", "day"), [("08:29:59", 19), ("08:30:00", 20), ("00:00:00", 19), ("23:59:59", 20)]
)
def test_the_list_is_made_anew_in_the_morning(clock, day):
    now = datetime.fromisoformat(f"2026-11-20T{clock}").replace(tzinfo=IST)

    assert date(2026, 11, day) == master.list_day(now)


def test_a_stale_list_has_one_wrong_tick_and_one_token_that_has_moved():
    listings = [NIFTY, INFY, Listing("SBIN", "SBI", 3045, Paise(5)), THIN]
    aged = master.stale(listings)
    changed = [
        (new.ticker, new.tick != old.tick, new.token != old.token)
        for new, old in zip(aged, listings, strict=True)
    ]

    assert [
        ("NIFTY 50", False, False),
        ("INFY", True, False),
        ("SBIN", False, False),
        ("THIN", False, True),
    ] == changed


# --- over a real exchange ------------------------------------------------------------------------------

TABLE = """
09:15:00 100.00 100
09:15:30 100.50 200
09:16:10 101.00 100
09:17:05 100.75 50
09:40:00 102.00 10
12:00:00 101.00 500
"""
FNO_TOKEN, PLAIN_TOKEN, INDEX_TOKEN = 257, 513, 777


class Client:
    """A client that has logged in, without the sockets between."""

    def __init__(self, *faults: Fault, start: str = "09:00", till: str | None = None, **more: Any) -> None:
        tapes = {"FNO": TABLE, "PLAIN": TABLE, "NIFTY 50": TABLE}
        self.trader = Trader(tapes, *faults, start=start, **more)
        self.exchange = self.trader.exchange
        self.logins = Logins(1)
        self.api = Api(self.exchange, self.logins, self.trader.faults)
        self.log_in()
        if till is not None:
            self.trader.till(till)

    def log_in(self) -> None:
        self.token = self.logins.log_in_elsewhere(self.exchange.now).access_token

    def ask(self, method: str, target: str, body: object = None, authorization: str | None = None) -> Answer:
        said = f"token {self.logins.api_key}:{self.token}" if authorization is None else authorization
        headers = {"authorization": said, "x-kite-version": "3"} if said else {}
        raw = (
            urlencode(body).encode() if isinstance(body, dict) else json.dumps(body).encode() if body else b""
        )
        return self.api.answer(request(method, target, headers, raw))

    def told(self, method: str, target: str, body: object = None) -> Any:
        """The data of an answer, which is as published."""
        answer = self.ask(method, target, body)
        said = json.loads(answer.body)
        assert (200, "success") == (answer.status, said["status"]), said
        shape = ANSWERS[self.api.endpoint(request(method, target, {}, b""))]
        assert [] == list(misfits(said["data"], shape))
        return said["data"]

    def refused(self, method: str, target: str, body: object = None, authorization: str | None = None):
        answer = self.ask(method, target, body, authorization)
        said = json.loads(answer.body)
        assert {"status", "message", "error_type", "data"} == set(said)
        assert ("error", None, "application/json") == (said["status"], said["data"], answer.content_type)
        return answer.status, said["error_type"], said["message"]

    def place(self, **changed: object) -> str:
        return str(self.told("POST", "/orders/regular", {**BUY, **changed})["order_id"])


BUY = {
    "variety": "regular", "exchange": "NSE", "tradingsymbol": "FNO", "transaction_type": "BUY", "quantity": 10,
    "product": "MIS", "order_type": "MARKET", "validity": "DAY", "market_protection": "-1", "tag": "mine",
}  # fmt: skip
LIMIT = {"order_type": "LIMIT", "price": 95, "market_protection": 0}


def an_order_json(**changed: object) -> dict[str, object]:
    return {
        "exchange": "NSE", "tradingsymbol": "FNO", "transaction_type": "BUY", "variety": "regular", "product": "MIS",
        "order_type": "MARKET", "quantity": 10, "price": 0, "trigger_price": 0, **changed,
    }  # fmt: skip


# every answer is held against the published list by Client.told


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/user/profile", None),
        ("GET", "/user/margins", None),
        ("GET", "/user/margins/equity", None),
        ("GET", "/user/margins/commodity", None),
        ("GET", "/quote?i=NSE:FNO&i=NSE:NIFTY+50&i=NSE:PLAIN", None),
        ("GET", "/quote/ohlc?i=NSE:FNO", None),
        ("GET", "/quote/ltp?i=NSE:FNO", None),
        ("GET", f"/instruments/historical/{FNO_TOKEN}/minute?from=2026-11-20&to=2026-11-20", None),
        ("GET", "/orders", None),
        ("GET", "/trades", None),
        ("GET", "/portfolio/positions", None),
        ("GET", "/portfolio/holdings", None),
        ("POST", "/margins/orders", [an_order_json()]),
        ("POST", "/margins/basket?consider_positions=True", [an_order_json()]),
        ("POST", "/charges/orders", [an_order_json(order_id="1", average_price=100.05)]),
    ],
)
def test_every_answer_is_as_published(method, target, body):
    client = Client(till="09:16:30", terms=Terms(holdings=(Holding("PLAIN", 7, Paise(98_50)),)))
    client.place()
    client.place(**LIMIT)
    client.trader.wait(1)

    assert client.told(method, target, body)


def test_an_order_can_be_placed_changed_and_cancelled_and_its_history_tells():
    client = Client(till="09:16:30")
    order_id = client.place(**LIMIT)
    client.trader.wait(1)
    changed = {"order_id": order_id, "variety": "regular", "price": "96.05", "quantity": 12}
    assert {"order_id": order_id} == client.told("PUT", f"/orders/regular/{order_id}", changed)
    client.trader.wait(1)
    assert {"order_id": order_id} == client.told("DELETE", f"/orders/regular/{order_id}?parent_order_id=")
    client.trader.wait(1)
    rows = client.told("GET", f"/orders/{order_id}")
    (last,) = client.told("GET", "/orders")

    assert rows[-1] == last
    assert ("CANCELLED", 12, 12, 12, 96.05, True) == tuple(
        last[name]
        for name in ("status", "quantity", "pending_quantity", "cancelled_quantity", "price", "modified")
    )
    assert [row["status"] for row in rows] == [view.status for view in client.exchange.history(order_id)]
    assert "PUT ORDER REQ RECEIVED" == rows[0]["status"]
    assert rows[0]["exchange_order_id"] is None


def test_a_protected_market_order_shows_as_a_limit_with_the_broker_s_tags():
    client = Client(till="09:16:30")
    client.place(market_protection="2")
    client.trader.wait(1)
    (order,) = client.told("GET", "/orders")

    assert ("LIMIT", 0, "COMPLETE", "mine") == tuple(
        order[name] for name in ("order_type", "market_protection", "status", "tag")
    )
    assert {"mine", "mktp"} < set(order["tags"])


def test_the_books_of_a_day_add_up_to_the_paisa():
    client = Client(till="09:16:30")
    first = client.place(quantity=150)
    client.trader.wait(1)
    second = client.place(transaction_type="SELL", quantity=150, tag="")
    client.trader.wait(1)
    trades = client.told("GET", "/trades")
    ((net,), (day,)) = client.told("GET", "/portfolio/positions").values()
    value = {
        side: sum(
            round(t["average_price"] * 100) * t["quantity"] for t in trades if t["transaction_type"] == side
        )
        for side in ("BUY", "SELL")
    }

    assert (0, 150, 150) == (net["quantity"], net["buy_quantity"], net["sell_quantity"])
    assert net == day
    assert (value["BUY"], value["SELL"]) == (round(net["buy_value"] * 100), round(net["sell_value"] * 100))
    assert round(net["pnl"] * 100) == value["SELL"] - value["BUY"] == client.exchange.funds().realised
    for order_id, side in ((first, "BUY"), (second, "SELL")):
        own = client.told("GET", f"/orders/{order_id}/trades")
        (order,) = [row for row in client.told("GET", "/orders") if row["order_id"] == order_id]
        assert own == [trade for trade in trades if trade["order_id"] == order_id]
        assert order["average_price"] == pytest.approx(value[side] / 15_000)


def test_the_charges_of_the_day_s_orders_are_those_that_the_account_will_pay():
    client = Client(till="09:16:30")
    client.place(quantity=150)
    client.trader.wait(1)
    client.place(transaction_type="SELL", quantity=150)
    client.trader.wait(1)
    orders = client.told("GET", "/orders")
    asked = [
        {
            **an_order_json(),
            **{
                name: order[name]
                for name in ("order_id", "transaction_type", "quantity", "average_price", "order_type")
            },
        }
        for order in orders
    ]
    notes = client.told(
        "POST", "/charges/orders", [{**row, "average_price": round(row["average_price"], 2)} for row in asked]
    )

    assert round(sum(note["charges"]["total"] for note in notes) * 100) == pytest.approx(
        client.exchange.charges_of_day().total, abs=1
    )


# --- who may, and how often ----------------------------------------------------------------------------

DEAD = (403, "TokenException", "Incorrect `api_key` or `access_token`.")


@pytest.mark.parametrize(
    "said", ["", "token", "token x", "token loopback_key:", "Bearer x", "token other:{token}", "{token}"]
)
def test_without_the_right_header_nothing_is_told(said):
    client = Client()

    assert DEAD == client.refused("GET", "/orders", authorization=said.format(token=client.token))


def test_a_session_is_opened_by_its_checksum_and_closed_by_its_token():
    client = Client()
    token = client.logins.new_request_token(client.exchange.now)
    proof = checksum_of(client.logins.api_key, token, client.logins.api_secret)
    form = {"api_key": client.logins.api_key, "request_token": token, "checksum": proof}
    assert "POST /session/token" == client.api.endpoint(request("POST", "/session/token", {}, b""))
    told = client.told("POST", "/session/token", form)

    assert DEAD == client.refused("GET", "/user/profile")
    client.token = told["access_token"]
    assert "LX0001" == client.told("GET", "/user/profile")["user_id"]
    assert (403, "TokenException", "Token is invalid or has expired.") == client.refused(
        "POST", "/session/token", form
    )
    target = f"/session/token?api_key={client.logins.api_key}&access_token={client.token}"
    assert client.told("DELETE", target) is True
    assert DEAD == client.refused("GET", "/user/profile")
    assert DEAD == client.refused("DELETE", target)


def test_the_token_dies_in_the_morning():
    client = Client(start="12:30")
    client.exchange.advance(at("05:59:59", DAY + timedelta(days=1)))
    assert client.told("GET", "/user/profile")
    client.trader.wait(1)

    assert DEAD == client.refused("GET", "/user/profile")


def test_a_429_comes_by_class_of_endpoint_and_heals_with_the_exchange_s_clock():
    client = Client(till="09:16:30")
    tired = (429, "NetworkException", "Too many requests")
    assert client.told("GET", "/quote/ltp?i=NSE:FNO")

    assert tired == client.refused("GET", "/quote?i=NSE:FNO")
    assert client.told("GET", "/user/profile")
    client.trader.wait(1)
    assert client.told("GET", "/quote?i=NSE:FNO")


def test_the_venue_s_cap_on_orders_is_a_429_too():
    client = Client(till="09:16:30")
    for _ in range(10):
        client.place(**LIMIT)

    assert (429, "NetworkException") == client.refused("POST", "/orders/regular", {**BUY, **LIMIT})[:2]


def test_an_address_that_is_not_registered_cannot_order_and_can_look():
    client = Client(till="09:16:30")
    order_id = client.place(**LIMIT)
    client.trader.wait(1)
    client.trader.faults.add(Fault("address_refused"))
    blocked = (403, "PermissionException", "IP (127.0.0.1) is not allowed to place orders for this app.")

    assert blocked == client.refused("POST", "/orders/regular", BUY)
    assert blocked == client.refused("PUT", f"/orders/regular/{order_id}", {"price": 96})
    assert blocked == client.refused("DELETE", f"/orders/regular/{order_id}")
    assert client.told("GET", "/orders") and client.told("POST", "/margins/orders", [an_order_json()])
    assert 1 == len(client.exchange.orders())


@pytest.mark.parametrize("name", ["token_dead", "second_login"])
def test_a_token_that_dies_by_a_fault_stays_dead_until_the_next_login(name):
    client = Client(Fault(name, count=1, where="GET /orders"))
    assert client.told("GET", "/user/profile")

    assert DEAD == client.refused("GET", "/orders")
    assert DEAD == client.refused("GET", "/user/profile")
    client.log_in()
    assert [] == client.told("GET", "/orders")


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "error_type"),
    [
        ("GET", "/gtt/triggers", None, 404, "GeneralException"),
        ("GET", "/session/refresh_token", None, 404, "GeneralException"),
        ("PATCH", "/orders", None, 405, "GeneralException"),
        ("PUT", "/portfolio/positions", {}, 405, "GeneralException"),
        ("GET", "/user/margins/gold", None, 400, "InputException"),
        ("GET", "/instruments/NASDAQ", None, 400, "InputException"),
        ("GET", "/quote", None, 400, "InputException"),
        (
            "GET",
            "/instruments/historical/1/minute?from=2026-11-20&to=2026-11-20",
            None,
            400,
            "InputException",
        ),
        (
            "GET",
            "/instruments/historical/x/minute?from=2026-11-20&to=2026-11-20",
            None,
            400,
            "InputException",
        ),
        (
            "GET",
            f"/instruments/historical/{FNO_TOKEN}/minute?from=2026-09-01&to=2026-11-20",
            None,
            400,
            "InputException",
        ),
        (
            "GET",
            f"/instruments/historical/{FNO_TOKEN}/2minute?from=2026-11-20&to=2026-11-20",
            None,
            400,
            "InputException",
        ),
        ("POST", "/orders/regular", {}, 400, "InputException"),
        ("POST", "/orders/wrong", BUY, 400, "InputException"),
        ("POST", "/orders/amo", BUY, 400, "InputException"),
        ("POST", "/orders/regular", {**BUY, "market_protection": 0}, 400, "InputException"),
        ("POST", "/orders/regular", {**BUY, "tradingsymbol": "NOSUCH"}, 400, "InputException"),
        ("POST", "/orders/regular", {**BUY, "tradingsymbol": "NIFTY 50"}, 400, "InputException"),
        ("POST", "/orders/regular", {**BUY, **LIMIT, "price": 95.03}, 400, "InputException"),
        ("POST", "/orders/regular", {**BUY, "quantity": 90_000}, 400, "MarginException"),
        (
            "POST",
            "/orders/regular",
            {**BUY, "product": "CNC", "transaction_type": "SELL"},
            400,
            "HoldingException",
        ),
        ("POST", "/orders/regular", {**BUY, "tag": "x" * 21}, 400, "InputException"),
        ("PUT", "/orders/regular/1", {"price": 96}, 404, "GeneralException"),
        ("DELETE", "/orders/regular/1", None, 404, "GeneralException"),
        ("DELETE", "/orders/wrong/1", None, 400, "InputException"),
        ("GET", "/orders/1", None, 404, "GeneralException"),
        ("POST", "/session/token", {"api_key": "x"}, 400, "InputException"),
        (
            "POST",
            "/session/token",
            {"api_key": "x", "request_token": "x", "checksum": "x"},
            403,
            "TokenException",
        ),
        ("DELETE", "/session/token?api_key=x", None, 400, "InputException"),
        ("POST", "/margins/orders", {"not": "json"}, 400, "InputException"),
        ("POST", "/margins/orders", [an_order_json(tradingsymbol="NOSUCH")], 400, "InputException"),
        ("POST", "/margins/orders", [an_order_json(quantity=0)], 400, "InputException"),
        ("POST", "/margins/orders", [an_order_json(quantity=True)], 400, "InputException"),
        ("POST", "/charges/orders", [an_order_json()], 400, "InputException"),
        (
            "POST",
            "/charges/orders",
            [an_order_json(average_price=1, tradingsymbol="NIFTY 50")],
            400,
            "InputException",
        ),
    ],
)
def test_what_is_refused_is_refused_with_the_broker_s_status_and_type(
    method, target, body, status, error_type
):
    client = Client(till="09:16:30")

    assert (status, error_type) == client.refused(method, target, body)[:2]


def test_an_order_that_is_over_is_being_processed_for_ever():
    client = Client(till="09:16:30")
    order_id = client.place()
    client.trader.wait(1)

    assert (
        400,
        "InputException",
        "Order cannot be modified as it is being processed. Try later.",
    ) == client.refused("PUT", f"/orders/regular/{order_id}", {"price": 96})


# --- quotes ----------------------------------------------------------------------------------------------


def test_unknown_instruments_are_missing_and_all_of_them_unknown_is_an_empty_object():
    client = Client(till="09:16:30")
    target = "/quote/ltp?i=NSE:FNO&i=NSE:NOSUCH&i=BSE:FNO&i=NFO:FNO26NOVFUT&i=FNO&i=9999&i=" + str(
        PLAIN_TOKEN
    )
    assert {"NSE:FNO", str(PLAIN_TOKEN)} == set(client.told("GET", target))
    client.trader.wait(1)

    assert {} == client.told("GET", "/quote/ltp?i=NSE:NOSUCH")


@pytest.mark.parametrize(("path", "most"), [("/quote", 500), ("/quote/ohlc", 1000), ("/quote/ltp", 1000)])
def test_a_quote_has_room_for_so_many_instruments_and_no_more(path, most):
    client = Client(till="09:16:30")
    assert client.told("GET", f"{path}?{'&'.join(['i=NSE:FNO'] * most)}")
    client.trader.wait(1)

    assert "InputException" == client.refused("GET", f"{path}?{'&'.join(['i=NSE:FNO'] * (most + 1))}")[1]


def test_a_quote_shows_five_levels_a_side_and_an_index_none():
    client = Client(till="09:16:30")
    told = client.told("GET", "/quote?i=NSE:FNO&i=NSE:NIFTY+50")
    share, index = told["NSE:FNO"], told["NSE:NIFTY 50"]

    assert (101, 1, 400, FNO_TOKEN) == tuple(
        share[name] for name in ("last_price", "net_change", "volume", "instrument_token")
    )
    assert {"open": 100, "high": 101, "low": 100, "close": 100} == share["ohlc"]
    assert (90, 110) == (share["lower_circuit_limit"], share["upper_circuit_limit"])
    assert {"price": 100.95, "quantity": 100, "orders": 1} == share["depth"]["buy"][0]
    assert [5, 5] == [len(share["depth"][side]) for side in ("buy", "sell")]
    assert {"instrument_token", "timestamp", "last_price", "net_change", "ohlc"} == set(index)


def test_an_empty_side_of_the_book_is_five_rows_of_nothing():
    client = Client()
    client.trader.market.more("FNO", DAY, tape("09:15:00 110.00 5 110.00x700 /"))
    client.trader.till("09:15:01")
    depth = client.told("GET", "/quote?i=NSE:FNO")["NSE:FNO"]["depth"]

    assert [{"price": 0, "quantity": 0, "orders": 0}] * 5 == depth["sell"]
    assert [110, 0, 0, 0, 0] == [row["price"] for row in depth["buy"]]


# --- history over the exchange ------------------------------------------------------------------------------


def candles(client: Client, interval: str, first: str, last: str, more: str = "") -> list[list[Any]]:
    client.trader.wait(1)
    target = f"/instruments/historical/{FNO_TOKEN}/{interval}?{urlencode({'from': first, 'to': last})}{more}"
    answer = json.loads(client.ask("GET", target).body)
    assert "success" == answer["status"], answer
    rows: list[list[Any]] = answer["data"]["candles"]
    return rows


def starts(rows: list[list[Any]]) -> list[str]:
    return [str(row[0])[11:16] for row in rows]


def test_both_ends_count_by_the_candle_s_start():
    client = Client(till="13:00")

    assert ["09:15", "09:16", "09:17"] == starts(
        candles(client, "minute", "2026-11-20 09:15:00", "2026-11-20 09:17:00")
    )
    assert ["09:16"] == starts(candles(client, "minute", "2026-11-20 09:15:01", "2026-11-20 09:16:59"))
    assert ["09:40"] == starts(candles(client, "5minute", "2026-11-20 09:40:00", "2026-11-20 09:44:00"))
    assert ["09:15", "11:15"] == starts(candles(client, "60minute", "2026-11-20", "2026-11-20"))


def test_the_running_candle_is_the_last_row_and_grows():
    client = Client(till="09:15:10")
    (young,) = candles(client, "minute", "2026-11-20", "2026-11-20")
    client.trader.till("09:15:50")
    (old,) = candles(client, "minute", "2026-11-20", "2026-11-20")

    assert ["2026-11-20T09:15:00+0530", 100, 100, 100, 100, 100] == young
    assert ["2026-11-20T09:15:00+0530", 100, 100.5, 100, 100.5, 300] == old


def test_a_day_is_one_candle_at_midnight_and_has_a_seventh_value_when_asked():
    client = Client(till="13:00")
    (row,) = candles(client, "day", "2026-11-20", "2026-11-20", "&oi=1&continuous=0")

    assert ["2026-11-20T00:00:00+0530", 100, 102, 100, 101, 960, 0] == row


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-11-20 15:31:00", "2026-11-20 23:59:00"),  # after the close
        ("2026-11-21", "2026-11-22"),  # a weekend that has not come yet
        ("2026-11-10", "2026-11-10"),  # Diwali Balipratipada
        ("2026-11-14", "2026-11-15"),  # a weekend
        ("2026-11-20 09:18:00", "2026-11-20 09:39:00"),  # nothing traded
    ],
)
def test_where_nothing_traded_there_are_no_candles_and_no_error(first, last):
    assert [] == candles(Client(till="13:00"), "minute", first, last)


def test_an_index_has_candles_too():
    client = Client(till="13:00")
    target = f"/instruments/historical/{INDEX_TOKEN}/day?from=2026-11-20&to=2026-11-20"

    assert 1 == len(client.told("GET", target)["candles"])


# --- positions, holdings, margins ---------------------------------------------------------------------------


def test_flat_positions_stay_in_the_list_and_prices_in_it_are_stale_for_a_minute():
    client = Client(till="09:16:30")
    client.place()
    client.trader.wait(1)
    client.place(transaction_type="SELL")
    client.trader.wait(1)
    (flat,) = client.told("GET", "/portfolio/positions")["net"]
    client.trader.till("09:17:20")
    (later,) = client.told("GET", "/portfolio/positions")["net"]
    client.trader.till("09:17:40")
    (fresh,) = client.told("GET", "/portfolio/positions")["net"]

    assert 0 == flat["quantity"]
    assert [101, 101, 100.75] == [row["last_price"] for row in (flat, later, fresh)]


def test_a_holding_is_valued_at_the_last_price():
    client = Client(till="09:16:30", terms=Terms(holdings=(Holding("PLAIN", 7, Paise(98_50)),)))
    (row,) = client.told("GET", "/portfolio/holdings")

    assert (7, 98.5, 101, 100, 17.5, 1, 1.0) == tuple(
        row[name]
        for name in (
            "quantity",
            "average_price",
            "last_price",
            "close_price",
            "pnl",
            "day_change",
            "day_change_percentage",
        )
    )


def test_an_intraday_order_needs_a_fifth_and_a_delivery_order_the_whole():
    client = Client(till="09:16:30")
    intraday, delivery = client.told(
        "POST", "/margins/orders", [an_order_json(), an_order_json(product="CNC")]
    )

    assert (5, 202, 202) == (intraday["leverage"], intraday["total"], intraday["var"])
    assert (1, 1010) == (delivery["leverage"], delivery["total"])
    compact = json.loads(client.ask("POST", "/margins/orders?mode=compact", [an_order_json()]).body)["data"]
    assert [{"type": "equity", "tradingsymbol": "FNO", "exchange": "NSE", "total": 202}] == compact


@pytest.mark.parametrize(
    ("query", "final"), [("", 202), ("?consider_positions=True", 0), ("?consider_positions=false", 202)]
)
def test_a_basket_closes_positions_only_when_they_are_considered(query, final):
    client = Client(till="09:16:30")
    client.place()
    client.trader.wait(1)
    told = client.told("POST", f"/margins/basket{query}", [an_order_json(transaction_type="SELL")])

    assert (202, final) == (told["initial"]["total"], told["final"]["total"])


def test_what_is_blocked_is_missing_from_the_funds():
    client = Client(till="09:16:30")
    before = client.told("GET", "/user/margins/equity")
    client.place(**LIMIT)
    after = client.told("GET", "/user/margins/equity")

    assert 190 == before["net"] - after["net"] == after["utilised"]["exposure"]


# --- the list of instruments over the exchange -----------------------------------------------------------------


def test_the_list_comes_packed_to_whom_can_unpack_it():
    client = Client()
    headers = {"authorization": f"token {client.logins.api_key}:{client.token}"}
    plain = client.api.answer(request("GET", "/instruments", headers, b""))
    packed = client.api.answer(
        request("GET", "/instruments", {**headers, "accept-encoding": "gzip, deflate"}, b"")
    )

    assert ("text/csv", "text/csv") == (plain.content_type, packed.content_type)
    assert plain.body == gzip.decompress(packed.body)
    assert ("Content-Encoding", "gzip") in packed.headers
    assert {"FNO", "PLAIN", "NIFTY 50", "FNO26NOVFUT"} <= {
        row["tradingsymbol"] for row in rows_of(plain.body.decode())
    }


@pytest.mark.parametrize(("exchange", "count"), [("NSE", 3), ("NFO", 3), ("BSE", 0), ("MCX", 0)])
def test_each_exchange_has_its_own_list(exchange, count):
    assert count == len(rows_of(Client().ask("GET", f"/instruments/{exchange}").body.decode()))


def test_a_stale_list_is_served_while_the_fault_is_on_and_then_the_true_one():
    client = Client(Fault("stale_master", count=1))
    stale, true = (rows_of(client.ask("GET", "/instruments/NSE").body.decode()) for _ in range(2))

    assert [("0.1", "0.05")] == [(old["tick_size"], new["tick_size"]) for old, new in zip(stale, true, strict=True)
                                 if old["tick_size"] != new["tick_size"]]  # fmt: skip
    assert ["PLAIN"] == [old["tradingsymbol"] for old, new in zip(stale, true, strict=True)
                         if old["instrument_token"] != new["instrument_token"]]  # fmt: skip


# --- the broker's own client reads it ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kiteconnect():
    return pytest.importorskip("kiteconnect", reason="the broker's own client is not installed")


class Wire:
    """What carries the official client's requests to the API: its own adapter, without a socket."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def send(self, asked, **_):
        from requests.adapters import HTTPAdapter
        from urllib3 import HTTPResponse

        body = asked.body or b""
        raw = body.encode() if isinstance(body, str) else body
        headers = {name.lower(): value for name, value in asked.headers.items()}
        answer = self._api.answer(request(asked.method, asked.path_url, headers, raw))
        kind = {} if answer.content_type is None else {"Content-Type": answer.content_type}
        found = HTTPResponse(
            BytesIO(answer.body), {**kind, **dict(answer.headers)}, answer.status, preload_content=False
        )
        return HTTPAdapter().build_response(asked, found)

    def close(self) -> None:
        pass


def official(kiteconnect, client: Client):
    kite = kiteconnect.KiteConnect(client.logins.api_key, root="http://127.0.0.1:1")
    kite.reqsession.mount("http://", Wire(client.api))
    return kite


def test_the_official_client_goes_through_a_session(kiteconnect):
    client = Client(till="09:16:30")
    kite = official(kiteconnect, client)
    session = kite.generate_session(client.logins.grant(client.exchange.now), client.logins.api_secret)
    assert datetime(2026, 11, 20, 9, 16, 30) == session["login_time"]  # noqa: DTZ001  the client's own

    order_id = kite.place_order("regular", "NSE", "FNO", "BUY", 10, "MIS", "LIMIT", price=95.05, tag="mine")
    client.trader.wait(1)
    assert order_id == kite.modify_order("regular", order_id, price=102, quantity=20)
    client.trader.wait(1)
    (order,) = kite.orders()
    assert ("COMPLETE", 20, "mine") == (order["status"], order["filled_quantity"], order["tag"])
    assert 2026 == order["order_timestamp"].year == order["exchange_timestamp"].year
    assert kite.order_history(order_id)[-1] == order
    assert kite.trades() == kite.order_trades(order_id)
    assert ({20}, {20}) == tuple(
        {row["quantity"] for row in kite.positions()[book]} for book in ("net", "day")
    )
    assert [] == kite.holdings()
    assert "LX0001" == kite.profile()["user_id"]
    assert kite.margins()["equity"] == kite.margins("equity")
    other = kite.place_order("regular", "NSE", "FNO", "SELL", 5, "MIS", "SL", price=90, trigger_price=91)
    client.trader.wait(1)
    assert other == kite.cancel_order("regular", other)
    assert True is kite.invalidate_access_token()
    expired = []
    kite.set_session_expiry_hook(lambda: expired.append(True))
    with pytest.raises(kiteconnect.exceptions.TokenException):
        kite.orders()
    assert [True] == expired


def test_the_official_client_reads_the_market(kiteconnect):
    client = Client(till="09:16:30")
    kite = official(kiteconnect, client)
    kite.set_access_token(client.token)

    rows = {row["tradingsymbol"]: row for row in kite.instruments("NSE")}
    assert (257, 0.05, 1, "") == tuple(
        rows["FNO"][n] for n in ("instrument_token", "tick_size", "lot_size", "expiry")
    )
    assert {date(2026, 11, 23)} == {
        row["expiry"] for row in kite.instruments("NFO") if "NOV" in row["tradingsymbol"]
    }
    assert 6 == len(kite.instruments())
    quote = kite.quote("NSE:FNO", "NSE:NIFTY 50")["NSE:FNO"]
    assert (101, datetime(2026, 11, 20, 9, 16, 10)) == (quote["last_price"], quote["last_trade_time"])  # noqa: DTZ001
    client.trader.wait(1)
    assert 101 == kite.ltp(["NSE:FNO"])["NSE:FNO"]["last_price"]
    client.trader.wait(1)
    assert 100 == kite.ohlc("NSE:FNO")["NSE:FNO"]["ohlc"]["close"]
    first, last = kite.historical_data(FNO_TOKEN, date(2026, 11, 20), NOON, "minute", oi=True)
    assert (at("09:15"), 300, 0) == (first["date"], first["volume"], first["oi"])
    assert 101 == last["close"]


def test_the_official_client_reads_margins_and_charges(kiteconnect):
    client = Client(till="09:16:30")
    kite = official(kiteconnect, client)
    kite.set_access_token(client.token)
    order = an_order_json()

    assert [202] == [row["total"] for row in kite.order_margins([order])]
    assert 202 == kite.basket_order_margins([order], consider_positions=True)["final"]["total"]
    assert {"initial", "final", "orders"} == set(kite.basket_order_margins([order], mode="compact"))
    assert (
        0
        < kite.get_virtual_contract_note([{**order, "order_id": "1", "average_price": 100.05}])[0]["charges"][
            "total"
        ]
    )


@pytest.mark.parametrize(
    ("error", "code", "call"),
    [
        (
            "InputException",
            400,
            lambda kite: kite.place_order("regular", "NSE", "FNO", "BUY", 10, "MIS", "MARKET"),
        ),
        (
            "GeneralException",
            400,
            lambda kite: kite.place_order("regular", "NSE", "FNO", "BUY", 90_000, "MIS", "LIMIT", price=100),
        ),
        ("GeneralException", 404, lambda kite: kite.order_history("1")),
        ("NetworkException", 429, lambda kite: [kite.ltp("NSE:FNO") for _ in range(2)]),
        ("GeneralException", 404, lambda kite: kite.get_gtts()),
    ],
)
def test_the_official_client_raises_what_it_raises_at_the_broker(kiteconnect, error, code, call):
    client = Client(till="09:16:30")
    kite = official(kiteconnect, client)
    kite.set_access_token(client.token)
    with pytest.raises(getattr(kiteconnect.exceptions, error)) as caught:
        call(kite)

    assert (error, code) == (type(caught.value).__name__, caught.value.code)


# --- and so does our own reader ----------------------------------------------------------------------------------


def test_the_suite_s_own_readers_take_every_book_of_the_exchange():
    client = Client(till="09:16:30")
    order_id = client.place(quantity=150)
    client.trader.wait(1)
    (order,) = books.order_rows(client.told("GET", "/orders"))
    fills = books.trade_rows(client.told("GET", "/trades"))
    (position,) = books.position_rows(client.told("GET", "/portfolio/positions"))
    quoted = books.quotes(client.told("GET", "/quote?i=NSE:FNO"))["FNO"]
    (margin,) = client.told("POST", "/margins/orders", [an_order_json()])

    assert (order_id, 150) == (order.order_id, sum(fill.qty for fill in fills))
    assert (150, 101_00, 90_00, 5) == (position.qty, quoted.last, quoted.lower_circuit, len(quoted.bids))
    assert (5_000, 202_00) == (books.margin([margin]).leverage_milli, books.margin([margin]).total)
    assert client.exchange.funds().available == books.free_cash(client.told("GET", "/user/margins"))
    client.trader.wait(1)
    nse, nfo = (client.ask("GET", f"/instruments/{name}").body.decode() for name in ("NSE", "NFO"))
    found = read_master(DAY, nse, nfo)
    assert ({"FNO", "PLAIN"}, {"NIFTY 50": INDEX_TOKEN}) == (set(found.shares), found.indices)
    assert (SymbolClass.FNO, SymbolClass.OTHER) == tuple(
        found.share(ticker).instrument.symbol_class for ticker in ("FNO", "PLAIN")
    )
