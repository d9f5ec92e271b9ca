"""Real candles of 2016 through the front door: served by the exchange, fetched, filled, made coarser, told as features."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from candle_store import FILLED, PRICES, read_candles
from features import MOST, NAMES
from processed import path_of as features_of
from tests.conftest import ROOT
from tests.desk import Desk
from tests.local_exchange import Running, local_exchange

REAL = ROOT.parent / "shared" / "market"
TICKERS = ("RELIANCE", "INFY", "PAGEIND")  # of the last one a quarter of all minutes had no trade
SESSIONS, MINUTES = 14, 375

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not REAL.exists(), reason="real candles are not part of the repository"),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with local_exchange("--market", f"recorded:{REAL}", speed="20", start="2016-09-02T17:30") as running:
        yield running


def fetched(folder: Path, running: Running, *timeframes: str) -> Desk:
    desk = Desk(folder, running, "raw_http")
    config = json.loads((folder / "config.json").read_text())
    config |= {"timeframes": timeframes, "from_dates": dict.fromkeys(timeframes, "2016-08-16")}
    config["lookbacks"] = dict.fromkeys(timeframes, 128)
    (folder / "config.json").write_text(json.dumps(config))
    desk.log_in()
    done = desk.fetch("--symbols", ",".join(TICKERS), "history", "impute")
    assert done.returncode == 0, done.stderr
    return desk


@pytest.fixture(scope="module")
def desk(running, tmp_path_factory) -> Desk:
    return fetched(tmp_path_factory.mktemp("minutes"), running, "1m", "5m", "15m", "1h")


def real(ticker: str) -> pd.DataFrame:
    return pd.read_parquet(REAL / ticker / "1m.parquet")


@pytest.mark.parametrize("ticker", TICKERS)
def test_minutes_arrive_to_the_bit_and_lulls_are_filled_as_the_vendor_filled_them(desk, ticker):
    """He fills a session's first minutes as well; over a night we carry no price."""
    mine, theirs = read_candles(desk.raw, ticker, "1m"), real(ticker)
    both = mine.merge(theirs, on="timestamp", suffixes=("", "_real"))
    only_theirs = theirs[~theirs["timestamp"].isin(mine["timestamp"])]
    is_quiet = (both["volume_real"] == 0) & (both["high_real"] == both["low_real"])

    assert SESSIONS * MINUTES == len(theirs)
    assert len(mine) == len(both)
    assert all(both[name].equals(both[f"{name}_real"].astype(np.float64)) for name in (*PRICES, "volume"))
    assert both[FILLED].equals(is_quiet.rename(FILLED))
    assert 0 == only_theirs["volume"].sum() and len(only_theirs) < 5 * SESSIONS


@pytest.mark.parametrize("timeframe", ["5m", "15m", "1h"])
def test_bars_made_of_minutes_are_the_broker_s_own_to_the_bit(desk, running, tmp_path_factory, timeframe):
    direct = fetched(tmp_path_factory.mktemp("direct"), running, timeframe)

    for ticker in TICKERS:
        assert read_candles(direct.raw, ticker, timeframe).equals(read_candles(desk.raw, ticker, timeframe))


@pytest.mark.parametrize("timeframe", ["1m", "5m", "15m", "1h"])
def test_their_features_are_whole(desk, timeframe):
    for ticker in TICKERS:
        table = pd.read_parquet(features_of(desk.folder / "data" / "processed", ticker, timeframe))
        values = table[list(NAMES[2])].to_numpy()

        assert table["timestamp"].equals(read_candles(desk.raw, ticker, timeframe)["timestamp"])
        assert np.isfinite(values).all() and np.abs(values).max() <= MOST
        assert (values.std(axis=0)[:15] > 0).all()
