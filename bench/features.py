"""How fast are features made, beside polars and pandas? Version 1, 18 columns, 50 x 37,500 bars; and a bar.

The peers compute the same formulas, and before anything is timed the last rows of all must be the same. One
closed bar for all tickers is timed beside TA-Lib's handles, which carry their state from bar to bar, too.
"""

import importlib
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import candles
from bench.engine import Program
from bench.results import Outcome, least, most, row
from bench.turns import OURS, PEERS, Crew, EngineError, Job, alternate, crew, ratios

NAME = "features"
OURSELVES, POLARS, PANDAS = "features, ours", "features, polars", "features, pandas"
PYTHONS = {OURSELVES: OURS, POLARS: PEERS, PANDAS: PEERS}
LOOKBACK, DAY_BARS, THREADS, SHOWN, SAME_WITHIN = 256, 75, 2, 2_000, 1e-3
ROUNDS, QUICK_ROUNDS = 9, 3
MOMENTS = 2_000
SHARES = np.full(candles.BARS, 1e6)

Shown = NDArray[np.float64]  # the last rows of two tickers


async def measure(quick: bool) -> Outcome:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "candles.npz"
        candles.make(path)
        crews: dict[str, Crew] = {}
        failed: dict[str, str] = {}
        for name, python in PYTHONS.items():
            try:
                crews[name] = await crew(python, Job(name, path, path.with_name(f"{name}.npy"), 1))
            except EngineError as error:
                failed[name] = str(error)
        sentences, apart = _compared(Path(folder), crews)
        rounds = QUICK_ROUNDS if quick else ROUNDS
        times = await alternate(crews, dict.fromkeys(crews, rounds))
        pairs = [(_moment_us(path), _handles_us(path)) for _ in range(rounds)]
    moments, handles = [ours for ours, _ in pairs], [theirs for _, theirs in pairs]
    gains = {name: ratios(times, name, OURSELVES) for name in times if name != OURSELVES}
    rows = [row(name, values, "ms", scale=1e3) for name, values in times.items()]
    rows += [row(name, [], "ms", f"not run: {why}") for name, why in failed.items()]
    rows += [row(f"{name.partition(', ')[2]} / ours", values, "times") for name, values in gains.items()]
    rows.append(row("one closed bar of 50 tickers, 24 columns", moments, "us"))
    rows.append(
        row("the same bar by TA-Lib's handles", handles, "us", "seven updates a ticker, nothing else")
    )
    bars = [
        least("times faster than polars", gains.get(POLARS, []), 6),
        least("times faster than pandas", gains.get(PANDAS, []), 20),
        most("one closed bar of 50 tickers, us", moments, 50),
        least("one closed bar: times faster than TA-Lib", [b / a for a, b in pairs], 3),
        most("largest difference of a value", apart, SAME_WITHIN),
    ]
    versions = {k: v for engines in crews.values() for k, v in engines[0].ready["versions"].items()}
    return Outcome(NAME, "Features: version 1 of 50 tickers x 37,500 bars", rows, bars, sentences, versions)


def _compared(folder: Path, crews: Mapping[str, Crew]) -> tuple[list[str], list[float]]:
    ours = np.load(folder / f"{OURSELVES}.npy")
    apart = {name: float(np.abs(np.load(folder / f"{name}.npy") - ours).max()) for name in crews}
    sentences = [f"{name}: no value differs by more than {most_:.1g}" for name, most_ in apart.items()]
    return sentences, [most_ for name, most_ in apart.items() if name != OURSELVES]


# --- the programs, each in its own process --------------------------------------------------------------


def ours(path: Path) -> Program:
    import fast
    from features import VERSION_1, history, new_state

    tickers = _bars(path)
    make = fast.compiled(history)

    def one(number: int) -> NDArray[np.float32]:
        out = np.empty((candles.BARS, VERSION_1), np.float32)
        make(new_state(1, LOOKBACK), 0, tickers[number], out)
        return out

    def run() -> list[NDArray[np.float32]]:
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(one, range(len(tickers))))

    return Program(run, lambda found, to: _save(found[:2], to), ("numpy", "numba"))


