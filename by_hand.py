"""What does the user do in our symbols by his own hand? Noticed, written down, and otherwise left alone.

The broker's position less ours is the user's own: bought or sold in the broker's app, or by another program.
It is never traded, stopped or flattened here. It is told once, when all readings of STALE_MOST have agreed: a
position lags the fills of our own orders, and would for a moment look like another's.
"""

from datetime import datetime

from ledger_facts import Noticed
from rulebook.order_messages import BookRead
from rulebook.order_records import STALE_MOST
from rulebook.orders import Machine


class ByHand:
    """What is known of others' shares, by ticker."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self._since: dict[str, tuple[int, datetime]] = {}

    def read(self, books: BookRead, machine: Machine) -> list[Noticed]:
        """What is new since it was told last."""
        if books.positions is None:
            return []
        found = []
        for ticker in sorted({*books.positions, *self._told}):
            foreign = books.positions.get(ticker, 0) - machine.held(ticker)
            if self._is_sure(ticker, foreign, books.began) and self._told.get(ticker, 0) != foreign:
                self._told[ticker] = foreign
                found.append(Noticed(ticker, _sentence(ticker, foreign)))
        return found

    def _is_sure(self, ticker: str, foreign: int, at: datetime) -> bool:
        before, since = self._since.get(ticker, (foreign, at))
        self._since[ticker] = foreign, since if before == foreign else at
        return at - self._since[ticker][1] >= STALE_MOST


def _sentence(ticker: str, qty: int) -> str:
    if qty == 0:
        return f"your own position in {ticker} is gone"
    return f"you hold {qty:+d} {ticker} of your own; it is shown, and neither traded nor stopped here"
