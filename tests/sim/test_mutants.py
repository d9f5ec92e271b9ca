"""Would the simulation notice if a piece of safety were missing? Each test takes one away; the oracle must see it.

A mutant that lives tells of a hole in the oracle or in what is simulated. Four lived, for hundreds of seeds or
for ever. Silence taken for a refusal healed itself, for the order shows and is taken for a twin: an end
without evidence is wrong by itself now. A forgotten intent was forgotten by the second folding too: what comes
back is compared with what was written. Only entries were asked whether the books had been read: now every
request is. A stop without a second one needs a stop that is lost or taken away: hands came, and worlds where
orders get lost and nothing else is in the way.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import order_desk
from exchange.faults import Fault
from rulebook import order_closing, orders
from rulebook.order_draft import Draft
from rulebook.order_messages import Event, NoAnswer, NotSent, Refused, Started
from rulebook.order_news import advanced, take_silence
from rulebook.order_records import Order, Purpose, Record, Refusal, Status
from rulebook.orders import Machine
from tests.sim.hands import Deed, Hand
from tests.sim.life import live
from tests.sim.plans import Plan, draw
from tests.sim.situations import LISTINGS

pytestmark = pytest.mark.long

SEEDS = range(20)  # by which each has to be seen; each is within the first nine


def found(folder: Path, plan_of: Callable[[int], Plan] = draw) -> str:
    """The first violation; empty if nothing is noticed."""
    for seed in SEEDS:
        violations = live(seed, folder / f"{seed}", plan_of(seed)).oracle.violations
        if violations:
            return violations[0].invariant
    return ""


def calm(seed: int, **changes: Any) -> Plan:
    still: dict[str, Any] = {"faults": (), "cuts": (), "hands": (), "clock": (), "crash_probability": 0.0}
    return replace(draw(seed), full_disk=None, **(still | changes))


def with_lost_orders(seed: int) -> Plan:
    return calm(seed, faults=(Fault("request_lost", 0.4, where="POST /orders/*"),))


def with_a_hand_that_cancels(seed: int) -> Plan:
    """In either ticker, every three seconds."""
    starts_at = draw(seed).starts_at
    moments = [starts_at + timedelta(seconds=second) for second in range(3, 30, 3)]
    return calm(seed, hands=tuple(Hand(at, each.ticker, Deed.CANCEL) for at in moments for each in LISTINGS))


# --- the same worlds, with nothing missing --------------------------------------------------------


@pytest.mark.parametrize("plan_of", [calm, with_lost_orders, with_a_hand_that_cancels])
def test_a_sound_trader_lives_in_these_worlds(tmp_path, plan_of):
    assert [] == [
        violation
        for seed in SEEDS[:6]
        for violation in live(seed, tmp_path / f"{seed}", plan_of(seed)).oracle.violations
    ]


# --- no answer is no refusal ----------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["refused", "not sent"])
def test_a_shell_that_takes_silence_for_a_verdict_is_caught(tmp_path, monkeypatch, verdict):
    true = order_desk.Desk._answer_of

    def mutant(desk: Any, error: Any, ref: str) -> Event:
        answer = true(desk, error, ref)
        if not isinstance(answer, NoAnswer):
            return answer
        refused = Refused(answer.at, ref, Refusal.OTHER, "no answer")
        return refused if verdict == "refused" else NotSent(answer.at, ref, "no answer")

    monkeypatch.setattr(order_desk.Desk, "_answer_of", mutant)

    assert "4 and 11 an_end_has_evidence" == found(tmp_path)


def test_a_machine_that_takes_silence_for_a_refusal_is_caught(tmp_path, monkeypatch):
    def mutant(draft: Draft, order: Order, event: NoAnswer) -> None:
        if event.ref == order.client_id and order.status is Status.RECORDED:
            draft.update(advanced(order, Status.REJECTED))
        else:
            take_silence(draft, order, event)

    monkeypatch.setattr("rulebook.orders.take_silence", mutant)

    assert "4 and 11 an_end_has_evidence" == found(tmp_path)


# --- a second stop --------------------------------------------------------------------------------


def test_a_stop_that_is_lost_and_gets_no_second_one_is_caught(tmp_path, monkeypatch):
    true = order_closing._may_send_stop

    def mutant(draft: Draft) -> bool:
        return not any(order.is_unsure for order in draft.closers) and true(draft)

    monkeypatch.setattr(order_closing, "_may_send_stop", mutant)

    assert "1 protected" == found(tmp_path, with_lost_orders)


def test_a_stop_that_a_hand_cancels_and_nobody_puts_back_is_caught(tmp_path, monkeypatch):
    true = order_closing._may_send_stop

    def mutant(draft: Draft) -> bool:
        gone = [order for order in draft.of(Purpose.STOP) if order.status is Status.CANCELLED]
        return not gone and true(draft)

    monkeypatch.setattr(order_closing, "_may_send_stop", mutant)

    assert "1 protected" == found(tmp_path, with_a_hand_that_cancels)


# --- after a crash --------------------------------------------------------------------------------


def forgets_the_last_record(records: Iterable[Record]) -> Machine:
    return orders.recover(list(records)[:-1])


def forgets_what_had_no_answer(records: Iterable[Record]) -> Machine:
    made = orders.recover(records)
    for ticker, known in made.orders.items():
        made.orders[ticker] = {name: order for name, order in known.items() if not order.is_unsure}
    return made


@pytest.mark.parametrize("mutant", [forgets_the_last_record, forgets_what_had_no_answer])
def test_a_recovery_that_forgets_is_caught(tmp_path, monkeypatch, mutant):
    monkeypatch.setattr("tests.sim.life.recover", mutant)
    monkeypatch.setattr("tests.sim.invariants.recover", mutant)

    assert "11 and 25 recovery_forgets_nothing" == found(tmp_path)


def test_a_process_that_sends_before_it_has_read_the_books_is_caught(tmp_path, monkeypatch):
    true = Machine._note

    def mutant(machine: Machine, event: Event, at: Any) -> bool:
        wants_read = true(machine, event, at)
        machine._is_reconciled = machine._is_reconciled or isinstance(event, Started)
        return wants_read

    monkeypatch.setattr(Machine, "_note", mutant)

    assert "6 and 17 nothing_before_the_books" == found(tmp_path)


def test_a_process_that_believes_a_clock_that_was_set_back_is_caught(tmp_path, monkeypatch):
    """The journal's moments lie ahead then, and every deadline waits for them."""
    monkeypatch.setattr("rulebook.orders.of_this_clock", lambda draft: draft)

    def crashing(seed: int) -> Plan:
        return replace(draw(seed + 80), hands=())

    assert "" != found(tmp_path, crashing)


