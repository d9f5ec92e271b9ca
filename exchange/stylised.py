"""Does the synthetic market look like a market? Its stylised facts, measured on five-minute bars.

The list is Cont's ("Empirical properties of asset returns", 2001) as far as a session shows it: no
autocorrelation of returns, heavy tails that thin out over longer returns, clustering of volatility, volume
that goes with volatility; and what every trader of NSE knows: the U of volume and volatility, gaps,
stocks that go with the index and more so with their industry. Floats here: these are measurements, no
price comes of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from exchange.edges import BAR_S, Shock
from exchange.levels import length_s, spans_of
from exchange.synthetic import SyntheticMarket
from rulebook.hours import Calendar, SymbolClass

Floats = NDArray[np.float64]
OPENS_S = 33_300
BARS = 72  # from the open; what all classes of stocks have
LAGS = (1, 2, 3, 6, 12, 24)
DEVIATIONS = (1, 2, 3, 4, 5, 6)

# What is measured where figures are shown: two stocks of each of four industries, the leaders among them.
SAMPLE = ("HDFCBANK", "ICICIBANK", "INFY", "TCS", "TATASTEEL", "JSWSTEEL", "MARUTI", "M&M")


@dataclass(frozen=True, slots=True)
class Panel:
    """Days x stocks x bars: log returns and volumes; and the gaps of the nights between."""

    returns: Floats
    volumes: Floats
    gaps: Floats  # days - 1 x stocks
    tickers: tuple[str, ...]
    industries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Averages over stocks."""

    daily_volatility: Floats  # close to close, of each stock
    kurtosis_bar: float
    kurtosis_session: float
    autocorrelation: Floats  # of returns, at LAGS
    clustering: Floats  # autocorrelation of their size without the time of day, at LAGS
    volatility_by_time: Floats  # of each bar, in parts of the day's mean
    volume_by_time: Floats
    volume_with_volatility: float  # of a bar's log volume and size, correlation without the time of day
    across_industries: float  # correlation of bars
    within_industries: float
    gap_to_session: float  # standard deviations
    beyond: Floats  # share of bars further than DEVIATIONS from 0, without the time of day


def ordinary_days(calendar: Calendar, first: date, last: date) -> list[date]:
    """Sessions of whole length for every class of stock."""
    return [
        day
        for day in calendar.sessions_between(first, last)
        if all(
            spans_of(calendar.session_of(day, symbol_class))[0][0] == OPENS_S
            and length_s(calendar.session_of(day, symbol_class)) >= BARS * BAR_S
            for symbol_class in SymbolClass
        )
    ]


def panel(market: SyntheticMarket, tickers: Sequence[str], days: Sequence[date]) -> Panel:
    """Days must be of ordinary hours."""
    opens, closes, volumes = (np.zeros((len(days), len(tickers), *bars)) for bars in ((), (BARS,), (BARS,)))
    for i, day in enumerate(days):
        for j, ticker in enumerate(tickers):
            opens[i, j], closes[i, j], volumes[i, j] = _session(market, ticker, day)
    levels = np.log(np.concatenate([opens[:, :, None], closes], axis=2))
    industry = {listing.ticker: listing.industry for listing in market.listings}
    return Panel(
        returns=np.diff(levels, axis=2),
        volumes=volumes,
        gaps=levels[1:, :, 0] - levels[:-1, :, -1],
        tickers=tuple(tickers),
        industries=tuple(industry[ticker] for ticker in tickers),
    )


def facts(found: Panel) -> Facts:
    returns, volumes = found.returns, found.volumes
    by_time = np.abs(returns).mean(axis=(0, 1))
    scaled = returns / by_time
    size = np.abs(scaled)
    busy = np.log(volumes + 1) - np.log(volumes + 1).mean(axis=(0, 1))
    sessions = returns.sum(axis=2)
    across, within = _together(scaled, found.industries)
    closes = sessions[1:] + found.gaps
    return Facts(
        daily_volatility=closes.std(axis=0),
        kurtosis_bar=_over_stocks(scaled, kurtosis),
        kurtosis_session=_over_stocks(sessions[:, :, None], kurtosis),
        autocorrelation=np.array([lagged(scaled, lag) for lag in LAGS]),
        clustering=np.array([lagged(size, lag) for lag in LAGS]),
        volatility_by_time=by_time / by_time.mean(),
        volume_by_time=volumes.mean(axis=(0, 1)) / volumes.mean(),
        volume_with_volatility=float(
            np.mean([np.corrcoef(size[:, j].ravel(), busy[:, j].ravel())[0, 1] for j in range(size.shape[1])])
        ),
        across_industries=across,
        within_industries=within,
        gap_to_session=float(np.mean(found.gaps.std(axis=0) / sessions.std(axis=0))),
        beyond=np.array([(size > k * scaled.std(axis=(0, 2), keepdims=True)).mean() for k in DEVIATIONS]),
    )


