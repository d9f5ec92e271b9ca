"""Which disasters of the market begin now, and when do they end?

A gap, a lock, a halt and an early square-off are no answers to a request: they happen, at their `after` or
as soon as anybody can notice them. `notice` looks whenever the list of faults has changed and each
morning, draws for the tickers that the fault names, and makes shocks of the day's strips or entries
in the agenda. A shock begins with the next whole second at the earliest, so that no row that was shown
changes. Healing a lock or a halt ends it the same way; a gap that has happened stays.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from exchange.agenda import NEVER, SECOND, SESSION, Agenda, micros, midnight_us
from exchange.board import Board, Page
from exchange.faults import Fault, Faults
from exchange.nouns import Listing
from exchange.strips import Kind, Shock

SHOCKS: Mapping[str, Kind] = {"gap": Kind.GAP, "circuit_lock": Kind.LOCK, "market_halt": Kind.HALT}
SQUARE_OFF = "early_square_off"
MARKET_EVENTS = frozenset({*SHOCKS, SQUARE_OFF})


@dataclass(slots=True, eq=False)
class _Begun:
    """A fault that has been drawn for today, and the shocks that it made."""

    fault: Fault
    shocks: list[tuple[Page, Shock]] = field(default_factory=list)


class Disasters:
    def __init__(
        self,
        agenda: Agenda,
        board: Board,
        faults: Faults,
        listings: Mapping[str, Listing],
        square_off: Callable[[list[str]], None],
        renew: Callable[[str], None],
    ) -> None:
        self._agenda = agenda
        self._board = board
        self._faults = faults
        self._listings = listings
        self._square_off = square_off
        self._renew = renew
        self._begun: list[_Begun] = []
        self._seen = -1

    def begin_day(self) -> None:
        """What still lasts strikes again; a gap of yesterday does not."""
        self._begun = [begun for begun in self._begun if begun.fault.name in ("gap", SQUARE_OFF)]
        self._seen = -1
        self.notice()

    def notice(self) -> None:
        """Faults that have come or gone since the last look."""
        if self._seen == self._faults.changes:
            return
        self._seen = self._faults.changes
        on = self._faults.on()
        for begun in [begun for begun in self._begun if not _is_in(begun.fault, on)]:
            self._heal(begun)
        for fault in on:
            known = any(begun.fault is fault for begun in self._begun)
            if fault.name in MARKET_EVENTS and not known and self._is_of_today(fault):
                self._begin(fault)

    def _is_of_today(self, fault: Fault) -> bool:
        midnight = midnight_us(self._board.day)
        starts_us = 0 if fault.after is None else micros(fault.after)
        ends_us = NEVER if fault.until is None else micros(fault.until)
        return starts_us < midnight + 86_400 * SECOND and ends_us > self._agenda.now_us

    def _begin(self, fault: Fault) -> None:
        begun = _Begun(fault)
        self._begun.append(begun)
        starts_us = (
            self._agenda.now_us if fault.after is None else max(micros(fault.after), self._agenda.now_us)
        )
        struck = self._struck(fault)
        if fault.name == SQUARE_OFF:
            self._agenda.write(starts_us, SESSION, lambda: self._square_off_if_on(fault, struck))
            return
        midnight = midnight_us(self._board.day)
        next_s = (self._agenda.now_us - midnight) // SECOND + 1
        from_s = max(next_s, -((midnight - starts_us) // SECOND))
        until_s = None if fault.until is None else -((midnight - micros(fault.until)) // SECOND)
        for ticker in struck:
            shock = Shock(SHOCKS[fault.name], from_s, None if fault.name == "gap" else until_s, fault.value)
            begun.shocks.append((self._board.shake(ticker, shock), shock))
            self._renew(ticker)

    def _struck(self, fault: Fault) -> list[str]:
        """A gap and a lock are drawn for each ticker; a halt and a square-off for all that are meant."""
        at = self._agenda.now if fault.after is None else max(self._agenda.now, fault.after)
        meant = [
            ticker
            for ticker, listing in self._listings.items()
            if fault.holds(at, ticker) and (fault.name == "market_halt" or not listing.is_index)
        ]
        if fault.name in ("gap", "circuit_lock"):
            return [ticker for ticker in meant if self._faults.strikes_by(fault, at, ticker)]
        return meant if meant and self._faults.strikes_by(fault, at, meant[0]) else []

    def _square_off_if_on(self, fault: Fault, tickers: list[str]) -> None:
        if _is_in(fault, self._faults.on()):
            self._square_off(tickers)

    def _heal(self, begun: _Begun) -> None:
        self._begun.remove(begun)
        for page, shock in begun.shocks:
            next_s = page.second(self._agenda.now_us) + 1
            if page.day != self._board.day or (shock.kind is Kind.GAP and shock.from_s < next_s):
                continue
            ends_s = max(shock.from_s, next_s)
            shock.until_s = ends_s if shock.until_s is None else min(shock.until_s, ends_s)
            if shock.kind is Kind.GAP:
                page.shocks.remove(shock)
            page.is_shaken = True
            self._renew(page.listing.ticker)


def _is_in(fault: Fault, faults: tuple[Fault, ...]) -> bool:
    return any(other is fault for other in faults)
