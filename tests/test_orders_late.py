"""What the simulation of settlement taught the machine of orders: news that is late, changes that are not made.

Each test is the small story behind a seed of tests/sim that failed. The shell and its exchange are those of
test_orders.py.
"""

# mypy: disable-error-code="arg-type, type-arg, no-untyped-call, operator, func-returns-value"

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from rulebook.order_messages import Answered, BookRead, Cancel, Modify, Place, Price, ReadBook
from rulebook.order_news import IllegalMoveError
from rulebook.order_records import Purpose, Refusal, Severity, Status, Terms
from rulebook.records import OrderType, Phase, Side
from tests.test_orders import TICKER, Exchange, Shell, alarms, protected, shell

BUY, SELL = Side.BUY, Side.SELL


@dataclass
class Deaf(Exchange):
    """Takes every modification and makes none of them, so often (NOT MODIFIED: O11)."""

    deaf: int = 0

    def modify(self, now, order_id, terms) -> bool:
        if self.deaf > 0:
            self.deaf -= 1
            return True
        return super().modify(now, order_id, terms)


class Slow(Shell):
    """A request that is `silent` is not answered at all; one that is `hidden` shows in no book of orders."""

    def send(self, effect, ref, kind) -> None:
        if self.faults.get(kind, [""])[:1] == ["silent"]:
            self.faults[kind].pop(0)
            self.tick()
            return
        super().send(effect, ref, kind)


def partly_filled(exchange) -> Shell:
    """Four of ten have filled and have a stop; then four more fill."""
    made = Shell(exchange).start()
    made.market(offered=4)
    made.enter()
    made.run(2)
    made.market(offered=4)
    return made


def stops(made):
    return [o.left for o in made.exchange.orders.values() if o.status == "TRIGGER PENDING"]


def modifications(made):
    return [effect for effect in made.effects if isinstance(effect, Modify)]


def test_a_change_that_was_taken_and_not_made_is_asked_for_again_within_seconds():
    made = partly_filled(Deaf(deaf=1))
    made.run(1.5)
    before = stops(made)
    made.run(4)

    assert ([4], [8]) == (before, stops(made))


def test_a_stop_that_never_takes_a_change_gets_another_beside_it():
    made = partly_filled(Deaf(deaf=100))
    made.run(16)

    assert [4, 4] == stops(made)
    assert any("asked" in text for text in alarms(made.effects))
    assert 6 >= len(modifications(made))


def test_a_lagging_book_repeats_a_change_and_concludes_nothing():
    made = partly_filled(Exchange())
    made.run(0.5)
    stale = made.exchange.read(made.now)
    made.run(1.5)
    for second in range(1, 6):
        made.run(1)
        made.reads = False
        made.hear(replace(stale, at=made.tick(), began=made.now))
        assert 8 == sum(stops(made)), second

    assert 1 == len(made.placed(Purpose.STOP))


def in_doubt() -> Shell:
    """The stop for four was to become one for eight, and no answer came."""
    made = partly_filled(Exchange())
    made.faults = {"MODIFY": ["mute"]}
    made.reads = False
    made.hear(made.exchange.read(made.tick()))
    made.run(1.2)
    assert ([8], 1) == (stops(made), len(modifications(made)))
    return made


def as_it_was(made, status) -> BookRead:
    """The books as they are, but for the stop: still for four shares."""
    read: BookRead = made.exchange.read(made.tick())
    rows = tuple(replace(row, qty=4, status=status) if row.side is SELL else row for row in read.orders)
    return replace(read, orders=rows)


def test_a_change_that_is_on_its_way_is_neither_made_nor_refused():
    made = in_doubt()
    made.hear(as_it_was(made, "MODIFY PENDING"))
    made.hear(made.exchange.read(made.tick()))
    made.run(3)

    assert (1, [8]) == (len(made.placed(Purpose.STOP)), stops(made))


def test_a_change_that_shows_after_a_lagging_book_denied_it_is_believed_at_once():
    made = in_doubt()
    made.hear(as_it_was(made, "TRIGGER PENDING"))
    made.hear(made.exchange.read(made.tick()))
    made.hear(made.exchange.read(made.tick()))
    made.run(3)

    assert [8] == stops(made)


