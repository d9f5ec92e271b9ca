"""Does the book hear of its orders what really became of them? A real Book beside every simulated process.

It is told what rulebook/reports.py says and nothing else. After every event it must hold what the machine holds,
a reverse apart, which is told when it is over; and when a ticker is flat its trade must be closed, with the value
of all its fills. A process that starts tells its book what is open, as a session does.
"""

from datetime import datetime

from rulebook.book import Book
from rulebook.events import DayBegan, Resumed, Strayed
from rulebook.hours import IST, SymbolClass, Window
from rulebook.order_records import Purpose, Unit
from rulebook.orders import Machine
from rulebook.records import Instrument, Paise, Phase
from rulebook.reports import Reports
from rulebook.rules import Rules
from tests.exchange_market import TICK
from tests.sim.situations import LISTINGS
from tests.tables import LIMITS, RATES

LAST = Paise(100_00)  # what is closed by hand is valued at it
RULES = Rules(capital=10**9)


class Bookkeeper:
    """Of one process."""

    def __init__(self, machine: Machine) -> None:
        names = [listing.ticker for listing in LISTINGS]
        self.book = Book(RULES, LIMITS, {n: Instrument(n, TICK, symbol_class=SymbolClass.FNO) for n in names})
        day = datetime(2026, 11, 20, tzinfo=IST)
        window = Window(day.replace(hour=9), day.replace(hour=15), day.replace(hour=15, minute=8))
        self.book.on(DayBegan({SymbolClass.FNO: window}, RATES))
        self.reports = Reports(machine)
        self._machine = machine
        self._trades: dict[str, int] = {}
        self._given_up: set[str] = set()
        self._strayed: dict[str, int] = {}  # after the end of the newest trade
        for unit in machine.units.values():
            if machine.phase(unit.ticker) is Phase.FLAT:
                self.reports.settle(unit.ticker)
                self._trades[unit.ticker] = unit.trade

    def hear(self, at: datetime) -> None:
        for ticker, unit in self._machine.units.items():
            if self._trades.get(ticker) != unit.trade:
                self._trades[ticker], self._strayed[ticker] = unit.trade, 0
                if self.book.positions[ticker].phase is not Phase.FLAT:
                    self._given_up.add(ticker)  # the script enters where a session's book would not
                else:
                    self.book.on(_resumed(at, unit))
            if ticker in self._given_up:
                continue
            for fact in self.reports.news(at, ticker, LAST, LAST):
                self.book.on(fact)
                if isinstance(fact, Strayed):
                    self._strayed[ticker] = self._strayed.get(ticker, 0) + fact.sold - fact.bought
            self._compare(unit)

    def _compare(self, unit: Unit) -> None:
        machine, ticker = self._machine, unit.ticker
        held, position = machine.held(ticker) * unit.side, self.book.positions[ticker]
        left = position.left if position.phase in (Phase.PROTECTED, Phase.EXITING) else 0
        if machine.lacks_fills(ticker):
            return  # what has left is told when its fills are known
        if machine.phase(ticker) is Phase.FLAT:
            assert position.phase is Phase.FLAT, f"{ticker} is flat, and {position.phase} in the book"
        elif held > 0:
            assert left == held, f"{ticker}: {held} held, {left} in the book"
        self._compare_value(unit, position.phase)

    def _compare_value(self, unit: Unit, phase: Phase) -> None:
        """What came out of a trade, where no hand took part and no fill belongs to another trade."""
        orders = self._machine.orders_of(unit.ticker)
        is_plain = not unit.lost and not any(order.carried for order in orders)
        if phase is not Phase.FLAT or not is_plain or self._machine.phase(unit.ticker) is not Phase.FLAT:
            return
        entered = sum(order.value for order in orders if order.purpose is Purpose.ENTRY)
        trades = [trade for trade in self.book.closed if trade.ticker == unit.ticker]
        if entered and trades:
            gained = -sum(order.side * order.value for order in orders)
            told = unit.side * (trades[-1].exit_value - trades[-1].entry_value) + self._strayed[unit.ticker]
            assert told == gained, f"{unit.ticker}: {gained} paise by its fills, {told} in the book"


def _resumed(at: datetime, unit: Unit) -> Resumed:
    return Resumed(at, unit.ticker, unit.side, 1, unit.distance, unit.born_at, unit.decision_price)
