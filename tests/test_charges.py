"""Are charges right to the paisa, under the rates of their day, and within 64 bits?"""

import json
import shutil
from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facts import read_tariff
from outcome import ConfigError
from rulebook import charges
from rulebook.charges import (
    ChargeSplit,
    Item,
    Rates,
    UnknownRatesError,
    break_even,
    brokerage,
    cost_per_share,
    net_paise,
    order_charges,
    round_trip,
    split,
    square_off_fee,
)
from rulebook.hours import IST
from rulebook.records import Paise, Side

CONFIG = Path(__file__).resolve().parents[1] / "config"
SHIPPED = read_tariff(CONFIG)
NOW = SHIPPED.rates_on(date(2026, 11, 20))
BEFORE_GST = SHIPPED.rates_on(date(2016, 1, 4))
RELIEF = SHIPPED.rates_on(date(2020, 12, 1))
MOST = Rates(10**7, 10**6, 10**7, 10**7, 10**7, 10**7, 10**4, 1, 10**6)  # as much as facts.py admits
CRORES_10 = 10**10

RATES = st.sampled_from([NOW, BEFORE_GST, RELIEF, MOST])
VALUES = st.integers(100, CRORES_10)
SIDES = st.sampled_from(list(Side))
BUY, SELL = Side.BUY, Side.SELL


def rupees(text: str) -> Paise:
    return Paise(int(Decimal(text) * 100))


# --- the broker's arithmetic ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bought", "sold", "items", "total"),
    [  # kite.md 7: brokerage, STT, NSE, SEBI, stamp, GST
        ("150000", "151000", ["40.00", "37.75", "9.24", "0.30", "4.50", "8.92"], "100.71"),
        ("50000", "50000", ["30.00", "12.50", "3.07", "0.10", "1.50", "5.97"], "53.14"),
        ("5000", "5025", ["3.01", "1.26", "0.31", "0.01", "0.15", "0.60"], "5.33"),
    ],
)
def test_the_worked_examples_come_out_to_the_paisa(bought, sold, items, total):
    orders = [(BUY, rupees(bought)), (SELL, rupees(sold))]
    brokerage_, stt, exchange, sebi, stamp, gst = (rupees(item) for item in items)

    expected = ChargeSplit(brokerage_, stt, exchange, sebi, stamp, gst, Paise(0), rupees(total))

    assert expected == split(orders, NOW)
    assert expected.total == round_trip(BUY, rupees(bought), rupees(sold), NOW)


def by_hand(side: Side, value: int, rates: Rates) -> dict[str, Decimal]:
    """The same items in rupees, in decimals, from the text of kite.md 7."""
    worth = Decimal(value) / 100
    billion = Decimal(10**9)
    items = {
        "brokerage": min(worth * rates.brokerage_ppb / billion, Decimal(rates.brokerage_most) / 100),
        "stt": worth * rates.stt_ppb / billion if side is SELL else Decimal(0),
        "exchange": worth * rates.exchange_ppb / billion,
        "sebi": worth * rates.sebi_ppb / billion,
        "stamp": worth * rates.stamp_ppb / billion if side is BUY else Decimal(0),
    }
    taxed = items["brokerage"] + items["exchange"] + items["sebi"] * rates.gst_on_sebi
    return items | {"gst": taxed * rates.gst_bps / 10_000}


def to_paise(amount: Decimal) -> int:
    return int((amount * 100).quantize(Decimal(1), ROUND_HALF_UP))


@given(SIDES, VALUES, RATES)
@example(BUY, CRORES_10, NOW)
@example(SELL, 100, NOW)
def test_an_order_costs_what_decimals_say(side, value, rates):
    items = by_hand(side, value, rates)

    assert to_paise(sum(items.values(), Decimal(0))) == order_charges(side, value, rates)
    found = split([(side, value)], rates)
    assert {name: to_paise(amount) for name, amount in items.items()} == {
        name: getattr(found, name) for name in items
    }


@given(st.lists(st.tuples(SIDES, VALUES), max_size=6), RATES)
def test_a_day_is_booked_as_the_sum_of_its_orders_and_its_items_miss_that_by_little(orders, rates):
    found = split(orders, rates, square_offs=2)

    items = [getattr(found, item.value) for item in Item]
    booked = sum(order_charges(side, value, rates) for side, value in orders)

    assert booked + 2 * square_off_fee(rates) == found.total
    assert abs(sum(items) - found.total) <= (len(items) + len(orders)) / 2


