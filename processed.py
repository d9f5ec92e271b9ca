"""Which features belong to the candles on disk, and are those on disk still of them? data/processed.

One file for each ticker and timeframe, with the version of the features and a hash of all that they depend
on: settings, the candles of every ticker (a market's mean knows them all), our own code. What is stale is
made anew, what is not is left; a loader that meets another version or hash stops and says so.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import candle_store
import fast
from among import Leads, led, new_leads, of_market, peers_of
from features import NAMES, OF_MARKET, VERSION_1, Bars, history, new_state
from files import write_atomically
from outcome import DataError
from sessions_grid import NOTHING, Grid, Places, opened_s, sorted_union

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
Table = NDArray[np.float32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
RAN_BY = "python fetch.py --fn run_imputation"
THREADS = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the columns of one timeframe are made by."""

    version: int
    lookback: int
    grid: Grid
    industries: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        return NAMES[self.version]


@dataclass(frozen=True, slots=True)
class Columns:
    """One ticker's features, a row for each bar inside a session."""

    opened_s: Ints
    values: Table


# --- candles to columns -----------------------------------------------------------------------------------


def columns_of(frames: Mapping[str, "pd.DataFrame"], recipe: Recipe) -> dict[str, Columns]:
    """Of all tickers together; DataError names one that cannot be told."""
    with ThreadPoolExecutor(THREADS, "features") as pool:  # compiled code lets the others run
        list(pool.map(lambda ticker: require_sound(ticker, frames[ticker], recipe.grid), frames))
        moments = moments_of(frames.values(), recipe.grid)
        made = pool.map(lambda ticker: _own(frames[ticker], moments, recipe), frames)
        found = dict(zip(frames, made, strict=True))
    if recipe.version > 1:
        _add_market(found, moments, recipe)
    return found


def require_sound(ticker: str, frame: "pd.DataFrame", grid: Grid) -> None:
    complaint = candle_store.complaint_about(frame)
    if complaint:
        raise DataError(f"features of {ticker} {grid.timeframe}: {complaint}")


def _own(frame: "pd.DataFrame", moments: "Moments", recipe: Recipe) -> Columns:
    """What its own bars tell."""
    stamps, bars = bars_of(frame, recipe.grid, moments)
    values = np.zeros((len(stamps), len(recipe.names)), np.float32)
    fast.compiled(history)(new_state(1, recipe.lookback), 0, bars, values)
    return Columns(stamps, values)


@dataclass(frozen=True, slots=True)
class Moments:
    """When any ticker has a bar, and where in its session that is: asked for once, not by every ticker.

    For two years of five minutes it takes 100 ms, and one ticker's own features take 12.
    """

    opened_s: Ints
    places: Places

    def of(self, opened: Ints) -> Places:
        """Of some of them."""
        rows = np.searchsorted(self.opened_s, opened)
        return Places._make(each[rows] for each in self.places)


def moments_of(frames: Iterable["pd.DataFrame"], grid: Grid) -> Moments:
    stamps = sorted_union(NOTHING, np.concatenate([NOTHING, *map(opened_s, frames)]))
    return Moments(stamps, grid.places(stamps))


