"""How does a session end? Flat after its last hour, flat after a halt, or with one order left.

    flat after the hard end         DONE
    flat after a halt               by who halted (session_events.Why)
    not flat 60 s after a halt      one closing order is left at the broker; FAILED
    not flat before the square-off  STUCK: one order inside the band, then it is the broker's turn; FAILED

It ends only when every order's fate is known, or SETTLE_HORIZON has been waited for. A halt sends first and
is written down afterwards: neither the disk nor the journal may hold it up. Knows no thread and no clock.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hands import Hands
from ledger_facts import HaltSaid
from notes import Notes
from outcome import ExitCode
from rulebook.order_asks import ASKS
from rulebook.order_messages import ExitAsked, Halted, StuckAsked
from rulebook.order_records import SETTLE_HORIZON
from rulebook.records import Exit, ExitReason, Paise
from session_events import Why
from trading_day import TradingDay
from watch import Watch

CHASE_MOST = timedelta(seconds=60)  # after a halt; then one closing order is left
STUCK_REACH_BPS = 50  # how far through the market the one last order is priced

log = logging.getLogger("session")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a session ends, and since when."""

    why: Why
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a session ended."""

    code: ExitCode
    sentence: str
    is_flat: bool


class End:
    """Of one session. `keep` writes down that the day is halted, where the next process looks."""

    def __init__(
        self, hands: Hands, watch: Watch, day: TradingDay, notes: Notes, keep: Callable[[str], None]
    ) -> None:
        self._hands = hands
        self._watch = watch
        self._day = day
        self._notes = notes
        self._keep = keep
        self.ending: Ending | None = None
        self._stuck: set[str] = set()
        self._flatten_later = ""

    # --- wishes ---

    def halt(self, why: Why, text: str) -> str:
        """No entry, flat, and no more today; what was done, for whoever asked."""
        machine, now = self._hands.desk.machine, self._hands.desk.now()
        if self.ending is not None and machine.halted:
            return f"halting already: {self.ending.text}"
        self._hands.hear(Halted(now, text))
        self._watch.killed(True)
        self.ending = Ending(why, text, now)
        log.critical("HALTED: %s", text)
        self._notes.add(HaltSaid(text))
        self._keep(text)
        return self._what_leaves()

    def lose(self, text: str) -> None:
        """The day's loss: the book itself sends everything away, and nothing is entered today."""
        if self.ending is None:
            self.ending = Ending(Why.LOSS, text, self._hands.desk.now())
            log.critical("the day is locked: %s", text)

    def flatten(self, text: str, ends: bool = False) -> str:
        """Everything that is open is closed, once the broker's books have been read; entries stay open."""
        machine, now = self._hands.desk.machine, self._hands.desk.now()
        if ends:
            self.ending = self.ending or Ending(Why.FLATTEN, text, now)
        if not machine.is_reconciled:
            self._flatten_later = text
            return "flat as soon as the broker's books have been read"
        for ticker in machine.open_tickers:
            if machine.phase(ticker) in ASKS[ExitAsked]:
                leave = Exit(now, ticker, ExitReason.EXTERNAL, self._last(ticker))
                self._hands.ask(ExitAsked(now, leave))
        log.warning("flatten: %s", text)
        return self._what_leaves()

    # --- the end ---

    def look(self, now: datetime) -> Outcome | None:
        """What the hour asks for; the outcome when it is over."""
        machine = self._hands.desk.machine
        if self._flatten_later and machine.is_reconciled:
            text, self._flatten_later = self._flatten_later, ""
            self.flatten(text)
        self._strand(now)
        if machine.is_at_rest:
            return self._flat(now)
        if not machine.open_tickers or not self._is_given_up(now):
            return None
        held = ", ".join(machine.open_tickers)
        return Outcome(
            ExitCode.FAILED,
            f"NOT FLAT: {held}; one closing order stands at the broker: look there, and close what is open",
            False,
        )

    def _flat(self, now: datetime) -> Outcome | None:
        ending = self.ending
        if self._stuck:
            return Outcome(ExitCode.FAILED, f"flat, but late: {', '.join(sorted(self._stuck))}", True)
        if ending is not None:
            return Outcome(ending.why.code, f"flat; the session ended by {ending.why}: {ending.text}", True)
        hard_end = self._day.hard_end
        if hard_end is None or now >= hard_end:
            return Outcome(ExitCode.DONE, "flat at the end of the session", True)
        return None

    def _strand(self, now: datetime) -> None:
        """One order inside the band for each that is still open when it is the last chance."""
        machine = self._hands.desk.machine
        for ticker in machine.open_tickers:
            if ticker not in self._stuck and self._is_last_chance(ticker, now):
                self._stuck.add(ticker)
                self._hands.ask(StuckAsked(now, ticker, self._stuck_price(ticker)))

    def _is_last_chance(self, ticker: str, now: datetime) -> bool:
        stuck_at = self._day.stuck_at(self._watch.instrument(ticker).symbol_class)
        chased = self.ending is not None and now >= self.ending.at + CHASE_MOST
        return chased or (stuck_at is not None and now >= stuck_at)

    def _is_given_up(self, now: datetime) -> bool:
        """Everything that is open has its last order, and no outcome is waited for any more."""
        machine = self._hands.desk.machine
        if not set(machine.open_tickers) <= self._stuck:
            return False
        is_sure = not any(machine.unsure(ticker) for ticker in machine.open_tickers)
        if self.ending is not None and now >= self.ending.at + CHASE_MOST + SETTLE_HORIZON:
            return True
        given_up = [self._given_up_at(ticker) for ticker in machine.open_tickers]
        is_late = all(moment is not None and now >= moment for moment in given_up)
        return is_late or (is_sure and self.ending is not None and now >= self.ending.at + 2 * CHASE_MOST)

    def _given_up_at(self, ticker: str) -> datetime | None:
        return self._day.given_up_at(self._watch.instrument(ticker).symbol_class)

    def _stuck_price(self, ticker: str) -> Paise:
        """Through the market, so that it fills if anybody is there; the machine keeps it inside the band."""
        held, last = self._hands.desk.machine.held(ticker), self._last(ticker)
        through = last * STUCK_REACH_BPS // 10_000
        tick = self._watch.instrument(ticker).tick
        price = last - through if held > 0 else last + through
        return Paise(max(tick, price // tick * tick))

    def _last(self, ticker: str) -> Paise:
        quote = self._watch.quote(ticker)
        return quote.last if quote else Paise(self._hands.book.positions[ticker].last)

    def _what_leaves(self) -> str:
        held = self._hands.desk.machine.open_tickers
        return f"leaving {', '.join(held)}" if held else "everything is flat"
