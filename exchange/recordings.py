"""What was recorded of each ticker? A folder of parquet as fetch.py writes it, read and checked by data.py.

Candles are read when they are first asked for, so that an exchange of fifty tickers is ready at once; only
the ticks are looked up before, for they stand in the instruments list. What a candle file cannot say comes
from the table of the synthetic market where the stock is in it; else it is made up, the same every time.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from candle_store import FILLED, PRICES, path_of, read_candles
from exchange.listings import (
    FIRST_DAY,
    FNO_BAND_PERCENT,
    INDEX_TICKER,
    Profile,
    index_listing,
    known,
    tick_of,
)
from exchange.nouns import Listing
from exchange.tapes import Bars, midnight_s
from outcome import DataError
from rulebook.bars import MINUTES
from rulebook.hours import SymbolClass
from rulebook.records import Paise

FINEST_FIRST = ("1m", "3m", "5m", "15m", "1h")
BAND_PERCENT = 20  # of a stock that is not in the table
TICKS = (500, 100, 50, 10, 5)
TICK_BEFORE_SLABS = 5  # of every price until April 2025

# How folders spell indices, and the broker's symbols and tokens of them.
INDICES = {
    "NIFTY50": INDEX_TICKER,
    "NIFTY 50": INDEX_TICKER,
    "INDIAVIX": "INDIA VIX",
    "INDIA VIX": "INDIA VIX",
}
VIX_TOKEN = 1_031
TOKENS_FROM, TOKENS = 100_000, 8_000_000  # of unknown stocks: above those that NSE has given out

DAY_S, PAISE = 86_400, 100
_IST_S = 19_800


@dataclass(eq=False)
class Recording:
    """One ticker's file; `name` is its folder's."""

    folder: Path
    name: str
    timeframe: str
    listing: Listing

    @property
    def length_s(self) -> int:
        return 60 * MINUTES[self.timeframe]

    @property
    def first_day(self) -> date:
        return day_of(int(self.bars.opened_s[0]))

    @property
    def last_day(self) -> date:
        return day_of(int(self.bars.opened_s[-1]))

    @cached_property
    def bars(self) -> Bars:
        """All that were traded, in paise; what was filled in where nothing traded is left out."""
        frame = read_candles(self.folder, self.name, self.timeframe)
        stamps = frame["timestamp"].to_numpy("datetime64[s]").astype(np.int64)
        opened, high, low, close = (_whole(frame[name].to_numpy(np.float64) * PAISE) for name in PRICES)
        bars = Bars(stamps, opened, high, low, close, _whole(frame["volume"].to_numpy(np.float64)))
        is_traded = np.ones(len(stamps), np.bool_)
        if FILLED in frame.columns:
            is_traded &= ~frame[FILLED].to_numpy(np.bool_)
        if not self.listing.is_index:
            is_traded &= (bars.volume > 0) | (bars.high != bars.low)
        if not is_traded.any():
            raise DataError(f"{path_of(self.folder, self.name, self.timeframe)} holds no trade; remove it")
        return only(bars, is_traded)

    @cached_property
    def profile(self) -> Profile:
        """What sizes and spreads of the book go by: an average day of the whole recording."""
        days = len(np.unique((self.bars.opened_s + _IST_S) // DAY_S))
        is_fno = self.listing.symbol_class is SymbolClass.FNO
        return Profile(
            listing=self.listing,
            base=Paise(int(self.bars.close[-1])),
            day_shares=max(1, int(self.bars.volume.sum()) // days),
            volatility_bp=0,  # nothing is drawn for it
            beta_percent=0,
            float_shares=0,
            band_percent=FNO_BAND_PERCENT if is_fno else BAND_PERCENT,
            listed_on=FIRST_DAY,
        )

    def on(self, day: date) -> Bars:
        return _between(self.bars, midnight_s(day), midnight_s(day) + DAY_S)

    def before(self, day: date) -> Bars:
        """Of the last recorded day before that one; none before the first."""
        end = int(np.searchsorted(self.bars.opened_s, midnight_s(day)))
        return self.on(day_of(int(self.bars.opened_s[end - 1]))) if end else _between(self.bars, 0, 0)


def recordings(folder: Path) -> dict[str, Recording]:
    """By ticker, in the order of their names."""
    found = [
        Recording(folder, inside.name, timeframe, _listing(folder, inside.name, timeframe))
        for inside in sorted(folder.iterdir() if folder.is_dir() else [])
        if (timeframe := _finest(folder, inside.name)) is not None
    ]
    if not found:
        remedy = (
            "a folder like data/raw is wanted, with TICKER/1m.parquet in it; python fetch.py history makes it"
        )
        raise DataError(f"no candles under {folder}: {remedy}")
    return {recording.listing.ticker: recording for recording in found}


def day_of(opened_s: int) -> date:
    """The day in India on which a candle opened."""
    return date(1970, 1, 1) + timedelta(days=(opened_s + _IST_S) // DAY_S)


def only(bars: Bars, which: NDArray[np.bool_]) -> Bars:
    return Bars(*(column[which] for column in bars))


def _between(bars: Bars, from_s: int, until_s: int) -> Bars:
    first, last = np.searchsorted(bars.opened_s, (from_s, until_s)).tolist()
    return Bars(*(column[first:last] for column in bars))


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(values).astype(np.int64)


def _finest(folder: Path, name: str) -> str | None:
    return next((frame for frame in FINEST_FIRST if path_of(folder, name, frame).exists()), None)


# --- what the instruments list says of it ---------------------------------------------------------


def _listing(folder: Path, name: str, timeframe: str) -> Listing:
    if name in INDICES:
        ticker, nifty = INDICES[name], index_listing()
        token = nifty.exchange_token if ticker == INDEX_TICKER else VIX_TOKEN
        return replace(nifty, ticker=ticker, name=ticker, exchange_token=token)
    profile = known(name)
    tick = _tick(path_of(folder, name, timeframe))
    if profile is not None:
        return replace(profile.listing, tick=tick)
    token = TOKENS_FROM + int.from_bytes(sha256(name.encode()).digest()[:4], "big") % TOKENS
    return Listing(name, name, token, tick, symbol_class=SymbolClass.OTHER)


def _tick(path: Path) -> Paise:
    """The widest one that its slab allows and all its prices lie on: adjusted ones lie on none."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            table = file.read(columns=list(PRICES))
        prices = [_whole(table[name].to_numpy() * PAISE) for name in PRICES]
    except (ArrowException, LookupError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read ({reason}); fetch it again") from None
    widest = max(tick_of(Paise(int(prices[0][-1]))), TICK_BEFORE_SLABS) if len(table) else 1
    fitting = (tick for tick in TICKS if tick <= widest and not any((each % tick).any() for each in prices))
    return Paise(next(fitting, 1))