def bars_of(frame: "pd.DataFrame", grid: Grid, moments: Moments | None = None) -> tuple[Ints, Bars]:
    """The bars inside sessions, each with its place in its own."""
    stamps = opened_s(frame)
    place = grid.places(stamps) if moments is None else moments.of(stamps)
    inside = place.minute >= 0
    frame, stamps = frame[inside], stamps[inside]
    numbers = {name: frame[name].to_numpy(np.float64) for name in (*candle_store.PRICES, "volume")}
    filled = (
        frame[candle_store.FILLED].to_numpy(bool)
        if candle_store.FILLED in frame.columns
        else np.zeros(len(stamps), bool)
    )
    minute, session = place.minute[inside], place.session[inside]
    length = np.minimum(grid.length_s // 60, session - minute)
    is_first = np.diff(place.midnight_s[inside], prepend=-1) != 0
    is_early = place.is_early[inside]
    return stamps, Bars(**numbers, is_filled=filled, is_first=is_first, minute=minute, length=length,
                        session=session, is_early=is_early)  # fmt: skip


def _add_market(found: Mapping[str, Columns], moments: Moments, recipe: Recipe) -> None:
    """The last columns: the others' bars of the same moment."""
    groups = groups_of(tuple(found), recipe)
    inside = moments.places.minute >= 0
    stamps, midnight_s = moments.opened_s[inside], moments.places.midnight_s[inside]
    rows = {ticker: np.searchsorted(stamps, each.opened_s) for ticker, each in found.items()}
    first, volume = np.zeros((2, len(stamps), len(found)))
    is_there = np.zeros(first.shape, np.bool_)
    for s, (ticker, each) in enumerate(found.items()):
        first[rows[ticker], s], volume[rows[ticker], s] = each.values[:, 0], each.values[:, VERSION_1]
        is_there[rows[ticker], s] = True
    is_first = np.diff(midnight_s, prepend=-1) != 0
    out = market_of(first, volume, is_there, is_first, groups, new_leads(len(found)))
    for s, (ticker, each) in enumerate(found.items()):
        each.values[:, -len(OF_MARKET) :] = out[rows[ticker], s]


@dataclass(frozen=True, slots=True)
class Groups:
    """Of each ticker the number of its industry, and the others of it."""

    industry: Ints
    peers: Ints


def groups_of(tickers: Sequence[str], recipe: Recipe) -> Groups:
    names = [recipe.industries.get(ticker, ticker) for ticker in tickers]  # unknown: an industry of its own
    _, numbers = np.unique(names, return_inverse=True)
    industry = numbers.astype(np.int64)
    return Groups(industry, peers_of(industry))


def market_of(
    first: Floats, volume: Floats, is_there: Flags, is_first: Flags, groups: Groups, leads: Leads
) -> Table:
    """The last columns of some rows, row x ticker; `leads` is carried on."""
    out = np.zeros((*first.shape, len(OF_MARKET)), np.float32)
    room = np.zeros((int(groups.industry.max(initial=-1)) + 2, 2))
    fast.compiled(of_market)(first, is_there, groups.industry, room, out)
    fast.compiled(led)(first, volume, is_there, is_first, groups.peers, leads, out)
    return out


# --- on disk ----------------------------------------------------------------------------------------------


def path_of(processed: Path, ticker: str, timeframe: str) -> Path:
    return processed / ticker / f"{timeframe}.parquet"


def build(
    raw: Path, processed: Path, tickers: Sequence[str], recipe: Recipe, told: Callable[[str], None]
) -> int:
    """Make what is stale; how many files that were."""
    key = recipe_hash(raw, tickers, recipe)
    timeframe = recipe.grid.timeframe
    old = _other_than(key, processed, tickers, timeframe)
    if not old:
        return 0
    told(f"features of {timeframe}: {len(old)} of {len(tickers)} files are stale")
    frames = {name: candle_store.read_candles(raw, name, timeframe) for name in tickers}
    for name, columns in columns_of(frames, recipe).items():
        if name in old:
            _write(path_of(processed, name, timeframe), columns, recipe, key)
    return len(old)


def stale(raw: Path, processed: Path, tickers: Sequence[str], recipe: Recipe) -> list[str]:
    """Whose features are not of the candles as they are now."""
    return _other_than(recipe_hash(raw, tickers, recipe), processed, tickers, recipe.grid.timeframe)


def _other_than(key: str, processed: Path, tickers: Sequence[str], timeframe: str) -> list[str]:
    return [name for name in tickers if _key_of(path_of(processed, name, timeframe)) != key]


def load(raw: Path, processed: Path, tickers: Sequence[str], recipe: Recipe) -> dict[str, Columns]:
    """What `build` made of the candles as they are now; DataError for anything else."""
    key = recipe_hash(raw, tickers, recipe)

    def loaded(ticker: str) -> Columns:
        return _read(path_of(processed, ticker, recipe.grid.timeframe), key, recipe)

    with ThreadPoolExecutor(THREADS, "load") as pool:
        return dict(zip(tickers, pool.map(loaded, tickers), strict=True))


def _read(path: Path, key: str, recipe: Recipe) -> Columns:
    """A column is one copy: the rows of `values` lie across, as the file's columns do."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path, memory_map=True) as file:
            _require(path, file.schema_arrow.metadata or {}, key, recipe)
            table = file.read(use_threads=False)
    except (ArrowException, OSError):
        raise DataError(f"{path} is missing or cannot be read; make it with: {RAN_BY}") from None
    columns = np.empty((len(recipe.names), len(table)), np.float32)
    for column, name in zip(columns, recipe.names, strict=True):
        column[:] = table[name].to_numpy()
    return Columns(table["timestamp"].cast("int64").to_numpy() // 10**9, columns.T)


def recipe_hash(raw: Path, tickers: Sequence[str], recipe: Recipe) -> str:
    """Of everything that the columns depend on; another key, other columns."""
    timeframe = recipe.grid.timeframe
    parts: Iterable[str] = (
        f"{recipe.version} {timeframe} {recipe.lookback} {recipe.grid.symbol_class}",
        *(f"{name} {recipe.industries.get(name, '')}" for name in sorted(tickers)),
        *_hashes([candle_store.path_of(raw, name, timeframe) for name in sorted(tickers)]),
        fast.sources_hash(),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _hashes(paths: Sequence[Path]) -> list[str]:
    with ThreadPoolExecutor(THREADS, "hash") as pool:
        return list(pool.map(lambda path: hashlib.sha256(_bytes_of(path)).hexdigest(), paths))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; get it with: python fetch.py history impute") from None


def _write(path: Path, columns: Columns, recipe: Recipe, key: str) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    arrays = {"timestamp": pa.array(columns.opened_s * 10**9).cast(pa.timestamp("ns", "UTC"))}
    arrays |= {name: pa.array(columns.values[:, number]) for number, name in enumerate(recipe.names)}
    about = {"FEATURE_SPEC_VERSION": str(recipe.version), "settings_hash": key}
    buffer = BytesIO()
    # No value comes twice: looking for a dictionary took seven eighths of the time (107 ms to 14 ms), and
    # packing saves a fifth of the file for a quarter of the time that reading it takes.
    table = pa.table(arrays).replace_schema_metadata(about)
    write_table(table, buffer, compression="none", use_dictionary=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def _about(path: Path) -> dict[bytes, bytes]:
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        return read_schema(path).metadata or {}
    except (ArrowException, OSError):
        return {}


def _key_of(path: Path) -> str:
    return _about(path).get(b"settings_hash", b"").decode()


def _require(path: Path, about: Mapping[bytes, bytes], key: str, recipe: Recipe) -> None:
    version = about.get(b"FEATURE_SPEC_VERSION", b"").decode()
    if version != str(recipe.version):
        raise DataError(f"{path} holds features of version {version}, not {recipe.version}; run: {RAN_BY}")
    if about.get(b"settings_hash", b"").decode() != key:
        raise DataError(f"{path} was made of other candles or settings; make it anew with: {RAN_BY}")
