"""What can the suite ask of the broker? One client with the methods of interfaces.md, over either transport.

Errors are the tree of kite/errors.py, drawn there by what the caller must do. Orders here are single ones,
for a script or a person; a trading session has the machine of rulebook/orders.py carried out by
order_desk.py, over the same client. Both keep the same laws: the intent is recorded before it is sent, it
is sent once, a doubt is settled by the order book and its tags, and an entry whose fate is unknown is never
sent again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from clock import Clock
from kite.books import CandleRow, Quoted
from kite.client import KiteClient
from kite.closing import Convert, Drop, Send, Shrink, Standing, Step, exit_steps, standing
from kite.day_list import list_day
from kite.errors import BrokerError, DownError, LogInAgainError, RejectedError
from kite.instruments import Master, Share
from kite.settle import OVER, Intents, Settler, status_of
from kite.units import rupees
from rulebook.order_messages import Cancel, Modify, OrderRow, Place
from rulebook.order_records import (
    MODIFICATIONS_KEPT,
    MODIFICATIONS_MOST,
    Purpose,
    Refusal,
    Status,
    Terms,
)
from rulebook.pricing import entry_terms, stop_terms
from rulebook.records import OrderType, Paise, Side, tag_of
from rulebook.stops import away, half_up

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BrokerError", "ZerodhaClient"]

INTERVALS = {
    "1m": ("minute", 60),
    "3m": ("3minute", 100),
    "5m": ("5minute", 100),
    "15m": ("15minute", 200),
    "1h": ("60minute", 400),
    "1d": ("day", 2_000),
}  # fmt: skip  (the broker's name, the most days of one call: kite.md 1.4)


class ZerodhaClient:
    """One login at the broker, for one thread. `load` gives the day's list of instruments."""

    def __init__(
        self, client: KiteClient, clock: Clock, intents: Intents, max_slippage_bps: float,
        renew: Callable[[], str] | None = None, load: Callable[[], Master] | None = None,
    ) -> None:  # fmt: skip
        self._client = client
        self._clock = clock
        self._settler = Settler(client, clock, intents)
        self._max_slippage_bps = max_slippage_bps
        self._renew = renew
        self._load = load or client.master
        self._master: Master | None = None
        self._modified: dict[str, int] = {}

    # --- the login ---

    def authenticate(self) -> None:
        """Raises LogInAgainError where the token is dead."""
        self._client.user_id()

    def is_token_valid(self) -> bool:
        try:
            self.authenticate()
        except LogInAgainError:
            return False
        return True

    def refresh_token(self) -> str:
        """A new access token without a person, where the account's type has one; most have not."""
        if self._renew is None:
            raise LogInAgainError("refresh_token", "this account has no refresh token")
        token = self._renew()
        self._client.use_token(token)
        return token

    # --- what is traded, and at which price ---

    @property
    def master(self) -> Master:
        """Of today: tokens and ticks are the day's."""
        if self._master is None or self._master.day != list_day(self._clock.now()):
            self._master = self._load()
        return self._master

    def share(self, ticker: str) -> Share:
        return self.master.share(ticker)

    def instruments_master(self) -> "pd.DataFrame":
        import pandas as pd

        rows = [
            {"ticker": ticker, "token": share.token, "name": share.name,
             "tick": rupees(share.instrument.tick), "lot": share.instrument.lot,
             "class": share.instrument.symbol_class.value}
            for ticker, share in sorted(self.master.shares.items())
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def candles(self, ticker: str, tf: str, start: datetime, end: datetime) -> list[CandleRow]:
        """Finished candles, by opening time, both ends included; as many calls as the days need."""
        interval, days_most = INTERVALS[tf]
        token, found, first = self.share(ticker).token, list[CandleRow](), start
        while first <= end:
            last = min(end, first + timedelta(days=days_most - 1))
            found += self._client.candles(token, interval, first, last)
            first = last + timedelta(seconds=1)
        return found

    def historical(self, ticker: str, tf: str, start: datetime, end: datetime) -> "pd.DataFrame":
        """As the broker gives them; the last row may be unfinished when `end` is now."""
        import pandas as pd

        rows = self.candles(ticker, tf, start, end)
        prices = {
            name: [rupees(getattr(row, name)) for row in rows] for name in ("open", "high", "low", "close")
        }
        stamps = pd.to_datetime([row.opened_at for row in rows], utc=True)
        return pd.DataFrame({"timestamp": stamps, **prices, "volume": [float(row.volume) for row in rows]})

    def quotes(self, tickers: Sequence[str]) -> "pd.DataFrame":
        """What the broker does not know is missing."""
        import pandas as pd

        found = self._client.quotes([self.master.normal(ticker) for ticker in tickers])
        return pd.DataFrame([_quote_row(quote) for quote in found.values()])

    def leverage(self, ticker: str) -> float:
        """How many times its margin the broker lets one trade in that share today."""
        return self._client.margin(self.share(ticker).instrument.ticker, Side.BUY, 1).leverage_milli / 1_000

    # --- orders ---

    def place_order(
        self, ticker: str, side: Side | str, qty: int, client_id: str, reduce_only: bool = False
    ) -> str:
        """MARKET where the book allows it, else LIMIT at the guard price; the id of the order it made."""
        side, share = _side(side), self.share(ticker)

        def ask(may_market: bool = True) -> Place:
            if reduce_only:
                self._require_open(share, side, qty)
            quote, tick = self._quote(share), share.instrument.tick
            terms = entry_terms(
                side, qty, quote.last, quote.bids, quote.asks, self._max_slippage_bps, tick, may_market
            )
            purpose = Purpose.EXIT if reduce_only else Purpose.ENTRY
            return _place(client_id, share, side, terms, purpose)

        try:
            return self._settler.placed(client_id, ask)
        except RejectedError as error:
            if error.refusal is not Refusal.PROTECTION:
                raise
        return self._settler.placed(client_id, lambda: ask(may_market=False))

    def place_stop_loss(
        self, ticker: str, side: Side | str, qty: int, stop_price: float, client_id: str,
        reduce_only: bool = True,
    ) -> str:  # fmt: skip
        """An SL whose limit lies `pricing.STOP_BUFFER_BPS` beyond its trigger; `side` is the stop's own."""
        side, share = _side(side), self.share(ticker)

        def ask() -> Place:
            if reduce_only:
                self._require_open(share, side, qty)
            quote, tick = self._quote(share), share.instrument.tick
            trigger = _trigger(side, stop_price, tick)
            terms = stop_terms(side, qty, trigger, tick, quote.lower_circuit, quote.upper_circuit)
            return _place(client_id, share, side, terms, Purpose.STOP)

        return self._settler.placed(client_id, ask)

    def modify_order(
        self,
        order_id: str,
        stop_price: float | None = None,
        qty: int | None = None,
        price: float | None = None,
        order_type: OrderType | str | None = None,
    ) -> None:
        """What is None stays as it is; prices go to the tick. Returns when the broker has taken it, which
        is not yet done: order_status says. Three modifications of each order are kept for its exit."""
        row = self._settler.row(order_id)
        wanted = OrderType(order_type or row.order_type)
        self._count_modification(order_id, is_exit=order_type is not None and not _is_stop(wanted))
        tick = self.share(row.ticker).instrument.tick
        terms = Terms(
            row.qty if qty is None else qty,
            wanted,
            None if wanted is OrderType.MARKET else row.price if price is None else _on_tick(price, tick),
            row.trigger if stop_price is None else _trigger(row.side, stop_price, tick),
        )
        asked = Modify(f"{order_id}#{self._modified[order_id]}", order_id, order_id, row.ticker, terms)
        self._settler.change(asked, lambda now: _says(now, terms, before=row))

    def cancel_order(self, order_id: str) -> None:
        """Returns when the broker has taken it; whether shares were filled first, order_status says."""
        row = self._settler.row(order_id)
        asked = Cancel(f"{order_id}#cancel", order_id, order_id, row.ticker)
        self._settler.change(asked, _is_over)

    def order_status(self, order_id: str) -> dict[str, Any]:
        row = self._settler.row(order_id)
        return {
            "order_id": row.order_id,
            "status": row.status,
            "filled_qty": row.filled,
            "avg_price": rupees(row.value) / row.filled if row.filled else 0.0,
            "client_id": self._settler.client_id_of(row.order_id),
            "qty": row.qty,
            "tag": row.tag or "",
            "text": row.text,
        }

    def open_positions(self) -> "pd.DataFrame":
        """MIS, not flat; the broker's last price may be late, so it decides nothing."""
        import pandas as pd

        rows = [
            {"ticker": row.ticker, "qty": row.qty, "avg_price": rupees(row.average),
             "last_price": rupees(row.last), "unrealized_pnl": rupees(row.unrealised)}
            for row in self._client.positions() if row.product == "MIS" and row.qty
        ]  # fmt: skip
        columns = ["ticker", "qty", "avg_price", "last_price", "unrealized_pnl"]
        return pd.DataFrame(rows, columns=columns)

    def exit_position(self, ticker: str, qty: int, client_id: str) -> None:
        """Turn the resting stop of that position into the exit; without one, send a closing order.

        What an exit on its way closes is not closed again, so asking twice is harmless.
        """
        share = self.share(ticker)
        if self._settler.order_of(client_id) is not None:
            return
        now = self._standing(share)
        if now.held == 0 and not now.is_settled:
            raise DownError(f"exit of {ticker}", "positions and orders contradict each other")
        for step in exit_steps(now, qty):
            self._carry_out(step, now, share, client_id)

    # --- steps of an exit ---

    def _carry_out(self, step: Step, now: Standing, share: Share, client_id: str) -> None:
        match step:
            case Send(qty):
                self.place_order(share.instrument.ticker, now.closing_side, qty, client_id, reduce_only=True)
            case Shrink(stop, qty):
                self.modify_order(stop.order_id, qty=qty)
                self._require_done(stop, lambda row: row.qty == qty or _is_over(row))
            case Drop(stop):
                self._call_off(stop)
            case Convert(stop, qty):
                self._convert(stop, qty, now, share, client_id)

    def _convert(self, stop: OrderRow, qty: int, now: Standing, share: Share, client_id: str) -> None:
        """One modify. Where the broker refuses it: cancel, see it gone, and exit with what is left."""
        try:
            self.modify_order(stop.order_id, qty=qty, order_type=OrderType.MARKET)
        except RejectedError:
            self._call_off(stop)
            unsold = qty - self._settler.row(stop.order_id).filled
            if unsold > 0:
                self._carry_out(Send(unsold), now, share, client_id)

    def _call_off(self, stop: OrderRow) -> None:
        """Seen gone. A cancel that is refused as being processed means that it is filling: read again."""
        try:
            self.cancel_order(stop.order_id)
        except RejectedError:
            if not self._settler.came_true(stop.order_id, _is_over):
                raise
        self._require_done(stop, _is_over)

    def _require_done(self, stop: OrderRow, is_done: Callable[[OrderRow], bool]) -> None:
        """Taken is not done, and what follows relies on it."""
        if not self._settler.came_true(stop.order_id, is_done):
            raise DownError(f"exit of {stop.ticker}", f"the stop {stop.order_id} does not change")

    def _count_modification(self, order_id: str, *, is_exit: bool) -> None:
        """What an earlier process has used counts too; an exit need not wait to know, the broker counts."""
        used = self._modified.get(order_id)
        if used is None:
            used = 0 if is_exit else self._client.modifications(order_id)
        if used >= MODIFICATIONS_MOST - (0 if is_exit else MODIFICATIONS_KEPT):
            raise RejectedError(
                f"modify {order_id}", f"{used} modifications are used up", Refusal.MODIFICATIONS_EXCEEDED
            )
        self._modified[order_id] = used + 1

    def _standing(self, share: Share) -> Standing:
        positions = self._client.positions()
        return standing(share.instrument.ticker, positions, self._client.orders())

    def _quote(self, share: Share) -> Quoted:
        ticker = share.instrument.ticker
        found = self._client.quotes([ticker]).get(ticker)
        if found is None:
            raise RejectedError(f"quote of {ticker}", "the broker does not know it", Refusal.OTHER)
        return found

    def _require_open(self, share: Share, side: Side, qty: int) -> None:
        """Reduce-only by construction: the API has no such flag."""
        now = self._standing(share)
        if side * now.held >= 0 or qty > now.free:
            raise RejectedError(
                f"{side.name} {qty} {share.instrument.ticker}",
                f"{now.held} are held, {now.free} of them without a closing order, and this may only reduce",
                Refusal.OTHER,
            )


def _place(client_id: str, share: Share, side: Side, terms: Terms, purpose: Purpose) -> Place:
    ticker, is_urgent = share.instrument.ticker, purpose is not Purpose.ENTRY
    return Place(client_id, tag_of(client_id), ticker, side, terms, purpose, is_urgent)


def _is_over(row: OrderRow) -> bool:
    return status_of(row) in OVER


def _is_stop(order_type: OrderType) -> bool:
    return order_type in (OrderType.SL, OrderType.SL_M)


def _says(row: OrderRow, terms: Terms, before: OrderRow) -> bool:
    """Whether the book shows those terms; the echo of a converted type is not to be trusted."""
    if row.qty != terms.qty:
        return False
    if terms.is_stop:
        return row.trigger == terms.trigger and row.price == terms.price
    if _is_stop(OrderType(before.order_type)) and status_of(row) is Status.TRIGGER_PENDING:
        return False
    return row.price == terms.price if terms.price is not None else row.price != before.price or _is_over(row)


def _trigger(side: Side, stop_price: float, tick: Paise) -> Paise:
    """Rounded away from the market, so that the rounding cannot fire it."""
    return Paise(away(-side, _paise(stop_price), tick))


def _on_tick(price: float, tick: Paise) -> Paise:
    return Paise(half_up(_paise(price), tick))


def _side(side: Side | str) -> Side:
    return side if isinstance(side, Side) else Side[side]


def _paise(amount: float) -> Paise:
    return Paise(round(amount * 100))


def _quote_row(quote: Quoted) -> dict[str, Any]:
    return {
        "ticker": quote.ticker,
        "at": quote.at,
        "last": rupees(quote.last),
        "bid": rupees(quote.bids[0].price) if quote.bids else None,
        "ask": rupees(quote.asks[0].price) if quote.asks else None,
        "volume": quote.volume,
        "close": rupees(quote.close),
        "lower_circuit": rupees(quote.lower_circuit),
        "upper_circuit": rupees(quote.upper_circuit),
        "depth": {"buy": quote.bids, "sell": quote.asks},
    }
