"""What is every engine timed on? One random market of whole numbers, written once and read by all.

Prices are made so that no rounding and no definition of a tie can decide a trade, or engines that
compute in floats would differ from one that computes in paise for reasons that are nobody's fault:

- a bar opens where the last one closed, so a fixed share of the close is one of the fill as well;
- a close is a whole number of rupees, so 2 % of it is a whole number of paise;
- exactly one close in twenty is odd. SMA(10) equals SMA(30) where twice the last ten closes make the
  twenty before them; the first is even, the second is odd, so the two averages are never equal;
- a low is an odd number of paise and a stop of 2 % an even one, so a stop is crossed or not touched.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rulebook.rules import Rules
from rulebook.tables import Fixed, Table

TICKERS, BARS, DAY_BARS = 50, 37_500, 75
OPENED_S, LENGTH_S = 9 * 3600 + 15 * 60, 300
FIRST_DAY_S = 1_704_047_400  # midnight IST of 2024-01-01
DAY_S = 86_400
RUPEE, START_RUPEES = 100, 3_000
ODD_EVERY = 20
BAR_DEVIATION, WICK_DEVIATION = 8e-4, 4e-4
# Parts per billion, as rulebook/charges.py reads them. The first row is what the peers can charge.
PLAIN_RATES = (300_000, 10**9, 0, 0, 0, 0, 0, 0, 0)  # 0.03 % an order, no cap, nothing else
FULL_RATES = (300_000, 2_000, 250_000, 30_700, 1_000, 30_000, 1_800, 1, 5_000)
START_S, SAFE_END_S = 9 * 3600 + 20 * 60, 15 * 3600

Ints = NDArray[np.int64]


def make(path: Path, bars: int = BARS, tickers: int = TICKERS, seed: int = 0) -> None:
    """Row by bar, column by ticker, int32 paise; the uncompressed .npz that every process loads."""
    rng = np.random.default_rng(seed)
    moves = np.cumsum(rng.normal(0, BAR_DEVIATION, (bars, tickers)), axis=0)
    rupees = np.rint(START_RUPEES / 2 * np.exp(moves)).astype(np.int32) * 2
    rupees += (np.arange(bars) % ODD_EVERY == 0)[:, None]
    close = rupees * RUPEE
    open_ = np.vstack([close[:1], close[:-1]])
    up, down = np.abs(rng.normal(0, WICK_DEVIATION, (2, bars, tickers)))
    high = np.ceil(np.maximum(open_, close) * (1 + up)).astype(np.int32)
    low = np.floor(np.minimum(open_, close) * (1 - down)).astype(np.int32)
    low -= 1 - low % 2
    np.savez(path, open=open_, high=high, low=low, close=close)


def load(path: Path) -> dict[str, NDArray[np.int32]]:
    with np.load(path) as file:
        return {name: file[name] for name in ("open", "high", "low", "close")}


def table_of(prices: dict[str, NDArray[np.int32]], day_bars: int, order: Literal["C", "F"] = "C") -> Table:
    """As the walk wants it: days of that many bars, enough volume for everyone; ticker by ticker is "F"."""
    bars = prices["close"].shape[0]
    day, within = np.divmod(np.arange(bars), day_bars)
    second = OPENED_S + LENGTH_S * within
    volume = np.full(prices["close"].shape, 10**6, np.int64)
    opened_s = FIRST_DAY_S + DAY_S * day + second
    columns = [prices[name] for name in ("open", "high", "low", "close")]
    return Table._make(
        [*(np.asarray(each, order=order) for each in (*columns, volume)), opened_s, second, day, LENGTH_S]
    )


def fixed_of(tickers: int, days: int, rates: tuple[int, ...], tick: int) -> Fixed:
    """The same hours and charges every day; lots of one share."""
    ones: Ints = np.ones(tickers, np.int64)
    start, safe_end = (np.full((days, 1), second, np.int64) for second in (START_S, SAFE_END_S))
    by_day = np.tile(np.array(rates, np.int64), (days, 1))
    return Fixed(tick * ones, ones, 0 * ones, start, safe_end, by_day)


def bare_rules() -> Rules:
    """A signal, a stop of 2 %, and nothing else: what the peers of the first benchmark compute."""
    return Rules(
        capital=100_000_00, stop_bps=200, trail_milli=0, cost_times_milli=0,
        max_concurrent=10**9, max_trades_per_day=10**9, cooldown_bars=0, max_loss_milli=0,
        fill_cost_bps=0, volume_share_milli=0,
        one_entry_a_bar=False, is_intraday=False, is_long_only=True,
    )  # fmt: skip
