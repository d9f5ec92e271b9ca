"""Recorded days: candles on disk become ticks that hurt first, add up to the paisa, and are never made up."""

from datetime import date, datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.faults import Faults
from exchange.fixed_point import stream, words
from exchange.inside import insides
from exchange.nouns import OrderRequest
from exchange.recorded import NotRecordedError, RecordedMarket
from exchange.tapes import Bars
from exchange.venue import Exchange
from facts import read_tariff
from outcome import DataError
from rulebook import bars as rule_bars
from rulebook.hours import IST
from rulebook.records import Bar, OrderType, Side
from tests.candles import calendar, minute_candles, sessions, write
from tests.conftest import ROOT
from tests.local_exchange import local_exchange

DAYS = sessions(4)
REAL = ROOT.parent / "shared" / "market"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="real candles are not part of the repository")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    write(folder, "INFY", minute_candles("INFY", DAYS), "1m")
    write(folder, "QUIET", minute_candles("QUIET", DAYS, rupees=90.0), "1m")
    index = minute_candles("NIFTY50", DAYS, rupees=24_000.0)
    write(folder, "NIFTY50", index.assign(volume=0.0), "1m")
    return folder


@pytest.fixture(scope="module")
def market(raw):
    return RecordedMarket(raw, calendar())


def rows_of(frame: pd.DataFrame, day: date) -> list[tuple[int, ...]]:
    """Candles as the market's: the opening second, paise, shares."""
    opened = frame["timestamp"].to_numpy("datetime64[s]").astype(np.int64)
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=IST).timestamp())
    prices = (np.rint(frame[name].to_numpy() * 100) for name in ("open", "high", "low", "close"))
    table = np.column_stack([opened, *prices, frame["volume"]]).astype(np.int64)
    return [tuple(row) for row in table.tolist() if midnight <= row[0] < midnight + 86_400]


# --- to the paisa and the share -------------------------------------------------------------------


@pytest.mark.parametrize("ticker", ["INFY", "QUIET"])
def test_the_ticks_of_a_day_have_exactly_the_recorded_candles(market, ticker):
    for day in DAYS:
        assert rows_of(minute_candles(ticker, DAYS, rupees=90.0 if ticker == "QUIET" else 500.0), day) == [
            tuple(candle) for candle in market.minutes(ticker, day)
        ]


def test_a_tape_rises_in_time_and_totals_and_keeps_its_extremes(market):
    tape = market.tape("INFY", DAYS[1])

    assert all(before < after for before, after in pairwise(tape.seconds))
    assert list(tape.volumes) == sorted(tape.volumes)
    assert tape.volumes[-1] == sum(candle.volume for candle in market.minutes("INFY", DAYS[1]))
    assert (max(tape.lasts), min(tape.lasts)) == (tape.highs[-1], tape.lows[-1])
    assert {0} == {last % 5 for last in tape.lasts}


def test_prices_lie_between_bid_and_ask_and_the_book_has_five_levels(market):
    tape = market.tape("INFY", DAYS[0])
    lower, upper = market.circuit("INFY", DAYS[0])

    for row in range(0, len(tape.seconds), 97):
        depth = tape.depth(row)
        assert depth.bids[0].price <= tape.lasts[row] <= depth.asks[0].price
        assert depth.bids[0].price < depth.asks[0].price
        assert (5, 5) == (len(depth.bids), len(depth.asks))
        assert lower <= depth.bids[-1].price and depth.asks[-1].price <= upper
        assert depth == tape.depth(row)


# --- the path that hurts --------------------------------------------------------------------------


