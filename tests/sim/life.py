"""How does one seed go, from the first second to the last? The world of a run, its crashes, its end."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random

from exchange.faults import Fault, Faults
from exchange.nouns import OrderView, Terms
from exchange.venue import Exchange
from outcome import JournalError
from rulebook.order_messages import Alarm, Event, Halted, OrderRow, OrderSeen
from rulebook.order_news import IllegalMoveError
from rulebook.order_records import Record
from rulebook.orders import Machine, recover
from tests.exchange_market import CALENDAR, TARIFF
from tests.sim import situations
from tests.sim.hands import Hand, act
from tests.sim.in_process import Broker, InProcess
from tests.sim.oracle import BrokenError, Oracle
from tests.sim.plans import OVER_AT, START_S, Plan, draw
from tests.sim.scheduler import Scheduler
from tests.sim.trader import TICKERS, Process

QUIET = timedelta(seconds=5)  # nothing to do for so long after the end: the run is over
EVENTS_OF_THE_MARKET = ("circuit_lock", "market_halt", "early_square_off")


class CrashError(Exception):
    """The process is gone; what was committed is left."""


@dataclass
class Told:
    """What a run leaves behind."""

    plan: Plan
    oracle: Oracle
    struck: dict[str, int]
    crashes: int
    lines: list[tuple[datetime, str, object]] = field(repr=False)

    def fingerprint(self) -> str:
        text = "\n".join(f"{at.isoformat()} {kind} {what!r}" for at, kind, what in self.lines)
        return sha256(text.encode()).hexdigest()


def live(seed: int, folder: Path, plan: Plan | None = None) -> Told:
    """The whole run of that seed; raises nothing for a broken invariant, the oracle has written it down."""
    life = Life(plan or draw(seed), folder)
    life.run()
    return Told(life.plan, life.oracle, dict(life.faults.struck), life.crashes, life.lines)


class Life:
    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self._folder = folder
        self.lines: list[tuple[datetime, str, object]] = []
        self.faults = Faults(plan.seed, plan.faults)
        made = situations.market(plan.seed, plan.situation, START_S)
        terms = Terms(latency_ms_least=1, latency_ms_most=Random(plan.seed).choice((2, 30, 300)))
        self.exchange = Exchange(made, CALENDAR, TARIFF, plan.starts_at, plan.seed, self.faults, terms)
        self.broker = Broker(self.exchange, plan.seed, self.faults)
        self.scheduler = Scheduler(self.exchange, self._look)
        self.luck = Random(f"{plan.seed}:trader")
        self._answer_luck = Random(f"{plan.seed}:answers")
        self._crash_luck = Random(f"{plan.seed}:crashes")
        self.records: list[Record] = []
        self.process: Process | None = None
        self.is_killed = False
        self.crashes = 0
        self._token = self.broker.log_in()
        self._is_logging_in = False
        self.oracle = Oracle(plan, self.exchange, self.note)
        self.exchange.listen(self)

    def run(self) -> None:
        self.scheduler.at(self.plan.starts_at, self._start)
        self.scheduler.at(self.plan.heals_at, self._heal)
        if self.plan.halts_at is not None:
            self.scheduler.at(self.plan.halts_at, self._kill)
        for hand in self.plan.hands:
            self.scheduler.at(hand.at, partial(self._act, hand))
        with suppress(BrokenError):
            try:
                self._run_to_the_end()
            except (
                AssertionError,
                ArithmeticError,
                LookupError,
                TypeError,
                ValueError,
                IllegalMoveError,
            ) as error:
                self.oracle.found_a_defect(error)  # of the trader or of the exchange: its seed says where

    def _run_to_the_end(self) -> None:
        while not self._is_over():
            try:
                self.scheduler.run_for(QUIET.total_seconds())
            except CrashError:
                self._die()
        self._end()

    # What the process finds

    def transport(self) -> InProcess:
        made = InProcess(
            self.broker, self.scheduler.pass_answer_time, self._answer_s, self._is_cut, self.oracle
        )
        made.use_token(self._token)
        return made

    def rates_folder(self) -> Path:
        return self._folder

    def boundary(self) -> None:
        """Between any two effects a process may die."""
        may_crash = self.crashes < self.plan.crashes_most and self.exchange.now < self.plan.heals_at
        if may_crash and self._crash_luck.random() < self.plan.crash_probability:
            raise CrashError

    def heard(self, event: Event) -> None:
        self.note("event", event)
        self.oracle.heard(event)

    def commit(self, record: Record) -> None:
        window = self.plan.full_disk
        if window is not None and window.holds(self.exchange.now):
            self.note("disk is full", record.why)
            raise JournalError("no space left on device")
        self.records.append(record)
        self.note("journal", record)
        self.oracle.committed(record)

    def token_is_dead(self) -> None:
        """Somebody logs in again, some seconds later."""
        if not self._is_logging_in:
            self._is_logging_in = True
            self.scheduler.later(self._answer_luck.uniform(1, 12), self._log_in_again, lasts=True)

    def user_holds(self, ticker: str) -> bool:
        """Shares of the user's own: nothing new is begun beside them (H1)."""
        found = self.oracle.truth.tickers[ticker]
        return found.account != found.net

    def note(self, kind: str, what: object) -> None:
        self.lines.append((self.scheduler.now(), kind, what))
        if isinstance(what, Alarm):
            self.oracle.alarmed(what)

    # A Listener of the exchange

    def ticked(self, ticker: str) -> None: ...

    def order_updated(self, order: OrderView, status: str) -> None:
        self.note("exchange", f"{order.order_id} {status} {order.filled}/{order.qty}")
        self.oracle.order_updated(order)
        process = self.process
        is_heard = self.plan.has_stream and process is not None and order.request.tag is not None
        if is_heard and not self.faults.strikes("order_update_lost", self.exchange.now, order.request.ticker):
            row = self.broker.frame(order, status)
            self.scheduler.later(self._answer_luck.uniform(0.001, 1.5), partial(self._frame, row))

    def _frame(self, row: OrderRow) -> None:
        if self.process is not None:
            self.process.hear(OrderSeen(self.process.desk.now(), row))

    # Births and deaths

    def _start(self) -> None:
        machine = recover(self.records) if self.crashes else Machine()
        self.note("start", f"process {self.crashes + 1}, {len(self.records)} records")
        self.process = Process(self, machine)
        self.oracle.started(self.process.machine, self.records)
        self.process.start()

    def _die(self) -> None:
        self.note("crash", self.crashes + 1)
        self.crashes += 1
        self.scheduler.generation += 1
        self.process = None
        self.oracle.died()
        self.scheduler.later(self._crash_luck.choice((0.05, 1.0, 8.0)), self._start, lasts=True)

    def _kill(self) -> None:
        self.is_killed = True
        self.oracle.killed()
        if self.process is not None:
            self.process.hear(Halted(self.process.desk.now(), "a signal"))

    def _act(self, hand: Hand) -> None:
        ours = self.oracle.truth.tickers[hand.ticker].net
        self.oracle.touched(hand.ticker)
        done = act(self.exchange, hand, ours)
        if done is not None:
            self.note("hand", done)

    def _heal(self) -> None:
        self.note("heal", "")
        kept: list[Fault] = [f for f in self.plan.faults if f.name in EVENTS_OF_THE_MARKET]
        for name in sorted({fault.name for fault in self.plan.faults if fault not in kept}):
            self.faults.clear(name)
        self.oracle.healed()

    def _log_in_again(self) -> None:
        self._is_logging_in = False
        self._token = self.broker.log_in()
        self.note("login", "a fresh token")
        if self.process is not None:
            self.process.transport.use_token(self._token)

    # Time

    def _answer_s(self) -> float:
        return self._answer_luck.randint(1, self.plan.answer_ms_most) / 1_000

    def _is_cut(self, moment: datetime) -> bool:
        return any(window.holds(moment) for window in self.plan.cuts)

    def _look(self) -> None:
        self.oracle.look()

    def _is_over(self) -> bool:
        """Nothing is left to happen: healed, flat, and nothing that the machine waits for."""
        now = self.exchange.now
        if now >= OVER_AT:
            return True
        is_late = now >= max(self.plan.heals_at, self.plan.ends_at) + 2 * QUIET
        process = self.process
        is_idle = is_late and process is not None and process.desk.next_wake_at is None and self._is_flat()
        return is_idle and not any(self.oracle.truth.live(ticker) for ticker in TICKERS)

    def _is_flat(self) -> bool:
        assert self.process is not None
        return all(self.process.machine.phase(ticker) == "flat" for ticker in TICKERS)

    def _end(self) -> None:
        assert self.process is not None
        self.oracle.ended(self.process.machine)
