"""What the exchange shows of the market: quotes, candles, marks, auctions, and tapes that a shock struck."""

from datetime import date, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import auctions
from exchange.agenda import moment_of
from exchange.nouns import Candle
from exchange.strips import Kind, Range, Shock, plain, shaken
from exchange.timetable import Timetables
from rulebook.auction import Bid
from rulebook.hours import PhaseKind, SymbolClass
from rulebook.records import Paise, Side
from tests.exchange_market import (
    CALENDAR,
    DAY,
    FLAT,
    MINUTES,
    MONDAY,
    Trader,
    at,
    random_tape,
    second,
    tape,
    trader,
)

# --- quotes and candles ---------------------------------------------------------------------------


def test_a_quote_tells_the_day_so_far():
    t = trader(table="09:15:00 100.00 500\n09:15:30 101.00 300\n09:16:00 99.00 0\n09:20:00 100.00 0").till(
        "09:17"
    )

    quote = t.quote()

    assert (99_00, 100_00, 101_00, 99_00, 800) == (
        quote.last,
        quote.open,
        quote.high,
        quote.low,
        quote.volume,
    )
    assert (at("09:16:00"), at("09:15:30"), 300) == (quote.at, quote.last_trade_at, quote.last_qty)
    assert (500 * 100_00 + 300 * 101_00) // 800 == quote.average
    assert (100_00, 90_00, 110_00) == (quote.close, quote.lower_circuit, quote.upper_circuit)


def test_before_the_first_row_the_session_before_is_shown_with_its_own_time():
    t = Trader({"FNO": FLAT}).till("09:14", MONDAY)

    quote = t.quote()

    assert at("15:30") == quote.at
    assert (None, None) == (t.exchange.quote("NOSUCH"), t.exchange.quote("NIFTY 50"))


def test_candles_are_cut_at_now_and_both_ends_count():
    made = random_tape(Random(5), rows=900)
    t = Trader({"FNO": made}).till("09:22:30")
    whole = t.market.minutes("FNO", DAY)

    seen = t.exchange.candles("FNO", 1, at("09:16"), at("09:30"))
    five = t.exchange.candles("FNO", 5, at("09:15"), at("09:20"))

    assert whole[1:7] == seen[:-1]
    assert (whole[7].opened_s, whole[7].open) == (seen[-1].opened_s, seen[-1].open)
    rows = [row for row, second in enumerate(made.seconds) if 33_720 <= second <= 33_750]
    assert (made.lasts[rows[-1]], made.volumes[rows[-1]] - made.volumes[rows[0] - 1]) == (
        seen[-1].close, seen[-1].volume,
    )  # fmt: skip
    assert [whole[0].opened_s, whole[5].opened_s] == [candle.opened_s for candle in five]
    assert sum(candle.volume for candle in whole[:5]) == five[0].volume
    assert max(candle.high for candle in whole[:5]) == five[0].high


def test_a_candle_of_now_is_the_market_s_own_once_its_minute_is_over():
    made = random_tape(Random(6), rows=600)
    t = Trader({"FNO": made})
    for clock in ("09:15:59", "09:16:59", "09:17:59"):
        t.till(clock)
        running = t.exchange.candles("FNO", 1, at("09:15"), at("15:30"))
        assert t.market.minutes("FNO", DAY)[: len(running)] == running


def test_hours_are_counted_from_the_opening():
    t = Trader({"FNO": MINUTES}).till("13:00")

    hours = t.exchange.candles("FNO", 60, at("09:15"), at("15:30"))

    assert ["09:15", "10:15", "11:15", "12:15"] == [_clock(candle) for candle in hours]


def _clock(candle: Candle) -> str:
    return f"{at('00:00') + timedelta(seconds=candle.opened_s - at('00:00').timestamp()):%H:%M}"


def test_a_day_s_candle_closes_at_the_official_close():
    t = Trader({"FNO": FLAT}, closes={MONDAY: 100_40})
    days = (at("00:00"), at("23:59", MONDAY))

    during = t.till("12:00").exchange.candles("FNO", 1440, *days)
    after = t.till("16:00").exchange.candles("FNO", 1440, *days)
    later = t.till("09:00", MONDAY).exchange.candles("FNO", 1440, *days)

    assert [[100_00], [100_40], [100_40]] == [
        [candle.close for candle in found] for found in (during, after, later)
    ]
    assert 100_40 == later[0].high


# --- tapes that a shock has struck ----------------------------------------------------------------

LIMITS = Range(90_00, 110_00, 5)


def shock(kind: Kind, from_s: int, until_s: int | None = None, value: int = 0) -> Shock:
    return Shock(kind, from_s, until_s, value)


SHOCKS = st.lists(
    st.builds(
        shock,
        st.sampled_from(Kind),
        st.integers(33_290, 33_500),
        st.none() | st.integers(33_290, 33_500),
        st.integers(-1_500, 1_500),
    ),
    max_size=4,
)


@given(st.integers(0, 10**6), SHOCKS)
def test_a_struck_tape_is_a_tape(seed, shocks):
    strip = shaken(random_tape(Random(seed)), shocks, LIMITS)

    rows = range(len(strip.seconds))
    assert all(len(column) == len(rows) for column in (strip.lasts, strip.highs, strip.lows, strip.turnovers))
    assert all(before < after for before, after in pairwise(strip.seconds))
    assert strip.volumes == sorted(strip.volumes) and strip.turnovers == sorted(strip.turnovers)
    assert strip.highs == sorted(strip.highs) and strip.lows == sorted(strip.lows, reverse=True)
    for row in rows:
        assert strip.lows[row] <= strip.lasts[row] <= strip.highs[row]
        assert 90_00 <= strip.lasts[row] <= 110_00 and strip.lasts[row] % 5 == 0
        for levels, is_bids in zip(strip.depth(row), (True, False), strict=True):
            prices = [level.price for level in levels]
            assert prices == sorted(prices, reverse=is_bids)
            assert all(90_00 <= price <= 110_00 for price in prices)


