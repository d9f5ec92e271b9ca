"""What did the client ask? The fields of a form or of a JSON body, read into the exchange's own words.

Only what cannot be read is refused here, as an InputException with the field's name; what the broker's risk
management or the exchange thinks of an order is the venue's. The sentences are second-hand, UNCONFIRMED.
Fields that are not known are passed over: the official client sends `variety` and `order_id` in the body
too, and a boolean as "True".

Left out, and refused in so many words: other exchanges than NSE, slicing (autoslice), TTL, and every
variety but regular.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from exchange.answers import EXCHANGES, ORDER_TYPES, PRODUCTS
from exchange.nouns import Changes, OrderRequest, RefusalError
from kite.units import UnitError, price_paise
from rulebook.records import OrderType, Paise, Side

VARIETIES = ("regular", "amo", "co", "iceberg", "auction")
VALIDITIES = ("DAY", "IOC", "TTL")
_COUNT = re.compile(r"[0-9]{1,9}")
_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")
_MOST_MILLI = 100_000


@dataclass(frozen=True, slots=True)
class Executed:
    """A row of POST /charges/orders."""

    ticker: str
    side: Side
    qty: int
    price: Paise
    variety: str
    product: str
    order_type: str


class Fields:
    """The named texts of one form, or of one order of a JSON body."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def text(self, name: str) -> str:
        """Refused where it is missing or empty."""
        found = self.maybe(name)
        if found is None:
            raise wrong(f"Missing or empty field `{name}`")
        return found

    def maybe(self, name: str) -> str | None:
        return self._texts.get(name) or None

    def one_of(self, name: str, known: tuple[str, ...], default: str | None = None) -> str:
        found = self.maybe(name) or default
        if found is None:
            raise wrong(f"Missing or empty field `{name}`")
        if found not in known:
            raise wrong(f"Invalid `{name}`.")
        return found

    def count(self, name: str) -> int:
        found = self.text(name)
        if not _COUNT.fullmatch(found):
            raise wrong(f"Invalid `{name}`.")
        return int(found)

    def maybe_count(self, name: str) -> int | None:
        return None if self.maybe(name) is None else self.count(name)

    def maybe_price(self, name: str) -> Paise | None:
        """0 is none: clients write it where a MARKET order has no price."""
        found = self.maybe(name)
        if found is None:
            return None
        try:
            return price_paise(found) or None
        except UnitError:
            raise wrong(f"Invalid `{name}`.") from None

    def protection_milli(self) -> int | None:
        """Percent, or -1 as a number or a text."""
        found = self.maybe("market_protection")
        if found is None:
            return None
        if found in ("-1", "-1.0"):
            return -1
        milli = int(Decimal(found) * 1_000) if _PERCENT.fullmatch(found) else _MOST_MILLI + 1
        if milli > _MOST_MILLI:
            raise wrong("Invalid `market_protection`.")
        return milli


def order_request(form: Mapping[str, str], variety: str) -> OrderRequest:
    """POST /orders/{variety}, and a row of POST /margins/orders."""
    fields = Fields(form)
    _require_carried(fields, variety)
    return OrderRequest(
        ticker=fields.text("tradingsymbol"),
        side=_side(fields),
        qty=fields.count("quantity"),
        product=fields.one_of("product", (*PRODUCTS, "MTF")),
        order_type=OrderType(fields.one_of("order_type", ORDER_TYPES)),
        variety=variety,
        validity=fields.one_of("validity", VALIDITIES, "DAY"),
        price=fields.maybe_price("price"),
        trigger=fields.maybe_price("trigger_price"),
        disclosed_qty=fields.maybe_count("disclosed_quantity") or 0,
        protection_milli=fields.protection_milli() or 0,
        tag=fields.maybe("tag"),
    )


def changes(form: Mapping[str, str], variety: str) -> Changes:
    """PUT /orders/{variety}/{order_id}."""
    fields = Fields(form)
    require_variety(variety)
    order_type = None if fields.maybe("order_type") is None else fields.one_of("order_type", ORDER_TYPES)
    validity = None if fields.maybe("validity") is None else fields.one_of("validity", VALIDITIES)
    return Changes(
        qty=fields.maybe_count("quantity"),
        price=fields.maybe_price("price"),
        order_type=None if order_type is None else OrderType(order_type),
        trigger=fields.maybe_price("trigger_price"),
        validity=validity,
        disclosed_qty=fields.maybe_count("disclosed_quantity"),
        protection_milli=fields.protection_milli(),
    )


def executed(row: Mapping[str, str]) -> Executed:
    """A row of POST /charges/orders."""
    fields = Fields(row)
    _require_nse(fields)
    price = fields.maybe_price("average_price") or fields.maybe_price("price")
    if price is None:
        raise wrong("Missing or empty field `average_price`")
    return Executed(
        ticker=fields.text("tradingsymbol"),
        side=_side(fields),
        qty=fields.count("quantity"),
        price=price,
        variety=fields.one_of("variety", VARIETIES, "regular"),
        product=fields.one_of("product", (*PRODUCTS, "MTF")),
        order_type=fields.one_of("order_type", ORDER_TYPES),
    )


def rows(body: bytes) -> list[dict[str, str]]:
    """The orders of a JSON array, their values as a form would carry them."""
    try:
        found = json.loads(body)
    except ValueError:
        raise wrong("Invalid JSON.") from None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise wrong("Invalid JSON: an array of orders is wanted.")
    return [{key: str(value) for key, value in row.items() if _is_plain(value)} for row in found]


def is_true(text: str) -> bool:
    """Python's client writes True, Go's and JavaScript's true."""
    return text.lower() in ("true", "1")


def require_variety(variety: str) -> None:
    if variety not in VARIETIES:
        raise wrong("Invalid `variety`.")


def wrong(message: str) -> RefusalError:
    return RefusalError(400, "InputException", message)


def _require_carried(fields: Fields, variety: str) -> None:
    require_variety(variety)
    _require_nse(fields)
    if is_true(fields.maybe("autoslice") or ""):
        raise wrong("autoslice is left out of the local exchange.")


def _require_nse(fields: Fields) -> None:
    if fields.one_of("exchange", EXCHANGES) != "NSE":
        raise wrong("The local exchange carries NSE only.")


def _side(fields: Fields) -> Side:
    return Side[fields.one_of("transaction_type", tuple(side.name for side in Side))]


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
