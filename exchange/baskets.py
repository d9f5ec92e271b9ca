"""What would these orders need, alone and together, and what would they cost? Asked before anything is sent.

Shares have no spread benefit. What a basket saves is what closes: an order against a position that is open,
or against another order of the basket, needs no margin for the shares that it closes. `initial` is the sum
of the orders as they stand, `final` what is left after that; positions count when consider_positions is
said. A delivery order is charged at the rates of intraday: the suite trades nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exchange import answers
from exchange.asks import Executed, wrong
from exchange.nouns import OrderRequest
from rulebook.charges import Rates
from rulebook.records import Paise

MIS = "MIS"


@dataclass(frozen=True, slots=True)
class Priced:
    """An order, the price at which it is reckoned, and what it needs alone."""

    asked: OrderRequest
    price: Paise
    needed: int
    leverage: int

    @property
    def value(self) -> int:
        return self.price * self.asked.qty


def order_margins(orders: Sequence[Priced], rates: Rates, compact: bool) -> list[answers.Object]:
    return [_margin(order, rates, compact) for order in orders]


def basket(
    orders: Sequence[Priced], held: Mapping[tuple[str, str], int], rates: Rates, compact: bool
) -> answers.Object:
    """`held`: net shares by ticker and product, as far as they are to be considered."""
    nothing = answers.charges((), rates)
    initial = sum(order.needed for order in orders)
    told: dict[str, Any] = {
        "initial": answers.margin("", initial, 0, nothing, compact),
        "final": answers.margin("", _needed_together(orders, held), 0, nothing, compact),
        "orders": order_margins(orders, rates, compact),
    }
    if compact:
        return told
    sides_and_values = [(order.asked.side, order.value) for order in orders]
    return {**told, "charges": answers.charges(sides_and_values, rates)}


def _needed_together(orders: Sequence[Priced], held: Mapping[tuple[str, str], int]) -> int:
    """Order by order on top of what is held: the shares that open something need their part."""
    net = dict(held)
    total = 0
    for order in orders:
        key = (order.asked.ticker, order.asked.product)
        before = net.get(key, 0)
        net[key] = before + order.asked.side * order.asked.qty
        opening = order.asked.qty - min(order.asked.qty, max(0, -order.asked.side * before))
        total += -(-order.needed * opening // order.asked.qty)
    return total


def contract_note(done: Sequence[Executed], rates: Rates) -> list[answers.Object]:
    """Charges of executed orders, one by one."""
    return [
        {
            "transaction_type": row.side.name,
            "tradingsymbol": row.ticker,
            "exchange": answers.EXCHANGE,
            "variety": row.variety,
            "product": row.product,
            "order_type": row.order_type,
            "quantity": row.qty,
            "price": answers.amount(row.price),
            "charges": answers.charges([(row.side, row.price * row.qty)], rates),
        }
        for row in done
    ]


def _margin(order: Priced, rates: Rates, compact: bool) -> answers.Object:
    cost = answers.charges([(order.asked.side, order.value)], rates)
    return answers.margin(order.asked.ticker, order.needed, order.leverage, cost, compact)


def priced(
    asked: OrderRequest,
    last: Paise,
    margin_of: Callable[[OrderRequest], int],
    leverage_of: Callable[[str], int],
) -> Priced:
    """A MARKET order is reckoned at the last price, a stop without a limit at its trigger."""
    if asked.qty == 0:
        raise wrong("Invalid `quantity`.")
    leverage = leverage_of(asked.ticker) if asked.product == MIS else 1
    return Priced(asked, asked.price or asked.trigger or last, margin_of(asked), leverage)