def _bars(path: Path) -> list[Any]:
    from features import Bars

    prices = candles.load(path)
    rows = prices["close"].shape[0]
    minute = 5 * (np.arange(rows) % DAY_BARS)
    nothing = np.zeros(rows, np.bool_)
    rupees = {name: values / 100.0 for name, values in prices.items()}
    per_bar = (nothing, minute == 0, minute, np.full(rows, 5), np.full(rows, 5 * DAY_BARS), nothing)
    return [
        Bars._make((*(np.ascontiguousarray(values[:, s]) for values in rupees.values()), SHARES, *per_bar))
        for s in range(prices["close"].shape[1])
    ]


def _save(tickers: list[Any], to: Path) -> None:
    np.save(to, np.stack([np.asarray(each, np.float64)[-SHOWN:] for each in tickers]))


def pandas(path: Path) -> Program:
    pd = importlib.import_module("pandas")
    prices = {name: values / 100.0 for name, values in candles.load(path).items()}

    def one(s: int) -> NDArray[np.float32]:
        o, h, low, c = (pd.Series(prices[name][:, s]) for name in ("open", "high", "low", "close"))
        logs, f = np.log(c), {}
        for bars in (1, 3, 5, 10):
            f[f"r{bars}"] = logs.diff(bars)
        f["v10"], f["v20"] = (f["r1"].rolling(n).std() for n in (10, 20))
        before = c.shift()
        spread = pd.concat([h, before], axis=1).max(axis=1) - pd.concat([low, before], axis=1).min(axis=1)
        f["atr"] = spread.ewm(alpha=1 / 14, adjust=False).mean() / c
        middle = c.rolling(20).median()
        for name, price in (("o", o), ("h", h), ("l", low), ("c", c)):
            f[name] = price / middle - 1
        z = {name: (x - x.rolling(LOOKBACK).mean()) / x.rolling(LOOKBACK).std() for name, x in f.items()}
        gain, loss = (x.ewm(alpha=1 / 14, adjust=False).mean() for x in _moves(c.diff()))
        highest, lowest = h.rolling(14).max(), low.rolling(14).min()
        k = (2 * (c - lowest) / (highest - lowest) - 1).ewm(alpha=1 / 3, adjust=False).mean()
        d = k.ewm(alpha=1 / 3, adjust=False).mean()
        own = [(gain - loss) / (gain + loss), k, d, 3 * k - 2 * d]
        columns = [*list(z.values())[:7], *own, *list(z.values())[7:]]
        return _joined([column.to_numpy() for column in columns])

    return Program(
        lambda: [one(s) for s in range(candles.TICKERS)], lambda found, to: _save(found[:2], to), ("pandas",)
    )


def _moves(change: Any) -> tuple[Any, Any]:
    return change.clip(lower=0), -change.clip(upper=0)


def _joined(columns: list[Any]) -> NDArray[np.float32]:
    """With the three columns of the session behind them."""
    rows = len(columns[0])
    passed = (5 * (np.arange(rows) % DAY_BARS) + 5) / (5 * DAY_BARS)
    told = [*columns, 2 * passed - 1, 1 - 2 * passed, np.zeros(rows)]
    found: NDArray[np.float32] = np.clip(np.stack(told, axis=1), -8, 8).astype(np.float32)
    return found


