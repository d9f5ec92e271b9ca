"""What must hold? The invariants of faults.md 5 that speak of orders, one function each.

A function looks at the truth and says what is wrong, or nothing. The bounds of the spec stand here. Two
clocks measure what must not last: the time in which the trader could act at all (a process lives, a call
succeeded within two seconds, the broker listens), and of that the time since the last fault that was in the
way. The spec's short bound is held to the second, its long one to the first.

Of the thirty, these have a function or a test elsewhere:

 7  the loss lock is a gate before EnterAsked, kept by the ledger: only a trader's loop could break it (issue
    8, under faults in 9). Its twin is here: a switch that was thrown survives every crash.
 12 the audit chain is the ledger's bytes (issue 8). A torn last record is here a crash just before it was
    written, and that it was never acted on is durable_before_the_wire.
 15 what parsers let through: the fuzz of wire and answers. 24, 29: logs and the dashboard.
 19 has no function: a deadline that a wrong clock moved breaks 1, 4, 8, 11 or 22. Clocks are drawn in plans.py;
    entries while the clock is wrong are a gate of the loop (issue 8).
 20 decisions on old prices are the loop's and the feed's (issue 8). The machine decides nothing by a price but
    how far an exit reaches, and an exit does not wait for a fresh one (order_closing.QUOTE_FRESH).
 23, 26, 28 are of the process, its lock and its watchdog, and of the loss lock's money (issues 8, 9).
 27 a full disk: durable_before_the_wire lets only what is urgent pass, and `protected` demands that it does.
 30 the same seed is the same run: test_sim.py.

Exemptions, and no others (architecture.md, law 6): a closing order whose fate is unknown has a second one,
and a proxy may have executed a request twice; 2 to 4 count from the moment the spare is visible, and a
reverse fill is closed at once and reported. What the user's own hand has done counts from when it can be
known, three seconds and what the answers of a reading take (18).
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from exchange.nouns import Trade
from exchange.orders import Order as Booked
from exchange.orders import Stage
from kite.errors import RejectedError
from kite.routes import Call
from rulebook.order_records import (
    MODIFICATIONS_KEPT,
    POLL,
    RETRY,
    SETTLE_HORIZON,
    Order,
    Purpose,
    Record,
    Status,
)
from rulebook.orders import Machine, recover
from tests.exchange_market import TICK
from tests.sim.plans import SQUARE_OFF_AT
from tests.sim.truth import ADOPTED_MOST, Lasting, Ticker, Truth, left

Wrong = str | None

BARE_P99 = timedelta(seconds=3)  # over all stretches of a whole run of seeds
BARE_SOON, BARE_MOST = timedelta(seconds=5), timedelta(seconds=10)
EXCESS_MOST = timedelta(seconds=2)
HELD_BACK = timedelta(seconds=10)  # further closing orders wait while three are of unknown fate
RECENT = timedelta(minutes=2)
LIVELY_AFTER = timedelta(seconds=30)
PER_SECOND, PER_MINUTE, MODIFICATIONS = 8, 200, 22
SAME_REFUSALS_MOST = 3
KILL_P99, KILL_LATEST = timedelta(milliseconds=500), timedelta(seconds=3)


# --- after every step of time -----------------------------------------------------------------------


def protected(t: Truth, ticker: Ticker) -> Wrong:
    """1: while something is held, live closing orders cover it; never bare above 10 s while reachable."""
    bare = ticker.bare
    if bare.since is None or is_person_called(ticker, bare.since):
        return None
    soon = BARE_SOON
    if t.a_hand_was_there(ticker, bare) and not t.was_troubled(bare):
        soon = _adopted_most(t)  # H2: put back within three seconds
    if t.clean_for(bare) > soon and not t.holds_back(ticker.name):
        return f"{ticker.name} bare since {bare.since:%H:%M:%S.%f}, nothing in the way for {soon.seconds} s"
    if t.reachable_for(bare) > BARE_MOST + HELD_BACK:
        return f"{ticker.name} bare for {t.reachable_for(bare)} while the broker could be reached"
    return None


def no_over_exit(t: Truth, ticker: Ticker) -> Wrong:
    """2: closing orders for more than is held last two seconds at most, from when the spare shows."""
    if t.clean_for(ticker.excess) > _excess_most(t, ticker, ticker.excess):
        return (
            f"{ticker.name}: {left(t.closers(ticker))} to close {abs(ticker.net)}, nothing in the way for 2 s"
        )
    return None


def nothing_rests_when_flat(t: Truth, ticker: Ticker) -> Wrong:
    """2: when flat, no closing order is there two seconds later."""
    if t.clean_for(ticker.strays) > _excess_most(t, ticker, ticker.strays):
        return f"{ticker.name} is flat and {[o.order_id for o in t.closers(ticker)]} still rest"
    return None


def _excess_most(t: Truth, ticker: Ticker, lasting: Lasting) -> timedelta:
    """After a fault the pause before a request is repeated and the next poll come on top."""
    most = EXCESS_MOST + (RETRY + POLL if t.was_troubled(lasting) else timedelta(0))
    return most + (_adopted_most(t) if t.a_hand_was_there(ticker, lasting) else timedelta(0))


def _adopted_most(t: Truth) -> timedelta:
    """The spec's three seconds, and what the three answers of a reading take in this run."""
    return ADOPTED_MOST + timedelta(milliseconds=3 * t.plan.answer_ms_most)


