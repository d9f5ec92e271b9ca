"""How does a script enter or leave one trade? As a session for a single wish, and over when that is settled.

There is no other start than recovering (architecture.md, law 5): the journal is folded, the books are read,
what is bare is protected, and only then is the wish put before the gates and handed to the machine of orders,
which keeps entry and stop one unit, records before it sends and settles every doubt. What it leaves behind is
what a killed session leaves: a stop at the broker and a journal, from which the next session goes on. The
trader's lock is held meanwhile, so there are never two.

The stop's distance is fixed by the wish: market less stop price. Where the stop rests follows from the fill,
as in every trade. A rest that does not fill is not asked for again. Nothing here decides about money.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import first_live
import halts
import locks
from cli import Run
from control import LOCK
from facts import read_tariff
from kite.inbox import Inbox
from outcome import ConfigError, ExitCode, RefusedError, SuiteError
from pace import paced, rate_of, streaming, until_over
from rulebook import proposal
from rulebook.charges import cost_per_share
from rulebook.events import DayBegan, Resumed
from rulebook.fills import expected_price
from rulebook.gates import Verdict, blocking, evaluate
from rulebook.order_messages import ExitAsked
from rulebook.order_records import Order, Purpose
from rulebook.pricing import entry_terms, reference_price
from rulebook.records import Action, Decision, Enter, Exit, ExitReason, Paise, Phase, Side
from rulebook.rules import size
from rulebook.situation import ProposedOrder, Situation
from rulebook.stops import away, initial
from session import Session
from session_end import Outcome
from session_events import SessionEvent
from session_parts import Parts
from so_far import SoFar, so_far
from trading_wiring import FACTS, Running, Wiring, errand, leaving, wiring
from watch import LIVE, PAPER

if TYPE_CHECKING:
    from paper_quotes import Quote

PATIENCE_S = 120.0  # for the books, today's candles and the gates
LEAVING_S = 120.0
OF_THE_ORDER = frozenset(
    {"lot_size", "cost_in_r", "slippage", "depth", "price_band", "notional_per_order", "notional_total",
     "margin", "circuit"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """One entry that somebody wants."""

    ticker: str
    side: Side
    qty: int
    stop: Paise

    @property
    def said(self) -> Decision:
        return Decision(Action(self.side.name), 1.0)


@dataclass(frozen=True, slots=True)
class Entered:
    """What stands at the broker now."""

    entry_order_id: str
    stop_order_id: str
    avg_fill_price: float  # rupees


def enter(run: Run, wish: Wish, mode: str) -> Entered:
    """RefusedError names the gates that stand against it; BusyError: a trader runs."""
    with _alone(run, mode, "enter_trade") as w:
        state, day = run.settings.state, w.day.day
        held = halts.why_halted(state, day) or halts.why_locked(state, day)
        if held is not None:
            raise RefusedError(f"{wish.ticker}: {held}")
        if wish.ticker not in w.shares:
            raise RefusedError(f"{wish.ticker} is none of the tickers of config.json that are traded today")
        known = so_far(w)
        w.require_fresh_candles()

        def made(parts: Parts) -> Session:
            return Entry(parts, wish, known, w)

        running = errand(w, Inbox[SessionEvent](), known, made)
        _carried_out(running, w)
        assert isinstance(running.session, Entry) and running.session.found is not None, "it ends with one"
        return running.session.found


def leave(run: Run, ticker: str, mode: str) -> None:
    """Returns when nothing of ours is open in it, which may be at once."""
    with _alone(run, mode, "exit_trade") as w:
        running = leaving(
            w, Inbox[SessionEvent](), lambda parts: Leaving(parts, ticker, rate_of(w.run.clock))
        )
        outcome = _carried_out(running, w)
    if not outcome.is_flat:
        raise SuiteError(outcome.sentence)


@contextmanager
def _alone(run: Run, mode: str, what: str) -> Iterator[Wiring]:
    """As the only trader of this installation, in a mode that the configuration allows."""
    if mode not in (LIVE, PAPER):
        raise ConfigError(f"mode {mode!r}: trade in {LIVE!r} or {PAPER!r}")
    if mode == LIVE and run.settings.paper_trading:
        raise ConfigError("config.json says paper_trading: true, and nothing else makes it live")
    with (
        locks.held(run.settings.state / LOCK, f"trade.py, {what}", run.clock),
        wiring(replace(run, clock=paced(run.clock)), mode) as w,
    ):
        if not w.day.is_open:
            raise RefusedError(f"{w.day.day} is no trading day: {w.day.label}")
        if mode == LIVE:
            first_live.confirmed(run.settings.state, w.at.addresses.broker_host, w.user, False, run.clock)
        yield w


def _carried_out(made: Running, w: Wiring) -> Outcome:
    with streaming(made.ticker, w.run.clock):
        made.workers.leverages()
        return made.end(until_over(made, w.run.clock))


# --- one entry --------------------------------------------------------------------------------------------


class Entry(Session):
    """Over when the entry is, filled and protected; RefusedError where it cannot be."""

    def __init__(self, parts: Parts, wish: Wish, known: SoFar, w: Wiring) -> None:
        super().__init__(parts)
        self._wish, self._known = wish, known
        self._patience_s = PATIENCE_S * max(1.0, rate_of(w.run.clock))
        self._rates = read_tariff(FACTS).rates_on(w.day.day)
        self._began_s: float | None = None
        self._is_asked = False
        self.found: Entered | None = None

    def look(self) -> None:
        super().look()
        now_s = self._desk.monotonic()
        self._began_s = now_s if self._began_s is None else self._began_s
        is_late = now_s - self._began_s >= self._patience_s
        if self._is_asked:
            self.outcome = None
            self._follow()
        elif self.outcome is not None:
            raise RefusedError(f"{self._wish.ticker}: {self.outcome.sentence}")
        elif self.state is not None and self._is_due("wish", now_s, self._parts.pace_s):
            self._ask(is_late)
        elif self.state is None and is_late:
            raise RefusedError(f"{self._wish.ticker}: the broker's books could not be read")

    def _ask(self, is_last: bool) -> None:
        """As soon as the gates let it; what was not told yet is waited for."""
        if self._hands.desk.machine.phase(self._wish.ticker) is not Phase.FLAT:
            raise RefusedError(f"{self._wish.ticker}: there is a trade in it already")
        verdicts, order = self._judged()
        against = blocking(verdicts)
        if not against:
            self._enter(order)
        elif is_last or not all(_may_come(verdict) for verdict in against):
            raise RefusedError(f"{self._wish.ticker}: {'; '.join(verdict.sentence for verdict in against)}")

    def _enter(self, order: ProposedOrder) -> None:
        wish, now = self._wish, self._desk.now()
        assert order.price is not None and order.distance is not None, "the gates have passed"
        self._is_asked = True
        self._book.on(Resumed(now, wish.ticker, wish.side, wish.qty, order.distance, now, order.price))
        self._hands.enter(Enter(now, wish.ticker, wish.side, wish.qty, order.price, order.distance))

    def _follow(self) -> None:
        machine, ticker = self._desk.machine, self._wish.ticker
        orders, phase = machine.orders_of(ticker), machine.phase(ticker)
        entries = [order for order in orders if order.purpose is Purpose.ENTRY]
        if phase is Phase.FLAT:
            raise RefusedError(_nothing_came_of_it(ticker, orders))
        stops = [order for order in orders if order.purpose is Purpose.STOP and order.is_free]
        if phase is Phase.PROTECTED and stops and not any(order.is_alive for order in entries):
            filled, value = sum(order.filled for order in entries), sum(order.value for order in entries)
            entry_ids = [order.order_id or "" for order in entries]
            self.found = Entered(entry_ids[0], stops[-1].order_id or "", value / filled / 100)
            self.outcome = Outcome(ExitCode.DONE, f"{ticker} was entered by a script", is_flat=False)

    # --- the gates ---

    def _judged(self) -> tuple[tuple[Verdict, ...], ProposedOrder]:
        """All of them: the account's and the ticker's as ever, the order's of the order that is wished."""
        wish, now, p = self._wish, self._desk.now(), self._book.positions[self._wish.ticker]
        for name, is_finite in self._known.is_finite().items():
            self._watch.features(name, is_finite, self._known.bars_needed)
        self.refresh({wish.ticker: wish.said}, {})
        by_book = self._book.judge(now, wish.ticker, wish.said)
        closes = {wish.ticker: Paise(p.last)} if p.last else {}
        told = self._watch.conditions(
            self._desk.wall(), self._desk.monotonic(), {wish.ticker: wish.side}, closes
        )
        order = self._order(told.orders.get(wish.ticker, ProposedOrder()))
        moment = replace(told.moment, open_value=proposal.open_value(self._book.positions.values()))
        day = DayBegan(self._parts.day.windows, self._rates)
        facts = proposal.facts(told.tickers[wish.ticker], p, wish.said, day)
        of_wish = evaluate(Situation(self._book.rules, self._book.limits, moment, facts, order))
        pairs = zip(by_book, of_wish, strict=True)
        return tuple(mine if mine.name in OF_THE_ORDER else book for book, mine in pairs), order

    def _order(self, of_book: ProposedOrder) -> ProposedOrder:
        """The venue's side of it for as many shares as are wished."""
        quote, instrument = self._watch.quote(self._wish.ticker), self._watch.instrument(self._wish.ticker)
        side, qty, tick = self._wish.side, self._wish.qty, instrument.tick
        if quote is None:
            return ProposedOrder()
        market = reference_price(quote.last, quote.bids, quote.asks)
        stop = Paise(away(int(side), self._wish.stop, tick))
        gap = Paise(side * (market // tick * tick - stop))
        if gap <= 0:
            where = f"a stop at {stop / 100:.2f} protects no {side.name} at {market / 100:.2f}"
            raise RefusedError(f"{self._wish.ticker}: {where}")
        opposite = quote.asks if side is Side.BUY else quote.bids
        most_bps = self._parts.max_slippage_bps
        terms = entry_terms(side, qty, quote.last, quote.bids, quote.asks, most_bps, tick)
        return ProposedOrder(
            side=side, qty=qty, price=market, distance=gap, reference=market,
            stop=Paise(initial(int(side), market, gap, tick)),
            cost=cost_per_share(market, qty, self._book.rules.fill_cost_bps, self._rates),
            pays=expected_price(side, qty, opposite) if terms.price is None else terms.price,
            depth_qty=sum(level.qty for level in opposite),
            margin_needed=self._margin(of_book, quote, qty),
        )  # fmt: skip

    def _margin(self, of_book: ProposedOrder, quote: "Quote", qty: int) -> int | None:
        """The book's, by the share."""
        last, lot = self._book.positions[quote.ticker].last, self._watch.instrument(quote.ticker).lot
        shares = size(last, lot, self._book.rules) if last else 0
        if of_book.margin_needed is None or shares == 0:
            return None
        return -(-of_book.margin_needed * qty // shares)


def _nothing_came_of_it(ticker: str, orders: Sequence[Order]) -> str:
    """Entry and stop are one unit: what had filled when a stop was refused is closed again by then."""
    filled = sum(order.filled for order in orders if order.purpose is Purpose.ENTRY)
    refusals = [f"{order.purpose}: {order.refusal}" for order in orders if order.refusal]
    what = f"the {filled} shares that filled were closed again" if filled else "nothing filled"
    return f"{ticker}: no position came of it, {what}{''.join(f'; {each}' for each in refusals)}"


def _may_come(verdict: Verdict) -> bool:
    is_open = verdict.value is None or verdict.name in ("feed", "ticker_feed", "reconciled", "token")
    return is_open and verdict.name not in ("winner", "daily_loss")


# --- one exit ---------------------------------------------------------------------------------------------


class Leaving(Session):
    """Over when nothing of ours is open in that ticker."""

    def __init__(self, parts: Parts, ticker: str, rate: float) -> None:
        super().__init__(parts)
        self._ticker = ticker
        self._patience_s = LEAVING_S * max(1.0, rate)
        self._began_s: float | None = None
        self._is_asked = False

    def look(self) -> None:
        super().look()
        now_s = self._desk.monotonic()
        self._began_s = now_s if self._began_s is None else self._began_s
        self.outcome = self._outcome(now_s - self._began_s)

    def _outcome(self, gone_s: float) -> Outcome | None:
        machine = self._desk.machine
        if self.state is not None and machine.phase(self._ticker) is Phase.FLAT:
            return Outcome(ExitCode.DONE, f"{self._ticker} is flat", is_flat=True)
        if gone_s >= self._patience_s:
            text = f"{self._ticker} is not flat yet: look at the broker's books, and close what is open"
            return Outcome(ExitCode.FAILED, text, is_flat=False)
        if self.state is not None and not self._is_asked:
            self._is_asked = True
            now, last = self._desk.now(), self._last()
            self._hands.ask(ExitAsked(now, Exit(now, self._ticker, ExitReason.EXTERNAL, last)))
        return None

    def _last(self) -> Paise:
        quote = self._watch.quote(self._ticker)
        return quote.last if quote else Paise(self._book.positions[self._ticker].last)
