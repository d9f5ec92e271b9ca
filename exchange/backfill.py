"""How are years of the synthetic market's minutes made at once? Month by month, on every core.

A market makes what it is asked for and needs nothing of this. But a user who fetches two years of fifty
stocks should not wait for them page by page: made beforehand they are read from the shelf (kept.py). A
month is made for all tickers together, because they share the market's and the industries' walks and the
index is made of their paths. Months need nothing of each other, so they are dealt out to processes.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from exchange.edges import Edge
from exchange.kept import month_of, months_between
from exchange.synthetic import SyntheticMarket
from exchange.tapes import joined
from rulebook.hours import Calendar


class Recipe(NamedTuple):
    """A synthetic market in values that travel to another process."""

    seed: int
    calendar: Calendar
    symbols: int
    edges: tuple[Edge, ...]
    cache: Path


def make_history(recipe: Recipe, first: date, last: date, workers: int = 1) -> int:
    """Put all minutes of these days' months on the shelf; answers how many files were not there before.

    More than one worker: each is a fresh Python, so the caller's own main module must be safe to import.
    """
    months = months_between(first, last)
    if workers <= 1:
        return _make(recipe, months)
    dealt = [months[worker::workers] for worker in range(min(workers, len(months)))]
    with ProcessPoolExecutor(len(dealt), get_context("spawn")) as pool:
        return sum(pool.map(_make, [recipe] * len(dealt), dealt))


def _make(recipe: Recipe, months: Sequence[date]) -> int:
    _keep_freed_memory()
    market = SyntheticMarket(*recipe)
    return sum(_make_month(market, month) for month in months)


def _make_month(market: SyntheticMarket, month: date) -> int:
    shelf = market.shelf
    assert shelf is not None, "history is made for a cache"
    wanted = [found.ticker for found in market.listings if not shelf.has(found.ticker, month)]
    days = [[market.fresh_bars(ticker, day) for ticker in wanted] for day in month_of(market.calendar, month)]
    for ticker, parts in zip(wanted, zip(*days, strict=True), strict=True):
        shelf.put(ticker, month, joined(parts))
    return len(wanted)


def _keep_freed_memory() -> None:
    """glibc learns from the first large block that is freed not to return 180 kB arrays to the system.

    Without it each session takes 100 page faults, and a tenth more time; elsewhere it costs nothing.
    """
    del (block := [np.empty(3 << 20, np.int64)])[0]
    assert not block
