"""What should be sent for a ticker, given all that is known about it? Asked after every event.

The plan looks at what is, never at what has just happened, so it is the same after a crash as before
it, and asking twice sends nothing twice: a request in flight is part of what is.

The order of thought: where the stop belongs; whether the trade is over or must be left; the entry; the
closing orders. The sum of what closing orders may still trade never passes our open shares, save for one
case: a closing order of unknown fate gets a second one, for no position may be bare (faults.md 5, policy
note on 1 versus 2); the spare goes when it shows.
"""

from rulebook.order_closing import hold, leave, send_away, stand_stuck
from rulebook.order_draft import Draft, stop_at
from rulebook.order_messages import AskAgain
from rulebook.order_records import (
    ENTRY_LIFE,
    ENTRY_QUIET,
    HAND_CANCELS_MOST,
    Order,
    Purpose,
    Refusal,
    Severity,
    Status,
    Want,
)
from rulebook.records import ExitReason, OrderType, Side


def plan(draft: Draft) -> None:
    if draft.unit is None:
        return
    entries = draft.of(Purpose.ENTRY)
    stop = stop_at(draft.unit, entries)
    if stop != draft.unit.stop:
        draft.change(stop=stop)
    if draft.asked.want is Want.HOLD:
        _ask_for_a_child(draft, entries)
    _decide_to_leave(draft)
    for order in entries:
        _tend_entry(draft, order)
    _tend_closers(draft)


def _ask_for_a_child(draft: Draft, entries: list[Order]) -> None:
    """Only after the parent's end has been seen, with its final fill; the gates are not ours."""
    unit, wanted = draft.asked, [order for order in entries if not order.excess]
    if not wanted:
        return
    last = wanted[-1]
    left = last.terms.qty - last.filled
    tired = last.status is Status.CANCELLED and last.replace
    unprotected = last.status is Status.REJECTED and last.refusal == Refusal.PROTECTION
    again = tired or (unprotected and last.terms.order_type is OrderType.MARKET)
    if any(order.is_alive for order in entries) or unit.asked_again == last.client_id:
        return
    if again and left > 0 and draft.at < unit.born_at + ENTRY_LIFE and not draft.halted:
        draft.change(asked_again=last.client_id)
        draft.tell(AskAgain(draft.at, draft.ticker, last.client_id, left, OrderType.LIMIT))


def _decide_to_leave(draft: Draft) -> None:
    unit, held = draft.asked, draft.held
    if held < 0 <= draft.held_before:
        draft.alarm(f"{-held} shares too many were closed: the reverse is closed at once", Severity.CRITICAL)
    if unit.want is not Want.HOLD:
        return
    why = _why_leave(draft, held)
    over = held == 0 and not any(order.is_alive for order in draft.of(Purpose.ENTRY))
    if why is not None:
        draft.change(want=Want.EXIT, reason=why)
    elif over:
        draft.change(want=Want.EXIT)  # whatever comes of this trade from now on is closed at once


def _why_leave(draft: Draft, held: int) -> ExitReason | None:
    unit = draft.asked
    stops = draft.of(Purpose.STOP)
    if any(o.filled > o.carried or o.status in (Status.WORKING, Status.PARTLY) for o in stops):
        return ExitReason.STOP
    if held < 0 or unit.unprotectable or unit.hand_cancels > HAND_CANCELS_MOST:
        return ExitReason.UNPROTECTED
    return ExitReason.HALT if draft.halted else None


def _tend_entry(draft: Draft, order: Order) -> None:
    """Cancelled when it is unwanted, 90 s old, or without news for 15 s; then only the book ends it."""
    if not draft.may_ask(order):
        return
    unit = draft.asked
    unwanted = order.excess or unit.want is not Want.HOLD or draft.at >= unit.born_at + ENTRY_LIFE
    quiet = draft.at >= order.news_at + ENTRY_QUIET
    if unwanted or quiet:
        draft.cancel(order, replace=quiet and not unwanted)


def _tend_closers(draft: Draft) -> None:
    held = draft.held
    unit = draft.asked
    side = unit.side.opposite if held > 0 else Side(unit.side)
    for order in draft.closers:
        if held == 0 or order.side is not side:
            send_away(draft, order)
    if held == 0:
        return
    if held < 0 and unit.lost and not draft.knows_position:
        # Either we closed what another hand had closed, or nobody had and our own fill was shown late: only
        # books that agree with themselves tell. To close a reverse that is none would open one.
        draft.wants_read = True
        return
    if unit.want is Want.STUCK:
        stand_stuck(draft, side, abs(held))
    elif unit.want is Want.EXIT:
        leave(draft, side, abs(held))
    else:
        hold(draft, side, held)
