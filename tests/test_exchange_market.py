"""The synthetic market: does it look like one, does it keep its bytes, and do its edges do what they say?"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from exchange import kept
from exchange.backfill import Recipe, make_history
from exchange.edges import Name, Strength, read
from exchange.fixed_point import BASIS_POINT, DOUBLING, multipliers, scaled, stream, words
from exchange.kept import month_of, shelf_name
from exchange.picture import SEED, drawn, measured, table
from exchange.simple_rules import earned
from exchange.stylised import LAGS, Floats, book, circuit_days, ordinary_days, panel
from exchange.synthetic import SyntheticMarket
from exchange.world import HALTS
from outcome import ConfigError
from tests.conftest import ROOT
from tests.exchange_market import CALENDAR

FRIDAY = date(2026, 11, 20)
MONTH = date(2026, 10, 1)
MARKET = SyntheticMarket(SEED, CALENDAR, 60)
STOCKS = [listing.ticker for listing in MARKET.listings if not listing.is_index]


@pytest.fixture(scope="module")
def found():
    return measured(CALENDAR)


# --- stylised facts -------------------------------------------------------------------------------


def test_volume_and_volatility_are_high_at_the_open_low_at_noon_and_rise_into_the_close(found):
    for shape, opening, closing in (
        (found.volume_by_time, (2.3, 3.5), (1.1, 1.6)),
        (found.volatility_by_time, (1.6, 2.3), (0.9, 1.3)),
    ):
        noon = shape[30:42].mean()
        assert opening[0] < shape[0] < opening[1]
        assert closing[0] < shape[-3:].mean() < closing[1]
        assert 0.7 < noon < 1 and noon < shape[-3:].mean()


def test_volatility_clusters_and_returns_do_not(found):
    assert np.abs(found.autocorrelation).max() < 0.03
    assert found.clustering[0] > 0.08
    assert found.clustering[-1] > 0.01
    assert found.clustering[0] > found.clustering[LAGS.index(6)] > found.clustering[-1]


def test_tails_are_fat_in_a_bar_and_thin_out_over_a_session(found):
    assert found.kurtosis_bar > 6
    assert 2.5 < found.kurtosis_session < 5 < found.kurtosis_bar
    assert found.beyond[4] > 5e-4  # five standard deviations: 6e-7 of a Gaussian's
    assert 0.2 < found.beyond[0] < 0.32


def test_stocks_go_with_the_market_and_more_so_with_their_industry(found):
    assert 0.15 < found.across_industries < 0.4
    assert found.across_industries + 0.05 < found.within_industries < 0.6


def test_nights_have_gaps_and_days_are_of_the_size_of_the_stock(found):
    assert 0.4 < found.gap_to_session < 0.9
    assert (found.daily_volatility > 0.005).all() and (found.daily_volatility < 0.03).all()


def test_volume_goes_with_volatility(found):
    assert 0.15 < found.volume_with_volatility < 0.6


@pytest.mark.parametrize(
    ("ticker", "spread_bp", "touch_rupees"),
    [
        ("RELIANCE", (0.6, 2), (300_000, 1_500_000)),
        ("MAXHEALTH", (2, 8), (40_000, 200_000)),
        ("HONAUT", (8, 40), (30_000, 120_000)),
    ],
)
def test_the_book_is_deep_and_narrow_for_large_names_and_thin_and_wide_for_small_ones(
    ticker, spread_bp, touch_rupees
):
    seen = book(MARKET, ticker, FRIDAY)

    assert spread_bp[0] < seen.spread_bp < spread_bp[1]
    assert touch_rupees[0] < seen.touch_rupees < touch_rupees[1]
    assert (5, True) == (seen.levels, 1.3 < seen.behind < 3)


@pytest.mark.parametrize("ticker", ["RELIANCE", "HONAUT", "NIFTY 50"])
def test_a_tape_rises_in_time_and_totals_and_every_print_lies_at_the_book(ticker):
    tape, (lower, upper) = MARKET.tape(ticker, FRIDAY), MARKET.circuit(ticker, FRIDAY)

    assert all(before < after for before, after in pairwise(tape.seconds))
    assert list(tape.volumes) == sorted(tape.volumes) and list(tape.turnovers) == sorted(tape.turnovers)
    assert (max(tape.lasts), min(tape.lasts)) == (tape.highs[-1], tape.lows[-1])
    for row in range(0, len(tape.seconds), 211):
        depth = tape.depth(row)
        if ticker == "NIFTY 50":
            assert ((), ()) == depth
            continue
        assert depth.bids[0].price <= tape.lasts[row] <= depth.asks[0].price
        assert lower <= depth.bids[-1].price and depth.asks[-1].price <= upper
        assert depth == tape.depth(row)


def test_over_the_years_stocks_run_into_their_circuits_and_stay_there():
    days = CALENDAR.sessions_between(date(2019, 1, 1), date(2025, 12, 31))
    locked = circuit_days(MARKET, STOCKS[:30], days)

    assert 10 < len(locked) < 90  # one in 1,000 of 52,000 days ends there
    ticker, day = locked[0]
    tape, limits = MARKET.tape(ticker, day), MARKET.circuit(ticker, day)
    last = len(tape.seconds) - 1
    assert limits[0] <= min(tape.lasts) and max(tape.lasts) <= limits[1]
    assert tape.lasts[last] in limits
    assert 1 == sum(not side for side in tape.depth(last))


@pytest.mark.parametrize("day", HALTS)
def test_in_a_halt_nothing_trades(day):
    start, until, _ = HALTS[day]
    halted = range(*(int(clock[:2]) * 3600 + int(clock[3:]) * 60 for clock in (start, until)))

    tape = MARKET.tape("RELIANCE", day)

    assert [] == [second for second in tape.seconds if second in halted]
    assert len(tape.seconds) > 100


def test_the_picture_and_the_table_in_the_document_are_of_this_market(found):
    text = (ROOT / "docs" / "market.md").read_text()

    assert (ROOT / "docs" / "market.svg").read_text() == drawn(found, SyntheticMarket(SEED, CALENDAR))
    assert [] == [row for row in table(found) if row not in text]


# --- planted edges --------------------------------------------------------------------------------

FOUR = ("INFY", "TCS", "TATASTEEL", "JSWSTEEL")
DAYS = ordinary_days(CALENDAR, date(2025, 1, 1), date(2025, 2, 28))
OFF = panel(SyntheticMarket(7, CALENDAR), FOUR, DAYS)


@pytest.mark.parametrize("name", Name)
def test_a_simple_rule_earns_from_an_edge_and_nothing_without_it(name):
    strong, none = (
        earned(panel(SyntheticMarket(7, CALENDAR, edges=read([f"{name}:{strength}"])), FOUR, DAYS), name)
        for strength in (Strength.STRONG, Strength.NONE)
    )
    off = earned(OFF, name)

    assert strong.mean() > 35 and strong.mean() > 5 * _error(strong)
    for nothing in (none, off):
        assert abs(nothing.mean()) < max(3, 3 * _error(nothing))


def _error(gains: Floats) -> float:
    return float(gains.std() / np.sqrt(len(gains)))


@pytest.mark.parametrize("name", Name)
def test_an_edge_moves_nothing_before_its_first_shock(name):
    planted = SyntheticMarket(7, CALENDAR, edges=read([name]))
    day = next(day for day in DAYS if planted.shocks("TCS", day))
    first = planted.shocks("TCS", day)[0]
    # A true shock of momentum is preceded by six calm bars; those are planted too.
    quiet_s = 6 * 300 if name is Name.MOMENTUM else 0
    starts = first.at_s if first.jump_bp else first.drift_from_s

    with_edge, without = planted.tape("TCS", day), SyntheticMarket(7, CALENDAR).tape("TCS", day)

    before = [second for second in without.seconds if second < starts - quiet_s - 300]
    moved = np.array(with_edge.lasts[: len(before)]) / np.array(without.lasts[: len(before)])
    assert len(before) > 100
    assert np.ptp(np.log(moved)) < 2e-3  # the level of the morning differs, for earlier shocks stay


# --- the same bytes -------------------------------------------------------------------------------

# By version of the process. Whoever changes what a seed trades raises kept.PROCESS, so that no user's
# folder of made history is taken for the new market, and writes the new digest here.
GOLDEN = {1: "a5d05c897668df5ccb2393ad988a0152d6f03410843d9539b783fd09d64366bd"}


def digest(market: SyntheticMarket, tickers: Sequence[str], days: Sequence[date]) -> str:
    """Of all columns of the tapes, of books here and there, and of the candles; whole numbers only."""
    total = sha256()
    for ticker in tickers:
        for day in days:
            tape = market.tape(ticker, day)
            columns = (tape.seconds, tape.lasts, tape.highs, tape.lows, tape.volumes, tape.turnovers)
            books = [tape.depth(row) for row in range(0, len(tape.seconds), 499)]
            levels = [[tuple(level) for side in depth for level in side] for depth in books]
            bounds = (market.previous_close(ticker, day), *market.circuit(ticker, day))
            minutes = [tuple(candle) for candle in market.minutes(ticker, day)]
            total.update(repr((columns, levels, bounds, minutes)).encode())
    return total.hexdigest()


def test_the_same_seed_trades_the_same_bytes_on_every_machine_and_python():
    edges = read([f"{name}:strong" for name in Name])
    days = (FRIDAY, date(2024, 3, 2), date(2020, 3, 13), date(2016, 11, 9))
    plain = digest(MARKET, ("RELIANCE", "MARUTI", "HONAUT", "NIFTY 50"), days)
    planted = digest(SyntheticMarket(11, CALENDAR, 10, edges), ("TCS", "NIFTY 50"), days)

    assert GOLDEN[kept.PROCESS] == f"{plain[:32]}{planted[:32]}"


def test_chance_and_powers_are_defined_to_the_bit():
    assert [296979869192886695, 13568256038565280066] == words(stream(1, "a"), 2).tolist()
    assert [100, 200, 50, 141] == scaled(
        100, np.array([0, DOUBLING, -DOUBLING, DOUBLING // 2], np.int64)
    ).tolist()
    assert 65_536 == int(multipliers(np.array([0]))[0])
    assert 1_000_100 == int(scaled(1_000_000, np.array([BASIS_POINT]))[0])


def test_seeds_differ_and_the_order_of_asking_and_the_number_of_stocks_do_not_matter():
    few, many, other = (SyntheticMarket(seed, CALENDAR, count) for seed, count in ((1, 6), (1, 50), (2, 6)))

    in_order = [few.tape(ticker, FRIDAY).lasts for ticker in ("INFY", "TCS")]
    backwards = [many.tape(ticker, FRIDAY).lasts for ticker in ("TCS", "INFY")]

    assert in_order == backwards[::-1]
    assert in_order[0] != other.tape("INFY", FRIDAY).lasts


def test_a_calendar_that_knows_another_year_changes_no_price():
    shorter = replace(CALENDAR, years={year: found for year, found in CALENDAR.years.items() if year < 2027})

    assert MARKET.minutes("INFY", FRIDAY) == SyntheticMarket(SEED, shorter, 60).minutes("INFY", FRIDAY)


def test_the_index_is_made_of_its_stocks():
    market = SyntheticMarket(3, CALENDAR, 2)
    index = [candle.close for candle in market.minutes("NIFTY 50", FRIDAY)]
    stocks = [[candle.close for candle in market.minutes(ticker, FRIDAY)] for ticker in STOCKS[:2]]

    moves = [np.diff(np.log(closes)) for closes in (index, *stocks)]

    assert np.corrcoef(moves[0], sum(moves[1:]))[0, 1] > 0.9
    assert len(index) == 360  # until its constituents' auction begins


# --- history that is kept -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    assert 8 == make_history(recipe(folder), MONTH, FRIDAY)
    return folder


def recipe(folder: Path) -> Recipe:
    return Recipe(7, CALENDAR, 3, (), folder)


def test_kept_minutes_are_those_of_the_tape(cache):
    read_back, fresh = SyntheticMarket(*recipe(cache)), SyntheticMarket(7, CALENDAR, 3)

    for ticker in ("RELIANCE", "NIFTY 50"):
        for day in (*month_of(CALENDAR, MONTH)[::7], FRIDAY, date(2026, 10, 4)):
            assert fresh.minutes(ticker, day) == read_back.minutes(ticker, day)


def test_what_is_kept_is_not_made_again(cache):
    assert 0 == make_history(recipe(cache), MONTH, FRIDAY)
    next(cache.rglob("RELIANCE/2026-10.npy")).unlink()
    assert 1 == make_history(recipe(cache), MONTH, FRIDAY)


def test_several_workers_make_the_same_files(cache, tmp_path):
    assert 8 == make_history(recipe(tmp_path), MONTH, FRIDAY, workers=2)

    for path in tmp_path.rglob("*.npy"):
        assert path.read_bytes() == (cache / path.relative_to(tmp_path)).read_bytes()


def test_a_month_is_kept_once_all_its_sessions_have_been_asked_for(tmp_path):
    market = SyntheticMarket(*recipe(tmp_path))
    sessions = month_of(CALENDAR, MONTH)

    for day in sessions[:-1]:
        market.minutes("RELIANCE", day)
    assert [] == list(tmp_path.rglob("*.npy"))
    market.minutes("RELIANCE", sessions[-1])

    assert ["2026-10.npy"] == [path.name for path in tmp_path.rglob("*.npy")]
    assert SyntheticMarket(7, CALENDAR, 3).minutes("RELIANCE", sessions[3]) == market.minutes(
        "RELIANCE", sessions[3]
    )


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY garbage", None])
def test_a_damaged_file_is_made_anew(cache, tmp_path, damage):
    make_history(recipe(tmp_path), MONTH, MONTH)
    path = next(tmp_path.rglob("RELIANCE/2026-10.npy"))
    if damage is None:
        np.save(path, np.zeros((2, 2)))
    else:
        path.write_bytes(damage)

    market, day = SyntheticMarket(*recipe(tmp_path)), month_of(CALENDAR, MONTH)[0]

    assert SyntheticMarket(*recipe(cache)).minutes("RELIANCE", day) == market.minutes("RELIANCE", day)


def test_another_seed_edge_calendar_or_number_of_stocks_is_another_shelf():
    fewer_years = replace(CALENDAR, years={2026: CALENDAR.years[2026]})
    names = [
        shelf_name(7, 50, (), CALENDAR),
        shelf_name(8, 50, (), CALENDAR),
        shelf_name(7, 49, (), CALENDAR),
        shelf_name(7, 50, read(["lead_lag"]), CALENDAR),
        shelf_name(7, 50, read(["lead_lag:weak"]), CALENDAR),
        shelf_name(7, 50, (), fewer_years),
    ]

    assert len(set(names)) == len(names)


def test_the_shelf_of_a_market_has_one_name_in_every_process():
    """Sets of names are ordered by chance, which differs from process to process."""
    code = (
        "from pathlib import Path; from facts import read_calendar; from exchange.kept import shelf_name;"
        "print(shelf_name(7, 50, (), read_calendar(Path('config'))))"
    )
    names = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed}, cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }  # fmt: skip

    assert {shelf_name(7, 50, (), CALENDAR)} == names


def test_a_cache_that_cannot_be_written_is_told_with_a_remedy(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")

    with pytest.raises(ConfigError, match=r"not written .*--cache"):
        make_history(recipe(blocked), MONTH, MONTH)