def external_changes_are_adopted(t: Truth, ticker: Ticker) -> Wrong:
    """18: what the user has closed of ours is in the journal within one poll, three seconds at most."""
    if t.plan.full_disk is not None:
        return None  # the journal lags
    most = _adopted_most(t) + (RETRY + POLL if t.was_troubled(ticker.unadopted) else timedelta(0))
    if t.clean_for(ticker.unadopted) > most:
        return f"{ticker.name}: {ticker.net} of ours left, the journal has {t.written_net(ticker.name)}"
    return None


def the_switch_leaves_nothing_waiting(t: Truth, ticker: Ticker) -> Wrong:
    """25: what rested when the switch was thrown is asked to go at once, whatever the p99."""
    if t.killed_at is None or not t.could_act or t.now - max(t.killed_at, t.troubled_at) <= KILL_LATEST:
        return None
    waiting = [o.order_id for o in t.live(ticker.name) if o.order_id in t.to_convert]
    return f"{ticker.name}: {waiting} untouched since the switch" if waiting else None


def is_to_go(t: Truth, order: Booked) -> bool:
    """An entry or a waiting stop, and nothing about it is on its way: the journal says so."""
    if t.purpose(order) is not Purpose.ENTRY and order.stage is not Stage.WAITING:
        return False
    written = [o for o in t.orders.values() if o.order_id == order.order_id]
    asks = [o for o in written if o.purpose is Purpose.ENTRY or o.terms.is_stop]  # or it is an exit already
    return any(o.is_free and o.not_before is None and o.refusals == 0 for o in asks)


def a_reverse_is_closed_at_once(t: Truth, ticker: Ticker) -> Wrong:
    """3: an excused reverse is reported, and closed as fast as any bare position."""
    reverse = ticker.reverse
    if reverse.since is None or not t.may_trade(ticker.name):
        return None
    if t.clean_for(reverse) > BARE_SOON and not t.closers(ticker):
        return f"{ticker.name}: a reverse of {ticker.net} stands since {reverse.since:%H:%M:%S}"
    is_reported = ticker.alarmed_at is not None and ticker.alarmed_at >= reverse.since
    if t.clean_for(reverse) > BARE_SOON and not is_reported:
        return f"{ticker.name}: a reverse of {ticker.net} was not reported"
    return None