def test_a_change_that_was_refused_covers_no_share_while_the_order_is_in_no_book():
    made = partly_filled(Exchange())
    made.faults = {"MODIFY": ["refuse processing"]}
    made.reads = False
    for _ in range(6):
        read = made.exchange.read(made.tick())
        made.hear(replace(read, orders=tuple(row for row in read.orders if row.side is BUY)))
        made.run(1)

    assert [4, 4] == stops(made)


def test_while_the_spare_is_asked_again_the_first_stop_stays():
    made = shell(STOP=["mute"], CANCEL=["refuse processing"])
    made.enter()
    made.run(5)

    cancelled = {effect.order_id for effect in made.effects if isinstance(effect, Cancel)}
    assert (1, [10]) == (len(cancelled), stops(made))


def test_a_spare_that_was_still_on_its_way_is_cancelled_as_soon_as_it_rests():
    made = shell(STOP=["mute"], CANCEL=["refuse processing"])
    made.reads = False
    made.enter()
    made.hear(made.exchange.read(made.tick()))  # the entry has filled: a stop, and a second one
    read = made.exchange.read(made.tick())
    coming = tuple(replace(row, status="OPEN PENDING") if row.side is SELL else row for row in read.orders)
    made.hear(replace(read, orders=coming))
    refused = stops(made)
    made.hear(made.exchange.read(made.tick()))

    assert ([10, 10], [10]) == (refused, stops(made))


def test_a_stop_without_an_answer_for_two_seconds_and_in_no_book_gets_a_second_one():
    made = Slow().start()
    made.faults = {"STOP": ["silent"]}
    made.enter()
    made.run(1.5)
    early = len(made.placed(Purpose.STOP))
    made.run(2.5)

    assert (1, 2, [10]) == (early, len(made.placed(Purpose.STOP)), stops(made))