def after_shocks(market: SyntheticMarket, tickers: Sequence[str], days: Sequence[date]) -> dict[bool, Floats]:
    """The mean path after true shocks and after fakes, in basis points and in the shock's direction.

    From the close of the shock's bar, at the end of each of the 12 bars that follow; the market's own move
    is left in, it averages out.
    """
    paths: dict[bool, list[Floats]] = {True: [], False: []}
    for day in days:
        for ticker in tickers:
            _, closes, _ = _session(market, ticker, day)
            for shock in market.shocks(ticker, day):
                bar = _bar_of(shock, market, day)
                after = closes[bar : bar + 13]
                if len(after) == 13:
                    path = shock.direction * np.log(after / after[0]) * 10_000
                    paths[shock.is_true].append(path)
    return {is_true: np.mean(found, axis=0) for is_true, found in paths.items() if found}


@dataclass(frozen=True, slots=True)
class BookFacts:
    """Averages over the rows of a session in which both sides stand."""

    spread_bp: float
    levels: float  # of a side
    touch_rupees: float  # what the best level of a side is worth
    behind: float  # the fifth level's size in parts of the first one's


def book(market: SyntheticMarket, ticker: str, day: date, every: int = 50) -> BookFacts:
    tape = market.tape(ticker, day)
    depths = [tape.depth(row) for row in range(0, len(tape.seconds), every)]
    found = [depth for depth in depths if depth.bids and depth.asks]
    bids = np.array([depth.bids[0] for depth in found], np.float64)
    asks = np.array([depth.asks[0] for depth in found], np.float64)
    fifth = [side[-1].qty for depth in found for side in depth]
    touch = np.concatenate([bids[:, 1], asks[:, 1]])
    return BookFacts(
        spread_bp=float(((asks[:, 0] - bids[:, 0]) / bids[:, 0]).mean() * 10_000),
        levels=float(np.mean([len(side) for depth in found for side in depth])),
        touch_rupees=float((touch * np.concatenate([bids[:, 0], asks[:, 0]])).mean() / 100),
        behind=float(np.mean(fifth) / touch.mean()),
    )


def circuit_days(
    market: SyntheticMarket, tickers: Sequence[str], days: Sequence[date]
) -> list[tuple[str, date]]:
    """Sessions that closed at a circuit limit; days in a row, the last one only tells the close before."""
    return [
        (ticker, day)
        for ticker in tickers
        for day, following in pairwise(days)
        if market.previous_close(ticker, following) in market.circuit(ticker, day)
    ]


def kurtosis(values: Floats) -> float:
    """3 of a Gaussian."""
    centred = values - values.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2)


def lagged(values: Floats, lag: int) -> float:
    """Autocorrelation within sessions, over stocks; days x stocks x bars."""
    centred = values - values.mean(axis=(0, 2), keepdims=True)
    return float((centred[:, :, lag:] * centred[:, :, :-lag]).mean() / (centred**2).mean())


def _session(market: SyntheticMarket, ticker: str, day: date) -> tuple[float, Floats, Floats]:
    """The first price, and each bar's close and volume; a bar without a trade keeps the close before it."""
    bars = market.tape(ticker, day).bars(day, BAR_S)
    slot = (bars.opened_s - bars.opened_s[0]) // BAR_S
    inside = slot < BARS
    latest = np.zeros(BARS, np.int64)
    latest[slot[inside]] = np.arange(len(slot))[inside]
    volumes = np.zeros(BARS)
    volumes[slot[inside]] = bars.volume[inside]
    return float(bars.open[0]), bars.close[np.maximum.accumulate(latest)].astype(np.float64), volumes


def _bar_of(shock: Shock, market: SyntheticMarket, day: date) -> int:
    opens_s = market.tape(shock.ticker, day).seconds[0] // BAR_S * BAR_S
    return (shock.at_s - opens_s) // BAR_S


def _over_stocks(values: Floats, measure: Callable[[Floats], float]) -> float:
    return float(np.mean([measure(values[:, j].ravel()) for j in range(values.shape[1])]))


def _together(returns: Floats, industries: Sequence[str]) -> tuple[float, float]:
    """Mean correlations of bars: of pairs of different industries and of pairs of the same one."""
    stocks = len(industries)
    correlations: Floats = np.asarray(np.corrcoef(returns.transpose(1, 0, 2).reshape(stocks, -1)))
    pairs = [(i, j) for i in range(stocks) for j in range(i)]
    across = [correlations[i, j] for i, j in pairs if industries[i] != industries[j]]
    within = [correlations[i, j] for i, j in pairs if industries[i] == industries[j]]
    return float(np.mean(across)), float(np.mean(within))
