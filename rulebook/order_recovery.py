"""What does a journal tell the process that comes after? Facts, but neither answers nor times.

Facts hold: what an order is, what has filled, what was asked for. Two things died with the process that
wrote them:

- Its answers. A request that was written down may be at the broker or may never have left; either way it
  is UNKNOWN now, and the book has the next word.
- Its clock. A wall clock can be set while nobody runs, by a second or a day (faults.md P6). A moment that
  lies ahead of now would hold up a deadline until the clock has caught up with it, so none is left ahead.
  How long ago an earlier one really was cannot be told at all; therefore the settle horizon, whose end gives
  an order up, is counted anew by each process (settlement.py), and only deadlines whose early end does no
  harm (a re-pricing, an entry that is cancelled) may come early.
"""

from dataclasses import replace
from datetime import datetime

from rulebook.order_draft import Draft
from rulebook.order_records import Order, Request, Status


def doubted(order: Order) -> Order:
    if order.status is Status.RECORDED:
        return replace(order, status=Status.UNKNOWN, unsure_since=order.sent_at)
    if order.request is not None and order.request.unsure_since is None:
        return replace(order, request=replace(order.request, unsure_since=order.request.at))
    return order


def of_this_clock(draft: Draft) -> Draft:
    """Nothing was done after now: where the journal says so, the clock was set back since (P6).

    Left as they are, such moments would hold every deadline up until the clock has caught up.
    """
    if draft.unit is not None:
        unit, at = draft.unit, draft.at
        draft.change(
            born_at=min(unit.born_at, at),
            not_before=_past(unit.not_before, at),
            reread_after=_past(unit.reread_after, at),
        )
    for order in list(draft.orders.values()):
        draft.update(
            order,
            sent_at=min(order.sent_at, draft.at),
            acted_at=min(order.acted_at, draft.at),
            news_at=min(order.news_at, draft.at),
            unsure_since=_past(order.unsure_since, draft.at),
            not_before=_past(order.not_before, draft.at),
            request=_request_of_this_clock(order.request, draft.at),
        )
    return draft


def _request_of_this_clock(request: Request | None, at: datetime) -> Request | None:
    if request is None:
        return None
    return replace(request, at=min(request.at, at), unsure_since=_past(request.unsure_since, at))


def _past(moment: datetime | None, at: datetime) -> datetime | None:
    return None if moment is None else min(moment, at)