def test_brokerage_is_capped_above_66_666_67_rupees_an_order_and_per_order():
    assert brokerage(6_666_666, NOW) == 6_666_666 * 300_000
    assert brokerage(6_666_667, NOW) == 2_000 * charges.PARTS
    assert split([(BUY, 10_000_000)], NOW).brokerage == rupees("20")
    assert split([(BUY, 5_000_000), (BUY, 5_000_000)], NOW).brokerage == rupees("30")


@given(VALUES, VALUES, RATES)
def test_a_short_over_the_same_two_prices_costs_what_the_long_costs(bought, sold, rates):
    assert round_trip(BUY, bought, sold, rates) == round_trip(SELL, sold, bought, rates)
    assert net_paise(BUY, bought, sold, rates) == net_paise(SELL, sold, bought, rates)


def test_the_broker_s_own_square_off_costs_59_rupees_more():
    assert square_off_fee(NOW) == rupees("59")
    assert split([], NOW, square_offs=3).square_off == rupees("177")
    assert square_off_fee(SHIPPED.rates_on(date(2020, 3, 18))) == rupees("23.60")


# --- what the rules ask -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "qty", "fill_cost_bps", "expected"),
    [
        (10_000, 100, 0, 11),  # Rs 10,000: 10.62 over 100 shares
        (10_000, 100, 2, 15),  # 10.62 + 4.00
        (100_000, 1_000, 0, 41),  # Rs 10 lakh: the cap has made it cheap
        (10_000, 3, 0, 11),  # 32 paise over 3 shares
    ],
)
def test_the_expected_cost_of_a_share_is_rounded_up(price, qty, fill_cost_bps, expected):
    assert expected == cost_per_share(price, qty, fill_cost_bps, NOW)


@given(st.integers(1, 10**6), st.integers(1, 10**4), st.integers(0, 500), RATES)
def test_no_share_costs_more_than_expected(price, qty, fill_cost_bps, rates):
    value = price * qty
    costs = round_trip(BUY, value, value, rates) + Decimal(2 * value * fill_cost_bps) / 10_000

    found = cost_per_share(price, qty, fill_cost_bps, rates)

    assert (found - 1) * qty < costs <= found * qty


@given(
    SIDES, st.integers(1, 100_000), st.integers(1, 1_000), st.integers(0, 999), st.sampled_from([1, 5, 10, 500]), RATES
)  # fmt: skip
@example(BUY, 13_333, 5, 1, 100, NOW)  # Rs 66,666.00: the exit crosses the cap
@example(SELL, 13_334, 5, 0, 100, NOW)
@example(BUY, 20_000_000, 1, 0, 500, MOST)
@example(SELL, 1, 1_000, 0, 5, NOW)
def test_break_even_is_the_first_price_of_the_grid_that_loses_nothing(side, ticks, qty, odd, tick, rates):
    entry_value = ticks * tick * qty + odd % qty  # an average fill may lie between two ticks

    found = break_even(side, entry_value, qty, tick, rates)
    closer = found - side * tick

    assert found % tick == 0
    assert found >= 0
    assert net_paise(side, entry_value, found * qty, rates) >= 0
    assert net_paise(side, entry_value, closer * qty, rates) < 0


@pytest.mark.parametrize(("side", "expected"), [(BUY, 50_055), (SELL, 49_945)])
def test_break_even_of_a_plain_trade(side, expected):
    assert expected == break_even(side, 50_000 * 100, 100, 5, NOW)


def test_a_short_that_no_price_of_the_grid_can_save_breaks_even_at_zero():
    assert break_even(SELL, 5 * 1_000, 1_000, 5, NOW) == 0


# --- sixty-four bits ----------------------------------------------------------------------------------


class Int64(int):
    """An integer that refuses to be what int64 cannot hold."""

    def __new__(cls, value: int) -> "Int64":
        assert -(2**63) <= value < 2**63
        return super().__new__(cls, value)


def _checked(name: str) -> Callable[..., Int64]:
    plain = getattr(int, name)
    return lambda *numbers: Int64(plain(*numbers))