@st.composite
def candle(draw):
    low = draw(st.integers(10_00, 2_000_00)) // 5 * 5
    high = low + 5 * draw(st.integers(0, 400))
    inside = st.integers(low // 5, high // 5).map(lambda price: price * 5)
    return draw(inside), high, low, draw(inside), draw(st.integers(0, 5_000) | st.integers(0, 10**7))


@given(candle(), st.sampled_from([60, 300, 900]), st.integers(0, 10**6))
def test_inside_a_candle_the_points_are_the_rule_book_s_and_no_extreme_comes_before_its_time(
    found, length_s, seed
):
    open_, high, low, close, volume = found
    columns = [np.array([value], np.int64) for value in (33_300, open_, high, low, close, volume)]
    rows = insides(Bars(*columns), length_s, 5, words(stream(seed), length_s))
    path = rule_bars.path(Bar("X", datetime(2024, 12, 2, 9, 15, tzinfo=IST), *found), length_s)

    seen = dict(zip(rows.seconds.tolist(), rows.lasts.tolist(), strict=True))
    points = [(tick.at.hour * 3600 + tick.at.minute * 60 + tick.at.second, tick.price) for tick in path]
    assert points == [(second, seen[second]) for second, _ in points]
    for (start, first), (end, last) in pairwise(points):
        inner = [price for second, price in seen.items() if start <= second <= end]
        assert min(first, last) <= min(inner) and max(inner) <= max(first, last)
    assert volume == int(rows.shares.sum()) and int(rows.shares.min()) >= 0
    if volume >= length_s:
        assert int(rows.shares.min()) >= 1


# --- gaps, and days that are missing --------------------------------------------------------------


def test_a_minute_without_a_candle_has_no_trade(tmp_path):
    frame = minute_candles("INFY", DAYS)
    write(tmp_path, "INFY", frame.drop(index=range(100, 110)), "1m")

    tape = RecordedMarket(tmp_path, calendar()).tape("INFY", DAYS[0])

    opens = 33_300 + 60 * 100
    assert [] == [second for second in tape.seconds if opens <= second < opens + 600]
    assert opens + 600 in tape.seconds


@pytest.mark.parametrize("is_said", [True, False])
def test_a_candle_that_was_filled_in_is_none(tmp_path, is_said):
    frame = minute_candles("INFY", DAYS)
    frame.loc[5, ["high", "low", "close", "volume"]] = [*[frame["open"][5]] * 3, 7.0 if is_said else 0.0]
    if is_said:
        frame["filled"] = frame.index == 5
    write(tmp_path, "INFY", frame, "1m")

    candles = RecordedMarket(tmp_path, calendar()).minutes("INFY", DAYS[0])

    assert 374 == len(candles)
    assert rows_of(frame.drop(index=5), DAYS[0]) == [tuple(found) for found in candles]


def test_a_missing_session_is_refused_by_folder_ticker_and_remedy(tmp_path):
    frame = minute_candles("INFY", DAYS)
    write(tmp_path, "INFY", frame.drop(index=range(375, 750)), "1m")
    market = RecordedMarket(tmp_path, calendar())

    with pytest.raises(NotRecordedError) as error:
        market.tape("INFY", DAYS[1])

    for word in (str(tmp_path), "INFY", str(DAYS[1]), "python fetch.py --symbols INFY history"):
        assert word in str(error.value)
    assert (502, "DataException") == (error.value.status, error.value.error_type)
    assert () == market.minutes("INFY", DAYS[1])


def test_before_its_first_candle_a_ticker_was_not_listed_and_after_its_last_one_it_is_refused(market):
    before, after = date(2024, 11, 29), date(2024, 12, 6)

    assert (0, ()) == (len(market.tape("INFY", before).seconds), market.minutes("INFY", before))
    assert 0 == len(market.tape("INFY", date(2024, 12, 7)).seconds)  # a Saturday
    with pytest.raises(NotRecordedError):
        market.tape("INFY", after)


def test_a_folder_without_candles_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no candles under .*fetch\.py history"):
        RecordedMarket(tmp_path, calendar())


def test_a_torn_file_is_refused_by_its_name(tmp_path):
    path = write(tmp_path, "INFY", minute_candles("INFY", DAYS), "1m")
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(DataError, match=r"INFY/1m\.parquet cannot be read .*fetch it again"):
        RecordedMarket(tmp_path, calendar())


# --- what the candles do not tell -----------------------------------------------------------------


def test_the_close_before_is_the_average_of_the_last_half_hour(tmp_path):
    frame = minute_candles("QUIET", DAYS[:2]).assign(open=100.0, high=100.0, low=100.0, close=100.0)
    late = range(345, 375)
    frame.loc[late, ["open", "high", "low", "close"]] = 102.0
    frame.loc[frame.index[345:360], ["open", "high", "low", "close"]] = 101.0
    frame["volume"] = 50.0
    write(tmp_path, "QUIET", frame, "1m")
    market = RecordedMarket(tmp_path, calendar())

    assert (100_00, 101_50) == (
        market.previous_close("QUIET", DAYS[0]),
        market.previous_close("QUIET", DAYS[1]),
    )
    assert (101_50 * 80 // 100, 101_50 * 120 // 100) == market.circuit("QUIET", DAYS[1])


def test_a_day_that_went_beyond_the_band_widens_it(tmp_path):
    frame = minute_candles("INFY", DAYS)
    prices = ["open", "high", "low", "close"]
    frame.loc[frame.index[375:], prices] = (frame.loc[frame.index[375:], prices] * 1.2).round(1)
    write(tmp_path, "INFY", frame, "1m")
    market = RecordedMarket(tmp_path, calendar())

    assert market.circuit("INFY", DAYS[1])[1] == market.tape("INFY", DAYS[1]).highs[-1]


def test_known_stocks_keep_their_tokens_and_unknown_ones_get_one_for_good(raw, market):
    found = {listing.ticker: listing for listing in market.listings}
    again = {listing.ticker: listing for listing in RecordedMarket(raw, calendar()).listings}

    assert (408065, 256265) == (found["INFY"].token, found["NIFTY 50"].token)
    assert found == again
    assert (True, 5) == (found["NIFTY 50"].is_index, found["QUIET"].tick)
    assert (0, 0) == market.circuit("NIFTY 50", DAYS[1])


def test_longer_candles_do_where_there_are_no_minutes(tmp_path):
    frame = minute_candles("INFY", DAYS)
    hourly = frame.groupby(frame.index // 375 * 10 + frame.index % 375 // 60)
    hours = hourly.agg(
        {"timestamp": "first", "open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )
    write(tmp_path, "INFY", hours, "1h")
    tape = RecordedMarket(tmp_path, calendar()).tape("INFY", DAYS[0])

    bars = tape.bars(DAYS[0], 3600)

    assert hours["volume"][:7].sum() == tape.volumes[-1]
    assert (33_300, 55_799) == (tape.seconds[0], tape.seconds[-1])  # the last of 15 minutes ends with the day
    assert round(hours["high"][:7].max() * 100) == int(bars.high.max())


# --- an exchange of it ----------------------------------------------------------------------------


def test_an_order_meets_the_recorded_prices(market):
    exchange = Exchange(
        market,
        calendar(),
        read_tariff(ROOT / "config"),
        datetime(2024, 12, 3, 9, 0, tzinfo=IST),
        7,
        Faults(7),
    )
    exchange.advance(datetime(2024, 12, 3, 10, 0, 30, tzinfo=IST))
    order = exchange.place(OrderRequest("INFY", Side.BUY, 10, "MIS", OrderType.MARKET, protection_milli=-1))
    exchange.advance(datetime(2024, 12, 3, 10, 0, 40, tzinfo=IST))

    seen, minute = (
        exchange.history(order)[-1],
        exchange.candles("INFY", 1, *[exchange.now.replace(second=0)] * 2),
    )
    assert ("COMPLETE", 10) == (seen.status, seen.filled)
    quote = exchange.quote("INFY")
    assert quote is not None and minute[-1].low <= quote.last <= minute[-1].high
    assert abs(seen.value // 10 - quote.last) < quote.last // 100


def test_a_recorded_folder_is_served(raw):
    with local_exchange("--market", f"recorded:{raw}", start="2024-12-03T10:00") as running:
        kite = running.logged_in()
        quote = kite.quote("NSE:INFY")["NSE:INFY"]
        minutes = kite.historical_data(408065, "2024-12-02", "2024-12-03", "minute")

    assert 375 + 46 == len(minutes)
    assert quote["last_price"] == minutes[-1]["close"]


@needs_real
def test_a_real_day_is_played_to_the_paisa():
    market = RecordedMarket(REAL, calendar())
    day = date(2016, 8, 17)
    for ticker in ("INFY", "M&M", "NIFTY 50"):
        tape, minutes = market.tape(ticker, day), market.minutes(ticker, day)
        assert 370 <= len(minutes) <= 375
        assert (max(found.high for found in minutes), min(found.low for found in minutes)) == (
            tape.highs[-1], tape.lows[-1],
        )  # fmt: skip
        assert sum(found.volume for found in minutes) == tape.volumes[-1]
