"""Are the nouns what they say: signs, candles, confidences, and names that a broker accepts?"""

import re
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from math import inf, nan, nextafter
from string import ascii_letters, digits, hexdigits

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulebook.hours import IST
from rulebook.records import (
    TAG_PREFIX,
    Action,
    Bar,
    Decision,
    ExitReason,
    OrderType,
    Paise,
    Side,
    client_id,
    is_our_tag,
    tag_of,
)

NOON = datetime(2026, 11, 23, 12, 0, 5, 999_999, tzinfo=IST)
EXAMPLES = settings(max_examples=100, deadline=None)


# --- signs ----------------------------------------------------------------------------------------------


def test_a_side_is_its_sign():
    assert (1, -1) == (Side.BUY, Side.SELL)
    assert Side.SELL is Side.BUY.opposite
    assert Side.BUY is Side.SELL.opposite


def test_an_action_has_the_sign_of_its_side():
    assert {"BUY": 1, "SELL": -1, "HOLD": 0} == {action.value: action.sign for action in Action}


def test_what_is_stored_or_sent_has_the_spelling_and_the_numbers_of_old():
    assert ["MARKET", "LIMIT", "SL", "SL-M"] == [str(each) for each in OrderType]
    assert {
        "STOP": 1, "TRAIL": 2, "TARGET": 3, "SIGNAL": 4, "CLOCK": 5, "LOSS_LOCK": 6, "HALT": 7,
        "SQUARE_OFF": 8, "EXTERNAL": 9, "UNPROTECTED": 10,
    } == {each.name: each.value for each in ExitReason}  # fmt: skip


# --- candles and decisions --------------------------------------------------------------------------------


def bar(open_: int, high: int, low: int, close: int, *, volume: int = 10) -> Bar:
    return Bar("INFY", NOON, Paise(open_), Paise(high), Paise(low), Paise(close), volume)


@pytest.mark.parametrize(
    ("prices", "volume"),
    [
        ((100, 110, 90, 105), 10),
        ((100, 100, 100, 100), 0),
        ((1, 1, 1, 1), 1),
        ((90, 110, 90, 110), 1),
        ((110, 110, 90, 90), 1),
    ],
)
def test_a_candle_may_be_flat_may_touch_its_extremes_and_may_have_no_volume(prices, volume):
    open_, high, low, close = prices
    candle = bar(open_, high, low, close, volume=volume)

    assert (*prices, volume) == (candle.open, candle.high, candle.low, candle.close, candle.volume)
    assert candle.filled is False


@pytest.mark.parametrize(
    "prices",
    [
        (100, 99, 90, 95),  # opened above its high
        (95, 99, 90, 100),  # closed above it
        (89, 110, 90, 95),  # opened below its low
        (95, 110, 90, 89),
        (100, 90, 110, 100),  # upside down
        (0, 110, 0, 100),
        (100, 110, 0, 100),
        (100, 110, -5, 100),
        (0, 0, 0, 0),
        (-10, -10, -10, -10),
    ],
)
def test_a_bar_refuses_what_is_no_candle(prices):
    with pytest.raises(ValueError, match=r"INFY 2026-11-23 .*no candle.*low"):
        bar(*prices)


def test_a_bar_refuses_a_volume_below_zero():
    with pytest.raises(ValueError, match="volume -1"):
        bar(100, 110, 90, 105, volume=-1)


@EXAMPLES
@given(*[st.integers(-2, 6)] * 4)
def test_a_bar_is_a_candle_or_nothing(open_, high, low, close):
    is_candle = low > 0 and all(low <= price <= high for price in (open_, close))
    try:
        bar(open_, high, low, close)
        was_taken = True
    except ValueError:
        was_taken = False

    assert is_candle is was_taken


def test_a_record_is_not_changed():
    with pytest.raises(FrozenInstanceError):
        bar(100, 110, 90, 105).close = Paise(106)  # type: ignore[misc]