def one_live_entry(t: Truth, ticker: Ticker) -> Wrong:
    """4: at most one entry intent works in a symbol."""
    entries = [o for o in t.live(ticker.name) if t.purpose(o) is Purpose.ENTRY]
    tags = {
        o.request.tag for o in entries if t.is_shown(o) or not t.is_twin(o)
    }  # nobody can know of the rest
    return f"{ticker.name}: entries {sorted(map(str, tags))} at once" if len(tags) > 1 else None


def exposure_is_what_was_asked(t: Truth, ticker: Ticker) -> Wrong:
    """16: shares held, and those that entries may yet bring, never pass what the trade asked for."""
    entries = [o for o in t.live(ticker.name) if t.purpose(o) is Purpose.ENTRY]
    if not entries or any(t.is_twin(o) for o in t.booked() if o.ticker == ticker.name):
        return None
    intent = t.intents[entries[-1].request.tag or ""]
    asked = t.first_qty[ticker.name, intent.trade]
    exposed = abs(ticker.net) + left(entries)
    return f"{ticker.name}: exposed to {exposed}, asked for {asked}" if exposed > asked else None


def lively(t: Truth, ticker: Ticker) -> Wrong:
    """22: 30 s after the faults stop, what is held is protected and no order too many is there."""
    healed = t.healed_at
    if healed is None or t.now < healed + LIVELY_AFTER or not t.may_trade(ticker.name):
        return None
    if any(t.is_hidden(order) for order in t.live(ticker.name)):
        return None  # 3 and 16: it shows within the horizon
    for what, lasting in (("bare", ticker.bare), ("over-covered", ticker.excess), ("strewn", ticker.strays)):
        if lasting.since is not None and t.now - max(lasting.since, healed + LIVELY_AFTER) > BARE_SOON:
            return (
                f"{ticker.name} is {what} since {lasting.since:%H:%M:%S}, faults stopped at {healed:%H:%M:%S}"
            )
    return None


def flat_at_the_hard_end(t: Truth, ticker: Ticker) -> Wrong:
    """8: flat with nothing open before the square-off, or where nobody trades exactly one closing order."""
    if not SQUARE_OFF_AT - timedelta(seconds=5) <= t.now < SQUARE_OFF_AT or not t.could_act:
        return None
    live = t.live(ticker.name)
    if t.may_trade(ticker.name):
        return f"{ticker.name}: {ticker.net} held, {len(live)} open" if ticker.net or live else None
    if ticker.net and not is_person_called(ticker, t.now):
        return None if len(live) == 1 else f"{ticker.name}: {len(live)} orders where one should stand"
    return None


# --- at every fill --------------------------------------------------------------------------------


def no_reverse(t: Truth, ticker: Ticker, trade: Trade, before: int, wanted: int) -> Wrong:
    """3: no closing order makes the position cross zero or grow."""
    order = t.order(trade.order_id)
    if t.purpose(order) in (None, Purpose.ENTRY) or abs(wanted) <= abs(before):
        return None
    if ticker.hand_at is not None and t.now - ticker.hand_at <= _adopted_most(t) + EXCESS_MOST:
        return None  # the user closed what our order then closed as well: nobody could know yet
    others = [o for o in t.booked() if o.ticker == ticker.name and t.purpose(o) is not Purpose.ENTRY]
    recent = [o for o in others if o is order or o.is_live or _ended_since(t, o, RECENT)]
    if any(t.is_spare(o) for o in recent):
        return None  # excused; no_over_exit has its bound, and it has to be closed and reported
    return f"{order.order_id} ({t.purpose(order)}) took {ticker.name} from {before} to {ticker.net}"


def _ended_since(t: Truth, order: Booked, ago: timedelta) -> bool:
    return order.view.updated_at is not None and order.view.updated_at >= t.now - ago


# --- at every request -----------------------------------------------------------------------------


