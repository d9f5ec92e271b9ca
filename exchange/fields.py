"""Which fields has each answer of the broker, and of which type? The published lists, as one table.

Sources: the official mocks (kiteconnect-mocks, 2021 to 2026) and, where those are older than the service,
the models of the official Go client (kite.md 1.2 to 1.7). Names and types only; no value is copied.

A shape is a Kind, a list [shape] of any length, a tuple of shapes for a row without names, Keyed(shape) for
an object whose keys are data, OrNull(shape), or a dict of names. A name that ends with "?" may be missing.

Numbers: the broker writes 72 for Rs 72.00 and 109.4 for Rs 109.40, so an amount is an int or a float, and a
client that insists on either breaks. A count is an int.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a value must look like."""

    TEXT = "text"
    AMOUNT = "amount"  # an int or a float
    COUNT = "count"
    FLAG = "flag"
    MOMENT = "2026-11-20 09:15:01"
    CLOCK = "09:15:01"
    CANDLE_TIME = "2026-11-20T09:15:00+0530"
    ID = "digits as text"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class OrNull:
    shape: Any


@dataclass(frozen=True, slots=True)
class Keyed:
    """An object with keys that are data: NSE:INFY."""

    shape: Any


_TEXT, _AMOUNT, _COUNT, _FLAG = Kind.TEXT, Kind.AMOUNT, Kind.COUNT, Kind.FLAG


def _each(kind: Any, names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), kind)


# --- the session and the account ----------------------------------------------------------------------

_PERSON: dict[str, Any] = {
    **_each(_TEXT, "user_id user_type email user_name user_shortname broker"),
    **_each([_TEXT], "exchanges products order_types"),
    "avatar_url": OrNull(_TEXT),
    "meta": {"demat_consent": _TEXT},
}
PROFILE = _PERSON
SESSION = {
    **_PERSON,
    **_each(_TEXT, "api_key access_token public_token enctoken refresh_token silo"),
    "login_time": Kind.MOMENT,
}
SEGMENT_MARGINS = {
    "enabled": _FLAG,
    "net": _AMOUNT,
    "available": _each(_AMOUNT, "adhoc_margin cash opening_balance live_balance collateral intraday_payin"),
    "utilised": _each(
        _AMOUNT,
        "debits exposure m2m_realised m2m_unrealised option_premium payout span holding_sales turnover"
        " liquid_collateral stock_collateral delivery",
    ),
}

# --- market data --------------------------------------------------------------------------------------

INSTRUMENT_COLUMNS = (
    "instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry", "strike",
    "tick_size", "lot_size", "instrument_type", "segment", "exchange",
)  # fmt: skip
_OHLC = _each(_AMOUNT, "open high low close")
_LEVEL = {"price": _AMOUNT, "quantity": _COUNT, "orders": _COUNT}
_TRADED = {
    **_each(_COUNT, "last_quantity buy_quantity sell_quantity volume"),
    "last_trade_time": OrNull(Kind.MOMENT),
    **_each(_AMOUNT, "average_price oi oi_day_high oi_day_low lower_circuit_limit upper_circuit_limit"),
    "depth": {"buy": [_LEVEL], "sell": [_LEVEL]},
}
# "Keys are present only if there is data" (DOC:market-quotes): an index has neither depth nor volume.
QUOTE = {
    "instrument_token": _COUNT,
    "timestamp": Kind.MOMENT,
    "last_price": _AMOUNT,
    "net_change": _AMOUNT,
    "ohlc": _OHLC,
    **{f"{name}?": shape for name, shape in _TRADED.items()},
}
OHLC = {"instrument_token": _COUNT, "last_price": _AMOUNT, "ohlc": _OHLC}
LTP = {"instrument_token": _COUNT, "last_price": _AMOUNT}
CANDLE = (Kind.CANDLE_TIME, _AMOUNT, _AMOUNT, _AMOUNT, _AMOUNT, _COUNT)
CANDLE_WITH_OI = (*CANDLE, _COUNT)

