"""How does the broker spell what the exchange knows? Values in, its JSON shapes out; nothing is decided here.

Field names and types are those of fields.py, which the tests hold every answer against.

What is not confirmed, and what is answered
-------------------------------------------
- An amount of whole rupees is written without a fraction (72, not 72.0), as in the mocks: a client that
  asks for a float breaks here, as it would there. An average is written with at most six decimals.
- A CANCELLED order goes on showing pending_quantity (M orders.json); a REJECTED one shows 0.
- `tags` is left out where there is none, as in the mocks.
- Unrealised is the whole profit of a position and realised is 0, open or flat, as in the official test data.
- What came over from yesterday stands in a position at yesterday's close; close_price is 0 without such.
- The market's levels carry no count of orders, so each says one, as on the stream.
- The broker's own square-offs are placed by ADMINSQF, as people have quoted their books.
- The margin of a share is shown as `exposure` of what is used, and as `var` of an order.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from exchange.login import Session, User
from exchange.nouns import Candle, Flow, Funds, Holding, Listing, OrderView, Quote, Trade
from kite.units import candle_text, moment_of_epoch, moment_text, rupees
from rulebook.charges import (
    PARTS,
    Rates,
    brokerage,
    exchange_fee,
    gst_of_order,
    sebi_fee,
    stamp,
    stt,
)
from rulebook.fills import Level
from rulebook.hours import IST
from rulebook.records import Side

LEVELS = 5
EXCHANGE = "NSE"
SQUARE_OFF_DESK = "ADMINSQF"
EXCHANGES = ("NSE", "NFO", "BSE", "BFO", "CDS", "MCX", "BCD", "MF")
PRODUCTS = ("CNC", "NRML", "MIS", "BO", "CO")
ORDER_TYPES = ("MARKET", "LIMIT", "SL", "SL-M")
_MICRO = 1_000_000  # of a rupee: the six decimals of an average
_DAY_MINUTES = 1_440

Object = dict[str, Any]


def amount(paise: int) -> int | float:
    """In rupees."""
    return paise // 100 if paise % 100 == 0 else rupees(paise)


def average(value: int, qty: int) -> int | float:
    """Of a value in paise over so many shares, in rupees; 0 for none."""
    if qty == 0:
        return 0
    micro = (value * (_MICRO // 100) + qty // 2) // qty
    return micro // _MICRO if micro % _MICRO == 0 else micro / _MICRO


# --- the account ------------------------------------------------------------------------------------


def profile(user: User) -> Object:
    return {
        "user_id": user.user_id,
        "user_type": "individual",
        "email": user.email,
        "user_name": user.name,
        "user_shortname": user.shortname,
        "broker": "ZERODHA",
        "exchanges": list(EXCHANGES),
        "products": list(PRODUCTS),
        "order_types": list(ORDER_TYPES),
        "avatar_url": None,
        "meta": {"demat_consent": "physical"},
    }


def session(user: User, api_key: str, opened: Session) -> Object:
    """No refresh token: those are for approved platforms."""
    return {
        **profile(user),
        "api_key": api_key,
        "access_token": opened.access_token,
        "public_token": opened.public_token,
        "enctoken": opened.enctoken,
        "refresh_token": "",
        "silo": "",
        "login_time": moment_text(opened.login_at),
    }


def margins(funds: Funds) -> Object:
    return {"equity": _segment(funds, True), "commodity": _segment(Funds(0, 0, 0, 0), False)}


def _segment(funds: Funds, enabled: bool) -> Object:
    idle = "option_premium payout span holding_sales turnover liquid_collateral stock_collateral delivery"
    return {
        "enabled": enabled,
        "net": amount(funds.available),
        "available": {
            "adhoc_margin": 0,
            "cash": amount(funds.opening),
            "opening_balance": amount(funds.opening),
            "live_balance": amount(funds.available),
            "collateral": 0,
            "intraday_payin": 0,
        },
        "utilised": {
            "debits": amount(funds.opening - funds.available),
            "exposure": amount(funds.blocked),
            "m2m_realised": amount(funds.realised),
            "m2m_unrealised": amount(funds.unrealised),
            **dict.fromkeys(idle.split(), 0),
        },
    }


# --- market data ------------------------------------------------------------------------------------


def quote(listing: Listing, now: Quote) -> Object:
    """An index has no book and no volume, and its keys are missing then."""
    shown: Object = {**ohlc(listing, now), "timestamp": moment_text(now.at)}
    shown["net_change"] = amount(now.last - now.close)
    if listing.is_index:
        return shown
    return {
        **shown,
        "last_trade_time": moment_text(now.last_trade_at),
        "last_quantity": now.last_qty,
        "buy_quantity": now.buy_qty,
        "sell_quantity": now.sell_qty,
        "volume": now.volume,
        "average_price": amount(now.average),
        "oi": 0,
        "oi_day_high": 0,
        "oi_day_low": 0,
        "lower_circuit_limit": amount(now.lower_circuit),
        "upper_circuit_limit": amount(now.upper_circuit),
        "depth": {"buy": _side(now.depth.bids), "sell": _side(now.depth.asks)},
    }


def ohlc(listing: Listing, now: Quote) -> Object:
    prices = {name: amount(getattr(now, name)) for name in ("open", "high", "low", "close")}
    return {**ltp(listing, now), "ohlc": prices}


def ltp(listing: Listing, now: Quote) -> Object:
    return {"instrument_token": listing.token, "last_price": amount(now.last)}


def _side(levels: Sequence[Level]) -> list[Object]:
    rows = [
        {"price": amount(level.price), "quantity": level.qty, "orders": 1}
        for level in levels[:LEVELS]
        if level.qty
    ]
    return rows + [{"price": 0, "quantity": 0, "orders": 0}] * (LEVELS - len(rows))


def candles(found: Iterable[Candle], minutes: int, with_oi: bool) -> Object:
    """A day's candle is stamped with midnight. A share has no open interest: 0."""
    oi = (0,) if with_oi else ()
    rows = [[_opened(c.opened_s, minutes), *map(amount, c[1:5]), c.volume, *oi] for c in found]
    return {"candles": rows}


