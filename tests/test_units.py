"""Does the one door let every price, amount and time of the broker through exactly, and nothing else?"""

from datetime import UTC, date, datetime, timedelta, timezone
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kite.units import (
    MOST_MONEY_PAISE,
    MOST_PRICE_PAISE,
    UnitError,
    average_paise,
    candle_text,
    epoch_s,
    moment,
    moment_of_day,
    moment_of_epoch,
    moment_text,
    money_paise,
    price_paise,
    rupees,
    rupees_text,
)
from rulebook.hours import IST

PRICES = st.integers(0, MOST_PRICE_PAISE)
MONEY = st.integers(-MOST_MONEY_PAISE, MOST_MONEY_PAISE)
FIRST, LAST = datetime(2000, 1, 1, tzinfo=IST), datetime(2099, 12, 31, 23, 59, 59, tzinfo=IST)
MOMENTS = st.integers(0, (LAST - FIRST) // timedelta(seconds=1)).map(lambda s: FIRST + timedelta(seconds=s))


@pytest.mark.parametrize(
    ("written", "paise"),
    [
        (1573.7, 157370),
        (1575, 157500),
        (0.05, 5),
        (0, 0),
        (-0.0, 0),
        (0.29, 29),  # 0.29 * 100 is 28.999999999999996
        (1.15, 115),  # 1.15 * 100 is 114.99999999999999
        ("1573.70", 157370),
        ("1573.7000", 157370),
        ("0", 0),
        (10_000_000, MOST_PRICE_PAISE),
    ],
)
def test_a_price_becomes_the_paise_that_were_written(written, paise):
    assert paise == price_paise(written)
    assert type(price_paise(written)) is int


@pytest.mark.parametrize(
    "nonsense",
    [
        nan, inf, -inf, -0.01, -1, "-1.00", 0.001, 1573.705, "1573.705", 1e-320, 10_000_000.01, 1e300, 10**5000,
        10**20, True, None, "", "nan", "inf", "1e3", "+5", " 5", "5 ", "1_000", "1,000", ".5", "5.", "\u0665",
        "1" * 16, "0." + "0" * 30 + "1", b"5", [5], {}, 5 + 0j,
    ],
    ids=lambda value: f"{type(value).__name__}",
)  # fmt: skip
def test_what_is_no_price_is_refused_by_name(nonsense):
    with pytest.raises(UnitError):
        price_paise(nonsense)


@given(PRICES)
def test_every_price_survives_json_in_both_spellings(paise):
    assert paise == price_paise(rupees(paise))
    assert paise == price_paise(rupees_text(paise))


@given(MONEY)
def test_every_amount_survives_json(paise):
    assert paise == money_paise(rupees(paise))
    assert paise == money_paise(rupees_text(paise))


@given(st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.binary()))
def test_whatever_comes_in_is_paise_within_the_bounds_or_a_unit_error(value):
    for read, least, most in (
        (price_paise, 0, MOST_PRICE_PAISE),
        (average_paise, 0, MOST_PRICE_PAISE),
        (money_paise, -MOST_MONEY_PAISE, MOST_MONEY_PAISE),
    ):
        try:
            paise = read(value)
        except UnitError:
            continue

        assert type(paise) is int
        assert least <= paise <= most


@pytest.mark.parametrize(
    ("written", "average", "money"),
    [(1570.333333, 157033, 157033), (1570.335, 157034, 157034), (1570.3349, 157033, 157033), (0.005, 1, 1)],
)
def test_a_computed_average_and_an_amount_go_to_the_nearest_paisa(written, average, money):
    assert (average, money) == (average_paise(written), money_paise(written))
    assert -money == money_paise(-written)


def test_an_average_below_zero_is_none():
    with pytest.raises(UnitError):
        average_paise(-0.01)


def test_a_float_of_numpy_is_read_as_the_number_that_it_is():
    import numpy as np

    assert 157370 == price_paise(np.float64(1573.7))