# --- the books ------------------------------------------------------------------------------------------

ORDER = {
    **_each(_TEXT, "placed_by status variety exchange tradingsymbol order_type transaction_type validity"),
    **_each(_TEXT, "product account_id?"),
    "order_id": Kind.ID,
    **_each(OrNull(Kind.ID), "exchange_order_id parent_order_id"),
    **_each(OrNull(_TEXT), "status_message status_message_raw tag guid terminal_id? auction_number?"),
    "order_timestamp": Kind.MOMENT,
    **_each(OrNull(Kind.MOMENT), "exchange_update_timestamp exchange_timestamp"),
    "modified": _FLAG,
    **_each(_COUNT, "instrument_token quantity disclosed_quantity filled_quantity pending_quantity"),
    **_each(_COUNT, "cancelled_quantity validity_ttl?"),
    **_each(_AMOUNT, "price trigger_price average_price market_protection"),
    "meta": Kind.OBJECT,
    "tags?": [_TEXT],
}
ORDER_FRAME = {**ORDER, **_each(_TEXT, "user_id checksum"), **_each(_COUNT, "app_id unfilled_quantity")}
ORDER_ID = {"order_id": Kind.ID}
TRADE = {
    **_each(Kind.ID, "trade_id order_id exchange_order_id"),
    **_each(_TEXT, "exchange tradingsymbol product transaction_type"),
    **_each(_COUNT, "instrument_token quantity"),
    "average_price": _AMOUNT,
    **_each(Kind.MOMENT, "fill_timestamp exchange_timestamp"),
    "order_timestamp": Kind.CLOCK,
}
POSITION = {
    **_each(_TEXT, "tradingsymbol exchange product"),
    **_each(_COUNT, "instrument_token quantity overnight_quantity multiplier"),
    **_each(_AMOUNT, "average_price close_price last_price value pnl m2m unrealised realised"),
    **_each(_COUNT, "buy_quantity sell_quantity day_buy_quantity day_sell_quantity"),
    **_each(_AMOUNT, "buy_price buy_value buy_m2m sell_price sell_value sell_m2m"),
    **_each(_AMOUNT, "day_buy_price day_buy_value day_sell_price day_sell_value"),
}
HOLDING = {
    **_each(_TEXT, "tradingsymbol exchange isin product collateral_type"),
    **_each(_COUNT, "instrument_token quantity used_quantity t1_quantity realised_quantity"),
    **_each(_COUNT, "authorised_quantity opening_quantity short_quantity collateral_quantity"),
    "authorised_date": Kind.MOMENT,
    "authorisation": Kind.OBJECT,
    "discrepancy": _FLAG,
    **_each(_AMOUNT, "price average_price last_price close_price pnl day_change day_change_percentage"),
    "mtf": {
        **_each(_COUNT, "quantity used_quantity"),
        **_each(_AMOUNT, "average_price value initial_margin"),
    },
}

# --- margins and charges --------------------------------------------------------------------------------

CHARGES = {
    **_each(_AMOUNT, "transaction_tax exchange_turnover_charge sebi_turnover_charge brokerage stamp_duty"),
    "transaction_tax_type": _TEXT,
    "gst": _each(_AMOUNT, "igst cgst sgst total"),
    "total": _AMOUNT,
}
MARGIN_COMPACT = {**_each(_TEXT, "type tradingsymbol exchange"), "total": _AMOUNT}
MARGIN = {
    **MARGIN_COMPACT,
    **_each(_AMOUNT, "span exposure option_premium additional bo cash var leverage"),
    "pnl": _each(_AMOUNT, "realised unrealised"),
    "charges": CHARGES,
}
NOTE = {
    **_each(_TEXT, "transaction_type tradingsymbol exchange variety product order_type"),
    "quantity": _COUNT,
    "price": _AMOUNT,
    "charges": CHARGES,
}

