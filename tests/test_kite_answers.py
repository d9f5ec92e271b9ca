"""What the broker answers is a record of ours or an error of the tree, whatever the bytes are."""

import json
from random import Random
from typing import Any

import pytest

from kite import books, routes
from kite.envelope import opened
from kite.errors import (
    AddressRefusedError,
    BrokerError,
    CorruptError,
    DownError,
    LogInAgainError,
    RateLimitedError,
    RejectedError,
    UnknownOutcomeError,
    damaged,
    error_of,
    refusal_of,
)
from kite.routes import Call
from kite.units import UnitError
from rulebook.order_records import Refusal
from rulebook.records import Side
from tests.kite_answers import DATA, ORDER, QUOTE, spoilt

READERS: dict[str, tuple[Call, Any]] = {
    "place": (Call(routes.PLACE, {"variety": "regular"}), books.order_id),
    "modify": (Call(routes.MODIFY, {"variety": "regular", "order_id": "1"}), books.order_id),
    "cancel": (Call(routes.CANCEL, {"variety": "regular", "order_id": "1"}), books.order_id),
    "orders": (Call(routes.ORDERS), books.order_rows),
    "trades": (Call(routes.TRADES), books.trade_rows),
    "positions": (Call(routes.POSITIONS), books.position_rows),
    "quotes": (Call(routes.QUOTE), books.quotes),
    "candles": (Call(routes.HISTORY, {"instrument_token": "1", "interval": "minute"}), books.candles),
    "margin": (Call(routes.ORDER_MARGINS), books.margin),
    "profile": (Call(routes.PROFILE), books.user_id),
    "cash": (Call(routes.MARGINS), books.free_cash),
    "session": (Call(routes.SESSION), books.logged_in),
}
MUTATIONS = 10_000  # the whole, 200,000, was run once: bench/fuzz says how


def read(name: str, status: int, body: bytes) -> Any:
    """As kite.client does it."""
    call, reader = READERS[name]
    data = opened(call, status, body)
    try:
        return reader(data)
    except (books.BookError, UnitError) as error:
        raise damaged(call.asked, call.route.is_change, str(error)) from None


@pytest.mark.parametrize("name", READERS)
def test_a_true_answer_is_read(name):
    assert read(name, 200, json.dumps({"status": "success", "data": DATA[name]}).encode())


def test_every_endpoint_has_an_answer_to_spoil():
    assert set(DATA) == set(READERS)


@pytest.mark.parametrize("name", READERS)
def test_whatever_comes_is_a_record_or_an_error_of_the_tree(name):
    rng = Random(name)
    call, _ = READERS[name]
    for _ in range(MUTATIONS // len(READERS)):
        status, body = spoilt(name, rng)
        try:
            read(name, status, body)
        except BrokerError as error:
            certain = isinstance(error, RejectedError)
            assert not (
                call.route.is_change and isinstance(error, DownError | CorruptError | RateLimitedError)
            )
            assert not certain or 400 <= status < 500 or b"modifications exceeded" in body


@pytest.mark.parametrize(
    ("status", "error_type", "message", "of_change", "of_read"),
    [
        (400, "InputException", "Invalid tick size", RejectedError, RejectedError),
        (400, "OrderException", "Order request timed out", UnknownOutcomeError, DownError),
        (403, "TokenException", "Incorrect api_key or access_token.", LogInAgainError, LogInAgainError),
        (403, "PermissionException", "IP not allowed", AddressRefusedError, AddressRefusedError),
        (403, "", "a page", LogInAgainError, LogInAgainError),
        (429, "NetworkException", "Too many requests", UnknownOutcomeError, RateLimitedError),
        (500, "OrderException", "x", UnknownOutcomeError, DownError),
        (503, "NetworkException", "OMS down", UnknownOutcomeError, DownError),
        (
            400,
            "NetworkException",
            "Maximum allowed order modifications exceeded",
            RejectedError,
            RejectedError,
        ),
        (
            503,
            "NetworkException",
            "Maximum allowed order modifications exceeded",
            RejectedError,
            RejectedError,
        ),
        (200, "OrderException", "odd", UnknownOutcomeError, CorruptError),
    ],
)
def test_an_error_says_what_the_caller_must_do(status, error_type, message, of_change, of_read):
    assert of_change is type(error_of("POST /orders", True, status, error_type, message))
    assert of_read is type(error_of("GET /orders", False, status, error_type, message))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "an empty body"),
        (b"  <html>", "an HTML page"),
        (b"[1]", "no JSON object"),
        (b'{"status":"success"}', "neither success nor error"),
        (b'{"data":1}', "neither success nor error"),
        (b'{"status":"success","data":NaN}', "no JSON object"),
    ],
)
def test_an_unreadable_success_leaves_a_change_unknown(body, what):
    with pytest.raises(UnknownOutcomeError, match=what):
        read("place", 200, body)

    with pytest.raises(CorruptError, match=what):
        read("orders", 200, body)


@pytest.mark.parametrize("error_type", [None, 5, []])
def test_a_no_without_a_type_is_no_proof(error_type):
    body = json.dumps({"status": "error", "message": "x", "error_type": error_type}).encode()

    with pytest.raises(UnknownOutcomeError):
        read("place", 400, body)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("Insufficient funds. Required margin is 95417.84 but available margin is 74251.80.", Refusal.MARGIN),
        (
            "Tick size for this script is 5 paise. Kindly enter price in the multiple of tick size",
            Refusal.TICK,
        ),
        ("Your order price is lower than the current lower circuit limit of 98.4.", Refusal.CIRCUIT),
        ("Quantity exceeds the freeze quantity of 1800", Refusal.FREEZE),
        ("Market orders without market protection are not allowed via API", Refusal.PROTECTION),
        ("Markets are closed right now.", Refusal.SESSION),
        ("MIS orders are blocked for this stock", Refusal.SURVEILLANCE),
        ("Order cannot be modified as it is being processed. Try later.", Refusal.PROCESSING),
        ("Maximum allowed order modifications exceeded.", Refusal.MODIFICATIONS_EXCEEDED),
        ("Something else entirely", Refusal.OTHER),
    ],
)
def test_words_name_the_class_of_a_refusal(text, refusal):
    assert refusal is refusal_of(text)


def test_orders_of_other_exchanges_and_products_are_not_ours_to_see():
    rows = books.order_rows([ORDER, {**ORDER, "exchange": "BSE"}, {**ORDER, "product": "CNC"}])

    assert 1 == len(rows)
    assert (Side.BUY, 6, 6 * 157_370, 157_400, None) == (
        rows[0].side,
        rows[0].filled,
        rows[0].value,
        rows[0].price,
        rows[0].trigger,
    )
    assert ("mktp", "rlABCDEFGHIJKLMNOPQR") == rows[0].tags


def test_a_level_without_price_is_no_level():
    found = books.quotes({"NSE:INFY": QUOTE, "BSE:INFY": QUOTE})

    assert ["INFY"] == list(found)
    assert 1 == len(found["INFY"].bids)


def test_an_id_is_text():
    with pytest.raises(books.BookError, match="order_id"):
        books.order_id({"order_id": 2611200000123456789})
