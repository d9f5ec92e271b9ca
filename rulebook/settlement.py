"""What does a reading of the broker's books prove? Presence at once, absence only slowly.

A row that is there is a fact, whenever it was true: statuses and fills only grow. A row that is not
there, a position that is smaller, terms that are other than ours: these are verdicts, and a read may lag
by ten seconds, be unordered or lack its newest rows (faults.md R11). So they need

- a read that began after the moment in question: an older answer cannot speak about it;
- BOOK_QUORUM agreeing reads in a row;
- for an order without an answer the settle horizon on top;
- for a position two tellings, its own and that of all its orders, ours and foreign. What both say is gone has
  been closed by another hand; what only the position says, for ten seconds, is a difference: ours is
  flattened, and the caller halts.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from rulebook.order_draft import Draft, Echo, Shortfall, is_seen
from rulebook.order_messages import BookRead, OrderRow
from rulebook.order_news import advanced
from rulebook.order_records import (
    BOOK_QUORUM,
    RETRY,
    SETTLE_HORIZON,
    SPELLED,
    STALE_MOST,
    Ask,
    Order,
    Purpose,
    Request,
    Severity,
    Status,
    Want,
)
from rulebook.records import ExitReason, OrderType, Paise
from rulebook.stops import better

Rows = Mapping[str, OrderRow]  # by order id


def settle(draft: Draft, read: BookRead, rows: Rows) -> None:
    """All verdicts that this read allows about a ticker; the rows themselves were taken before."""
    for order in list(draft.orders.values()):
        if not order.is_alive:
            draft.sight.absent.pop(order.client_id, None)
            continue
        row = rows.get(order.order_id) if order.order_id else None
        if row is None:
            _count_absence(draft, order, read)
        else:
            draft.sight.absent.pop(order.client_id, None)
            _settle_request(draft, order, read, row)
    for order in draft.closers:
        if order.order_id is not None and order.order_id in rows:
            _compare_terms(draft, order, read, rows[order.order_id])
    if read.positions is not None and draft.unit is not None:
        _compare_position(draft, read, read.positions.get(draft.ticker, 0))


def _count_absence(draft: Draft, order: Order, read: BookRead) -> None:
    if is_seen(order) or read.began <= (order.unsure_since or order.sent_at):
        return
    times = draft.sight.absent.get(order.client_id, 0) + 1
    draft.sight.absent[order.client_id] = times
    if order.status is Status.RECORDED:
        return  # its answer is still to come
    if read.began >= _looked_for_since(draft, order) + SETTLE_HORIZON and times >= BOOK_QUORUM:
        draft.update(advanced(order, Status.ABSENT), excess=order.purpose is Purpose.ENTRY)
        draft.alarm(f"{order.client_id} is in no book after {SETTLE_HORIZON.seconds} s: it is not there")


def _looked_for_since(draft: Draft, order: Order) -> datetime:
    """By this process: the wall clock may have been set since the one before it (P6)."""
    since = draft.sight.since
    return order.sent_at if since is None else max(since, order.sent_at)


def _settle_request(draft: Draft, order: Order, read: BookRead, row: OrderRow) -> None:
    """What became of a modify or cancel that only the book can tell. To repeat either is harmless."""
    request = order.request
    if request is None or request.unsure_since is None or read.began <= request.unsure_since:
        return
    if row.status not in SPELLED and read.began <= request.unsure_since + STALE_MOST:
        draft.sight.moving.add(order.client_id)
        return  # MODIFY PENDING and its like: it is on its way
    came_to_rest = order.client_id in draft.sight.moving
    draft.sight.moving.discard(order.client_id)
    later = draft.at if came_to_rest else draft.at + RETRY  # what it was refused for is over
    if request.ask is Ask.MODIFY and request.terms is not None and _took(order, request, row):
        draft.update(order, request=None, terms=request.terms)
    else:
        draft.update(order, request=None, not_before=later)
        if request.terms is not None:
            draft.sight.missed[order.client_id] = request.terms


def _took(order: Order, request: Request, row: OrderRow) -> bool:
    """By quantity and prices, not by the type's echo (Kc#52902); an exit shows by leaving the trigger."""
    assert request.terms is not None
    if row.qty != request.terms.qty:
        return False
    if request.terms.is_stop:
        return row.trigger == request.terms.trigger
    # A stop that fired by itself works as well, at its own price: only ours proves a LIMIT.
    is_ours = request.terms.order_type is not OrderType.LIMIT or row.price == request.terms.price
    return is_ours and order.status in (Status.WORKING, Status.PARTLY)


