"""Features on disk are those of the candles on disk, or they are refused and made anew."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from candle_store import FILLED, path_of, read_candles
from features import NAMES
from outcome import DataError
from processed import Recipe, bars_of, build, columns_of, load
from processed import path_of as processed_path
from rulebook.hours import SymbolClass
from sessions_grid import Grid, imputed
from tests.candles import calendar, candles, sessions, write

DAYS = sessions(6)
TICKERS = ("INFY", "TCS", "SBIN")
RECIPE = Recipe(
    2, 32, Grid(calendar(), "5m", SymbolClass.OTHER), {"INFY": "IT", "TCS": "IT", "SBIN": "Banks"}
)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for ticker in TICKERS:
        write(tmp_path / "raw", ticker, candles(ticker, DAYS))
    return tmp_path / "raw"


def built(raw: Path, recipe: Recipe = RECIPE) -> int:
    return build(raw, raw.parent / "processed", TICKERS, recipe, lambda _: None)


def loaded(raw: Path, recipe: Recipe = RECIPE):
    return load(raw, raw.parent / "processed", TICKERS, recipe)


def test_what_is_loaded_is_what_was_made(raw):
    built(raw)
    made = columns_of({ticker: read_candles(raw, ticker, "5m") for ticker in TICKERS}, RECIPE)
    found = loaded(raw)

    assert list(TICKERS) == list(found)
    for ticker in TICKERS:
        np.testing.assert_array_equal(made[ticker].opened_s, found[ticker].opened_s)
        np.testing.assert_array_equal(made[ticker].values, found[ticker].values)


def test_what_is_not_stale_is_not_made_again(raw):
    assert [3, 0] == [built(raw), built(raw)]


def test_another_candle_anywhere_makes_the_market_stale(raw):
    built(raw)
    frame = read_candles(raw, "SBIN", "5m")
    write(raw, "SBIN", frame.iloc[:-1])

    with pytest.raises(DataError, match="made of other candles or settings; make it anew with: python fetch"):
        loaded(raw)

    assert 3 == built(raw)
    assert 6 * 75 - 1 == len(loaded(raw)["SBIN"].opened_s)


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (replace(RECIPE, version=1), "holds features of version 2, not 1"),
        (replace(RECIPE, lookback=33), "made of other candles or settings"),
        (replace(RECIPE, industries={}), "made of other candles or settings"),
    ],
)
def test_another_recipe_is_refused(raw, other, complaint):
    built(raw)

    with pytest.raises(DataError, match=complaint):
        loaded(raw, other)


def test_a_torn_or_missing_file_says_how_to_make_it(raw):
    built(raw)
    path = processed_path(raw.parent / "processed", "TCS", "5m")
    path.write_bytes(path.read_bytes()[:500])

    with pytest.raises(
        DataError, match=r"TCS/5m\.parquet is missing or cannot be read; make it with: python"
    ):
        loaded(raw)

    assert 1 == built(raw)
    path_of(raw, "INFY", "5m").unlink()

    with pytest.raises(DataError, match=r"INFY/5m\.parquet is missing; get it with: python fetch.py history"):
        loaded(raw)


def test_candles_without_a_price_are_refused_by_name(raw):
    frame = read_candles(raw, "TCS", "5m")
    frame.loc[7, "close"] = np.nan

    with pytest.raises(DataError, match=r"features of TCS 5m: row 7 .*: a value is missing"):
        columns_of({"TCS": frame}, RECIPE)


def test_a_bar_outside_of_sessions_has_no_row_and_a_short_last_one_ends_with_the_session():
    frame = candles("INFY", DAYS)
    early = frame.iloc[:1].assign(timestamp=frame["timestamp"].iloc[0] - np.timedelta64(15, "m"))
    with_it = imputed(frame, RECIPE.grid)
    stamps, bars = bars_of(with_it, RECIPE.grid)
    hours, of_hours = bars_of(candles("INFY", DAYS, 60), Grid(calendar(), "1h", SymbolClass.OTHER))

    assert 0 == len(bars_of(early, RECIPE.grid)[0])
    assert (6 * 75, 6) == (len(stamps), int(bars.is_first.sum()))
    assert not bars.is_filled.any()
    assert FILLED in with_it.columns
    assert [60] * 6 + [15] == of_hours.length[:7].tolist()
    assert 6 * 7 == len(hours)


def test_the_market_s_columns_are_the_same_for_all_at_one_moment(raw):
    built(raw)
    found = loaded(raw)
    market = NAMES[2].index("f_market")
    first = {ticker: found[ticker].values[200, 0] for ticker in TICKERS}

    assert 1 == len({found[ticker].values[200, market].item() for ticker in TICKERS})
    assert np.mean(list(first.values())) == pytest.approx(found["INFY"].values[200, market], abs=1e-6)
    assert first["TCS"] == pytest.approx(found["INFY"].values[200, market + 1], abs=1e-6)
    assert 0 == found["SBIN"].values[200, market + 1]
