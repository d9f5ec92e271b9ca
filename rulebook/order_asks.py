"""What may be asked of a ticker in which state, and what does it begin?

The two tables that orders.py explains, as data, and the four wishes: enter, move the stop, leave, stand
stuck. A wish only changes what the unit is after; order_plan.py finds the requests.
"""

from collections.abc import Mapping
from typing import assert_never

from rulebook import stops
from rulebook.order_draft import Draft, inside
from rulebook.order_messages import EnterAsked, ExitAsked, MoveAsked, StuckAsked
from rulebook.order_news import IllegalMoveError
from rulebook.order_records import ENTRY_LIFE, Purpose, Severity, Terms, Unit, Want
from rulebook.records import Paise, Phase

Ask = EnterAsked | MoveAsked | ExitAsked | StuckAsked

_IN_TRADE = frozenset({Phase.ENTERING, Phase.PROTECTED, Phase.UNKNOWN})

# What may be asked in which state. A child of an entry may also be asked for while PROTECTED.
ASKS: Mapping[type, frozenset[Phase]] = {
    EnterAsked: frozenset({Phase.FLAT}),
    MoveAsked: _IN_TRADE,
    ExitAsked: _IN_TRADE | {Phase.EXITING},
    StuckAsked: _IN_TRADE | {Phase.EXITING, Phase.STUCK},
}
CHILD_ASKS = ASKS[EnterAsked] | {Phase.PROTECTED}

# Which state may follow which upon one event, besides itself. UNKNOWN hides what lies beneath it.
MOVES: Mapping[Phase, frozenset[Phase]] = {
    Phase.FLAT: frozenset({Phase.ENTERING, Phase.EXITING, Phase.UNKNOWN}),
    Phase.ENTERING: frozenset(Phase),
    Phase.PROTECTED: frozenset(Phase),
    Phase.EXITING: frozenset({Phase.FLAT, Phase.UNKNOWN, Phase.STUCK}),
    Phase.UNKNOWN: frozenset(Phase),
    Phase.STUCK: frozenset({Phase.FLAT}),
}


def take_ask(draft: Draft, event: Ask) -> None:
    """Raises IllegalMoveError where the table has no such move."""
    allowed = ASKS[type(event)]
    if isinstance(event, EnterAsked) and _is_child(draft, event):
        allowed = CHILD_ASKS
    if draft.phase not in allowed:
        raise IllegalMoveError(f"{draft.ticker} is {draft.phase}: no {type(event).__name__} now")
    match event:
        case EnterAsked():
            _enter(draft, event)
        case MoveAsked():
            _move(draft, event)
        case ExitAsked():
            reopened(draft)
            draft.change(want=Want.EXIT, reason=draft.asked.reason or event.intent.reason)
        case StuckAsked():
            reopened(draft)
            draft.change(want=Want.STUCK, stuck_price=inside(draft.asked, event.price))
            draft.alarm("not flat before the square-off: one limit order stands", Severity.CRITICAL)
        case _:
            assert_never(event)


def _is_child(draft: Draft, event: EnterAsked) -> bool:
    return draft.unit is not None and event.parent is not None and draft.unit.asked_again == event.parent


def _enter(draft: Draft, event: EnterAsked) -> None:
    before, intent = draft.unit, event.intent
    is_child = _is_child(draft, event)
    if draft.halted or (event.parent is not None and not is_child) or event.client_id in draft.orders:
        raise IllegalMoveError(f"{draft.ticker}: no entry {event.client_id} (parent {event.parent}) now")
    born = before.born_at if before is not None and is_child else draft.at
    if draft.at >= born + ENTRY_LIFE or (is_child and before is not None and before.side != intent.side):
        raise IllegalMoveError(f"{draft.ticker}: {event.client_id} is no child of {event.parent} any more")
    if draft.phase is Phase.FLAT:
        draft.unit = Unit(
            draft.ticker, before.trade + 1 if before else 1, event.client_id, intent.side, intent.distance,
            event.tick, event.stop_buffer, event.lower, event.upper, intent.decision_price, born,
        )  # fmt: skip
    else:
        draft.change(asked_again=None)
    terms = Terms(intent.qty, event.order_type, event.price)
    draft.place(Purpose.ENTRY, intent.side, terms, event.client_id)


def _move(draft: Draft, event: MoveAsked) -> None:
    """A stop only tightens; a looser wish is no wish."""
    unit = draft.asked
    if unit.stop is None:
        raise IllegalMoveError(f"{draft.ticker}: there is no stop to move yet")
    wanted = inside(unit, stops.away(int(unit.side), event.intent.stop, unit.tick))
    draft.change(stop=Paise(stops.better(int(unit.side), unit.stop, wanted)))


def reopened(draft: Draft) -> Draft:
    """Somebody asks again, so what three equal refusals had closed is tried again."""
    if draft.unit is not None and draft.phase is not Phase.FLAT:
        draft.change(refusal="", refusals=0)
        for order in [order for order in draft.ours if order.refusals]:
            draft.update(order, refusal="", refusals=0)
    return draft