def _compare_terms(draft: Draft, order: Order, read: BookRead, row: OrderRow) -> None:
    """What another hand has moved, or whose accepted modification the exchange refused (H2, O11, F 3799).

    Within STALE_MOST of our own change a lagging read looks the same: until then it is only asked for again
    (order_closing.py). What is still not taken then is not tried a third way: other orders cover the rest.
    """
    name = _price_that_counts(order)
    known = (order.terms.qty, getattr(order.terms, name) if name else None)
    shown = (row.qty, getattr(row, name) if name else None)
    echoes = draft.sight.echoes
    missed = draft.sight.missed.get(order.client_id)
    if missed is not None and name and shown == (missed.qty, getattr(missed, name)) and order.is_free:
        # What was asked for, and an older read did not show yet: that it is there is a fact at once.
        draft.sight.missed.pop(order.client_id)
        draft.update(order, terms=missed)
        known = shown
    if not name or shown == known or shown[1] is None:
        echoes.pop(order.client_id, None)
        return
    if not order.is_free or read.began <= order.acted_at:
        return
    if name == "trigger" and _is_tighter(order, row):
        _respect(draft, order, row)
        return
    echo = echoes.get(order.client_id)
    if echo is None or echo.shown != shown:
        echo = echoes[order.client_id] = Echo(shown, order.acted_at)
    echo.times += 1
    echo.late += read.began > echo.since + STALE_MOST
    if echo.late < BOOK_QUORUM:
        return
    echoes.pop(order.client_id)
    fixed = order.fixed or (echo.repeats > 0 and row.qty != order.terms.qty)
    draft.update(order, terms=replace(order.terms, **{"qty": row.qty, name: shown[1]}), fixed=fixed)
    why = f"asked {echo.repeats + 1} times" if echo.repeats else "another hand"
    draft.alarm(f"{order.purpose} {order.order_id} rests at {shown}, not at {known}: {why}")


def _is_tighter(order: Order, row: OrderRow) -> bool:
    """A trigger that we never asked for and that a lagging read cannot show: ours only tighten."""
    assert row.trigger is not None and order.terms.trigger is not None
    return order.side * (row.trigger - order.terms.trigger) < 0


def _respect(draft: Draft, order: Order, row: OrderRow) -> None:
    """The user has tightened the stop: a stop never goes back (invariant 13), so it is ours from now on."""
    assert row.trigger is not None
    unit = draft.asked
    stop = row.trigger if unit.stop is None else Paise(better(int(unit.side), unit.stop, row.trigger))
    draft.sight.echoes.pop(order.client_id, None)
    draft.update(order, terms=replace(order.terms, trigger=row.trigger))
    draft.change(stop=stop)
    draft.alarm(f"stop {order.order_id} was tightened to {row.trigger} by another hand")


def _price_that_counts(order: Order) -> str:
    """A waiting stop's trigger, a limit order's price; a fired stop and a MARKET order have none of ours."""
    if order.terms.is_stop:
        return "trigger" if order.status is Status.TRIGGER_PENDING else ""
    return "price" if order.terms.order_type is OrderType.LIMIT else ""


def _compare_position(draft: Draft, read: BookRead, net: int) -> None:
    """Ours is never more than the broker's net in our direction; what is beyond it others have closed."""
    if draft.asked.lost and _is_whole(draft, read, net):
        _find_again(draft, net)
    unit, shortfalls = draft.asked, draft.sight.shortfalls
    gone = draft.held - max(0, unit.side * net)
    if gone <= 0:
        shortfalls.pop(draft.ticker, None)
        return
    short = shortfalls.setdefault(draft.ticker, Shortfall(gone, read.began, gone))
    if gone != short.shown:  # the user's order may fill share by share
        short.shown, short.since, short.least = gone, read.began, min(gone, short.least)
    short.times += 1
    if short.times < BOOK_QUORUM:
        return
    closed = min(short.least, _gone_by_orders(draft, read))
    if closed > 0:
        _lose(draft, closed, "closed by another hand", Severity.WARNING)
        if gone > closed:
            shortfalls[draft.ticker] = Shortfall(gone - closed, read.began, gone - closed, 1)
    elif read.began >= _last_news(draft, short.since) + STALE_MOST:
        draft.change(want=max(unit.want, Want.EXIT, key=list(Want).index))
        _lose(draft, gone, "the broker's position is smaller than ours", Severity.HALT)


def _find_again(draft: Draft, net: int) -> None:
    """Shares that were taken for lost and that fills of ours, shown late (R3), account for."""
    unit = draft.asked
    ours = draft.held + unit.lost
    lost = min(unit.lost, max(0, ours - unit.side * net))
    if lost < unit.lost:
        draft.change(lost=lost)
        draft.alarm("what was taken for lost were our own fills, shown late")
    draft.sight.wholes[draft.ticker] = draft.at
    draft.knows_position = True


def _lose(draft: Draft, qty: int, why: str, severity: Severity) -> None:
    draft.sight.shortfalls.pop(draft.ticker, None)
    draft.change(lost=draft.asked.lost + qty, reason=draft.asked.reason or ExitReason.EXTERNAL)
    draft.alarm(f"{qty} shares: {why}", severity)


def _last_news(draft: Draft, since: datetime) -> datetime:
    """A position lags its fills, so the ten seconds begin after our last one."""
    return max([since, *(order.news_at for order in draft.ours)])


def _gone_by_orders(draft: Draft, read: BookRead) -> int:
    """What the orders of others have closed of ours: the second telling.

    The read has theirs. Ours we know better than its rows, which are older than its trades and its position.
    """
    ours = {order.order_id for order in draft.orders.values()}
    rows = [row for row in read.orders if row.ticker == draft.ticker and row.order_id not in ours]
    net = sum(order.side * order.filled for order in draft.orders.values())
    net += sum(row.side * row.filled for row in rows)
    return draft.held - max(0, draft.asked.side * net)


def _is_whole(draft: Draft, read: BookRead, net: int) -> bool:
    rows = {row.order_id: row for row in read.orders if row.ticker == draft.ticker}
    ours = [order for order in draft.ours if order.filled]
    shown = [rows.get(order.order_id or "") for order in ours]
    knows_ours = all(row is not None and row.filled == o.filled for row, o in zip(shown, ours, strict=True))
    return knows_ours and net == sum(row.side * row.filled for row in rows.values())
