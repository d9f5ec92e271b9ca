"""Who trades in a simulated run? A process with the real desk and machine, and a script that wants things.

The script stands for the rule book: it enters, trails, leaves, halts. It keeps nothing across a crash but
the switch on disk; whatever it needs to know it asks the machine.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Protocol

from exchange.nouns import Quote
from exchange.venue import Exchange
from kite.client import KiteClient
from kite.errors import LogInAgainError
from kite.rates import Rates
from order_desk import Desk, Told
from rulebook import stops
from rulebook.order_asks import ASKS
from rulebook.order_messages import (
    Alarm,
    AskAgain,
    EnterAsked,
    Event,
    ExitAsked,
    Halted,
    MoveAsked,
    Price,
    Started,
    StuckAsked,
)
from rulebook.order_news import IllegalMoveError
from rulebook.order_records import Record, Severity, Terms
from rulebook.orders import Machine
from rulebook.pricing import entry_terms, stop_buffer
from rulebook.records import Enter, Exit, ExitReason, MoveStop, OrderType, Paise, Phase, Side, client_id
from tests.exchange_market import TICK
from tests.sim.bookkeeper import Bookkeeper
from tests.sim.in_process import InProcess
from tests.sim.plans import STUCK_AT, Plan
from tests.sim.scheduler import Scheduler, WallClock
from tests.sim.situations import LISTINGS

SLIPPAGE_BPS = 20.0
LOOK_EVERY = timedelta(seconds=5)
TICKERS = tuple(listing.ticker for listing in LISTINGS)


class World(Protocol):
    """What a process finds: time, a broker to talk to, a disk, and a switch that outlives it."""

    plan: Plan
    exchange: Exchange
    scheduler: Scheduler
    luck: Random
    is_killed: bool

    def transport(self) -> InProcess: ...
    def rates_folder(self) -> Path: ...
    def boundary(self) -> None: ...
    def heard(self, event: Event) -> None: ...
    def commit(self, record: Record) -> None: ...
    def token_is_dead(self) -> None: ...
    def note(self, kind: str, what: object) -> None: ...
    def user_holds(self, ticker: str) -> bool: ...


class Process:
    """One life, from start to crash."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world = world
        self._scheduler = world.scheduler
        self.transport = world.transport()
        clock = WallClock(world.scheduler, world.plan.clock)
        rates = Rates(world.rates_folder(), clock)
        client = KiteClient(self.transport, rates, clock, world.luck)
        self.machine = machine
        self.desk = Desk(machine, client, self._journal, self._submit, clock)
        self.bookkeeper = Bookkeeper(machine)
        self.script = Script(self, world)
        self._rings: set[datetime] = set()

    def start(self) -> None:
        self.hear(Started(self.desk.now()))
        if self._world.is_killed:
            self.hear(Halted(self.desk.now(), "the switch is on disk"))
        self.script.begin()

    def hear(self, event: Event) -> None:
        self._world.boundary()
        self._world.heard(event)
        told = self.desk.on(event)
        self.bookkeeper.hear(self.desk.now())
        self._ring_later()
        for word in told:
            self.script.told(word)

    def ask(self, event: Event) -> None:
        """A wish may come too late; then it changes nothing."""
        try:
            self.hear(event)
        except IllegalMoveError as error:
            self._world.note("too late", error)

    # What the desk is given

    def _journal(self, record: Record) -> None:
        self._world.boundary()
        self._world.commit(record)
        self._world.boundary()

    def _submit(self, work: Callable[[], Event | None], *, is_read: bool) -> None:
        self._world.boundary()
        jitter_s = self._world.luck.randint(0, self._world.plan.start_jitter_ms) / 1_000
        run = self._read if is_read else self._change
        self._scheduler.later(jitter_s, partial(run, work))
        self._world.boundary()

    def _change(self, work: Callable[[], Event | None]) -> None:
        def piece() -> None:
            event = work()
            self._world.boundary()
            self._note_a_dead_token()
            assert event is not None
            self._scheduler.later(0, partial(self.hear, event))

        self._scheduler.change(piece, urgent=True)

    def _read(self, work: Callable[[], Event | None]) -> None:
        def piece() -> None:
            event = work()
            self._note_a_dead_token()
            if event is not None:
                self._scheduler.later(0, partial(self.hear, event))

        self._scheduler.read(piece)

    def _note_a_dead_token(self) -> None:
        blocked = self.desk.blocked
        if blocked is not None and isinstance(blocked.error, LogInAgainError):
            self._world.token_is_dead()

    def _ring_later(self) -> None:
        moment = self.desk.next_wake_at
        if moment is not None and moment not in self._rings:
            self._rings.add(moment)
            seconds = (moment - self.desk.now()).total_seconds()
            self._scheduler.later(max(0.0, seconds), self._ring)

    def _ring(self) -> None:
        now = self.desk.now()
        self._rings = {moment for moment in self._rings if moment > now}
        for event in self.desk.due(now):
            self.hear(event)
        self._ring_later()