def within_the_caps(t: Truth, call: Call) -> Wrong:
    """5: at most 8 order calls in any second, 200 in any minute, 22 modifications of one order."""
    second = sum(moment > t.now - timedelta(seconds=1) for moment in t.calls)
    if second > PER_SECOND or len(t.calls) > PER_MINUTE:
        return f"{second} order calls in a second, {len(t.calls)} in a minute"
    order_id = call.names.get("order_id", "")
    if call.route.name != "order.modify" or not order_id:
        return None
    is_exit = call.values["order_type"] in ("MARKET", "LIMIT")
    most = MODIFICATIONS if is_exit else MODIFICATIONS - MODIFICATIONS_KEPT
    return f"{order_id}: modification {t.puts[order_id]}" if t.puts[order_id] > most else None


def one_order_an_intent(t: Truth, call: Call) -> Wrong:
    """4: an intent is sent once, whatever becomes of it; an entry above all."""
    tag = str(call.values.get("tag", ""))
    if call.route.name == "order.place" and t.posts[tag] > 1:
        return f"{tag} was sent {t.posts[tag]} times"
    return None


def durable_before_the_wire(t: Truth, call: Call) -> Wrong:
    """11: every order has an earlier durable intent; only a full disk lets stops and exits go without."""
    if call.route.name != "order.place" or str(call.values["tag"]) in t.intents:
        return None
    window = t.plan.full_disk
    is_full = window is not None and t.now >= window.after
    return None if is_full and call.urgent else f"{call.values['tag']} is on the wire and in no journal"


def entry_is_allowed(t: Truth, call: Call) -> Wrong:
    """6 and 25: no entry after the switch, or beside anything that is open."""
    intent = t.intents.get(str(call.values.get("tag", "")))
    if call.route.name != "order.place" or intent is None or intent.purpose is not Purpose.ENTRY:
        return None
    if t.killed_at is not None and t.now > t.killed_at:
        return f"{intent.client_id} entered after the switch"
    ticker = t.tickers[intent.ticker]
    is_child = t.first_qty[intent.ticker, intent.trade] != intent.qty or any(
        other.trade == intent.trade and other.client_id != intent.client_id
        for other in t.intents.values()
        if other.ticker == intent.ticker and other.purpose is Purpose.ENTRY
    )
    known = [o for o in t.live(intent.ticker) if t.is_shown(o) or not t.is_twin(o)]
    held = 0 if t.hides_news(intent.ticker) else ticker.net
    if (held or known) and not is_child:
        return f"{intent.client_id} entered beside {held} shares and {len(known)} orders"
    return None


def nothing_before_the_books(t: Truth, call: Call) -> Wrong:
    """6 and 17: a process that has just started sends nothing, stops included, before it has read the books."""
    return None if t.has_read_since_start else f"{call.asked} before the books were read"


def foreign_is_left_alone(t: Truth, call: Call) -> Wrong:
    """18: no order of the user's or of the broker's is modified or cancelled."""
    order_id = call.names.get("order_id")
    if order_id is None or t.order(order_id).request.tag:
        return None
    return f"{call.asked}: it is none of ours"


def stops_only_tighten(t: Truth, call: Call) -> Wrong:
    """13: within a trade a trigger never goes back."""
    if call.route.name == "order.place":
        intent = t.intents.get(str(call.values["tag"]))
    elif call.route.name == "order.modify":
        intent = t.intents.get(t.order(str(call.names["order_id"])).request.tag or "")
    else:
        return None
    if intent is None or intent.purpose is Purpose.ENTRY or "trigger_price" not in call.values:
        return None
    trigger = round(float(str(call.values["trigger_price"])) * 100)
    sign = 1 if _closes_a_long(t, call) else -1
    key = (intent.ticker, intent.trade)
    tightest = max(sign * trigger, sign * t.triggers.get(key, trigger)) * sign
    is_new = call.route.name == "order.place"
    before = t.triggers.get(key, trigger) if is_new else t.order(str(call.names["order_id"])).wording.trigger
    t.triggers[key] = tightest
    if t.may_not_know_of_the_hand(t.tickers[intent.ticker]):
        return None  # the user has just moved it, and no read has shown that yet
    return f"{intent.ticker}: a stop at {trigger} after {before}" if sign * (trigger - before) < 0 else None