@pytest.mark.parametrize("confidence", [0, 0.0, 0.5, 1, 1.0])
def test_a_confidence_lies_between_nothing_and_certainty(confidence):
    assert confidence == Decision(Action.BUY, confidence).confidence


@pytest.mark.parametrize("confidence", [nan, inf, -inf, -0.1, nextafter(0.0, -1.0), nextafter(1.0, 2.0)])
def test_a_confidence_beyond_that_is_refused(confidence):
    with pytest.raises(ValueError, match=r"confidence .* is not within"):
        Decision(Action.HOLD, confidence)


# --- names of orders ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ticker", "side", "eight_hex", "name"),
    [
        ("INFY", Side.BUY, "0a1b2c3d", "INFY-BUY-20261123T120005-0a1b2c3d"),
        ("INFY", Side.SELL, "DEADBEEF", "INFY-SELL-20261123T120005-deadbeef"),
        ("BAJAJ-AUTO", Side.BUY, "00000000", "BAJAJ-AUTO-BUY-20261123T120005-00000000"),
        ("M&M", Side.SELL, "ffffffff", "M&M-SELL-20261123T120005-ffffffff"),
    ],
)
def test_a_client_id_is_ticker_side_second_and_eight_hex_digits(ticker, side, eight_hex, name):
    assert name == client_id(ticker, side, NOON, eight_hex)


def test_a_client_id_has_an_aware_time():
    with pytest.raises(ValueError, match="naive"):
        client_id("INFY", Side.BUY, NOON.replace(tzinfo=None), "0a1b2c3d")


@pytest.mark.parametrize(
    "digits_", ["", "0a1b2c3", "0a1b2c3d4", "0a1b2c3g", "0x1b2c3d", "+1234567", "1_234567", " 1234567"]
)
def test_a_client_id_without_eight_hex_digits_is_our_own_mistake(digits_):
    with pytest.raises(AssertionError):
        client_id("INFY", Side.BUY, NOON, digits_)


IDS = st.builds(
    client_id,
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&-", min_size=1, max_size=12),
    st.sampled_from(list(Side)),
    st.datetimes(min_value=datetime(2015, 1, 1), max_value=datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.text(hexdigits, min_size=8, max_size=8),
)


@EXAMPLES
@given(IDS)
def test_a_client_id_has_one_shape(name):
    assert re.fullmatch(r"[A-Z0-9&-]+-(BUY|SELL)-\d{8}T\d{6}-[0-9a-f]{8}", name)


@EXAMPLES
@given(IDS)
def test_a_tag_is_twenty_letters_and_digits_and_known_as_ours(name):
    tag = tag_of(name)

    assert 20 == len(tag)
    assert tag.startswith("rl")
    assert set(tag) <= set(ascii_letters + digits)
    assert is_our_tag(tag)


@EXAMPLES
@given(IDS, IDS)
def test_tags_are_equal_where_the_ids_are_and_only_there(one, other):
    assert (one == other) is (tag_of(one) == tag_of(other))


def test_a_tag_is_the_prefix_and_the_sha_256_in_base_32():
    """Worked out with `printf NAME | sha256sum | xxd -r -p | base32 | cut -c1-18`: the broker keeps it for a day."""
    assert "rlXPSRWKGDFL4SG3XK3V" == tag_of("INFY-BUY-20261123T120005-0a1b2c3d")
    assert "rl" == TAG_PREFIX


@pytest.mark.parametrize(
    ("tag", "is_ours"),
    [
        ("rl" + "A" * 18, True),
        ("rl" + "A" * 17, False),
        ("rl" + "A" * 19, False),
        ("RL" + "A" * 18, False),
        ("xx" + "A" * 18, False),
        ("A" * 18 + "rl", False),
        ("rl", False),
        ("", False),
        (None, False),
        ("mktp:2.00", False),  # the broker's own
    ],
)
def test_a_tag_that_is_not_ours_is_not_taken_for_ours(tag, is_ours):
    assert is_ours is is_our_tag(tag)
