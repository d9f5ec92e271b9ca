"""Answers of the broker, one of each endpoint, and a grammar that spoils them. Numbers are made up, shapes are not."""

import copy
import json
from random import Random
from typing import Any

ORDER: dict[str, Any] = {
    "account_id": "AB1234", "average_price": 1573.7, "cancelled_quantity": 0, "disclosed_quantity": 0,
    "exchange": "NSE", "exchange_order_id": "1100000012345678", "exchange_timestamp": "2026-11-20 10:41:27",
    "exchange_update_timestamp": "2026-11-20 10:41:27", "filled_quantity": 6, "guid": "01XB",
    "instrument_token": 408065, "market_protection": 0, "meta": {}, "modified": False,
    "order_id": "2611200000123456789", "order_timestamp": "2026-11-20 10:41:27", "order_type": "LIMIT",
    "parent_order_id": None, "pending_quantity": 0, "placed_by": "AB1234", "price": 1574, "product": "MIS",
    "quantity": 6, "status": "COMPLETE", "status_message": None, "status_message_raw": None, "tag": None,
    "tags": ["mktp", "rlABCDEFGHIJKLMNOPQR"], "tradingsymbol": "INFY", "transaction_type": "BUY",
    "trigger_price": 0, "validity": "DAY", "validity_ttl": 0, "variety": "regular",
}  # fmt: skip
TRADE: dict[str, Any] = {
    "trade_id": "10000000", "order_id": "2611200000123456789", "exchange": "NSE", "tradingsymbol": "INFY",
    "instrument_token": 408065, "product": "MIS", "average_price": 1573.7, "quantity": 6,
    "exchange_order_id": "1100000012345678", "transaction_type": "BUY",
    "fill_timestamp": "2026-11-20 10:41:27", "order_timestamp": "10:41:27",
    "exchange_timestamp": "2026-11-20 10:41:27",
}  # fmt: skip
POSITION: dict[str, Any] = {
    "tradingsymbol": "INFY", "exchange": "NSE", "instrument_token": 408065, "product": "MIS", "quantity": -6,
    "average_price": 1573.705, "last_price": 1570.1, "unrealised": 21.63, "pnl": 21.63,
}  # fmt: skip
QUOTE: dict[str, Any] = {
    "instrument_token": 408065, "timestamp": "2026-11-20 10:41:27", "last_price": 1573.7, "volume": 1192471,
    "lower_circuit_limit": 1411.05, "upper_circuit_limit": 1724.55,
    "ohlc": {"open": 1569.15, "high": 1575, "low": 1561.05, "close": 1567.8},
    "depth": {
        "buy": [{"price": 1573.4, "quantity": 5, "orders": 1}, {"price": 0, "quantity": 0, "orders": 0}],
        "sell": [{"price": 1573.7, "quantity": 172, "orders": 3}],
    },
}  # fmt: skip
DATA: dict[str, Any] = {
    "place": {"order_id": "2611200000123456789"},
    "modify": {"order_id": "2611200000123456789"},
    "cancel": {"order_id": "2611200000123456789"},
    "orders": [ORDER, {**ORDER, "order_id": "2611200000123456790", "exchange": "BSE"}],
    "trades": [TRADE],
    "positions": {"net": [POSITION], "day": [POSITION]},
    "quotes": {"NSE:INFY": QUOTE},
    "candles": {"candles": [["2026-11-20T09:15:00+0530", 1569.15, 1575, 1561.05, 1573.7, 1192471]]},
    "margin": [{"type": "equity", "tradingsymbol": "INFY", "leverage": 5, "total": 1573.7}],
    "profile": {"user_id": "AB1234", "email": "x@example.org"},
    "cash": {"equity": {"enabled": True, "net": 99725.05}, "commodity": {"net": 0}},
    "session": {
        "user_id": "AB1234", "access_token": "x" * 32, "refresh_token": "", "login_time": "2026-11-20 08:01:02",
    },
}  # fmt: skip

_RUBBISH: tuple[Any, ...] = (
    None, True, 0, -1, 1e300, -0.005, 10**25, "", "x", "NaN", "2026-13-40 99:99:99", [], {}, [[]], {"": None},
    "\ud800", "1573.7", 0.1 + 0.2, [None] * 3,
)  # fmt: skip


def spoilt(name: str, rng: Random) -> tuple[int, bytes]:
    """A status and a body that began as a true answer."""
    answer: Any = {"status": "success", "data": copy.deepcopy(DATA[name])}
    for _ in range(rng.randint(1, 3)):
        _spoil(answer, rng)
    status = rng.choice((200, 200, 200, 200, 400, 403, 429, 500, 502, 503, 504))
    if status != 200 and rng.random() < 0.7:
        answer = {
            "status": "error", "message": rng.choice(_MESSAGES), "error_type": rng.choice(_TYPES), "data": None,
        }  # fmt: skip
        if rng.random() < 0.3:
            _spoil(answer, rng)
    body = json.dumps(answer).encode("utf-8", "surrogatepass")
    if rng.random() < 0.25:
        body = _torn(body, rng)
    return status, body


_MESSAGES = (
    "Order request timed out", "Insufficient funds. Required margin is 10.", "", "Too many requests",
    "Token is invalid or has expired.", "Maximum allowed order modifications exceeded.", "Gateway timed out",
    "Tick size for this script is 0.05.", "Order cannot be modified as it is being processed.",
)  # fmt: skip
_TYPES = (
    "OrderException", "InputException", "MarginException", "TokenException", "PermissionException",
    "NetworkException", "GeneralException", "DataException", "", "NewException",
)  # fmt: skip


def _spoil(answer: Any, rng: Random) -> None:
    """One place anywhere inside becomes rubbish, goes missing, or stands there twice."""
    places = list(_places(answer))
    if not places:
        return
    holder, key = rng.choice(places)
    match rng.randrange(4):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        case 2:
            holder[key] = copy.deepcopy(answer) if rng.random() < 0.1 else [holder[key]]
        case _:
            holder[key] = copy.deepcopy(rng.choice(_RUBBISH))


def _places(value: Any) -> Any:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _torn(body: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(body) + 1)
    match rng.randrange(4):
        case 0:
            return body[:at]
        case 1:
            return b"<html><head><title>502 Bad Gateway</title></head></html>"
        case 2:
            return body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]
    return body[:at] + rng.choice((b"NaN", b"Infinity", b"[" * 2_000, b"\xff\xfe", b"")) + body[at:]
