"""Does the exchange serve as many requests a second as the broker, and no more?"""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.limits import COUNTED_BY_THE_VENUE, MOST_A_SECOND, WINDOW, Limits, Pace, pace_of
from exchange.nouns import RefusalError
from rulebook.hours import IST

NOON = datetime(2026, 11, 20, 12, tzinfo=IST)
COUNTED = sorted(set(Pace) - COUNTED_BY_THE_VENUE)


def served(limits: Limits, pace: Pace, at: datetime, key: str = "key") -> bool:
    try:
        limits.admit(key, pace, at)
    except RefusalError as error:
        assert (429, "NetworkException", "Too many requests") == (
            error.status,
            error.error_type,
            error.message,
        )
        return False
    return True


@pytest.mark.parametrize(
    ("endpoint", "pace"),
    [
        ("GET /quote", Pace.QUOTE),
        ("GET /quote/ohlc", Pace.QUOTE),
        ("GET /quote/ltp", Pace.QUOTE),
        ("GET /instruments/historical/{token}/{interval}", Pace.HISTORICAL),
        ("POST /orders/{variety}", Pace.ORDERS),
        ("PUT /orders/{variety}/{order_id}", Pace.ORDERS),
        ("DELETE /orders/{variety}/{order_id}", Pace.ORDERS),
        ("GET /orders", Pace.OTHER),
        ("GET /orders/{order_id}", Pace.OTHER),
        ("GET /trades", Pace.OTHER),
        ("GET /instruments", Pace.OTHER),
        ("POST /margins/orders", Pace.OTHER),
        ("DELETE /session/token", Pace.OTHER),
    ],
)
def test_every_endpoint_has_its_class(endpoint, pace):
    assert pace == pace_of(endpoint)


@pytest.mark.parametrize("pace", COUNTED)
def test_the_published_number_is_served_in_one_second_and_the_next_is_not(pace):
    limits = Limits()
    answers = [served(limits, pace, NOON) for _ in range(MOST_A_SECOND[pace] + 1)]

    assert [True] * MOST_A_SECOND[pace] + [False] == answers


@pytest.mark.parametrize("pace", COUNTED)
def test_a_second_later_there_is_room_again_and_not_a_microsecond_before(pace):
    limits = Limits()
    for _ in range(MOST_A_SECOND[pace]):
        limits.admit("key", pace, NOON)

    assert not served(limits, pace, NOON + WINDOW - timedelta(microseconds=1))
    assert served(limits, pace, NOON + WINDOW)


def test_a_refused_request_takes_no_room():
    limits = Limits()
    limits.admit("key", Pace.QUOTE, NOON)
    for tenth in range(1, 10):
        assert not served(limits, Pace.QUOTE, NOON + tenth * WINDOW / 10)

    assert served(limits, Pace.QUOTE, NOON + WINDOW)


def test_classes_and_keys_have_allowances_of_their_own():
    limits = Limits()
    limits.admit("key", Pace.QUOTE, NOON)

    assert served(limits, Pace.HISTORICAL, NOON)
    assert served(limits, Pace.QUOTE, NOON, key="other")
    assert not served(limits, Pace.QUOTE, NOON)


def test_orders_are_counted_by_the_venue_alone():
    limits = Limits()

    assert all(served(limits, Pace.ORDERS, NOON) for _ in range(10 * MOST_A_SECOND[Pace.ORDERS]))


@given(st.lists(st.integers(0, 3_000), max_size=60), st.sampled_from(COUNTED))
def test_no_second_of_the_clock_and_no_sliding_second_serves_more_than_published(gaps_ms, pace):
    limits, at, moments = Limits(), NOON, []
    for gap_ms in gaps_ms:
        at += timedelta(milliseconds=gap_ms)
        if served(limits, pace, at):
            moments.append(at)

    within = [sum(first <= moment < first + WINDOW for moment in moments) for first in moments]
    of_the_clock = [
        sum(m.replace(microsecond=0) == n.replace(microsecond=0) for m in moments) for n in moments
    ]
    assert max(within, default=0) <= MOST_A_SECOND[pace]
    assert max(of_the_clock, default=0) <= MOST_A_SECOND[pace]
