"""The three views, each in a process of its own, against what the broker and the batch say."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from candle_store import read_candles
from kite.books import Quoted
from ml import load_winner
from one_shot import quote_row
from processed import columns_of
from rulebook.fills import Level
from rulebook.hours import IST
from rulebook.records import Paise
from settings import load_settings
from study import recipes
from tests.local_exchange import Running, local_exchange
from tests.trader_house import TraderHouse

pytestmark = [pytest.mark.long, pytest.mark.torch, pytest.mark.alone, pytest.mark.timeout(300)]

NOW = datetime(2026, 11, 20, 11, 0, tzinfo=IST)
TICKERS = ["INFY", "TCS"]
Batch = dict[str, dict[str, dict[datetime, np.ndarray[Any, Any]]]]


def quoted(bids: tuple[Level, ...] = (), asks: tuple[Level, ...] = (), at: datetime | None = None) -> Quoted:
    return Quoted("INFY", 1, at, Paise(150_000), 7, Paise(1), Paise(1), Paise(2), bids, asks)


def test_a_quote_s_row_has_spread_depth_and_age():
    bids, asks = (Level(Paise(149_950), 10), Level(Paise(149_900), 5)), (Level(Paise(150_050), 3),)
    row = quote_row(quoted(bids, asks, NOW - timedelta(seconds=2)), NOW)

    assert (1500.0, 1499.5, 1500.5) == (row["last"], row["bid"], row["ask"])
    assert (6.67, 15, 3, 2.0) == (row["spread_bp"], row["bid_qty"], row["ask_qty"], row["age_s"])


def test_what_a_quote_does_not_have_is_none():
    row = quote_row(quoted(), NOW)

    assert [None] * 5 == [row[name] for name in ("bid", "ask", "spread_bp", "age_s", "at")]


# --- through the front door -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, TraderHouse]]:
    with local_exchange("--symbols", "50", speed="10", start="2026-11-20T08:40") as running:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("ZERODHA_API_KEY", "ZERODHA_API_SECRET"):
                patch.delenv(name, raising=False)
            house = TraderHouse(tmp_path_factory.mktemp("views") / "house", running).prepare()
        yield running, house


def asked(house: TraderHouse, *tasks: str) -> list[Any]:
    done = house.trade(*tasks, "--json")
    assert 0 == done.returncode, done.stderr
    return [each["result"] for each in json.loads(done.stdout)["results"]]


def batch(house: TraderHouse) -> Batch:
    """The features of what is on disk, made all at once: by ticker, timeframe and opening."""
    settings = load_settings(house.folder / "config.json")
    found: Batch = {ticker: {} for ticker in TICKERS}
    for name, recipe in recipes(settings).items():
        frames = {ticker: read_candles(settings.paths.raw, ticker, name) for ticker in TICKERS}
        for ticker, columns in columns_of(frames, recipe).items():
            moments = (datetime.fromtimestamp(second, UTC) for second in columns.opened_s.tolist())
            found[ticker][name] = dict(zip(moments, columns.values, strict=True))
    return found


def test_before_the_open_the_views_are_of_the_last_bars_there_are(floor):
    _, house = floor
    features, said = asked(house, "--fn", "one_shot_features", "--fn", "one_shot_infer")

    stamps = {row["timeframe"]: row["opened_at"] for row in features["rows"]}
    assert {"5m": "2026-11-19T15:10:00+05:30", "15m": "2026-11-19T15:00:00+05:30"} == stamps
    assert_of_batch(house, features["rows"])
    assert TICKERS == [row["ticker"] for row in said["rows"]]


def test_in_a_session_features_and_words_are_of_the_newest_bar_and_equal_the_batch(floor):
    running, house = floor
    running.until("2026-11-20T11:00:20")
    features, said = asked(house, "features", "infer")
    running.until("2026-11-20T16:00")
    fetched = house.fetch("history", "impute")
    assert 0 == fetched.returncode, fetched.stderr

    stamps = {row["timeframe"]: row["opened_at"] for row in features["rows"]}
    assert {"5m": "2026-11-20T10:55:00+05:30", "15m": "2026-11-20T10:45:00+05:30"} == stamps
    assert_of_batch(house, features["rows"])
    assert_of_engine(house, said)


def test_after_the_close_quotes_are_the_last_ones_and_their_age_says_so(floor):
    running, house = floor
    running.until("2026-11-20T17:00")
    (found,) = asked(house, "quotes")

    assert TICKERS == [row["ticker"] for row in found["quotes"]]
    assert all(row["last"] > 0 and row["age_s"] > 89 * 60 for row in found["quotes"])
    assert [None, None] == [row["bid"] for row in found["quotes"]]
    assert [] == running.truth()["orders"]


def test_the_views_need_no_lock_and_leave_no_journal(floor):
    _, house = floor

    assert [] == list((house.folder / "data").rglob("journal*"))
    assert not (house.folder / "data" / "state" / "trade.lock").exists()


def test_without_a_model_infer_is_code_5_and_says_what_to_do(floor):
    _, house = floor
    models = house.folder / "models"
    aside = models.rename(house.folder / "aside")
    try:
        done = house.trade("infer")
    finally:
        aside.rename(models)

    assert 5 == done.returncode
    assert "promote a model: python train.py" in done.stderr


def assert_of_batch(house: TraderHouse, rows: list[dict[str, Any]]) -> None:
    expected = batch(house)
    for row in rows:
        at = datetime.fromisoformat(row["opened_at"]).astimezone(UTC)
        same = np.array(row["values"], np.float32)
        assert np.array_equal(expected[row["ticker"]][row["timeframe"]][at], same), (row["ticker"], at)
    assert len(rows) == 4


def assert_of_engine(house: TraderHouse, said: dict[str, Any]) -> None:
    """The same network asked about windows that are cut of the batch."""
    settings, expected = load_settings(house.folder / "config.json"), batch(house)
    engine, _ = load_winner(settings.paths.winner, settings, TICKERS)
    opened_at = datetime.fromisoformat(said["bar_opened_at"])
    closed_at = opened_at + timedelta(minutes=5)
    windows = {}
    for name, lookback in engine.lookbacks.items():
        minutes = int(name.removesuffix("m"))
        per_ticker = []
        for ticker in TICKERS:
            rows = [
                row
                for at, row in expected[ticker][name].items()
                if at + timedelta(minutes=minutes) <= closed_at
            ]
            per_ticker.append(np.stack(rows[-lookback:]))
        windows[name] = np.stack(per_ticker, axis=1)
    q = engine.q(windows, np.ones(len(TICKERS), np.bool_))

    assert [list(row["q"].values()) for row in said["rows"]] == [list(map(float, values)) for values in q]
    assert {row["ticker"]: (row["action"], row["confidence"]) for row in said["rows"]} == engine.said(
        q, np.ones(len(TICKERS), np.bool_)
    )