for _name in ["add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "rfloordiv", "mod", "rmod", "neg"]:
    setattr(Int64, f"__{_name}__", _checked(f"__{_name}__"))


def test_the_checked_integer_sees_an_overflow_on_either_side():
    with pytest.raises(AssertionError):
        Int64(2**62) * 2
    with pytest.raises(AssertionError):
        2 * Int64(2**62)


@given(SIDES, st.integers(1, CRORES_10), st.integers(1, 10**6), RATES)
@example(SELL, CRORES_10, 1, MOST)
@example(BUY, CRORES_10, 10**6, MOST)
def test_no_step_leaves_int64_up_to_ten_crores_and_the_highest_rates(side, value, qty, rates):
    narrow = tuple(Int64(rate) for rate in rates)
    sign, worth, shares = Int64(side), Int64(value), Int64(qty)

    assert round_trip(side, value, value, rates) == round_trip(sign, worth, worth, narrow)
    assert square_off_fee(rates) == square_off_fee(narrow)
    assert break_even(side, value, qty, 5, rates) == break_even(sign, worth, shares, Int64(5), narrow)
    assert cost_per_share(max(1, value // qty), qty, 500, rates) == cost_per_share(
        Int64(max(1, value // qty)), shares, Int64(500), narrow
    )


@given(SIDES, VALUES, RATES)
def test_a_row_of_an_array_does_as_well_as_rates(side, value, rates):
    order: Any = np.array([side, value], dtype=np.int64)
    row: Any = np.array([rates], dtype=np.int64)[0]

    assert order_charges(side, value, rates) == order_charges(order[0], order[1], row)


def test_the_columns_of_rates_are_its_fields_in_the_order_of_the_items():
    columns = (
        "BROKERAGE", "BROKERAGE_MOST", "STT", "EXCHANGE", "SEBI", "STAMP", "GST", "GST_ON_SEBI", "SQUARE_OFF",
    )  # fmt: skip

    assert list(range(len(Rates._fields))) == [getattr(charges, column) for column in columns]
    assert all(f.startswith(c.lower()) for c, f in zip(columns, Rates._fields, strict=True))
    assert [item.name for item in Item] == [
        column for column in columns if "_MOST" not in column and "_ON" not in column
    ]


# --- the rates of a day ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "day", "before", "after"),
    [
        ("gst_bps", "2015-06-01", 1_236, 1_400),
        ("gst_bps", "2015-11-15", 1_400, 1_450),
        ("gst_bps", "2016-06-01", 1_450, 1_500),
        ("gst_bps", "2017-07-01", 1_500, 1_800),
        ("sebi_ppb", "2019-04-01", 2_000, 1_000),
        ("square_off", "2020-03-19", 2_000, 5_000),
        ("brokerage_ppb", "2020-04-01", 100_000, 300_000),
        ("sebi_ppb", "2020-06-01", 1_000, 500),
        ("stamp_ppb", "2020-07-01", 40_000, 30_000),
        ("exchange_ppb", "2021-01-01", 32_500, 34_500),
        ("sebi_ppb", "2021-04-01", 500, 1_000),
        ("gst_on_sebi", "2022-07-18", 0, 1),
        ("exchange_ppb", "2023-04-01", 34_500, 32_500),
        ("exchange_ppb", "2024-10-01", 32_500, 29_700),
        ("exchange_ppb", "2026-03-01", 29_700, 30_700),
    ],
)
def test_a_rate_changes_on_its_day_and_not_before(field, day, before, after):
    changed = date.fromisoformat(day)
    eve = date.fromordinal(changed.toordinal() - 1)

    assert before == getattr(SHIPPED.rates_on(eve), field)
    assert after == getattr(SHIPPED.rates_on(changed), field)


def test_the_rates_of_today_are_those_of_kite_md_and_beyond_doubt():
    assert Rates(300_000, 2_000, 250_000, 30_700, 1_000, 30_000, 1_800, 1, 5_000) == NOW
    assert SHIPPED.doubts_on(date(2026, 11, 20)) == ()


def test_a_day_before_the_first_row_has_no_rates():
    with pytest.raises(UnknownRatesError, match="no rate of brokerage for 2012-12-31") as caught:
        SHIPPED.rates_on(date(2012, 12, 31))

    assert (Item.BROKERAGE, date(2012, 12, 31)) == (caught.value.item, caught.value.day)


def test_a_moment_is_no_day():
    with pytest.raises(AssertionError, match="asked by date"):
        SHIPPED.rates_on(datetime(2026, 11, 20, 10, tzinfo=IST))


# --- the file -------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path):
    """A copy of the real file, to be damaged."""
    shutil.copy(CONFIG / "charges.json", tmp_path)
    return tmp_path


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "charges.json"
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def complaints(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_tariff(folder)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("percent", "on_the_day"),
    [("0.002", 30_700), ("0.004", 40_000)],
)
def test_of_a_rate_that_may_hold_the_dearest_reading_is_charged(config, percent, on_the_day):
    rumour = {"from": "2026-12-01", "percent": percent, "confirmed": False, "source": "a forum"}
    edit(config, lambda facts: facts["exchange"].append(rumour))

    tariff = read_tariff(config)

    assert on_the_day == tariff.rates_on(date(2026, 12, 1)).exchange_ppb
    assert tariff.rates_on(date(2026, 11, 30)).exchange_ppb == 30_700
    assert tariff.doubts_on(date(2026, 12, 1)) == (
        "exchange from 2026-12-01 is not confirmed (a forum): the dearest reading is charged",
    )


@pytest.mark.parametrize(
    ("item", "row", "change", "complaint"),
    [
        ("exchange", 5, {"percent": 0.00307}, """exchange[5]: 'percent' is 0.00307; write a text such as "0.00307\""""),
        ("exchange", 5, {"percent": "0,00307"}, "exchange[5]: 'percent' is '0,00307'; write a text"),
        ("exchange", 5, {"percent": "-0.00307"}, "exchange[5]: 'percent' is '-0.00307'; write a text"),
        ("exchange", 5, {"percent": "0.00000001"}, "'percent' is '0.00000001', which is not a whole number of parts in 1,000,000,000"),
        ("stt", 0, {"percent": "2.5"}, "stt[0]: 'percent' is '2.5'; at most 1 is possible"),
        ("gst", 4, {"percent": "181"}, "gst[4]: 'percent' is '181'; at most 100 is possible"),
        ("gst", 4, {"on_sebi_fee": 1}, "gst[4]: 'on_sebi_fee' is 1; write true or false"),
        ("brokerage", 2, {"max_rupees": True}, "brokerage[2]: 'max_rupees' is True; write whole rupees, 0 to 10000"),
        ("square_off", 1, {"rupees": -50}, "square_off[1]: 'rupees' is -50; write whole rupees"),
        ("sebi", 0, {"from": "2013-02-30"}, "sebi[0]: 'from' is '2013-02-30', a date that does not exist"),
        ("sebi", 1, {"from": "2013-01-01"}, "sebi: 2013-01-01 stands after 2013-01-01; one row per day, in order"),
        ("stamp", 1, {"confirmed": "yes"}, "stamp[1]: 'confirmed' is 'yes'; write true or false"),
        ("stamp", 1, {"source": ""}, "stamp[1]: 'source' is ''; write a text"),
        ("stamp", 1, {"classes": ["fno"]}, "stamp[1]: unknown key 'classes'; allowed are from, confirmed, source, percent"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_named_with_its_key_and_its_remedy(config, item, row, change, complaint):
    edit(config, lambda facts: facts[item][row].update(change))

    found = complaints(config)

    assert complaint in found
    assert all(line.startswith("charges.json: ") for line in found.splitlines())


def test_all_mistakes_come_in_one_error(config):
    def damage(facts: dict[str, Any]) -> None:
        facts.update(verified_on="today", stt=[], levy=[])
        del facts["gst"], facts["sebi"][0]["percent"]

    edit(config, damage)

    assert complaints(config).splitlines() == [
        "charges.json: unknown key 'levy'; allowed are verified_on, brokerage, stt, exchange, sebi, stamp, gst, square_off",
        "charges.json: 'verified_on' is 'today'; write YYYY-MM-DD",
        "charges.json: stt: needs a row",
        "charges.json: sebi[0]: 'percent' is missing",
        "charges.json: 'gst' is missing",
    ]


def test_a_missing_file_is_named(tmp_path):
    assert complaints(tmp_path) == "charges.json: does not exist; restore it from the release"