def test_an_amount_beyond_every_account_goes_neither_in_nor_out():
    for way in (money_paise, rupees):
        with pytest.raises(UnitError, match=r"beyond every account|no finite number"):
            way(MOST_MONEY_PAISE * 10)


@pytest.mark.parametrize(
    ("paise", "text"), [(157370, "1573.70"), (5, "0.05"), (0, "0.00"), (-5, "-0.05"), (-12345, "-123.45")]
)
def test_forms_get_two_decimals(paise, text):
    assert text == rupees_text(paise)


# --- times ------------------------------------------------------------------------------------------


NINE_FIFTEEN = datetime(2026, 11, 20, 9, 15, tzinfo=IST)


@pytest.mark.parametrize(
    "text",
    ["2026-11-20 09:15:00", "2026-11-20T09:15:00+0530", "2026-11-20T09:15:00+05:30", "2026-11-20T09:15:00"],
)
def test_each_spelling_of_the_broker_is_the_same_moment_in_ist(text):
    assert NINE_FIFTEEN == moment(text)
    assert timedelta(hours=5, minutes=30) == moment(text).utcoffset()


@pytest.mark.parametrize(
    "nonsense",
    [
        None, 5, "", "09:15:00", "2026-11-20", "2026-11-20 09:15", "2026-13-20 09:15:00", "2026-11-20 24:00:00",
        "2026-11-20 09:15:60", "2026-02-29 09:15:00", "1970-01-01 05:30:00", "0001-01-01 00:00:00",
        "2100-01-01 00:00:00", "2026-11-20T09:15:00Z", "2026-11-20T09:15:00+0000", "2026-11-20 09:15:00.5",
        "2026-11-20 09:15:00\n", "\u0662026-11-20 09:15:00",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_by_name(nonsense):
    with pytest.raises(UnitError):
        moment(nonsense)


@given(MOMENTS)
def test_every_moment_survives_the_books_the_candles_and_the_wire(at):
    assert at == moment(moment_text(at))
    assert at == moment(candle_text(at))
    assert at == moment_of_epoch(epoch_s(at))
    assert at == moment_of_day(f"{at:%H:%M:%S}", at.date())


def test_times_are_written_in_ist_wherever_they_were_made():
    west = NINE_FIFTEEN.astimezone(timezone(-timedelta(hours=8)))

    assert "2026-11-20 09:15:00" == moment_text(west) == moment_text(NINE_FIFTEEN.astimezone(UTC))
    assert "2026-11-20T09:15:00+0530" == candle_text(west)
    assert int(NINE_FIFTEEN.timestamp()) == epoch_s(west)


def test_the_second_of_the_broker_s_own_sample_packet():
    """0x60e2947f in the packet, 2021-07-05T10:41:27+05:30 in the JSON beside it."""
    assert datetime(2021, 7, 5, 10, 41, 27, tzinfo=IST) == moment_of_epoch(0x60E2947F)


def test_a_part_of_a_second_is_cut_off_not_rounded():
    assert epoch_s(NINE_FIFTEEN) == epoch_s(NINE_FIFTEEN + timedelta(microseconds=999_999))


@pytest.mark.parametrize(
    "seconds", [0, 5, -1, 2**32 - 1, 2**64, 10**5000], ids=["none", "1970", "-1", "2106", "64 bits", "huge"]
)
def test_a_stamp_of_another_age_is_refused(seconds):
    with pytest.raises(UnitError):
        moment_of_epoch(seconds)


def test_a_naive_time_is_refused():
    for way in (moment_text, candle_text, epoch_s):
        with pytest.raises(UnitError, match="naive"):
            way(datetime(2026, 11, 20, 9, 15))  # noqa: DTZ001


@pytest.mark.parametrize("text", [None, "9:15:00", "09:15", "24:00:00", "2026-11-20 09:15:00"])
def test_a_time_of_day_is_refused_unless_it_is_one(text):
    with pytest.raises(UnitError):
        moment_of_day(text, date(2026, 11, 20))
