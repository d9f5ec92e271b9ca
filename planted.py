"""A market with an edge that we put there ourselves: what is in it, and who could know it?

Theory of operation
-------------------
Bars of five minutes for eight stocks in two industries, over real sessions of the calendar. A bar's
volatility follows the hour (a U), a slow process of its own (AR(1) in logs) and fat tails (t of 4 degrees);
volume follows the hour and the size of the move. Twice a day, on average, a stock has an event; its first bar
jumps. A true one is followed by a drift of `drift_bp` basis points over six to nine bars, a fake by nothing:

    shock      a jump with much volume. True: the six bars before were quiet, and the drift goes on with
               the jump. Fake: they were busy.
    reversion  a jump away from the day's average price. True: with little volume, and the drift comes
               back. Fake: with much.
    lead       the first stock of an industry jumps with much volume. True: the industry's others follow.
               Fake: another stock than the first has jumped, and nobody follows.

With `drift_bp` 0 everything else is the same and nothing can be earned. `left` and `step` are what the
reference may know at a bar's close: how many bars of drift are to come, and how large each is. No other
code sees them. The same seed gives the same market.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from candle_store import PRICES
from rulebook.hours import Calendar
from sessions_grid import Grid

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
FIRST_DAY = date(2023, 1, 2)
BARS, STEPS = 75, 6  # of a day, and inside a bar
TICK = 0.05
SIGMA = 0.0015  # of a bar's return at noon
SLOTS = (8, 23, 38, 53)  # an event may begin in the first ten bars from each of these on
EVENT, TRUE = 0.515, 0.5  # chance of a slot to have one, and of that to be true
QUIET, BUSY, BEFORE = 0.5, 1.25, 6
JUMP, LOUD, STILL = (2.2, 4.0), (3.5, 8.0), (0.4, 0.7)
DRIFT_BARS = (6, 9)
INDUSTRY = 4  # stocks in each


class Kind(StrEnum):
    SHOCK = "shock"
    REVERSION = "reversion"
    LEAD = "lead"


@dataclass(frozen=True, slots=True)
class Planted:
    """Candles by ticker, and what is hidden in them: a row for each bar, a column for each ticker."""

    frames: Mapping[str, "pd.DataFrame"]
    industries: Mapping[str, str]
    left: NDArray[np.int64]
    step: Floats
    sigma: Floats


def market(
    kind: Kind, drift_bp: float, seed: int, calendar: Calendar, days: int = 250, tickers: int = 8
) -> Planted:
    rng = np.random.default_rng([seed, *kind.encode()])
    shape = (days, BARS, tickers)
    events = _events(kind, rng, shape)
    sigma = _sigma(rng, shape) * events.calm
    moves, drifts, left = _moves(kind, rng, sigma, events, drift_bp / 1e4)
    volume = _volume(rng, moves, sigma) * events.loud
    names = tuple(f"STOCK{s + 1}" for s in range(tickers))
    frames = _frames(names, moves, volume, rng, _sessions(calendar, days))
    industries = {name: f"Industry {s // INDUSTRY + 1}" for s, name in enumerate(names)}
    flat = (days * BARS, tickers)
    return Planted(frames, industries, left.reshape(flat), drifts.reshape(flat), sigma.reshape(flat))


# --- events ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Events:
    """By day, bar and ticker."""

    kind: NDArray[np.int8]  # 1 true, -1 fake, in an event's first bar
    calm: Floats  # times the volatility
    loud: Floats  # times the volume
    jump: Floats  # in deviations, without a sign
    side: Floats  # of the jump, where the market does not choose it
    bars: NDArray[np.int64]  # of drift


def _events(kind: Kind, rng: np.random.Generator, shape: tuple[int, int, int]) -> _Events:
    days, _, tickers = shape
    jump, side = rng.uniform(*JUMP, shape), rng.choice((-1.0, 1.0), shape)
    bars = rng.integers(DRIFT_BARS[0], DRIFT_BARS[1] + 1, shape)
    found = _Events(np.zeros(shape, np.int8), np.ones(shape), np.ones(shape), jump, side, bars)
    loud, still = rng.uniform(*LOUD, shape), rng.uniform(*STILL, shape)
    for slot in SLOTS:
        at = slot + rng.integers(0, 10, (days, tickers))
        is_event, is_true = rng.random((days, tickers)) < EVENT, rng.random((days, tickers)) < TRUE
        if kind is Kind.LEAD:
            is_true = np.broadcast_to(np.arange(tickers) % INDUSTRY == 0, is_true.shape)
        for d, s in np.argwhere(is_event):
            _put(kind, found, (int(d), int(at[d, s]), int(s)), bool(is_true[d, s]), loud, still)
    return found


def _put(
    kind: Kind, events: _Events, where: tuple[int, int, int], is_true: bool, loud: Floats, still: Floats
) -> None:
    d, bar, s = where
    events.kind[where] = 1 if is_true else -1
    is_quiet_jump = kind is Kind.REVERSION and is_true
    events.loud[where] = still[where] if is_quiet_jump else loud[where]
    if kind is Kind.SHOCK:
        events.calm[d, bar - BEFORE : bar, s] = QUIET if is_true else BUSY


# --- moves ----------------------------------------------------------------------------------------------


def _hour(bars: int = BARS) -> Floats:
    """A U over the session, about 1 on average."""
    place = np.linspace(-1, 1, bars)
    shape = 0.75 + 0.75 * place**2
    return np.asarray(shape / shape.mean())


def _sigma(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    days, bars, tickers = shape
    noise = rng.normal(0, 0.08, (days * bars, tickers))
    slow = np.zeros_like(noise)
    for row in range(1, len(noise)):
        slow[row] = 0.97 * slow[row - 1] + noise[row]
    return SIGMA * _hour()[None, :, None] * np.exp(slow.reshape(shape))


def _moves(
    kind: Kind, rng: np.random.Generator, sigma: Floats, events: _Events, drift: float
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Log moves inside each bar; the drift of the bars to come, each; how many those are."""
    days, bars, tickers = sigma.shape
    steps = substeps(rng, sigma)
    step, left = np.zeros(sigma.shape), np.zeros(sigma.shape, np.int64)
    price, average = np.zeros((days, tickers)), np.zeros((days, tickers))
    for bar in range(bars):
        is_event = events.kind[:, bar] != 0
        away = np.where(price >= average, 1.0, -1.0)
        side = away if kind is Kind.REVERSION else events.side[:, bar]
        steps[:, bar, :, 0] += np.where(is_event, side * events.jump[:, bar] * sigma[:, bar], 0.0)
        if bar:
            steps[:, bar] += np.where(left[:, bar - 1] > 0, step[:, bar - 1], 0.0)[..., None] / STEPS
            left[:, bar], step[:, bar] = np.maximum(left[:, bar - 1] - 1, 0), step[:, bar - 1]
        way, length = _begins(kind, events.kind[:, bar], side, events.bars[:, bar])
        left[:, bar] = np.where(way != 0, length, left[:, bar])
        step[:, bar] = np.where(way != 0, way * drift / np.maximum(length, 1), step[:, bar])
        step[:, bar] = np.where(left[:, bar] > 0, step[:, bar], 0.0)
        price = price + steps[:, bar].sum(axis=-1)
        average = (average * bar + price) / (bar + 1)
    return steps, step, left