def polars(path: Path) -> Program:
    pl = importlib.import_module("polars")
    prices = candles.load(path)
    names = ("open", "high", "low", "close")
    frame = pl.DataFrame(
        {"s": np.repeat(np.arange(candles.TICKERS, dtype=np.int32), candles.BARS)}
        | {name: (prices[name] / 100.0).ravel(order="F") for name in names}
        | {"minute": np.tile(5 * (np.arange(candles.BARS) % DAY_BARS), candles.TICKERS)}
    )
    c, o, h, low = (pl.col(name) for name in ("close", "open", "high", "low"))
    z = ("r1", "r3", "r5", "r10", "v10", "v20", "atr", "o", "h", "l", "c")

    def smooth(x: Any, bars: int) -> Any:
        return x.ewm_mean(alpha=1 / bars, adjust=False).over("s")

    def scored(name: str) -> Any:
        x = pl.col(name)
        score = (x - x.rolling_mean(LOOKBACK)) / x.rolling_std(LOOKBACK)
        return score.over("s").clip(-8, 8).cast(pl.Float32).alias(name)

    first = [c.log().diff(bars).over("s").alias(f"r{bars}") for bars in (1, 3, 5, 10)]
    spread = pl.max_horizontal(h, c.shift().over("s")) - pl.min_horizontal(low, c.shift().over("s"))
    lowest, highest = low.rolling_min(14).over("s"), h.rolling_max(14).over("s")
    first += [
        smooth(spread, 14).alias("spread"),
        smooth(c.diff().over("s").clip(lower_bound=0), 14).alias("gain"),
        smooth(-c.diff().over("s").clip(upper_bound=0), 14).alias("loss"),
        smooth(2 * (c - lowest) / (highest - lowest) - 1, 3).alias("k"),
        c.rolling_median(20).over("s").alias("middle"),
        (pl.col("minute") + 5).truediv(5 * DAY_BARS).alias("passed"),
    ]
    second = [pl.col("r1").rolling_std(n).over("s").alias(f"v{n}") for n in (10, 20)]
    second += [(pl.col("spread") / c).alias("atr"), smooth(pl.col("k"), 3).alias("d")]
    second += [(x / pl.col("middle") - 1).alias(n) for n, x in (("o", o), ("h", h), ("l", low), ("c", c))]
    gain, loss, k, d, passed = (pl.col(name) for name in ("gain", "loss", "k", "d", "passed"))
    own = [((gain - loss) / (gain + loss)).alias("rsi"), k, d, (3 * k - 2 * d).alias("j")]
    session = [(2 * passed - 1).alias("since"), (1 - 2 * passed).alias("left"), pl.lit(0.0).alias("early")]
    wanted = [*map(scored, z[:7]), *(x.cast(pl.Float32) for x in own), *map(scored, z[7:]),
              *(x.cast(pl.Float32) for x in session)]  # fmt: skip

    def run() -> Any:
        return frame.lazy().with_columns(first).with_columns(second).select("s", *wanted).collect()

    def save(found: Any, to: Path) -> None:
        table = found.drop("s").to_numpy()
        _save([table[s * candles.BARS : (s + 1) * candles.BARS] for s in range(2)], to)

    return Program(run, save, ("polars",))


def _moment_us(path: Path) -> float:
    """One closed bar of every ticker, all that a ticker tells of itself."""
    import fast
    from features import VERSION_1, Bars, moment, new_state

    tickers = _bars(path)
    at = Bars._make(np.array([column[500] for column in columns]) for columns in zip(*tickers, strict=True))
    state, out = new_state(len(tickers), LOOKBACK), np.zeros((len(tickers), VERSION_1 + 6), np.float32)
    is_there = np.ones(len(tickers), np.bool_)
    step = fast.compiled(moment)
    step(state, at, is_there, out)
    seconds = []
    for _ in range(MOMENTS):
        began = time.perf_counter()
        step(state, at, is_there, out)
        seconds.append(time.perf_counter() - began)
    return 1e6 * median(seconds)


def _handles_us(path: Path) -> float:
    """TA-Lib's own state for each ticker, told of one bar after the other: what it has of the 24 columns."""
    stream: Any = importlib.import_module("talib.stream")
    prices = {name: values / 100.0 for name, values in candles.load(path).items()}
    high, low, close = (np.ascontiguousarray(prices[name].T) for name in ("high", "low", "close"))
    told, begun = slice(400, 500), 400
    handles = []
    for s in range(close.shape[0]):
        h, lo, c = (values[s, :begun].copy() for values in (high, low, close))
        steps = np.diff(np.log(c))
        averages = (stream.SMA(steps, LOOKBACK), stream.STDDEV(steps, LOOKBACK))
        deviations = (stream.STDDEV(steps, 10), stream.STDDEV(steps, 20))
        handles.append((stream.STOCH(h, lo, c, 14, 3, 0, 3, 0), stream.ATR(h, lo, c, 14), stream.RSI(c, 14),
                        *deviations, *averages))  # fmt: skip
    seconds = []
    for h_row, low_row, c_row in zip(*(v[:, told].T.tolist() for v in (high, low, close)), strict=True):
        began = time.perf_counter()
        for of_ticker, h_now, low_now, now in zip(handles, h_row, low_row, c_row, strict=True):
            stochastic, true_range, strength, *of_steps = of_ticker
            stochastic.update(h_now, low_now, now)
            true_range.update(h_now, low_now, now)
            strength.update(now)
            for handle in of_steps:
                handle.update(1e-4)
        seconds.append(time.perf_counter() - began)
    return 1e6 * median(seconds)