class Script:
    """What this process wants."""

    def __init__(self, process: Process, world: World) -> None:
        self._process = process
        self._world = world
        self._luck = world.luck
        self._plan = world.plan
        self._machine = process.machine
        self._moved: dict[str, tuple[str, datetime, int]] = {}  # unit, when, how often
        self._best: dict[str, tuple[str, int]] = {}  # unit, best price since entry
        self._lag_until: datetime | None = None

    def begin(self) -> None:
        self._world.scheduler.later(0.5, self._see_prices)
        self._world.scheduler.later(self._luck.uniform(0.5, 2), self._decide)

    def told(self, word: Told) -> None:
        self._world.note("told", word)
        match word:
            case AskAgain():
                if self._luck.random() < 0.8:
                    self._enter_again(word)
            case Alarm(severity=Severity.HALT):
                self._world.is_killed = True
                self._process.hear(Halted(self._now, word.text))

    @property
    def _now(self) -> datetime:
        """What events are stamped with."""
        return self._process.desk.now()

    @property
    def _time(self) -> datetime:
        """The exchange's, by which the rule book goes: stamps of ticks and bars, not this machine's clock."""
        return self._world.scheduler.now()

    def _decide(self) -> None:
        self._world.scheduler.later(self._luck.uniform(1, 4), self._decide)
        last = self._process.desk.last_read_at
        if last is None or self._now - last >= LOOK_EVERY:  # in every loop, also when flat (trading.md)
            self._process.desk.read_books()
        for ticker in TICKERS:
            self._decide_for(ticker)

    def _decide_for(self, ticker: str) -> None:
        phase = self._machine.phase(ticker)
        may_leave = phase in ASKS[ExitAsked] and self._machine.orders_of(ticker)
        if self._time >= STUCK_AT:
            if phase not in (Phase.FLAT, Phase.STUCK):
                self._process.ask(StuckAsked(self._now, ticker, self._stuck_price(ticker)))
        elif self._time >= self._plan.ends_at:
            if may_leave:
                self._leave(ticker, ExitReason.CLOCK)
        elif phase is Phase.FLAT:
            if self._luck.random() < 0.6 and self._gates_pass() and not self._world.user_holds(ticker):
                self._enter(ticker)
        elif may_leave and self._luck.random() < 0.12:
            self._leave(ticker, ExitReason.SIGNAL)

    def _gates_pass(self) -> bool:
        return self._process.desk.blocked is None and not self._world.is_killed

    # Wishes

    def _enter(self, ticker: str) -> None:
        quote, side = self._quote(ticker), self._luck.choice(list(Side))
        qty = self._luck.choice((1, 7, 40, 150, 300))
        distance = Paise(self._luck.choice((2, 6, 15, 40)) * TICK)
        depth = quote.depth
        terms = entry_terms(side, qty, quote.last, depth.bids, depth.asks, SLIPPAGE_BPS, TICK)
        intent = Enter(self._now, ticker, side, qty, quote.last, distance)
        self._process.ask(self._entry(intent, terms, quote))

    def _enter_again(self, word: AskAgain) -> None:
        if self._time >= self._plan.ends_at or not self._gates_pass():
            return
        unit, quote = self._machine.units[word.ticker], self._quote(word.ticker)
        depth = quote.depth
        terms = entry_terms(
            unit.side, word.qty, quote.last, depth.bids, depth.asks, SLIPPAGE_BPS, TICK, may_market=False
        )
        intent = Enter(self._now, word.ticker, unit.side, word.qty, quote.last, unit.distance)
        self._process.ask(self._entry(intent, terms, quote, word.parent))

    def _entry(self, intent: Enter, terms: Terms, quote: Quote, parent: str | None = None) -> EnterAsked:
        name = client_id(intent.ticker, intent.side, intent.at, f"{self._luck.getrandbits(32):08x}")
        lower, upper = quote.lower_circuit, quote.upper_circuit
        price = terms.price if terms.price is None else Paise(min(max(terms.price, lower), upper))
        buffer = stop_buffer(quote.last, TICK) if self._luck.random() < 0.8 else Paise(0)
        return EnterAsked(
            self._now, intent, name, terms.order_type, price, TICK, buffer, lower, upper, parent
        )

    def _leave(self, ticker: str, reason: ExitReason) -> None:
        self._process.ask(ExitAsked(self._now, Exit(self._now, ticker, reason, self._quote(ticker).last)))

    def _stuck_price(self, ticker: str) -> Paise:
        """A little through the book, inside the day's band."""
        quote, held = self._quote(ticker), self._machine.held(ticker)
        price = quote.last - (10 if held > 0 else -10) * TICK
        return Paise(min(max(price, quote.lower_circuit), quote.upper_circuit))

    # Prices

    def _see_prices(self) -> None:
        self._world.scheduler.later(1, self._see_prices)
        if self._is_blind():
            return
        for ticker in TICKERS:
            if self._machine.phase(ticker) is not Phase.FLAT:
                quote = self._quote(ticker)
                bids, asks = quote.depth
                self._process.hear(
                    Price(self._now, ticker, quote.last, bids[0].price if bids else None,
                          asks[0].price if asks else None)
                )  # fmt: skip
                self._trail(ticker, quote.last)

    def _is_blind(self) -> bool:
        """The feed stands still now and then."""
        lag_s = self._plan.quote_lag_s
        if self._lag_until is None and lag_s and self._luck.random() < 0.05:
            self._lag_until = self._now + timedelta(seconds=lag_s)
        if self._lag_until is not None and self._now >= self._lag_until:
            self._lag_until = None
        return self._lag_until is not None

    def _trail(self, ticker: str, last: Paise) -> None:
        """As the rule book does: worth it, not too often, only tighter."""
        unit = self._machine.units[ticker]
        if unit.stop is None or self._machine.held(ticker) == 0:
            return
        sign = int(unit.side)
        name, best = self._best.get(ticker, (unit.client_id, int(last)))
        best = stops.better(sign, best, last) if name == unit.client_id else int(last)
        self._best[ticker] = (unit.client_id, best)
        wanted = stops.trailed(sign, unit.stop, best, unit.distance, 1_000, TICK)
        name, moved_at, moves = self._moved.get(ticker, (unit.client_id, self._now - timedelta(hours=1), 0))
        moves = moves if name == unit.client_id else 0
        pause_s = int((self._now - moved_at).total_seconds())
        is_worth = stops.is_worth_moving(sign, unit.stop, wanted, unit.distance, TICK)
        if is_worth and stops.may_move(moves, pause_s) and self._machine.phase(ticker) in ASKS[MoveAsked]:
            self._moved[ticker] = (unit.client_id, self._now, moves + 1)
            self._process.ask(MoveAsked(self._now, MoveStop(self._now, ticker, Paise(wanted))))

    def _quote(self, ticker: str) -> Quote:
        quote = self._world.exchange.quote(ticker)
        assert quote is not None
        return quote


__all__ = ["OrderType", "Process", "Script", "World"]