def _closes_a_long(t: Truth, call: Call) -> bool:
    if call.route.name == "order.place":
        return call.values["transaction_type"] == "SELL"
    return t.order(str(call.names["order_id"])).side < 0


def prices_are_allowed(t: Truth, call: Call) -> Wrong:
    """14: on the tick, inside the day's band, whole and positive shares."""
    if call.route.name not in ("order.place", "order.modify"):
        return None
    for name in ("price", "trigger_price"):
        if name in call.values:
            price = round(float(str(call.values[name])) * 100)
            if price % TICK or not 90_00 <= price <= 110_00:
                return f"{name} {price}"
    qty = call.values["quantity"]
    return None if isinstance(qty, int) and qty > 0 else f"{qty} shares"


def not_a_fourth_time(t: Truth, call: Call) -> Wrong:
    """22: never more than three identical refused requests in a row."""
    times = t.refusals[1]
    return f"{call.asked} was refused {times} times in a row" if times > SAME_REFUSALS_MOST else None


# --- at every record ------------------------------------------------------------------------------


def facts_only_grow(t: Truth, record: Record) -> Wrong:
    """21: a status does not go back, an end is an end, filled shares never fall."""
    for order in record.orders:
        before = t.orders.get(order.client_id)
        if before is not None and (wrong := _shrunk(before, order)):
            return wrong
    return None


def an_end_has_evidence(t: Truth, record: Record) -> Wrong:
    """4 and 11: UNKNOWN stays UNKNOWN; only the broker's own word, or the horizon, is an outcome."""
    for order in record.orders:
        before = t.orders.get(order.client_id)
        if (before is None or before.is_alive) and not order.is_alive and not _is_proven(t, order):
            return f"{order.client_id} is {order.status.name} without evidence"
        if order.filled > sum(booked.filled for booked in t.made_of(order)):
            return f"{order.client_id} has {order.filled} shares that nobody traded"
    return None


def _is_proven(t: Truth, order: Order) -> bool:
    made = t.made_of(order)
    if made and order.status is not Status.ABSENT:
        return any(booked.status.value == order.status.name for booked in made)
    if order.status is Status.REJECTED:
        return t.denied.get(order.tag) == RejectedError.__name__
    sent_at = t.posted_at.get(order.tag)
    if sent_at is None:  # a full disk keeps it here; so does a crash, but who comes later cannot know that
        is_full = t.plan.full_disk is not None and t.plan.full_disk.after <= t.now
        sent_at = t.intents[order.tag].at
        if is_full and order.purpose is Purpose.ENTRY:
            return True
    was_refused = order.tag in t.denied and t.denied[order.tag] != RejectedError.__name__
    return order.status is Status.ABSENT and (was_refused or t.now >= sent_at + SETTLE_HORIZON)


def _shrunk(before: Order, after: Order) -> Wrong:
    is_back = after.status < before.status and before.status is not Status.ABSENT
    # Folding a journal takes what has no answer for UNKNOWN, which is a step forward.
    if is_back or after.filled < before.filled or len(after.fills) < len(before.fills):
        return f"{after.client_id}: {before.status.name} {before.filled} became {after.status.name} {after.filled}"
    return None


# --- at a start -----------------------------------------------------------------------------------


def recovery_is_idempotent(t: Truth, records: list[Record], machine: Machine) -> Wrong:
    """17: folding the journal again comes to the same."""
    again = recover(records)
    is_same = (again.units, again.orders, again.halted) == (machine.units, machine.orders, machine.halted)
    return None if is_same else "the journal folds to another state the second time"