def _opened(opened_s: int, minutes: int) -> str:
    opened = moment_of_epoch(opened_s)
    if minutes == _DAY_MINUTES:
        opened = datetime.combine(opened.date(), datetime.min.time(), IST)
    return candle_text(opened)


# --- the books --------------------------------------------------------------------------------------


def order(view: OrderView, token: int, user_id: str) -> Object:
    asked = view.request
    tags = {"tags": list(view.tags)} if view.tags else {}
    return {
        "account_id": user_id,
        "placed_by": SQUARE_OFF_DESK if asked.placed_by_broker else user_id,
        "order_id": view.order_id,
        "exchange_order_id": view.exchange_order_id,
        "parent_order_id": None,
        "status": view.status,
        "status_message": view.message,
        "status_message_raw": view.message_raw,
        "order_timestamp": moment_text(view.placed_at),
        "exchange_update_timestamp": _moment_or_none(view.updated_at),
        "exchange_timestamp": _moment_or_none(view.exchange_at),
        "variety": asked.variety,
        "modified": view.modifications > 0,
        "exchange": EXCHANGE,
        "tradingsymbol": asked.ticker,
        "instrument_token": token,
        "order_type": view.order_type.value,
        "transaction_type": asked.side.name,
        "validity": asked.validity,
        "validity_ttl": 0,
        "product": asked.product,
        "quantity": view.qty,
        "disclosed_quantity": asked.disclosed_qty,
        "price": amount(view.price),
        "trigger_price": amount(view.trigger),
        "average_price": average(view.value, view.filled),
        "filled_quantity": view.filled,
        "pending_quantity": _pending_shown(view),
        "cancelled_quantity": view.cancelled,
        "market_protection": _percent(view.protection_milli),
        "meta": {},
        "tag": asked.tag,
        **tags,
        "guid": None if asked.placed_by_hand or asked.placed_by_broker else f"01X{view.order_id[-12:]}",
    }


def order_frame(view: OrderView, token: int, user_id: str, status: str) -> Object:
    """The data of an order frame of the stream. Its checksum may be empty there (kite.md 3.9), so it is."""
    told = order(view, token, user_id)
    more = {"user_id": user_id, "app_id": 1, "unfilled_quantity": view.qty - view.filled, "checksum": ""}
    return {**told, **more, "status": status}


def _pending_shown(view: OrderView) -> int:
    match view.status:
        case "CANCELLED":
            return view.qty - view.filled
        case "REJECTED":
            return 0
    return view.pending


def _percent(milli: int) -> int | float:
    """-1 is the wish for automatic protection, and no percentage."""
    return milli if milli == -1 or milli == 0 else milli // 1_000 if milli % 1_000 == 0 else milli / 1_000


def _moment_or_none(at: datetime | None) -> str | None:
    return None if at is None else moment_text(at)


def trade(done: Trade, token: int) -> Object:
    """The order's own time comes without its date."""
    return {
        "trade_id": done.trade_id,
        "order_id": done.order_id,
        "exchange": EXCHANGE,
        "tradingsymbol": done.ticker,
        "instrument_token": token,
        "product": done.product,
        "average_price": amount(done.price),
        "quantity": done.qty,
        "exchange_order_id": done.exchange_order_id,
        "transaction_type": done.side.name,
        "fill_timestamp": moment_text(done.at),
        "order_timestamp": f"{done.order_at.astimezone(IST):%H:%M:%S}",
        "exchange_timestamp": moment_text(done.at),
    }


