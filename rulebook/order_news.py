"""What does a piece of news change in an order? Answers, refusals, silence, rows of the book, fills.

Facts only grow: a status moves along ORDER_MOVES or not at all, filled shares never fall, an end is an
end, a fill counts once (faults.md 55, 58; invariant 21). News that is older than what is known says
nothing. Only the broker's own word ends an order; silence never does (settlement.py has the horizon).
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rulebook.order_draft import Draft
from rulebook.order_messages import Answered, Filled, NoAnswer, NotSent, OrderRow, Refused
from rulebook.order_records import (
    MODIFICATIONS_LIMIT,
    ORDER_MOVES,
    REFUSALS_MOST,
    RETRY,
    SPELLED,
    Ask,
    Order,
    Purpose,
    Refusal,
    Severity,
    Status,
    Want,
)
from rulebook.records import Fill, OrderType


class IllegalMoveError(Exception):
    """What was asked for does not exist in this state. Nothing has changed; whoever asked is wrong."""


def advanced(order: Order, status: Status, **fields: Any) -> Order:
    """The order one row of its table further on."""
    if status not in ORDER_MOVES[order.status]:
        raise IllegalMoveError(f"{order.client_id}: {order.status.name} does not become {status.name}")
    if status >= Status.COMPLETE:
        fields["request"] = None
    return replace(order, status=status, unsure_since=None, **fields)


def take_answer(draft: Draft, order: Order, event: Answered) -> None:
    """An order id: accepted, which is neither resting nor filled (marketcalls/openalgo#1425)."""
    if event.ref == order.client_id:
        _take_id(draft, order, event.order_id)
    elif order.request is not None and order.request.ref == event.ref:
        if order.request.ask is Ask.MODIFY:
            assert order.request.terms is not None
            draft.update(order, terms=order.request.terms, request=None, refusal="", refusals=0)
        elif order.request.unsure_since is None:
            # Accepted is not cancelled: a fill may have been faster. The book says.
            draft.update(order, request=replace(order.request, unsure_since=draft.at))
            draft.wants_read = True


def take_refusal(draft: Draft, order: Order, event: Refused) -> None:
    if event.ref == order.client_id:
        if order.order_id is None and order.status in (Status.RECORDED, Status.UNKNOWN):
            ended = draft.update(advanced(order, Status.REJECTED), refusal=event.refusal.value)
            _count_refused_place(draft, ended, event.refusal, event.text)
    elif _is_awaited(order, event.ref):
        _take_refused_request(draft, order, event)
    draft.wants_read = True


def take_silence(draft: Draft, order: Order, event: NoAnswer) -> None:
    """Not failed: unknown."""
    if event.ref == order.client_id:
        if order.status is Status.RECORDED:
            draft.update(advanced(order, Status.UNKNOWN), unsure_since=draft.at)
            draft.alarm(f"no answer to {order.purpose} {order.client_id}: settled by the book")
    elif order.request is not None and _is_awaited(order, event.ref):
        draft.update(order, request=replace(order.request, unsure_since=draft.at))
    draft.wants_read = True


def take_not_sent(draft: Draft, order: Order, event: NotSent) -> None:
    later = draft.at + RETRY
    if event.ref == order.client_id:
        if order.order_id is None and order.status in (Status.RECORDED, Status.UNKNOWN):
            draft.update(advanced(order, Status.ABSENT), excess=order.purpose is Purpose.ENTRY)
            draft.change(not_before=later)
    elif order.request is not None and _is_awaited(order, event.ref):
        counted = order.modifications - (order.request.ask is Ask.MODIFY)
        draft.update(order, request=None, modifications=counted, not_before=later)


def take_row(draft: Draft, order: Order, row: OrderRow) -> Order:
    """What the broker shows of an order of ours; a twin where one tag has two orders."""
    if order.order_id != row.order_id:
        order = _take_id(draft, order, row.order_id)
    status = SPELLED.get(row.status, Status.ACCEPTED)
    if status is Status.WORKING and row.filled > 0:
        status = Status.PARTLY
    fresh = status in ORDER_MOVES[order.status]
    if not fresh and row.filled <= order.filled:
        return order
    order = _into_this_trade(draft, order)
    if row.filled > order.filled:
        order = draft.update(order, filled=row.filled, value=row.value)
    order = draft.update(order, news_at=draft.at, refusal="", refusals=0)
    return _follow_status(draft, order, status, row.text) if fresh else order


def take_fills(draft: Draft, order: Order, fills: Iterable[Fill]) -> None:
    """Each fill once, by its id; what was inferred from the book is not counted again (nautilus #3493)."""
    known = {fill.fill_id for fill in order.fills}
    new = tuple(sorted((f for f in fills if f.fill_id not in known), key=lambda f: (f.at, f.fill_id)))
    if not new:
        return
    told = (*order.fills, *new)
    qty, value = sum(f.qty for f in told), sum(f.qty * f.price for f in told)
    if qty > order.filled:
        order = draft.update(_into_this_trade(draft, order), filled=qty, news_at=draft.at)
    draft.update(order, fills=told, value=value if qty == order.filled else order.value)
    for fill in new:
        draft.tell(Filled(fill, order.client_id, order.purpose))


def _is_awaited(order: Order, ref: str) -> bool:
    """An answer counts once; where the book is asked already, it has the last word."""
    return order.request is not None and order.request.ref == ref and order.request.unsure_since is None


def _take_id(draft: Draft, order: Order, order_id: str) -> Order:
    """Adopted, unless the order is known by another id, or is over: then this is a second one."""
    if order.order_id == order_id:
        return order
    if order.order_id is None and order.status in (Status.RECORDED, Status.UNKNOWN, Status.ABSENT):
        order = _into_this_trade(draft, order)
        return draft.update(advanced(order, Status.ACCEPTED), order_id=order_id, news_at=draft.at)
    name = f"{order.client_id}/{order_id}"
    if name in draft.orders:
        return draft.orders[name]
    draft.alarm(f"{order.client_id} was executed twice: {order.order_id} and {order_id}", Severity.CRITICAL)
    twin = Order(
        name, order.tag, order.ticker, order.side, order.purpose, draft.asked.trade, order.terms,
        sent_at=order.sent_at, acted_at=draft.at, news_at=draft.at, status=Status.ACCEPTED,
        order_id=order_id, excess=order.purpose is Purpose.ENTRY,
    )  # fmt: skip
    return draft.update(twin)


def _into_this_trade(draft: Draft, order: Order) -> Order:
    """What moves after its trade was over belongs to the one that is on, and was not asked for by it."""
    if order.trade == draft.asked.trade:
        return order
    draft.alarm(f"{order.client_id} of an earlier trade moves again", Severity.CRITICAL)
    excess = order.purpose is Purpose.ENTRY
    return draft.update(order, trade=draft.asked.trade, carried=order.filled, excess=excess)


def _follow_status(draft: Draft, order: Order, status: Status, text: str) -> Order:
    fired = order.terms.is_stop and order.status < Status.WORKING <= status
    order = draft.update(advanced(order, status))
    if fired:
        order = draft.update(order, acted_at=draft.at)  # the exit's clock starts when the stop fires
    if order.purpose is Purpose.EXIT and status in (Status.WORKING, Status.PARTLY, Status.COMPLETE):
        draft.change(refusal="", refusals=0)
    if status is Status.REJECTED:
        _count_refused_place(draft, order, Refusal.OTHER, text)
    by_hand = status is Status.CANCELLED and not order.cancel_asked
    if by_hand and order.purpose is Purpose.STOP and draft.asked.want is Want.HOLD:
        draft.change(hand_cancels=draft.asked.hand_cancels + 1)
        draft.alarm(f"stop {order.order_id} was cancelled by another hand")
    return order


def _count_refused_place(draft: Draft, order: Order, refusal: Refusal, text: str) -> None:
    """A refused stop ends the trade; three equal refusals of an exit open the breaker (faults.md 28, 29)."""
    draft.alarm(f"{order.purpose} {order.client_id} refused ({refusal}): {text}")
    if order.purpose is Purpose.STOP:
        draft.change(unprotectable=True)
    if order.purpose is not Purpose.EXIT:
        return
    times = draft.asked.refusals + 1 if draft.asked.refusal == refusal else 1
    # A second try as MARKET would be the same request: it goes out as LIMIT (trading.md).
    was_market = order.terms.order_type is OrderType.MARKET
    draft.change(
        refusal=refusal.value,
        refusals=times,
        reread_after=draft.at,
        no_market=draft.asked.no_market or was_market,
    )
    if times == REFUSALS_MOST:
        draft.alarm(f"exit refused {times} times ({refusal}): a person must act", Severity.CRITICAL)


def _take_refused_request(draft: Draft, order: Order, event: Refused) -> None:
    assert order.request is not None
    asked, kind = order.request, f"{order.request.ask.name} {event.refusal}"
    times = order.refusals + 1 if order.refusal == kind else 1
    order = draft.update(order, refusal=kind, refusals=times)
    if times == REFUSALS_MOST:
        draft.alarm(f"{order.order_id}: {kind} refused {times} times: {event.text}", Severity.CRITICAL)
    if event.refusal is Refusal.PROCESSING or asked.ask is Ask.CANCEL:
        # It may be filling, or be over already: read again, never assume (K#8106, F 7489).
        if order.status is Status.ACCEPTED:
            draft.sight.moving.add(order.client_id)
        draft.update(order, request=replace(asked, unsure_since=draft.at, refused=True))
    elif event.refusal is Refusal.MODIFICATIONS_EXCEEDED:
        draft.update(order, request=None, modifications=MODIFICATIONS_LIMIT)
    elif event.refusal is Refusal.PROTECTION and not draft.asked.no_market:
        draft.update(order, request=None)
        draft.change(no_market=True)
    else:
        draft.update(order, request=None, fixed=True)