# --- the user's own hand --------------------------------------------------------------------------


def test_a_trader_who_does_not_see_what_the_user_closed_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr("rulebook.settlement._compare_position", lambda *_: None)

    def closed(seed: int) -> Plan:
        at = draw(seed).starts_at + timedelta(seconds=12)
        return calm(seed, hands=tuple(Hand(at, each.ticker, Deed.CLOSE) for each in LISTINGS))

    assert found(tmp_path, closed) in ("2 nothing_rests_when_flat", "18 external_changes_are_adopted")


def test_a_trader_who_loosens_what_the_user_tightened_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr("rulebook.settlement._is_tighter", lambda *_: False)

    def tightened(seed: int) -> Plan:
        at = draw(seed).starts_at + timedelta(seconds=9)
        return calm(seed, hands=tuple(Hand(at, each.ticker, Deed.TIGHTEN) for each in LISTINGS))

    assert "13 stops_only_tighten" == found(tmp_path, tightened)


def test_a_switch_that_only_stops_entries_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr("rulebook.order_plan._why_leave", lambda *_: None)

    def thrown(seed: int) -> Plan:
        return calm(seed, halts_at=draw(seed).starts_at + timedelta(seconds=9))

    assert "25 the_switch_leaves_nothing_waiting" == found(tmp_path, thrown)
