"""The columns are what their names say, know no future, and are the same bar by bar as in one go."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

import fast
from among import led, new_leads, of_market, peers_of
from features import (
    MOST,
    NAMES,
    OF_MARKET,
    OF_VERSION_1,
    WARM_UP,
    Bars,
    history,
    mirror,
    moment,
    new_state,
)

LOOKBACK, SESSION = 64, 75
SIMPLE: Any = 0  # of TA-Lib's averages; its types name them in a module that it does not export
CLOCKED = {"f_minutes_since_open", "f_minutes_to_close", "f_early_close"}


def walk(rows: int, seed: int = 0, flat: bool = False) -> Bars:
    """Bars of five minutes in sessions of 75; prices wander by a tenth of a percent a bar."""
    rng = np.random.default_rng(seed)
    close = 500 * np.exp(np.cumsum(rng.normal(0, 0 if flat else 1e-3, rows)))
    opened = np.concatenate([close[:1], close[:-1]])
    wick = np.abs(rng.normal(0, 0 if flat else 5e-4, (2, rows)))
    minute = 5 * (np.arange(rows) % SESSION)
    return Bars(
        opened, np.maximum(opened, close) * (1 + wick[0]), np.minimum(opened, close) * (1 - wick[1]), close,
        rng.integers(0, 5_000, rows).astype(float), np.zeros(rows, np.bool_), minute == 0, minute,
        np.full(rows, 5), np.full(rows, 5 * SESSION), np.zeros(rows, np.bool_),
    )  # fmt: skip


def told(bars: Bars, version: int = 2, lookback: int = LOOKBACK) -> np.ndarray:
    out = np.zeros((len(bars.close), len(NAMES[version])), np.float32)
    fast.compiled(history)(new_state(1, lookback), 0, bars, out)
    return out


def column(name: str, values: np.ndarray) -> np.ndarray:
    return values[:, NAMES[2].index(name)]


def cut(bars: Bars, rows: slice) -> Bars:
    return Bars._make(each[rows] for each in bars)


# --- what they say ------------------------------------------------------------------------------------------


def expected(bars: Bars, lookback: int) -> pd.DataFrame:
    """Version 1 in other words, by pandas."""
    o, h, l, c = (pd.Series(each) for each in bars[:4])  # noqa: E741  the usual letters
    logs = pd.Series(np.log(bars.close))
    found = pd.DataFrame({f"f_returns_{k}": logs.diff(k).fillna(0) for k in (1, 3, 5, 10)})
    one = logs.diff()
    for length in (10, 20):
        found[f"f_vol_{length}"] = one.rolling(length, min_periods=2).std().fillna(0)
    before = c.shift().fillna(o)
    true_range = pd.Series(np.maximum(h, before) - np.minimum(l, before))
    found["f_atr_14"] = true_range.ewm(alpha=1 / 14, adjust=False).mean() / c
    change = c.diff().iloc[1:]
    gain, loss = (
        each.ewm(alpha=1 / 14, adjust=False).mean() for each in (change.clip(lower=0), -change.clip(upper=0))
    )
    high, low = h.rolling(14, min_periods=1).max(), l.rolling(14, min_periods=1).min()
    k = (2 * (c - low) / (high - low) - 1).ewm(alpha=1 / 3, adjust=False).mean()
    d = k.ewm(alpha=1 / 3, adjust=False).mean()
    median = c.rolling(20, min_periods=1).median()
    for name, price in zip(("open", "high", "low", "close"), (o, h, l, c), strict=True):
        found[f"f_{name}"] = price / median - 1
    mean, deviation = (getattr(found.rolling(lookback, min_periods=2), what)() for what in ("mean", "std"))
    found = ((found - mean) / deviation).where(deviation > 1e-8, 0).clip(-MOST, MOST)
    found["f_rsi_14"] = ((gain - loss) / (gain + loss)).reindex(c.index).fillna(0)
    found["f_k"], found["f_d"], found["f_j"] = k, d, 3 * k - 2 * d
    passed = (bars.minute + bars.length) / bars.session
    found["f_minutes_since_open"], found["f_minutes_to_close"] = 2 * passed - 1, 1 - 2 * passed
    found["f_early_close"] = bars.is_early.astype(float)
    columns: pd.DataFrame = found[list(OF_VERSION_1)]
    return columns


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lookback", [8, 64, 256])
def test_version_1_is_what_pandas_makes_of_the_same_formulas(seed, lookback):
    bars = walk(1_000, seed)

    np.testing.assert_allclose(told(bars, 1, lookback), expected(bars, lookback), atol=2e-5)


def test_version_2_begins_with_version_1():
    bars = walk(300)

    np.testing.assert_array_equal(told(bars, 1), told(bars, 2)[:, : len(OF_VERSION_1)])


def test_ta_lib_says_the_same_of_atr_rsi_and_the_stochastic_after_its_other_beginning():
    bars = walk(1_000)
    values = told(bars)
    rows = slice(WARM_UP, None)
    k, d = talib.STOCH(bars.high, bars.low, bars.close, 14, 1, SIMPLE, 3, SIMPLE)
    state = new_state(1, LOOKBACK)
    fast.compiled(history)(state, 0, bars, np.zeros((1_000, 29), np.float32))

    np.testing.assert_allclose(
        column("f_rsi_14", values)[rows], talib.RSI(bars.close, 14)[rows] / 50 - 1, atol=1e-3
    )
    assert talib.ATR(bars.high, bars.low, bars.close, 14)[-1] == pytest.approx(state.carried[0, 1], rel=1e-6)
    assert (
        np.corrcoef(column("f_k", values)[rows], k[rows])[0, 1] > 0.8
    )  # theirs is a simple mean of the raw one
    assert np.corrcoef(column("f_d", values)[rows], d[rows])[0, 1] > 0.8


def test_volume_is_told_against_its_own_time_of_day():
    bars = walk(SESSION * 30)
    usual = np.where(bars.minute == 0, 9_000.0, 1_000.0)
    surprise = usual.copy()
    surprise[-SESSION + 10] = 8_000.0
    calm = column("f_volume", told(bars._replace(volume=usual)))
    loud = column("f_volume", told(bars._replace(volume=surprise)))

    assert 0 == np.abs(calm[SESSION:]).max()
    assert MOST >= loud[-SESSION + 10] > 5


def test_flow_knows_the_session_and_forgets_it_overnight():
    bars = walk(2 * SESSION)
    values = told(bars)
    today = slice(SESSION, 2 * SESSION)
    typical = (bars.high + bars.low + bars.close)[today] / 3
    vwap = np.cumsum(typical * bars.volume[today]) / np.cumsum(bars.volume[today])
    away = bars.close[today] - vwap
    low, high = np.minimum.accumulate(bars.low[today]), np.maximum.accumulate(bars.high[today])

    assert np.array_equal(np.sign(away.round(9)), np.sign(column("f_vwap", values)[today].round(6)))
    np.testing.assert_allclose(
        2 * (bars.close[today] - low) / (high - low) - 1, column("f_in_day", values)[today], atol=1e-5
    )
    assert np.abs(column("f_cvd", values)).max() <= 1


def test_a_filled_bar_neither_surprises_nor_counts():
    bars = walk(2 * SESSION)
    filled = bars.is_filled.copy()
    filled[100] = True
    loud = bars.volume.copy()
    loud[100] = 1e9
    with_it = told(bars._replace(is_filled=filled, volume=loud))
    without = told(bars._replace(is_filled=filled))

    np.testing.assert_array_equal(without, with_it)


def test_a_move_with_much_volume_is_told_from_one_with_little():
    column = {name: told(walk(2_000))[:, n].astype(np.float64) for n, name in enumerate(NAMES[2])}
    expected = np.clip(0.5 * column["f_returns_1"] * column["f_volume"], -MOST, MOST)

    np.testing.assert_allclose(column["f_push"], expected, rtol=1e-6)
    assert expected.min() < -2 and expected.max() > 2


# --- the market ---------------------------------------------------------------------------------------------


def test_the_market_and_the_industry_s_others_are_means_of_who_is_there():
    first = np.array([[1.0, 2.0, -3.0, 4.0]])
    is_there = np.array([[True, True, True, False]])
    out = np.zeros((1, 4, 3), np.float32)
    fast.compiled(of_market)(first, is_there, np.array([0, 0, 1, 1]), np.zeros((3, 2)), out)

    assert [[0.0, 2.0], [0.0, 1.0], [0.0, 0.0]] == out[0, :3, :2].tolist()
    np.testing.assert_allclose(1 / 3, out[0, :3, 2], rtol=1e-6)
    assert not out[0, 3].any()


def led_by(first: Any, volume: Any, is_there: Any = None, is_first: Any = None, leads: Any = None) -> Any:
    """The column of each row and ticker."""
    is_there = np.ones(first.shape, bool) if is_there is None else is_there
    is_first = np.arange(len(first)) % 75 == 0 if is_first is None else is_first
    out = np.zeros((*first.shape, 4), np.float32)
    state = leads or new_leads(first.shape[1])
    fast.compiled(led)(first, volume, is_there, is_first, peers_of(np.array([0, 0, 0, 1])), state, out)
    return out[..., 3]


def led_market(days: int = 60) -> Any:
    """The first ticker jumps with much volume now and then, and the second follows over six bars; the third
    jumps likewise, and nobody follows it; the fourth is of another industry and does what the second does."""
    rng = np.random.default_rng(0)
    first, volume = rng.normal(0, 1, (days * 75, 4)), rng.normal(0, 0.5, (days * 75, 4))
    for row in range(20, days * 75 - 10, 37):
        side, who = rng.choice([-1.0, 1.0]), 0 if row % 2 else 2
        first[row, who], volume[row, who] = 4 * side, 4.0
        if who == 0:
            first[row + 1 : row + 7, 1] += 0.8 * side
            first[row + 1 : row + 7, 3] += 0.8 * side
    return first, volume


def test_whom_a_ticker_has_followed_promises_it_something_and_nobody_else():
    first, volume = led_market()
    found = led_by(first, volume)
    jumps = [[row for row in range(40 * 75, 60 * 75 - 10) if abs(first[row, who]) == 4] for who in (0, 2)]
    by_leader, by_other = (np.array([found[row, 1] * np.sign(first[row, who]) for row in rows])
                           for who, rows in zip((0, 2), jumps, strict=True))  # fmt: skip

    assert by_leader.min() > 0.5
    assert np.median(np.abs(by_other)) < 0.15
    assert np.median(np.abs(found[jumps[0], 2])) < 0.15
    assert not found[:, 3].any(), "alone in its industry"


def test_who_leads_is_known_from_what_was_before_alone():
    first, volume = led_market()
    row = 50 * 75 + 10
    other, louder = first.copy(), volume.copy()
    other[row + 1 :], louder[row + 1 :] = -other[row + 1 :], 2 * louder[row + 1 :] + 1

    np.testing.assert_array_equal(led_by(first, volume)[: row + 1], led_by(other, louder)[: row + 1])


def test_a_promise_fades_and_does_not_outlive_its_session():
    first, volume = led_market()
    first[59 * 75 + 60 :], volume[59 * 75 + 60 :] = 0.0, 0.0
    first[59 * 75 + 60, 0], volume[59 * 75 + 60, 0] = 4.0, 4.0
    first, volume = (np.concatenate([each, np.zeros((75, 4))]) for each in (first, volume))
    found = led_by(first, volume)[59 * 75 + 60 :, 1]

    assert found[0] > found[1] > found[10] > 0
    assert not found[15:].any()


def test_row_by_row_is_the_same_as_in_one_go_and_who_is_not_there_has_no_part():
    first, volume = led_market(days=3)
    is_there = np.random.default_rng(2).random(first.shape) < 0.9
    at_once, state = led_by(first, volume, is_there), new_leads(4)
    is_first = np.arange(len(first)) % 75 == 0
    rows = [
        led_by(first[n : n + 1], volume[n : n + 1], is_there[n : n + 1], is_first[n : n + 1], leads=state)[0]
        for n in range(len(first))
    ]
    nowhere = np.where(is_there, 0, 9.0)

    np.testing.assert_array_equal(at_once, np.stack(rows))
    assert not at_once[~is_there].any()
    np.testing.assert_array_equal(at_once, led_by(first + nowhere, volume + nowhere, is_there))


# --- time -----------------------------------------------------------------------------------------------------


def test_the_future_changes_nothing():
    bars = walk(800)
    other = walk(800, seed=9)
    for row in (0, 1, 77, 500):
        changed = Bars(
            *(np.concatenate([a[: row + 1], b[row + 1 :]]) for a, b in zip(bars, other, strict=True))
        )

        np.testing.assert_array_equal(told(bars)[: row + 1], told(changed)[: row + 1])


def test_bar_by_bar_is_the_same_as_in_one_go():
    tickers = [walk(300, seed) for seed in range(4)]
    state, out = new_state(4, LOOKBACK), np.zeros((4, 29), np.float32)
    step = fast.compiled(moment)
    rows = []
    for row in range(300):
        bars = Bars(*(np.array([getattr(each, name)[row] for each in tickers]) for name in Bars._fields))
        step(state, bars, np.ones(4, np.bool_), out)
        rows.append(out.copy())

    np.testing.assert_array_equal(np.stack([told(each) for each in tickers], axis=1), np.stack(rows))


def test_who_begins_later_agrees_after_the_warm_up():
    bars = walk(4_000)
    later = told(cut(bars, slice(2_000, None)))
    known = WARM_UP + LOOKBACK
    both = [
        n for n, name in enumerate(NAMES[2]) if name not in ("f_volume", "f_push")
    ]  # they know twenty sessions

    np.testing.assert_allclose(told(bars)[2_000 + known :, both], later[known:, both], atol=1e-6)


# --- whatever comes -------------------------------------------------------------------------------------------


PRICE = st.floats(0.05, 1e6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(PRICE, PRICE, PRICE, PRICE, st.sampled_from([0.0, 1.0, 1e12])), min_size=1, max_size=60
    )
)
def test_nothing_makes_a_number_that_is_none(rows):
    prices = np.array([row[:4] for row in rows])
    bars = walk(len(rows))._replace(
        open=prices[:, 0], high=prices.max(axis=1), low=prices.min(axis=1), close=prices[:, 3],
        volume=np.array([row[4] for row in rows]),
    )  # fmt: skip
    values = told(bars, lookback=8)

    assert np.isfinite(values).all()
    assert np.abs(values).max() <= MOST


def test_a_flat_price_says_nothing():
    values = told(walk(300, flat=True))
    said = [name for name in NAMES[2] if np.abs(column(name, values)[100:]).max() > 1e-6]

    assert CLOCKED - {"f_early_close"} | {"f_volume"} == set(said)


def test_sums_do_not_drift_over_years():
    bars = walk(60_000)
    tail = 59_000
    fresh = told(cut(bars, slice(tail - 500, None)))

    np.testing.assert_allclose(told(bars)[tail:, :7], fresh[500:, :7], atol=1e-6)
    assert math.isfinite(float(fresh.sum()))


def test_prices_upside_down_are_told_as_the_mirror_says():
    """Reflected in logs: what rose by a thousandth has fallen by it. Ratios are so nearly, not wholly."""
    bars = walk(3_000)
    around = bars.close.mean() ** 2
    opposite = bars._replace(
        open=around / bars.open, high=around / bars.low, low=around / bars.high, close=around / bars.close
    )
    columns = mirror(2)
    own = NAMES[2][: -len(OF_MARKET)]
    expected = (told(bars) * columns.sign)[:, columns.place][WARM_UP:, : len(own)]
    found = told(opposite)[WARM_UP:, : len(own)]
    apart = np.quantile(np.abs(found - expected), 0.99, axis=0)

    most = {"f_atr_14": 0.3}  # an average of rupees over a close that has moved since

    assert {} == {n: far for n, far in zip(own, apart, strict=True) if far > most.get(n, 0.05)}


def test_the_mirror_of_the_mirror_is_the_same_columns():
    for version in NAMES:
        columns = mirror(version)
        values = np.random.default_rng(1).normal(size=(5, len(NAMES[version])))
        once = (values * columns.sign)[:, columns.place]

        assert values.tolist() == (once * columns.sign)[:, columns.place].tolist()
        assert values.tolist() != once.tolist()
