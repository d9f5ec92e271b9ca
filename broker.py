"""What can the suite ask of the broker? One client with the methods of interfaces.md, over either transport.

Errors are the tree of kite/errors.py, drawn there by what the caller must do. Orders here are single ones,
for a script or a person; a trading session has the machine of rulebook/orders.py carried out by
order_desk.py, over the same client. Both keep the same laws: the intent is recorded before it is sent, it
is sent once, a doubt is settled by the order book and its tags, and an entry whose fate is unknown is never
sent again.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clock import Clock
from kite.books import CandleRow, PositionRow, Quoted
from kite.client import KiteClient
from kite.errors import BrokerError, LogInAgainError, RejectedError, UnknownOutcomeError
from kite.instruments import Master, Share
from kite.units import rupees
from rulebook.hours import ist_day
from rulebook.order_messages import Cancel, Modify, OrderRow, Place
from rulebook.order_records import (
    BOOK_QUORUM,
    MODIFICATIONS_KEPT,
    MODIFICATIONS_MOST,
    POLL,
    SETTLE_HORIZON,
    SPELLED,
    Purpose,
    Refusal,
    Status,
    Terms,
)
from rulebook.pricing import entry_terms, stop_terms
from rulebook.records import OrderType, Paise, Side, tag_of
from rulebook.stops import half_up

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

Record = Callable[[Place | Modify | Cancel], None]


class ZerodhaClient:
    """One login at the broker. `record` puts an intent on disk and returns when it is there."""

    def __init__(
        self, client: KiteClient, clock: Clock, record: Record, max_slippage_bps: float,
        renew: Callable[[], str] | None = None,
    ) -> None:  # fmt: skip
        self._client = client
        self._clock = clock
        self._record = record
        self._max_slippage_bps = max_slippage_bps
        self._renew = renew
        self._made: dict[str, str] = {}  # client id -> order id
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

    @cached_property
    def master(self) -> Master:
        return self._client.master()

    def share(self, ticker: str) -> Share:
        if self.master.day != ist_day(self._clock.now()):
            del self.master  # tokens and ticks are the day's
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
        if reduce_only:
            self._require_open(share, side, qty)
        quote = self._quote(share)
        order = share.instrument
        terms = entry_terms(side, qty, quote.last, quote.bids, quote.asks, self._max_slippage_bps, order.tick)
        purpose = Purpose.EXIT if reduce_only else Purpose.ENTRY
        asked = Place(client_id, tag_of(client_id), order.ticker, side, terms, purpose, reduce_only)
        try:
            return self._placed(asked)
        except RejectedError as error:
            if terms.order_type is not OrderType.MARKET or error.refusal is not Refusal.PROTECTION:
                raise
        limit = entry_terms(
            side, qty, quote.last, quote.bids, quote.asks, self._max_slippage_bps, order.tick, False
        )
        return self._placed(replace(asked, terms=limit))

    def place_stop_loss(
        self, ticker: str, side: Side | str, qty: int, stop_price: float, client_id: str,
        reduce_only: bool = True,
    ) -> str:  # fmt: skip
        """An SL whose limit lies `pricing.STOP_BUFFER_BPS` beyond its trigger; `side` is the stop's own."""
        side, share = _side(side), self.share(ticker)
        if reduce_only:
            self._require_open(share, side, qty)
        quote, order = self._quote(share), share.instrument
        trigger = Paise(half_up(round(stop_price * 100), order.tick))
        terms = stop_terms(side, qty, trigger, order.tick, quote.lower_circuit, quote.upper_circuit)
        return self._placed(
            Place(client_id, tag_of(client_id), order.ticker, side, terms, Purpose.STOP, urgent=True)
        )

    def modify_order(
        self,
        order_id: str,
        stop_price: float | None = None,
        qty: int | None = None,
        price: float | None = None,
        order_type: OrderType | str | None = None,
    ) -> None:
        """What is None stays as it is. Three modifications of each order are kept for its exit."""
        row = self._row(order_id)
        used = self._modified.get(order_id, 0)
        is_exit = order_type is not None and not OrderType(order_type).value.startswith("SL")
        if used >= MODIFICATIONS_MOST - (0 if is_exit else MODIFICATIONS_KEPT):
            raise RejectedError(
                f"modify {order_id}", f"{used} modifications are used up", Refusal.MODIFICATIONS_EXCEEDED
            )
        terms = Terms(
            row.qty if qty is None else qty,
            OrderType(order_type or row.order_type),
            row.price if price is None else _paise(price),
            row.trigger if stop_price is None else _paise(stop_price),
        )
        asked = Modify(f"{order_id}#{used + 1}", order_id, order_id, row.ticker, terms)
        self._record(asked)
        self._modified[order_id] = used + 1
        self._settled(lambda: self._client.modify(asked), order_id, lambda row: _says(row, terms))

    def cancel_order(self, order_id: str) -> None:
        """Returns when the broker has taken it; whether shares were filled first, order_status says."""
        row = self._row(order_id)
        asked = Cancel(f"{order_id}#cancel", order_id, order_id, row.ticker)
        self._record(asked)
        self._settled(lambda: self._client.cancel(asked), order_id, lambda row: _status(row) in _OVER)

    def order_status(self, order_id: str) -> dict[str, Any]:
        row = self._row(order_id)
        made = {made: client_id for client_id, made in self._made.items()}
        return {
            "order_id": row.order_id,
            "status": row.status,
            "filled_qty": row.filled,
            "avg_price": rupees(row.value) / row.filled if row.filled else 0.0,
            "client_id": made.get(row.order_id, ""),
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
            for row in self._positions()
        ]  # fmt: skip
        columns = ["ticker", "qty", "avg_price", "last_price", "unrealized_pnl"]
        return pd.DataFrame(rows, columns=columns)

    def exit_position(self, ticker: str, qty: int, client_id: str) -> None:
        """Turn the resting stop of that position into the exit; without one, send a closing order."""
        share = self.share(ticker)
        held = next((row.qty for row in self._positions() if row.ticker == share.instrument.ticker), 0)
        if held == 0:
            return
        side = Side.SELL if held > 0 else Side.BUY
        closing = [row for row in self._client.orders() if _closes(row, share.instrument.ticker, side)]
        if closing:
            self.modify_order(closing[0].order_id, qty=min(qty, abs(held)), order_type=OrderType.MARKET)
        else:
            self.place_order(ticker, side, min(qty, abs(held)), client_id, reduce_only=True)

    # --- sent once, settled by the book ---

    def _placed(self, asked: Place) -> str:
        """The order of that intent: one that is there already, or the one that this makes."""
        known = self._made.get(asked.client_id) or self._found(asked.tag)
        if known is None:
            self._record(asked)
            try:
                known = self._client.place(asked)
            except UnknownOutcomeError:
                known = self._searched(asked.tag)
                if known is None:
                    raise
        self._made[asked.client_id] = known
        return known

    def _searched(self, tag: str) -> str | None:
        """An order may show late: looked for until the horizon, by more than one read."""
        deadline_s = self._clock.monotonic() + SETTLE_HORIZON.total_seconds()
        reads = 0
        while reads < BOOK_QUORUM or self._clock.monotonic() < deadline_s:
            try:
                found = self._found(tag)
                reads += 1
            except BrokerError:
                found = None  # no verdict
                if self._clock.monotonic() >= deadline_s:
                    return None
            if found is not None:
                return found
            self._clock.wait(POLL.total_seconds())
        return None

    def _found(self, tag: str) -> str | None:
        rows = self._client.orders()
        return next((row.order_id for row in rows if tag in (row.tag, *row.tags)), None)

    def _settled(self, send: Callable[[], str], order_id: str, is_done: Callable[[OrderRow], bool]) -> None:
        """A change of an order that exists: where its answer is in doubt, the book says what became of it."""
        try:
            send()
        except UnknownOutcomeError:
            for _ in range(BOOK_QUORUM + 1):
                self._clock.wait(POLL.total_seconds())
                if is_done(self._row(order_id)):
                    return
            raise

    def _row(self, order_id: str) -> OrderRow:
        for row in self._client.orders():
            if row.order_id == order_id:
                return row
        raise RejectedError(f"order {order_id}", "it is not in today's book of MIS orders", Refusal.OTHER)

    def _positions(self) -> list[PositionRow]:
        return [row for row in self._client.positions() if row.product == "MIS" and row.qty]

    def _quote(self, share: Share) -> Quoted:
        ticker = share.instrument.ticker
        found = self._client.quotes([ticker]).get(ticker)
        if found is None:
            raise RejectedError(f"quote of {ticker}", "the broker does not know it", Refusal.OTHER)
        return found

    def _require_open(self, share: Share, side: Side, qty: int) -> None:
        """Reduce-only by construction: the API has no such flag."""
        held = next((row.qty for row in self._positions() if row.ticker == share.instrument.ticker), 0)
        if side * held >= 0 or qty > abs(held):
            raise RejectedError(
                f"{side.name} {qty} {share.instrument.ticker}",
                f"{held} are held, and this order may only reduce that",
                Refusal.OTHER,
            )


_OVER = (Status.CANCELLED, Status.COMPLETE, Status.REJECTED)


def _status(row: OrderRow) -> Status:
    return SPELLED.get(row.status, Status.ACCEPTED)


def _says(row: OrderRow, terms: Terms) -> bool:
    """Whether the book shows those terms; the echo of a converted type is not to be trusted."""
    is_same_trigger = not terms.is_stop or row.trigger == terms.trigger
    return row.qty == terms.qty and is_same_trigger and (terms.price is None or row.price == terms.price)


def _closes(row: OrderRow, ticker: str, side: Side) -> bool:
    return row.ticker == ticker and row.side is side and _status(row) is Status.TRIGGER_PENDING


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