def position(flow: Flow, token: int, last: int, close: int, of_day: bool) -> Object:
    """A row of `net`, or of `day`, which knows nothing of yesterday. Flat rows are rows too."""
    before = 0 if of_day else flow.overnight
    bought, bought_value = flow.bought + max(before, 0), flow.bought_value + max(before, 0) * close
    sold, sold_value = flow.sold - min(before, 0), flow.sold_value - min(before, 0) * close
    held = bought - sold
    value = sold_value - bought_value
    opened = (bought_value, bought) if held > 0 else (sold_value, sold)
    profit = amount(value + held * last)
    return {
        "tradingsymbol": flow.ticker,
        "exchange": EXCHANGE,
        "instrument_token": token,
        "product": flow.product,
        "quantity": held,
        "overnight_quantity": before,
        "multiplier": 1,
        "average_price": average(*opened) if held else 0,
        "close_price": amount(close) if flow.overnight else 0,
        "last_price": amount(last),
        "value": amount(value),
        **dict.fromkeys(("pnl", "m2m", "unrealised"), profit),
        "realised": 0,
        **_traded("buy", bought, bought_value),
        "buy_m2m": amount(bought_value),
        **_traded("sell", sold, sold_value),
        "sell_m2m": amount(sold_value),
        **_traded("day_buy", flow.bought, flow.bought_value),
        **_traded("day_sell", flow.sold, flow.sold_value),
    }


def _traded(what: str, qty: int, value: int) -> Object:
    return {f"{what}_quantity": qty, f"{what}_price": average(value, qty), f"{what}_value": amount(value)}


def holding(held: Holding, listing: Listing, last: int, close: int, now: datetime) -> Object:
    counts = "used_quantity t1_quantity authorised_quantity short_quantity collateral_quantity price"
    return {
        "tradingsymbol": held.ticker,
        "exchange": EXCHANGE,
        "instrument_token": listing.token,
        "isin": listing.isin,
        "product": "CNC",
        **dict.fromkeys(counts.split(), 0),
        **dict.fromkeys(("quantity", "realised_quantity", "opening_quantity"), held.qty),
        "authorised_date": moment_text(_midnight(now)),
        "authorisation": {},
        "collateral_type": "",
        "discrepancy": False,
        "average_price": amount(held.average),
        "last_price": amount(last),
        "close_price": amount(close),
        "pnl": amount((last - held.average) * held.qty),
        "day_change": amount(last - close),
        "day_change_percentage": (last - close) * 100 / close,
        "mtf": dict.fromkeys(("quantity", "used_quantity", "average_price", "value", "initial_margin"), 0),
    }


def _midnight(now: datetime) -> datetime:
    return now.astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)


# --- margins and charges ----------------------------------------------------------------------------


def charges(orders: Sequence[tuple[Side, int]], rates: Rates) -> Object:
    """Of orders by side and value, exact: the broker does not round here, its contract note does."""
    items = {
        "transaction_tax": sum(stt(side, value, rates) for side, value in orders),
        "exchange_turnover_charge": sum(exchange_fee(value, rates) for _, value in orders),
        "sebi_turnover_charge": sum(sebi_fee(value, rates) for _, value in orders),
        "brokerage": sum(brokerage(value, rates) for _, value in orders),
        "stamp_duty": sum(stamp(side, value, rates) for side, value in orders),
    }
    gst = sum(gst_of_order(value, rates) for _, value in orders)
    return {
        **{name: _of_nano(nano) for name, nano in items.items()},
        "transaction_tax_type": "stt",
        "gst": {"igst": _of_nano(gst), "cgst": 0, "sgst": 0, "total": _of_nano(gst)},
        "total": _of_nano(sum(items.values()) + gst),
    }


def _of_nano(nano: int) -> int | float:
    """Rupees of billionths of a paisa."""
    whole = PARTS * 100
    return nano // whole if nano % whole == 0 else nano / whole


def margin(ticker: str, paise: int, leverage: int, of_charges: Object, compact: bool) -> Object:
    """What an order needs; a blank ticker is the sum of a basket, and of no kind and exchange."""
    short = {
        "type": "equity" if ticker else "",
        "tradingsymbol": ticker,
        "exchange": EXCHANGE if ticker else "",
    }
    if compact:
        return {**short, "total": amount(paise)}
    return {
        **short,
        **dict.fromkeys(("span", "exposure", "option_premium", "additional", "bo", "cash"), 0),
        "var": amount(paise),
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": leverage,
        "charges": of_charges,
        "total": amount(paise),
    }