def test_the_machine_looks_on_until_each_fill_is_known_by_its_id():
    made = protected()
    made.exit()
    made.reads = False
    made.run(1)
    read = made.exchange.read(made.now)
    for second in range(3):
        made.hear(replace(read, at=made.tick(), began=made.now, trades=read.trades[: 1 + second // 2]))
        made.run(1)

    assert Phase.FLAT is made.phase
    assert not any(isinstance(effect, ReadBook) for effect in made.run(5)), "all fills are known by now"
    told = [order.fills for order in made.machine.orders_of(TICKER)]
    assert 2 == sum(len(fills) for fills in told)


def test_without_the_last_fill_it_goes_on_looking_and_gives_up_after_the_horizon():
    made = protected()
    made.exit()
    made.reads = False
    made.run(1)
    read = made.exchange.read(made.now)
    made.hear(replace(read, at=made.tick(), began=made.now, trades=read.trades[:1]))

    assert Phase.FLAT is made.phase
    assert any(isinstance(effect, ReadBook) for effect in made.run(5))
    made.run(130)
    made.hear(replace(read, at=made.tick(), began=made.now, trades=read.trades[:1]))
    assert not any(isinstance(effect, ReadBook) for effect in made.run(5))


def hidden_exit(made) -> BookRead:
    """The exit has filled and no book of orders or trades shows it; the position does."""
    read: BookRead = made.exchange.read(made.now)
    exit_ids = [o.order_id for o in made.exchange.orders.values() if o.side is SELL]
    orders = tuple(
        replace(row, filled=0, value=0, status="OPEN") if row.order_id in exit_ids else row
        for row in read.orders
    )
    trades = tuple(fill for fill in read.trades if fill.order_id not in exit_ids)
    return replace(read, orders=orders, trades=trades)


def exit_taken_for_lost() -> Shell:
    """Ten seconds of books whose position is smaller than ours."""
    made = protected()
    made.reads = False
    made.exit()
    for _ in range(14):
        made.run(1)
        made.hear(replace(hidden_exit(made), at=made.tick(), began=made.now))
    return made


def test_shares_taken_for_lost_come_back_when_our_own_fill_shows_late():
    made = exit_taken_for_lost()
    lost = made.machine.units[TICKER].lost
    placed = len([e for e in made.effects if isinstance(e, Place)])
    made.reads = True
    made.run(5)

    assert (10, 0, 0) == (lost, made.machine.units[TICKER].lost, made.machine.held(TICKER))
    assert (0, placed) == (made.exchange.net, len([e for e in made.effects if isinstance(e, Place)]))
    assert Phase.FLAT is made.phase


def test_a_reverse_is_not_believed_before_the_books_agree_with_themselves():
    made = exit_taken_for_lost()
    read = made.exchange.read(made.now)
    made.hear(replace(read, at=made.tick(), began=made.now, positions={TICKER: 3}))

    assert -10 == made.machine.held(TICKER)
    assert BUY not in [e.side for e in made.effects if isinstance(e, Place)][1:]


def test_a_true_reverse_after_a_close_by_hand_is_closed():
    """The hand sold our ten; that was settled, and the stop fired for ten more before its cancel arrived."""
    made = protected(CANCEL=["lost"] * 9)
    made.exchange.place(made.now, SELL, Terms(10, OrderType.MARKET), None)
    made.run(4)
    assert 10 == made.machine.units[TICKER].lost
    (stop,) = (o for o in made.exchange.orders.values() if o.tag and o.side is SELL)
    stop.status = "OPEN"
    made.exchange.fill(made.now, stop, 10)
    made.run(8)

    assert 0 == made.exchange.net
    assert alarms(made.effects, Severity.CRITICAL)


def test_nothing_is_entered_before_the_book_was_read_since_the_last_order():
    """A twin of the exit may be there already: flat by what is known is not yet flat."""
    made = protected()
    made.exit()
    made.reads = False
    made.run(1)
    began = made.now - timedelta(seconds=1)
    made.hear(replace(made.exchange.read(made.tick()), began=began))
    assert Phase.FLAT is made.phase

    with pytest.raises(IllegalMoveError, match="since its last order"):
        made.enter()
    made.queue = []
    made.hear(made.exchange.read(made.tick()))
    made.enter()
    assert 2 == len(made.placed(Purpose.ENTRY))


def test_no_exit_is_sent_against_our_own_entry_and_it_goes_once_that_is_over():
    """The exchange would refuse it as a self-trade, and three refusals would leave the shares bare (O12)."""
    made = shell(STOP=["refuse circuit"], CANCEL=["refuse processing"] * 2)
    made.market(offered=4)
    made.enter()
    made.run(1.5)
    early = made.placed(Purpose.EXIT)
    made.market(offered=100)
    made.run(10)

    assert ([], 0, Phase.FLAT) == (early, made.exchange.net, made.phase)
    assert 1 == len(made.placed(Purpose.EXIT))


def test_shares_whose_exit_is_in_doubt_have_a_stop_meanwhile():
    """A proxy doubled the entry; the exits for the ten too many are lost on their way."""
    made = shell(ENTRY=["twice"], EXIT=["lost"] * 3)
    made.enter()
    made.run(4.5)

    assert 20 == made.exchange.net == made.exchange.closing()
    made.run(20)
    assert (10, [10]) == (made.exchange.net, stops(made))


def test_a_twin_that_fills_before_its_order_has_a_stop_at_a_price_too():
    made = Slow().start()
    made.faults = {"ENTRY": ["twice"], "EXIT": ["lost", "lost"]}
    made.market(offered=0)
    made.enter()
    first, twin = made.exchange.orders.values()
    made.exchange.fill(made.now, twin, 4)
    made.run(4)

    assert (0, 4) == (first.filled, twin.filled)
    assert made.machine.units[TICKER].stop is not None
    made.market(offered=10**6)
    made.run(10)
    assert [10] == stops(made) or made.exchange.net == 0


def test_a_late_refusal_of_a_stop_that_was_taken_for_lost_ends_the_trade_once():
    made = Slow().start()
    made.faults = {"STOP": ["silent"]}
    made.enter()
    made.run(4)
    first = made.placed(Purpose.STOP)[0]
    made.hear(Answered(made.tick(), first.client_id, "26112300000099"))

    assert Status.ACCEPTED is made.machine.orders[TICKER][first.client_id].status
    assert Refusal.OTHER not in [o.refusal for o in made.machine.orders_of(TICKER)]
    assert timedelta(0) < made.now - made.machine.units[TICKER].born_at


# --- a clock that was set while nobody ran, and a hand that tightens ----------------------------------


def set_back(made: Shell, hours: int) -> Shell:
    """The process dies, the wall clock is set, another one starts."""
    made.now -= timedelta(hours=hours)
    for resting in made.exchange.orders.values():
        resting.visible_at -= timedelta(hours=hours)
    return made.recover()


@pytest.mark.parametrize("hours", [1, 24])
def test_a_clock_set_back_between_two_processes_holds_up_no_re_pricing(hours):
    made = Slow().start()
    made.enter()
    made.market(offered=0)
    made.exit()
    made.run(1)
    set_back(made, hours)
    before = len(modifications(made))
    made.hear(Price(made.now, TICKER, 98_00, 97_95, 98_05))
    made.run(5)

    assert len(modifications(made)) > before


def test_a_clock_set_back_between_two_processes_holds_up_no_entry():
    made = protected()
    made.exit()
    made.run(3)
    set_back(made, 24)
    made.run(3)

    assert made.enter()
    made.run(1)
    assert [10] == stops(made)


@pytest.mark.parametrize("hours", [-24, 24], ids=["set ahead", "set back"])
def test_an_order_of_unknown_fate_is_looked_for_by_each_process_until_its_own_horizon(hours):
    made = Slow().start()
    made.faults = {"ENTRY": ["lost"]}
    made.enter()
    made.run(5)
    set_back(made, hours)
    made.run(115)
    (entry,) = made.machine.orders_of(TICKER)
    assert Status.UNKNOWN is entry.status

    made.run(10)
    (entry,) = made.machine.orders_of(TICKER)
    assert Status.ABSENT is entry.status


def test_no_moment_of_the_journal_lies_ahead_of_a_process_that_has_started():
    made = partly_filled(Exchange())
    made.run(3)
    set_back(made, 3)
    unit, known = made.machine.units[TICKER], made.machine.orders[TICKER].values()

    moments = [unit.born_at, *(m for o in known for m in (o.sent_at, o.acted_at, o.news_at))]
    assert [] == [moment for moment in moments if moment > made.now]


def test_a_stop_tightened_by_hand_stays_where_the_hand_has_put_it():
    made = protected()
    made.run(5)
    (stop,) = [o for o in made.exchange.orders.values() if o.is_alive]
    stop.terms = replace(stop.terms, trigger=99_50)
    made.run(15)

    assert (99_50, 99_50, []) == (stop.terms.trigger, made.machine.units[TICKER].stop, modifications(made))
    assert any("tightened" in text for text in alarms(made.effects))
    made.move(99_70)
    made.run(2)
    assert 99_70 == stop.terms.trigger


def test_what_the_user_closes_share_by_share_is_adopted_as_it_goes():
    """No two reads agree while his order fills; that so many are gone at any rate they do."""
    made = protected()
    made.run(5)
    held = []
    for _ in range(4):
        net = made.exchange.net
        made.exchange.place(made.now, SELL, Terms(2, OrderType.MARKET), None)
        made.run(1)
        held.append((net - 2, made.machine.held(TICKER)))
    made.run(3)

    assert all(machine - truth <= 4 for truth, machine in held)
    assert (2, [2]) == (made.machine.held(TICKER), stops(made))


@pytest.mark.parametrize(
    ("in_orders", "in_positions", "left"), [(4, 6, 6), (6, 4, 6), (0, 6, 10), (6, 0, 10)]
)
def test_of_two_tellings_of_what_the_user_has_closed_the_smaller_one_counts(in_orders, in_positions, left):
    """The position is read a moment after the orders, and the user's order fills on meanwhile."""
    made = protected()
    made.run(5)
    made.exchange.place(made.now, SELL, Terms(10, OrderType.LIMIT, 100_00), None)
    made.reads = False
    for _ in range(3):
        read = made.exchange.read(made.now + timedelta(seconds=1))
        rows = tuple(
            row if made.exchange.orders[row.order_id].tag else replace(row, filled=in_orders)
            for row in read.orders
        )
        made.now += timedelta(seconds=1)
        made.hear(replace(read, orders=rows, positions={TICKER: 10 - in_positions}))

    assert left == made.machine.held(TICKER)


def test_our_own_exit_that_fills_meanwhile_does_not_hide_what_the_user_closes():
    """Its fills show in the trades of a reading, and not yet in its orders."""
    made = protected()
    made.run(5)
    made.market(offered=0)
    made.exit()
    made.exchange.place(made.now, SELL, Terms(6, OrderType.LIMIT, 100_00), None)
    made.reads = False
    before = made.exchange.read(made.now).orders
    for _ in range(3):
        made.market(offered=1)
        after = made.exchange.read(made.now + timedelta(seconds=1))
        rows = tuple(row if row.tag or row.tags else replace(row, filled=6) for row in before)
        made.now += timedelta(seconds=1)
        before = after.orders
        made.hear(replace(after, orders=rows, positions={TICKER: made.exchange.net - 6}))

    assert made.exchange.net - 6 == made.machine.held(TICKER)
