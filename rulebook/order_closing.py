"""Which closing orders should there be? The stop that follows the fills; the exit it is turned into.

Why a stop that has spent its modifications stays where it is
-------------------------------------------------------------
It could be replaced. A new stop before the old one is cancelled means twice our shares in closing
orders, and a reverse position if both fire (invariants 2, 3). The old one cancelled first means a bare
position for as long as a cancel takes (invariant 1). Left where it is, all four hold, and only the trail
is lost at the broker: the rule book still leaves when the price crosses it, by the conversion that the
kept modifications are for. Shares that a spent stop cannot grow to cover get a stop of their own.

An exit re-prices by modifying; when its modifications are spent it is cancelled, seen cancelled, and a
new one takes what is left. `qty` is an order's whole quantity: what it may still trade is that less its
fills, and every order is given no more room than the others leave.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from rulebook import stops
from rulebook.order_draft import Draft, inside
from rulebook.order_records import (
    BOOK_QUORUM,
    EXIT_REACH_BPS,
    EXIT_REPRICE,
    FOLLOW_SPACING,
    MODIFICATIONS_OF_STOP,
    QUOTE_FRESH,
    REFUSALS_MOST,
    STALE_MOST,
    UNKNOWN_CLOSERS_MOST,
    Order,
    Purpose,
    Status,
    Terms,
    Unit,
)
from rulebook.records import OrderType, Paise, Side

_ANSWER_PATIENCE = timedelta(seconds=2)


def hold(draft: Draft, side: Side, held: int) -> None:
    """Everything held is under a stop, less what an entry brought that must not be: that is sold at once."""
    too_many = sum(o.filled - o.carried for o in draft.of(Purpose.ENTRY) if o.excess)
    sold = sum(o.filled - o.carried for o in draft.of(Purpose.EXIT))
    surplus = max(0, min(held, too_many - sold))
    selling = _most(_sure(draft, side, Purpose.EXIT))  # one in doubt sells nothing: its shares have a stop
    if surplus > selling and _may_send_exit(draft):
        draft.place(Purpose.EXIT, side, _exit_terms(draft, side, surplus - selling, first=True))
        selling = surplus
    for order in _on(draft, side, Purpose.EXIT):
        _work_exit(draft, order, order.left)
    _protect(draft, side, held - selling)


def leave(draft: Draft, side: Side, need: int) -> None:
    """The resting stop becomes the exit; with the breaker open a stop is put back (go-trader#1538)."""
    if draft.asked.refusals >= REFUSALS_MOST:
        if draft.held > 0 and not draft.asked.unprotectable:
            _protect(draft, side, need)
        return
    sure = _sure(draft, side)
    _shrink(draft, sure, need)
    for name in [order.client_id for order in sure]:
        others = [order for order in _sure(draft, side) if order.client_id != name]
        _work_exit(draft, draft.orders[name], need - _most(others))
    sure = _sure(draft, side)
    short = need - _most(sure)
    if short > 0 and not any(draft.may_modify(order) for order in sure) and _may_send_exit(draft):
        draft.place(Purpose.EXIT, side, _exit_terms(draft, side, short, first=not draft.of(Purpose.EXIT)))


def stand_stuck(draft: Draft, side: Side, need: int) -> None:
    """Exactly one limit order, and before every call a new look at the book and the position."""
    acted = max((order.acted_at for order in draft.ours), default=None)
    began = draft.sight.began
    if not draft.just_read or began is None or (acted is not None and began <= acted):
        draft.wants_read = True
        return
    price = draft.asked.stuck_price
    assert price is not None
    standing = _on(draft, side)
    for order in standing[1:]:
        send_away(draft, order)
    if not standing and draft.asked.refusals < REFUSALS_MOST:
        draft.place(Purpose.EXIT, side, Terms(need, OrderType.LIMIT, price))
    elif standing and draft.may_ask(standing[0]):
        main = standing[0]
        terms = Terms(main.filled + need, OrderType.LIMIT, price)
        if main.terms != terms:
            _modify_or_cancel(draft, main, terms)


def send_away(draft: Draft, order: Order) -> None:
    """Nothing may be left to fire; what is in flight or unknown is sent away when it shows."""
    if draft.may_ask(order):
        draft.cancel(order)


def _on(draft: Draft, side: Side, *purposes: Purpose) -> list[Order]:
    return [o for o in draft.closers if o.side is side and (not purposes or o.purpose in purposes)]


def _sure(draft: Draft, side: Side, *purposes: Purpose) -> list[Order]:
    return [order for order in _on(draft, side, *purposes) if not _is_doubtful(draft, order)]


def _is_doubtful(draft: Draft, order: Order) -> bool:
    """UNKNOWN; or without an answer for a while and in no book: shares are not left bare for a slow one."""
    is_slow = order.status is Status.RECORDED and draft.at >= order.sent_at + _ANSWER_PATIENCE
    return order.is_unsure or (is_slow and _is_absent(draft, order, BOOK_QUORUM))


def _most(orders: Sequence[Order]) -> int:
    return sum(order.most_left for order in orders)


def _protect(draft: Draft, side: Side, need: int) -> None:
    sure = _sure(draft, side, Purpose.STOP)
    _shrink(draft, sure, need)
    short = need - _most(_sure(draft, side, Purpose.STOP))
    for order in sure:
        short -= _follow(draft, draft.orders[order.client_id], max(0, short))
    waits = any(_is_underway(draft, draft.orders[order.client_id]) for order in sure)
    if short > 0 and not waits and _may_send_stop(draft):
        draft.place(Purpose.STOP, side, _stop_terms(draft.asked, short))


def _follow(draft: Draft, order: Order, short: int) -> int:
    """One modify for both, more shares and a tighter trigger; answers the shares that it now covers."""
    unit = draft.asked
    tighter = _is_looser(unit, order.terms.trigger)
    ignored = _is_ignored(draft, order)
    if not (short or tighter or ignored) or not order.terms.is_stop or order.status >= Status.WORKING:
        return 0
    if not draft.may_modify(order, MODIFICATIONS_OF_STOP):
        return 0
    if draft.at < order.acted_at + FOLLOW_SPACING:
        return short  # coalesced: the next second covers them
    terms = _stop_terms(unit, order.terms.qty + short, order.terms.trigger)
    draft.modify(order, terms)
    if ignored:
        draft.sight.echoes[order.client_id].repeated()
    if draft.orders[order.client_id].modifications == MODIFICATIONS_OF_STOP:
        draft.alarm(f"stop {order.order_id} has spent its modifications and stays where it is")
    return short


def _is_ignored(draft: Draft, order: Order) -> bool:
    """A change was taken and two later reads do not show it (NOT MODIFIED, F 3799): it is asked for again.

    A read may lag by STALE_MOST, so it is no verdict yet; but to ask for the same again is harmless.
    """
    echo = draft.sight.echoes.get(order.client_id)
    waited = draft.at >= order.acted_at + EXIT_REPRICE
    return echo is not None and echo.times >= BOOK_QUORUM and waited


def _is_looser(unit: Unit, trigger: Paise | None) -> bool:
    return unit.stop is not None and trigger is not None and unit.side * (unit.stop - trigger) > 0


def _is_underway(draft: Draft, order: Order) -> bool:
    """Its answer may come any moment and make room to grow; a slow one is not waited for."""
    asked = order.status is Status.RECORDED or (order.request is not None and order.request.terms is not None)
    return asked and draft.at < order.acted_at + _ANSWER_PATIENCE


def _stop_terms(unit: Unit, qty: int, now: Paise | None = None) -> Terms:
    """SL works everywhere; its limit lies a buffer beyond the trigger, inside the day's band (K#3141)."""
    assert unit.stop is not None, "shares are held, so their average and the stop are known"
    sign = int(unit.side)
    trigger = unit.stop if now is None else Paise(stops.better(sign, unit.stop, now))
    if unit.stop_buffer == 0:
        return Terms(qty, OrderType.SL_M, None, trigger)
    limit = inside(unit, stops.away(sign, trigger - sign * unit.stop_buffer, unit.tick))
    return Terms(qty, OrderType.SL, limit, trigger)


def _shrink(draft: Draft, orders: Sequence[Order], need: int) -> None:
    """Closing orders for more than we hold give way, the newest first: it is the spare."""
    excess = sum(order.least_left for order in orders) - need
    for order in reversed(orders):
        if excess <= 0:
            return
        if not draft.may_ask(order):
            # A spare that is asked again in a moment goes; the one that stays must not go in its place.
            excess -= min(excess, order.left) if draft.is_asked_again_soon(order) else 0
            continue
        if order.left <= excess or not draft.may_modify(order):
            draft.cancel(order)
        else:
            draft.modify(order, replace(order.terms, qty=order.terms.qty - excess))
        excess -= min(excess, order.left)


def _work_exit(draft: Draft, order: Order, room: int) -> None:
    """Turn a resting stop into the exit now; re-price an exit, or a stop that has fired, every 2 s."""
    if room <= 0 or not draft.may_ask(order):
        return
    rests_as_stop = order.terms.is_stop and order.status < Status.WORKING
    grows = room > order.left and draft.at >= order.acted_at + FOLLOW_SPACING
    if not (rests_as_stop or grows or draft.at >= order.acted_at + EXIT_REPRICE):
        return
    tries = order.modifications + (draft.at - order.acted_at) // EXIT_REPRICE
    terms = _exit_terms(draft, order.side, order.filled + room, first=rests_as_stop, tries=tries)
    is_there = terms == order.terms and order.status >= Status.WORKING
    ignored = _is_ignored(draft, order)
    if is_there and terms.order_type is OrderType.LIMIT and not ignored:
        return  # the same price again would only lose its place in the queue (O8)
    _modify_or_cancel(draft, order, terms)
    if ignored:
        draft.sight.echoes[order.client_id].repeated()


def _modify_or_cancel(draft: Draft, order: Order, terms: Terms) -> None:
    if draft.may_modify(order):
        draft.modify(order, terms)
    else:
        draft.cancel(order)


def _exit_terms(draft: Draft, side: Side, qty: int, *, first: bool, tries: int = 0) -> Terms:
    """MARKET first (the broker bands it, the rest may stay open: Kc#52991), then a limit through the book.

    Without a fresh quote MARKET again; where that is refused, from the last price known, each try further.
    """
    unit, quote = draft.asked, draft.quote
    is_fresh = quote is not None and draft.at <= quote.at + QUOTE_FRESH
    if not unit.no_market and (first or not is_fresh):
        return Terms(qty, OrderType.MARKET)
    reference = int(unit.stop or unit.decision_price)
    if quote is not None:
        reference = int((quote.bid if side is Side.SELL else quote.ask) or quote.last)
    reach = max(unit.tick, reference * EXIT_REACH_BPS // 10_000) * (1 if is_fresh else 1 + tries)
    # Away from the market of a position is through the book for the order that closes it.
    price = stops.away(-side, reference + side * reach, unit.tick)
    return Terms(qty, OrderType.LIMIT, inside(unit, price))


def _may_send_stop(draft: Draft) -> bool:
    """A second stop at once when the fate of one is unknown; more only when the book shows none of them."""
    doubtful = [order for order in draft.closers if _is_doubtful(draft, order)]
    if _is_held_back(draft, doubtful):
        return False
    return len(doubtful) <= 1 or all(_is_absent(draft, order, BOOK_QUORUM) for order in doubtful)


def _may_send_exit(draft: Draft) -> bool:
    """Two exits that both exist go through zero, so one of unknown fate is looked for first, twice."""
    unit, began = draft.asked, draft.sight.began
    if unit.reread_after is not None and (began is None or began <= unit.reread_after):
        return False
    if any(_would_meet(order) for order in draft.of(Purpose.ENTRY)):
        return False
    doubtful = [order for order in draft.closers if _is_doubtful(draft, order)]
    if _is_held_back(draft, doubtful):
        return False
    return all(_is_absent(draft, o, BOOK_QUORUM if o.purpose is Purpose.EXIT else 1) for o in doubtful)


def _would_meet(entry: Order) -> bool:
    """An exit against our own entry is refused as a self-trade (O12), so the entry's cancel comes first."""
    is_known = entry.is_alive and entry.order_id is not None and entry.left > 0
    return is_known and (entry.request is not None or entry.refusals < REFUSALS_MOST)


def _is_held_back(draft: Draft, doubtful: Sequence[Order]) -> bool:
    """Beyond UNKNOWN_CLOSERS_MOST another only after the time by which a read may lag."""
    until = draft.asked.not_before
    if len(doubtful) >= UNKNOWN_CLOSERS_MOST:
        until = max(order.sent_at for order in doubtful) + STALE_MOST
    return until is not None and draft.at < until


def _is_absent(draft: Draft, order: Order, reads: int) -> bool:
    return draft.sight.absent.get(order.client_id, 0) >= reads
