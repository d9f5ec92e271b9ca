"""What does the account own and owe? Positions, margin, holdings, charges: to the paisa.

Money moves once a day. While the market is open the opening cash stands, and what was earned, what is
blocked and what it costs are counted beside it; overnight `settle` books the day: what was sold less
what was bought less the charges (rulebook.charges.split over the day's executed orders). Nothing else
moves money, so the next opening follows from the trades to the paisa.

Average cost, in whole paise: a part of a position takes its share of the cost rounded down, and the last
part takes the rest, so that realised less cost is always sold less bought. Asserted with every trade.

Margin: MIS positions block their cost divided by the leverage, delivery its whole cost. A working order
blocks what it could add to its position, in order of placing: what only reduces is free, and a second
order that would reduce the same shares is not, as at the broker.

Simplified, and said so: delivery is charged at the intraday rates (rulebook knows no others), shares
bought for delivery are holdings the next morning, proceeds of sold holdings too, and a short that nobody
could buy back is closed out in cash at the official close.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from exchange.nouns import Flow, Funds, Holding, Trade
from rulebook.charges import ChargeSplit, Rates, split
from rulebook.records import Paise, Side

MIS, CNC = "MIS", "CNC"


class Working(NamedTuple):
    """An order that may still trade, as far as margin is concerned."""

    ticker: str
    product: str
    side: Side
    left: int
    price: Paise


@dataclass(slots=True)
class Position:
    bought: int = 0
    bought_value: int = 0
    sold: int = 0
    sold_value: int = 0
    net: int = 0
    cost: int = 0  # of what is open; below zero for a short
    realised: int = 0

    def book(self, side: Side, qty: int, price: Paise) -> None:
        if side is Side.BUY:
            self.bought += qty
            self.bought_value += qty * price
        else:
            self.sold += qty
            self.sold_value += qty * price
        closing = min(qty, max(0, -side * self.net))
        if closing:
            part = self.cost * closing // abs(self.net)
            self.realised -= side * closing * price + part
            self.cost -= part
            self.net += side * closing
        self.net += side * (qty - closing)
        self.cost += side * (qty - closing) * price
        assert self.net == self.bought - self.sold
        assert self.realised - self.cost == self.sold_value - self.bought_value


class Account:
    def __init__(self, cash: int, holdings: Iterable[Holding], leverage: Callable[[str], int]) -> None:
        self.cash = cash
        self.stock = {holding.ticker: holding for holding in holdings}
        self.positions: dict[tuple[str, str], Position] = {}
        self.executed: dict[str, tuple[Side, int]] = {}  # the value of each executed order, by its id
        self.squared_off: set[str] = set()
        self._leverage = leverage

    # Trades

    def book(self, trade: Trade, is_square_off: bool) -> None:
        position = self.positions.setdefault((trade.ticker, trade.product), Position())
        position.book(trade.side, trade.qty, trade.price)
        _, value = self.executed.get(trade.order_id, (trade.side, 0))
        self.executed[trade.order_id] = (trade.side, value + trade.qty * trade.price)
        if is_square_off:
            self.squared_off.add(trade.order_id)

    def net(self, ticker: str, product: str) -> int:
        position = self.positions.get((ticker, product))
        return 0 if position is None else position.net

    def flows(self) -> list[Flow]:
        return [
            Flow(ticker, product, p.bought, p.bought_value, p.sold, p.sold_value)
            for (ticker, product), p in self.positions.items()
        ]

    def holdings(self) -> list[Holding]:
        return list(self.stock.values())

    def charges(self, rates: Rates) -> ChargeSplit:
        """Of today's executed orders."""
        return split(self.executed.values(), rates, len(self.squared_off))

    # Margin

    def margin(self, ticker: str, product: str, value: int) -> int:
        """What that much of a ticker blocks, rounded up."""
        return -(-value // (self._leverage(ticker) if product == MIS else 1))

    def blocked(self, working: Iterable[Working]) -> int:
        """By everything that is open, orders in order of placing."""
        asked: dict[tuple[str, str], list[Working]] = {}
        for order in working:
            asked.setdefault((order.ticker, order.product), []).append(order)
        keys = [*self.positions, *(key for key in asked if key not in self.positions)]
        return sum(self._blocked_by(key, asked.get(key, ())) for key in keys)

    def _blocked_by(self, key: tuple[str, str], orders: Iterable[Working]) -> int:
        ticker, product = key
        position = self.positions.get(key, Position())
        held = abs(position.cost) if product == MIS else max(0, position.cost)
        free = {Side.BUY: max(0, -position.net), Side.SELL: max(0, position.net)}
        if product == CNC:
            free[Side.SELL] = 1 << 62  # no margin for delivery sold: it has to be owned
        total = self.margin(ticker, product, held)
        for order in orders:
            reducing = min(order.left, free[order.side])
            free[order.side] -= reducing
            total += self.margin(ticker, product, (order.left - reducing) * order.price)
        return total

    def sellable(self, ticker: str, working: Iterable[Working]) -> int:
        """Shares that may still be sold for delivery: owned or bought today, less what is on offer."""
        owned = self.stock[ticker].qty if ticker in self.stock else 0
        offered = sum(o.left for o in working if (o.ticker, o.product, o.side) == (ticker, CNC, Side.SELL))
        return owned + self.net(ticker, CNC) - offered

    def funds(self, working: Iterable[Working], last: Callable[[str], Paise], rates: Rates) -> Funds:
        open_mis = [(t, p) for (t, product), p in self.positions.items() if product == MIS and p.net]
        return Funds(
            opening=self.cash,
            blocked=self.blocked(working),
            realised=sum(position.realised for position in self.positions.values()),
            unrealised=sum(p.net * last(ticker) - p.cost for ticker, p in open_mis),
            charges=self.charges(rates).total,
        )

    # Overnight

    def settle(self, rates: Rates, close: Callable[[str], Paise]) -> Mapping[str, int]:
        """Book the day and begin the next with clean books; answers what was booked."""
        charges = self.charges(rates).total
        traded = sum(p.sold_value - p.bought_value for p in self.positions.values())
        closed_out = 0
        for (ticker, _), position in self.positions.items():
            closed_out += self._deliver(ticker, position, close)
        self.cash += traded - charges - closed_out
        self.positions, self.executed, self.squared_off = {}, {}, set()
        return {"traded": traded, "charges": charges, "closed_out": closed_out, "cash": self.cash}

    def _deliver(self, ticker: str, position: Position, close: Callable[[str], Paise]) -> int:
        """What is left of a position becomes a holding; answers what a short cost that nobody bought back."""
        if position.net == 0:
            return 0
        owned = self.stock.get(ticker, Holding(ticker, 0, Paise(0)))
        qty = owned.qty + position.net
        if qty <= 0:
            self.stock.pop(ticker, None)
            return -qty * close(ticker) if qty else 0
        average = owned.average
        if position.net > 0:
            average = Paise((owned.qty * owned.average + position.cost) // qty)
        self.stock[ticker] = Holding(ticker, qty, average)
        return 0
