"""What does the broker's risk management do by itself? It squares off what is intraday.

At the square-off (dated facts: rulebook.hours; kite.md 3.5), or when the fault early_square_off strikes,
every pending MIS order is cancelled first, at once, and then one market order is sent for what is open
in each ticker: no tag, no rule of the API, its own words in the book, Rs 50 and GST as soon as it has
traded. An order that is still on its way is turned back at the exchange's door (desk.py).

What a locked circuit does not let out stays open on the book, takes part in a closing auction where there
is one, and is delivered in the night: bought shares become holdings, a short is closed out in cash.
Whether Zerodha converts or auctions is decided case by case there; this is the simple reading.
"""

from collections.abc import Collection

from exchange import refusals
from exchange.account import MIS, Account
from exchange.agenda import Agenda
from exchange.board import Board
from exchange.desk import Desk
from exchange.floor import Floor
from exchange.nouns import OrderRequest
from exchange.orders import Stage
from exchange.register import Register
from rulebook.records import OrderType, Side


class RiskDesk:
    """Risk management: it may do what no client may."""

    def __init__(
        self, agenda: Agenda, board: Board, register: Register, account: Account, floor: Floor, desk: Desk
    ) -> None:
        self._agenda = agenda
        self._board = board
        self._register = register
        self._account = account
        self._floor = floor
        self._desk = desk

    def square_off(self, tickers: Collection[str]) -> None:
        """Now, in these tickers; fresh MIS orders in them are refused from here on."""
        now_us = self._agenda.now_us
        for ticker in tickers:
            page = self._board.today(ticker)
            page.mis_ends_us = now_us if page.mis_ends_us is None else min(page.mis_ends_us, now_us)
            self._cancel_pending(ticker)
        for ticker in tickers:
            self._close(ticker)

    def _cancel_pending(self, ticker: str) -> None:
        for order in self._register.live(ticker):
            if order.request.product == MIS and order.stage is not Stage.ON_ITS_WAY:
                self._floor.cancel(order, refusals.SQUARED_OFF)

    def _close(self, ticker: str) -> None:
        net = self._account.net(ticker, MIS)
        if net == 0:
            return
        order_id = self._desk.place(
            OrderRequest(
                ticker=ticker,
                side=Side.SELL if net > 0 else Side.BUY,
                qty=abs(net),
                product=MIS,
                order_type=OrderType.MARKET,
                placed_by_broker=True,
            )
        )
        order = self._register.orders[order_id]
        order.message = order.message_raw = refusals.SQUARE_OFF_ORDER