# What stands under "data", by endpoint as the faults name it.
ANSWERS: Mapping[str, Any] = {
    "POST /session/token": SESSION,
    "DELETE /session/token": _FLAG,
    "GET /user/profile": PROFILE,
    "GET /user/margins": {"equity": SEGMENT_MARGINS, "commodity": SEGMENT_MARGINS},
    "GET /user/margins/{segment}": SEGMENT_MARGINS,
    "GET /quote": Keyed(QUOTE),
    "GET /quote/ohlc": Keyed(OHLC),
    "GET /quote/ltp": Keyed(LTP),
    "GET /instruments/historical/{token}/{interval}": {"candles": [CANDLE]},
    "POST /orders/{variety}": ORDER_ID,
    "PUT /orders/{variety}/{order_id}": ORDER_ID,
    "DELETE /orders/{variety}/{order_id}": ORDER_ID,
    "GET /orders": [ORDER],
    "GET /orders/{order_id}": [ORDER],
    "GET /orders/{order_id}/trades": [TRADE],
    "GET /trades": [TRADE],
    "GET /portfolio/positions": {"net": [POSITION], "day": [POSITION]},
    "GET /portfolio/holdings": [HOLDING],
    "POST /margins/orders": [MARGIN],
    "POST /margins/basket": {"initial": MARGIN, "final": MARGIN, "orders": [MARGIN], "charges": CHARGES},
    "POST /charges/orders": [NOTE],
}

# --- does a value fit? ----------------------------------------------------------------------------------

_PATTERNS = {
    Kind.MOMENT: re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
    Kind.CLOCK: re.compile(r"\d\d:\d\d:\d\d"),
    Kind.CANDLE_TIME: re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0530"),
    Kind.ID: re.compile(r"\d+"),
}


def misfits(value: Any, shape: Any, where: str = "data") -> Iterator[str]:
    """Each place at which a value is not as published; nothing where it fits."""
    if isinstance(shape, OrNull):
        return iter(()) if value is None else misfits(value, shape.shape, where)
    if isinstance(shape, Kind):
        return iter(() if _fits(value, shape) else (f"{where} is {value!r}, not {shape}",))
    if isinstance(value, dict) and isinstance(shape, dict | Keyed):
        return _misfits_of_object(value, shape, where)
    if isinstance(value, list) and (isinstance(shape, list) or len(value) == len(shape)):
        return _misfits_of_row(value, shape, where)
    return iter((f"{where} is {str(value)[:40]!r}, of another form",))


def _misfits_of_row(value: list[Any], shape: Any, where: str) -> Iterator[str]:
    inner = shape * len(value) if isinstance(shape, list) else shape
    for index, item in enumerate(value):
        yield from misfits(item, inner[index], f"{where}[{index}]")


def _misfits_of_object(value: dict[str, Any], shape: dict[str, Any] | Keyed, where: str) -> Iterator[str]:
    if isinstance(shape, Keyed):
        shape = dict.fromkeys(value, shape.shape)
    published = {name.removesuffix("?"): inner for name, inner in shape.items()}
    required = {name for name in shape if not name.endswith("?")}
    yield from (f"{where}.{name} is missing" for name in sorted(required - value.keys()))
    for name, item in value.items():
        if name in published:
            yield from misfits(item, published[name], f"{where}.{name}")
        else:
            yield f"{where}.{name} is no published field"


def _fits(value: Any, kind: Kind) -> bool:
    match kind:
        case Kind.TEXT:
            return isinstance(value, str)
        case Kind.FLAG:
            return isinstance(value, bool)
        case Kind.COUNT:
            return isinstance(value, int) and not isinstance(value, bool)
        case Kind.AMOUNT:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case Kind.OBJECT:
            return isinstance(value, dict)
    return isinstance(value, str) and _PATTERNS[kind].fullmatch(value) is not None
