"""What is put before the gates? A ticker's facts and the entry as the rules size it.

book.py knows the position and the day, its caller knows the venue; here the two are laid together. What the
book knows wins, but for what only today's venue can tell: the instrument with its limits, where it is told.
"""

from collections.abc import Iterable
from dataclasses import replace

from rulebook import rules as say
from rulebook.charges import cost_per_share
from rulebook.events import DayBegan
from rulebook.position import Position
from rulebook.records import Decision, Paise, Phase, Side
from rulebook.rules import Rules
from rulebook.situation import ProposedOrder, TickerFacts
from rulebook.stops import initial
from rulebook.walk import stop_distance


def facts(known: TickerFacts, p: Position, said: Decision, day: DayBegan) -> TickerFacts:
    return replace(
        known,
        instrument=known.instrument or p.instrument,
        window=day.windows[p.instrument.symbol_class],
        decision=said,
        bars_seen=p.bars_seen,
        bars_since_stop_out=p.bars_since_stop_out,
        atr_milli=p.atr_milli,
        last_close=Paise(p.last),
    )


def order(known: ProposedOrder, p: Position, said: Decision, rules: Rules, day: DayBegan) -> ProposedOrder:
    """Price, size and stop follow from the last close; the venue's side of it is the caller's."""
    qty = say.size(p.last, p.instrument.lot, rules) if p.last else 0
    if qty == 0 or said.action.sign == 0:
        return replace(known, qty=0, price=Paise(p.last))
    cost = cost_per_share(p.last, qty, rules.fill_cost_bps, day.rates)
    gap = stop_distance(p.last, cost, p.atr_milli, p.instrument.tick, rules)
    return replace(
        known,
        side=Side(said.action.sign),
        qty=qty,
        price=Paise(p.last),
        stop=Paise(initial(said.action.sign, p.last, gap, p.instrument.tick)),
        distance=Paise(gap),
        cost=cost,
    )


def open_value(positions: Iterable[Position]) -> int:
    """Of all that is open or on its way, at the last closes."""
    return sum(p.last * (p.qty or p.wanted) for p in positions if p.phase is not Phase.FLAT)