def _begins(
    kind: Kind, event: NDArray[np.int8], side: Floats, bars: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64]]:
    """Which way a drift goes that begins after this bar (0: none), and for how many bars."""
    if kind is Kind.SHOCK:
        return np.where(event > 0, side, 0.0), bars
    if kind is Kind.REVERSION:
        return np.where(event > 0, -side, 0.0), bars
    way, length = np.zeros(side.shape), np.zeros(side.shape, np.int64)
    for leader in range(0, side.shape[1], INDUSTRY):
        others = slice(leader + 1, leader + INDUSTRY)
        leads = event[:, leader, None] > 0
        way[:, others] = np.where(leads, side[:, leader, None], way[:, others])
        length[:, others] = np.where(leads, bars[:, leader, None], length[:, others])
    return way, length


def substeps(rng: np.random.Generator, sigma: Floats) -> Floats:
    """Noise inside bars: fat tails, no drift; one more dimension than `sigma`, of the steps."""
    noise = rng.standard_t(4, (*sigma.shape, STEPS)) / np.sqrt(2.0)  # the variance of t(4) is 2
    return np.asarray(noise * (sigma / np.sqrt(STEPS))[..., None])


def _volume(rng: np.random.Generator, moves: Floats, sigma: Floats) -> Floats:
    size = np.abs(moves.sum(axis=-1)) / sigma
    noise = np.exp(rng.normal(0, 0.35, sigma.shape))
    return np.asarray(20_000 * _hour()[None, :, None] * noise * (1 + 0.3 * np.minimum(size, 3)))


# --- candles --------------------------------------------------------------------------------------------


def prices(path: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Open, high, low, close in rupees from log prices inside bars, on the tick; the first is the open."""
    rupees = np.round(np.exp(path) / TICK) * TICK
    return rupees[..., 0], rupees.max(axis=-1), rupees.min(axis=-1), rupees[..., -1]


def _frames(
    names: tuple[str, ...], moves: Floats, volume: Floats, rng: np.random.Generator, stamps: NDArray[np.int64]
) -> dict[str, "pd.DataFrame"]:
    import pandas as pd

    days, bars, tickers, _ = moves.shape
    within = moves.transpose(2, 0, 1, 3).reshape(tickers, days, bars * STEPS).cumsum(axis=-1)
    nights = rng.normal(0, 0.006, (tickers, days))
    start = np.log(rng.uniform(300, 3_000, tickers))[:, None]
    days_before = np.pad(within[:, :-1, -1], ((0, 0), (1, 0)))
    opening = start + np.cumsum(nights + days_before, axis=1)
    path = (opening[..., None] + within).reshape(tickers, days, bars, STEPS)
    before = np.concatenate([opening[..., None, None], path[:, :, :-1, -1:]], axis=2)
    candles = dict(zip(PRICES, prices(np.concatenate([before, path], axis=-1)), strict=True))
    candles["volume"] = np.ceil(volume.transpose(2, 0, 1))
    when = pd.to_datetime(stamps, unit="s", utc=True).as_unit("ns")
    return {
        name: pd.DataFrame({"timestamp": when, **{key: each[s].reshape(-1) for key, each in candles.items()}})
        for s, name in enumerate(names)
    }


def _sessions(calendar: Calendar, days: int) -> NDArray[np.int64]:
    """Opening seconds of the bars of so many ordinary sessions."""
    grid, found = Grid(calendar, "5m"), []
    for day in calendar.sessions_between(FIRST_DAY, date(FIRST_DAY.year + 3, 1, 1)):
        if len(bars := grid.of(day)) == BARS:
            found.append(bars)
        if len(found) == days:
            return np.concatenate(found)
    raise ValueError(f"the calendar has fewer than {days} ordinary sessions from {FIRST_DAY} on")