@given(st.integers(0, 10**6), SHOCKS)
def test_nothing_changes_before_the_first_shock(seed, shocks):
    made = random_tape(Random(seed))
    first = min((each.from_s for each in shocks), default=10**6)

    strip = shaken(made, shocks, LIMITS)

    before = sum(second < first for second in made.seconds)
    for name in ("seconds", "lasts", "highs", "lows", "volumes", "turnovers"):
        assert getattr(made, name)[:before] == getattr(strip, name)[:before]
    assert all(made.depth(row) == strip.depth(row) for row in range(before))


def test_a_halt_takes_what_would_have_traded_out_of_the_totals():
    made = tape("09:15:00 100.00 10\n09:15:01 100.05 20\n09:15:02 100.10 40\n09:15:03 100.15 80")
    halt = shock(Kind.HALT, second("09:15:01"), second("09:15:03"))

    strip = shaken(made, [halt], LIMITS)

    assert ([33_300, 33_303], [10, 90]) == (strip.seconds, strip.volumes)
    assert [10 * 100_00, 10 * 100_00 + 80 * 100_15] == strip.turnovers


def test_a_shock_between_two_rows_is_a_row_of_its_own():
    made = tape("09:15:00 100.00 10\n09:15:10 100.00 20")

    strip = shaken(made, [shock(Kind.GAP, second("09:15:04"), None, 100)], LIMITS)

    assert [(33_300, 100_00, 10), (33_304, 101_00, 10), (33_310, 101_00, 30)] == list(
        zip(strip.seconds, strip.lasts, strip.volumes, strict=True)
    )


def test_gaps_add_up_in_ticks_of_the_price_they_met():
    made = tape("09:15:00 100.00 10\n09:15:10 100.00 20\n09:15:20 100.00 20")
    gaps = [shock(Kind.GAP, second("09:15:10"), None, -200), shock(Kind.GAP, second("09:15:20"), None, -100)]

    strip = shaken(made, gaps, LIMITS)

    assert [100_00, 98_00, 97_00] == strip.lasts  # 98.00 less 0.98 is 97.02, on the tick 97.00


# --- when what happens ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "symbol_class", "marks"),
    [
        (DAY, SymbolClass.FNO, "09:10 OPENING, 15:12 SQUARE_OFF, 15:15 STOPS_END, 15:30 CLOSING, 15:30 OVER"),
        (DAY, SymbolClass.OTHER, "09:10 OPENING, 15:25 SQUARE_OFF, 15:30 OVER"),
        (date(2026, 12, 7), SymbolClass.OTHER, "09:10 OPENING, 15:25 SQUARE_OFF, 15:30 OVER"),
        (date(2021, 6, 1), SymbolClass.FNO, "09:08 OPENING, 15:20 SQUARE_OFF, 15:30 OVER"),
        (date(2024, 3, 2), SymbolClass.FNO, "09:07 OPENING, 11:22 OPENING, 12:30 OVER"),
        (date(2026, 11, 24), SymbolClass.FNO, ""),
        (date(2031, 1, 1), SymbolClass.FNO, ""),
    ],
)
def test_a_day_has_its_marks(day, symbol_class, marks):
    found = Timetables(CALENDAR, seed=7).of(day, symbol_class)

    assert marks == ", ".join(f"{moment_of(us):%H:%M} {mark.name}" for us, mark in found.marks)


def test_a_random_close_lies_where_it_may_and_is_the_same_for_every_class():
    closes = set()
    for seed in range(40):
        hours = Timetables(CALENDAR, seed)
        ends = {
            next(slot.ends_us for slot in hours.of(DAY, each).slots if slot.kind is PhaseKind.PRE_OPEN_LIMIT)
            for each in SymbolClass
        }
        assert len(ends) == 1
        closes |= ends

    assert at("09:08") <= moment_of(min(closes)) < moment_of(max(closes)) <= at("09:10")
    assert len(closes) > 20


# --- auctions -------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(-300, 300), st.integers(0, 10**6))
def test_without_us_an_auction_is_matched_at_its_anchor(seed, bps, shares):
    reference = Paise(100_00)
    anchor = auctions.within_band(100_00 + bps, reference, Paise(5))

    called = auctions.call((), anchor, reference, Paise(5), shares, Random(seed))

    assert anchor == called.price
    assert called.qty >= auctions.STEP_SHARES_LEAST


def test_a_large_order_of_ours_moves_the_price_against_itself():
    luck = Random(7)
    whale = Bid(Side.SELL, 10**6)

    called = auctions.call((whale,), Paise(100_00), Paise(100_00), Paise(5), 10_000, luck)

    assert called.price < 100_00
    assert 0 < called.filled[0] < 10**6


def test_the_reference_is_the_average_of_its_window_on_the_tick():
    made = plain(tape("15:00:00 100.00 100\n15:05:00 101.00 300\n15:14:00 102.00 0"))
    ends_s = second("15:15:00")

    prices = [auctions.average_price(made, ends_s, length_s, Paise(5)) for length_s in (900, 840, 30)]

    assert [100_75, 101_00, 102_00] == prices
    assert auctions.average_price(plain(tape("")), ends_s, 900, Paise(5)) is None
