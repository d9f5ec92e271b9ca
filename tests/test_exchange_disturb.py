"""Faults on the way of a request: what is carried out, what arrives, when."""

import json
from datetime import datetime, timedelta

import pytest

from exchange.disturb import Delivery, Road
from exchange.faults import KNOWN, Fault, Faults, read, written
from exchange.web import Answer, Request, Routes, as_json, request
from outcome import ConfigError
from rulebook.hours import IST

NINE = datetime(2026, 11, 20, 9, 0, tzinfo=IST)


class Desk:
    """Counts what was carried out."""

    def __init__(self) -> None:
        self.done = 0

    def run(self) -> Answer:
        self.done += 1
        return as_json({"status": "success", "data": {"order_id": "1", "qty": 5, "fills": [1, 2]}})


def carried(*faults: Fault, now: datetime = NINE, desk: Desk | None = None) -> tuple[Delivery, int]:
    desk = desk or Desk()
    road = Road(Faults(1, faults))
    return road.carry("POST /orders/{variety}", now, desk.run), desk.done


def answered(*faults: Fault) -> Answer:
    delivery, _ = carried(*faults)
    assert delivery.answer is not None
    return delivery.answer


@pytest.mark.parametrize(
    ("name", "done", "status"),
    [
        ("request_lost", 0, None),
        ("answer_lost", 1, None),
        ("timed_out_400", 1, 400),
        ("rate_limited", 0, 429),
        ("server_error_before", 0, 503),
        ("server_error_after", 1, 503),
        ("html_body", 1, 502),
        ("no_error_type", 1, 500),
        ("redirect", 0, 302),
        ("empty_body", 1, 200),
        ("truncated_body", 1, 200),
        ("wrong_types", 1, 200),
        ("no_content_type", 1, 200),
        ("huge_body", 1, 200),
    ],
)
def test_a_fault_says_what_is_carried_out_and_what_arrives(name, done, status):
    delivery, times = carried(Fault(name, value=2))

    assert done == times
    assert status == (None if delivery.answer is None else delivery.answer.status)


def test_without_faults_the_answer_arrives_as_it_is():
    delivery, times = carried()

    assert Delivery(Desk().run()) == delivery
    assert 1 == times


def test_bodies_are_damaged_in_the_way_their_names_say():
    whole = Desk().run().body
    twisted = json.loads(answered(Fault("wrong_types")).body)["data"]

    assert b"" == answered(Fault("empty_body")).body
    assert whole[: len(whole) // 2] == answered(Fault("truncated_body")).body
    assert len(whole) == carried(Fault("truncated_body"))[0].length
    assert len(whole) + 2_000_000 == len(answered(Fault("huge_body", value=2)).body)
    assert {"order_id": 1, "qty": "5x", "fills": {"0": "1x", "1": "2x"}} == twisted
    assert answered(Fault("no_content_type")).content_type is None


def test_a_sticky_429_lasts_as_long_as_it_says_and_only_there():
    desk, road = Desk(), Road(Faults(1, [Fault("rate_limited", count=1, value=1_500)]))

    def status(endpoint: str, after_s: int) -> int:
        delivery = road.carry(endpoint, NINE + timedelta(seconds=after_s), desk.run)
        assert delivery.answer is not None
        return delivery.answer.status

    asked = [("POST /orders", 0), ("POST /orders", 1), ("GET /orders", 1), ("POST /orders", 2)]
    statuses = [status(*each) for each in asked]

    assert [429, 429, 200, 200] == statuses


def test_slow_is_late_and_whole():
    delivery, times = carried(Fault("slow", value=3_000))

    assert (timedelta(seconds=3), 1) == (delivery.delay, times)
    assert delivery.answer == Desk().run()


def test_a_count_a_window_and_a_place_narrow_a_fault():
    later = NINE + timedelta(minutes=1)
    faults = Faults(1, [Fault("slow", count=2, after=NINE, until=later, where="POST /orders/*")])

    assert faults.strikes("slow", NINE - timedelta(seconds=1), "POST /orders/x") is None
    assert faults.strikes("slow", NINE, "GET /orders") is None
    assert faults.strikes("slow", later, "POST /orders/x") is None
    assert [True, True, False] == [bool(faults.strikes("slow", NINE, "POST /orders/x")) for _ in range(3)]
    assert {"slow": 2} == faults.struck


def test_switching_one_fault_on_does_not_move_the_draws_of_another():
    def pattern(*faults: Fault) -> list[bool]:
        on = Faults(7, faults)
        found = []
        for _ in range(200):
            on.strikes("request_lost", NINE)
            found.append(bool(on.strikes("answer_lost", NINE)))
        return found

    alone = pattern(Fault("answer_lost", 0.3))

    assert alone == pattern(Fault("request_lost", 0.5), Fault("answer_lost", 0.3))
    assert 30 < sum(alone) < 90


def test_faults_are_read_as_they_are_written():
    faults = [Fault("gap", 0.5, 3, NINE, None, "INFY", -250), Fault("refused", text="margin")]

    assert tuple(faults) == read(json.dumps([written(fault) for fault in faults]), "here")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("{}", "a list"),
        ('[{"probability": 1}]', "no name"),
        ('[{"name": "meteor"}]', "unknown fault 'meteor'"),
        ('[{"name": "slow", "probability": 2}]', "not within"),
        ('[{"name": "slow", "after": "2026-11-20T09:00"}]', "no offset"),
        ('[{"name": "slow", "often": 2}]', "often"),
    ],
)
def test_a_wrong_list_of_faults_is_refused_in_a_sentence(text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        read(text, "faults.json")


def test_every_fault_says_where_it_comes_from():
    assert all(row and sentence for row, sentence in KNOWN.values())


def test_a_request_is_split_and_unquoted():
    asked = request("GET", "/quote?i=NSE%3AINFY&i=NSE:M%26M", {}, b"")

    assert ("/quote", ["NSE:INFY", "NSE:M&M"]) == (asked.path, asked.all("i"))


def test_routes_find_the_endpoint_and_its_names():
    routes = Routes([("PUT", "/orders/{variety}/{order_id}", lambda: as_json(1))])
    asked = Request("PUT", "/orders/regular/12", (), {})
    found = routes.find(asked)

    assert found is not None
    assert ("PUT /orders/{variety}/{order_id}", {"variety": "regular", "order_id": "12"}) == (
        found[0],
        found[2],
    )
    assert routes.find(Request("GET", "/orders/regular/12", (), {})) is None
    assert routes.knows_path(Request("GET", "/orders/regular/12", (), {}))