def recovery_forgets_nothing(t: Truth, machine: Machine) -> Wrong:
    """11 and 25: every intent that was written down is there again, with its fills; and so is the switch."""
    found = {name: order for orders in machine.orders.values() for name, order in orders.items()}
    for name, before in t.orders.items():
        after = found.get(name)
        if after is None or _facts(after) != _facts(before):
            return f"{name} is written down as {_facts(before)} and comes back as {after and _facts(after)}"
        is_doubted = before.status is Status.RECORDED and after.status is Status.UNKNOWN
        if after.status is not before.status and not is_doubted:
            return f"{name} was {before.status.name} and comes back as {after.status.name}"
    if machine.units != t.units or machine.halted != t.is_halt_written:
        return f"another state of units, or halted: {machine.halted}"
    return None


def _facts(order: Order) -> tuple[object, ...]:
    return order.order_id, order.tag, order.purpose, order.trade, order.terms, order.filled, order.fills


# --- at the end -----------------------------------------------------------------------------------


def bought_is_sold(t: Truth) -> Iterator[str]:
    """8 and 9: at the end of the day bought is sold and nothing works, square-off included."""
    for ticker in t.tickers.values():
        if not t.may_trade(ticker.name):
            continue
        if t.now > SQUARE_OFF_AT + timedelta(minutes=1) and ticker.account:
            yield f"{ticker.name}: the account holds {ticker.account} after the square-off"
        if ticker.net or t.live(ticker.name):
            yield f"{ticker.name}: {ticker.net} held, {len(t.live(ticker.name))} open at the end"


def books_equal_ours(t: Truth, machine: Machine) -> Iterator[str]:
    """10: our trades and the broker's are the same by their ids, and come to the same paisa."""
    theirs = {d.trade_id: (d.qty, d.price) for d in t.trades() if t.order(d.order_id).request.tag}
    orders = [order for orders in machine.orders.values() for order in orders.values()]
    ours = {fill.fill_id: (fill.qty, int(fill.price)) for order in orders for fill in order.fills}
    if ours != theirs:
        yield f"fills differ: {sorted(set(ours.items()) ^ set(theirs.items()))}"
    value = sum(order.side * order.value for order in orders)
    if value != sum(t.order(d.order_id).side * d.qty * d.price for d in t.trades() if d.trade_id in theirs):
        yield f"the money differs: ours {value}"


def every_intent_has_an_outcome(t: Truth, machine: Machine) -> Iterator[str]:
    """11: nothing is UNKNOWN, nothing waits for an answer, every order is over."""
    for orders in machine.orders.values():
        for order in orders.values():
            if order.is_alive or order.request is not None:
                yield f"{order.client_id} is {order.status.name}, request {order.request}"


def tags_are_unique(t: Truth) -> Iterator[str]:
    """4: one accepted order an intent, but for what a proxy doubled."""
    tags = [order.request.tag for order in t.booked() if order.request.tag]
    twice = t.exchange.faults.struck.get("executed_twice", 0)
    if len(tags) - len(set(tags)) > twice:
        yield f"{len(tags) - len(set(tags))} tags twice, {twice} doubled by a proxy"


def is_person_called(ticker: Ticker, since: datetime) -> bool:
    """Three equal refusals of the exit open the breaker: a person must act (22), nothing more is sent."""
    return ticker.refused_closers >= SAME_REFUSALS_MOST and ticker.alarmed_at is not None


STEPS: tuple[Callable[[Truth, Ticker], Wrong], ...] = (
    protected, no_over_exit, nothing_rests_when_flat, a_reverse_is_closed_at_once, one_live_entry,
    exposure_is_what_was_asked, external_changes_are_adopted, the_switch_leaves_nothing_waiting, lively,
    flat_at_the_hard_end,
)  # fmt: skip
CALLS: tuple[Callable[[Truth, Call], Wrong], ...] = (
    within_the_caps, one_order_an_intent, durable_before_the_wire, nothing_before_the_books, entry_is_allowed,
    foreign_is_left_alone, stops_only_tighten, prices_are_allowed,
)  # fmt: skip
RECORDS: tuple[Callable[[Truth, Record], Wrong], ...] = (facts_only_grow, an_end_has_evidence)
