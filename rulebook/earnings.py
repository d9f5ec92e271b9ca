"""What has the day earned so far, open trades included, and has it lost what it may?

Closed trades count as they ended; open ones at a price that is handed in, the charges of their entry paid.
Everything in thousandths of each trade's own risk, and in paise. A day once lost stays lost. book.py keeps
one of these; whether it is lost, rules.py says.
"""

from collections.abc import Iterable, Mapping

from rulebook import rules as say
from rulebook.charges import order_charges
from rulebook.position import Position
from rulebook.records import Phase
from rulebook.rules import Rules
from rulebook.stops import half_up, risk
from rulebook.trades import ClosedTrade


class Earnings:
    """Of one day."""

    def __init__(self, rates: tuple[int, ...] = ()) -> None:
        self._rates = rates
        self._closed_milli_r = self._closed_net = 0
        self._open_milli_r = self._open_net = 0
        self.entries = 0
        self.is_locked = False

    @property
    def milli_r(self) -> int:
        return self._closed_milli_r + self._open_milli_r

    @property
    def net(self) -> int:
        return self._closed_net + self._open_net

    def paid(self, sign: int, value: int) -> int:
        """The charges of one order of that value."""
        return order_charges(sign, value, self._rates)

    def add(self, trade: ClosedTrade) -> None:
        average = half_up(trade.entry_value, trade.qty) // trade.qty
        risked = risk(trade.side, average, trade.initial_stop) * trade.qty
        self._closed_milli_r += say.milli_r(trade.net, risked)
        self._closed_net += trade.net

    def lose(self, bought: int, sold: int, risked: int) -> None:
        """What happened after a trade's end, in units of its risk."""
        net = sold - bought - self.paid(1, bought) - self.paid(-1, sold)
        self._closed_net += net
        self._closed_milli_r += say.milli_r(net, risked) if risked else 0

    def judge(self, positions: Iterable[Position], prices: Mapping[str, int], rules: Rules) -> None:
        """Open trades at these prices, or at their last close where there is none."""
        self._open_milli_r = self._open_net = 0
        for p in positions:
            last = prices.get(p.instrument.ticker, p.last)
            if p.phase in (Phase.PROTECTED, Phase.EXITING, Phase.STUCK) and last:
                net = p.sign * (p.exit_value + last * p.left - p.entry_value) - self.paid(
                    p.sign, p.entry_value
                )
                self._open_milli_r += say.milli_r(net, p.risk * p.qty)
                self._open_net += net
        self.is_locked = self.is_locked or say.is_lost(self.milli_r, self.net, rules)
