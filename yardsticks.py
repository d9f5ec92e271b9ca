"""What else is a taught policy measured against? A rule by hand, and a bound that nobody can reach.

Theory of operation
-------------------
The hand rule looks at closed candles of planted markets alone. Of each bar:

    move      log of close over open, in usual ranges: at that hour (the median of five bars around it on the
              twenty days before) times what those of the last two hours but six bars were to theirs
    volume    over the usual one at that hour, and over what so large a move brings with it (`per_move`)
    calm      the ranges of the six bars before, in usual ones likewise
    is_away   the price before this bar lay beyond the average of the day's closes, where the move goes
    wick      the share of the bar that lies behind its open: one that begins with a jump has none

    shock      much volume, a large move, calm before: with the move
    reversion  little volume for a large move away, no wick: against it
    lead       the first stock of an industry moves with much volume: the others, with it

What it asks for it asks for again at the next closes, `bars` in all, as one ticker only is entered at each.
The thresholds are those of a grid that earn most on the days they are fitted on, walked by the rule book;
where none earns anything, it asks for nothing.

The bound takes, with the future known, the trades of each day that earn most: any bar, side and moment to
leave, none beside another in the same ticker, no more in all than the rules allow a day. Left out, so that
nobody can earn more: places, the contest, rests after a stop, the loss limit. It takes any candles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

import fast
from market import Market
from planted import BARS, Kind
from rulebook import tables
from rulebook.outcomes import NO_TRADE, net_r
from rulebook.rules import Rules

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
DAYS_BEFORE, BARS_AROUND = 20, 2
RECENT, BEFORE = 24, 6  # bars
LITTLE = 1e-4  # a range that is one tick of a cheap stock: no divisor is smaller
OLDER = 0.05  # of confidence, lost at each close
GRID: Mapping[Kind, Mapping[str, tuple[float, ...]]] = {
    Kind.SHOCK: {
        "volume": (1.5, 2.0, 2.5, 3.0, 3.5), "move": (0.5, 0.8, 1.0, 1.3),
        "calm": (0.6, 0.65, 0.7, 0.75, 0.8, 0.9), "bars": (1, 2, 3),
    },
    Kind.REVERSION: {
        "volume": (0.4, 0.5, 0.6, 0.7, 0.8), "move": (1.0, 1.3, 1.6, 2.0, 2.4), "wick": (0.0, 0.05, 1.0),
        "bars": (1, 2, 3),
    },
    Kind.LEAD: {
        "volume": (2.0, 2.5, 3.0, 3.5, 4.0), "move": (0.0, 0.3, 0.6, 0.9), "bars": (2, 3, 4, 5, 6, 7),
    },
}  # fmt: skip


def daily_r(market: Market, rules: Rules, said: fast.Signals, days: Sequence[int] | Ints) -> Floats:
    """Net R of each of these days, walked by the rules, contest and limits included."""
    trades = fast.simulate(market.table, market.fixed, rules, said, market.finer, market.first_fine).trades
    row = np.searchsorted(market.table.opened_s, trades[:, tables.T_DECIDED]) - 1
    found = np.bincount(market.table.day[row], weights=net_r(trades.T), minlength=len(market.days))
    return np.asarray(found[np.asarray(days, np.int64)])


# --- by hand --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HandRule:
    """Thresholds; `per_move` is the log volume that a move of one range brings."""

    kind: Kind
    volume: float
    move: float
    bars: int
    calm: float = np.inf
    wick: float = 1.0
    per_move: float = 0.0


def fitted(
    kind: Kind, market: Market, industries: Mapping[str, str], rules: Rules, days: Sequence[int] | Ints
) -> HandRule:
    """The rule of the grid that earns most on these days; of no `bars` where none does."""
    seen = _observed(market)
    per_move = _per_move(seen, np.isin(market.table.day, days)) if kind is Kind.REVERSION else 0.0
    names, followers = list(GRID[kind]), _followers(market.tickers, industries)

    def earned(rule: HandRule) -> float:
        return float(daily_r(market, rules, _asked(rule, seen, followers, market, days), days).mean())

    open_to_all = HandRule(kind, volume=0.0, move=0.0, bars=1, per_move=per_move)
    grid: list[dict[str, Any]] = [
        dict(zip(names, each, strict=True)) for each in product(*GRID[kind].values())
    ]
    best = max((replace(open_to_all, **each) for each in grid), key=earned)
    return best if earned(best) > 0 else replace(best, bars=0)


def signals(
    rule: HandRule, market: Market, industries: Mapping[str, str], days: Sequence[int] | Ints
) -> fast.Signals:
    """For the whole table; silence but on these days (numbers)."""
    return _asked(rule, _observed(market), _followers(market.tickers, industries), market, days)


@dataclass(frozen=True, slots=True)
class _Observed:
    """By row and ticker."""

    move: Floats
    volume: Floats
    calm: Floats
    is_away: Bools
    wick: Floats


def _observed(market: Market) -> _Observed:
    by_day = (-1, BARS, len(market.tickers))
    opens, highs, lows, closes, volumes = (each.reshape(by_day).astype(float) for each in market.table[:5])
    shape = market.table.close.shape
    usual = np.maximum(_usual(np.log(highs / lows)), LITTLE)
    ranges = (np.log(highs / lows) / usual).reshape(shape)
    recent = np.maximum(np.median(_before(ranges, RECENT, skipped=BEFORE), axis=-1), LITTLE)
    move = np.log(closes / opens)
    average = closes.cumsum(axis=1) / np.arange(1, BARS + 1)[:, None]
    away = (closes - average)[:, :-1] * move[:, 1:] >= 0
    behind = np.where(move > 0, opens - lows, highs - opens) / np.maximum(highs - lows, 1.0)
    return _Observed(
        (move / usual).reshape(shape) / recent,
        (volumes / np.maximum(_usual(volumes), 1.0)).reshape(shape),
        _before(ranges, BEFORE).mean(axis=-1) / recent,
        np.pad(away, ((0, 0), (1, 0), (0, 0))).reshape(shape),
        behind.reshape(shape),
    )


def _usual(values: Floats) -> Floats:
    """By day, bar and ticker: the median around that bar on the days before; on the first day its own."""
    padded = np.pad(values, ((0, 0), (BARS_AROUND, BARS_AROUND), (0, 0)), mode="edge")
    around = sliding_window_view(padded, 2 * BARS_AROUND + 1, axis=1)
    found = values.copy()
    for day in range(1, len(values)):
        found[day] = np.median(around[max(0, day - DAYS_BEFORE) : day], axis=(0, -1))
    return found


def _before(values: Floats, bars: int, skipped: int = 0) -> Floats:
    """By row and ticker: that many values before it, but for the last ones; 1 where there are none yet."""
    first = np.ones((bars + skipped, values.shape[1]))
    window = sliding_window_view(np.concatenate([first, values]), bars, axis=0)
    return np.asarray(window[: len(values)])


def _per_move(seen: _Observed, is_fitted: Bools) -> float:
    """How much more log volume a larger move brings; of ordinary bars, which nine in ten are."""
    move, volume = np.abs(seen.move[is_fitted]), seen.volume[is_fitted]
    is_ordinary = (move < np.quantile(move, 0.9)) & (volume > 0)
    return float(np.polyfit(move[is_ordinary], np.log(volume[is_ordinary]), 1)[0])


def _followers(tickers: Sequence[str], industries: Mapping[str, str]) -> Ints:
    """Whom each ticker looks at: the first of its industry; -1 for those."""
    leaders = {industries[name]: s for s, name in reversed(list(enumerate(tickers)))}
    return np.array(
        [-1 if leaders[industries[n]] == s else leaders[industries[n]] for s, n in enumerate(tickers)]
    )


def _asked(
    rule: HandRule, seen: _Observed, followers: Ints, market: Market, days: Sequence[int] | Ints
) -> fast.Signals:
    side = np.where(_is_event(rule, seen), np.sign(seen.move), 0).astype(np.int8)
    if rule.kind is Kind.REVERSION:
        side = -side
    elif rule.kind is Kind.LEAD:
        side = np.where(followers >= 0, side[:, followers], 0).astype(np.int8)
    side[~np.isin(market.table.day, days)] = 0
    said = fast.Signals(np.zeros_like(side), np.zeros(side.shape))
    bar = np.arange(len(side)) % BARS
    for age in range(rule.bars):
        old = np.roll(side, age, axis=0)
        is_news = (said.action == 0) & (old != 0) & (bar >= age)[:, None]
        said.action[is_news], said.confidence[is_news] = old[is_news], 1 - OLDER * age
    return said


def _is_event(rule: HandRule, seen: _Observed) -> Bools:
    is_large = np.abs(seen.move) > rule.move
    if rule.kind is Kind.REVERSION:
        volume = seen.volume * np.exp(-rule.per_move * np.abs(seen.move))
        return np.asarray(is_large & (volume < rule.volume) & (seen.wick <= rule.wick) & seen.is_away)
    return np.asarray(is_large & (seen.volume > rule.volume) & (seen.calm < rule.calm))


# --- the bound ------------------------------------------------------------------------------------------


def bound(market: Market, rules: Rules, days: Sequence[int] | Ints) -> Floats:
    """More net R than this nobody earns under these rules on each of these days."""
    best = {int(day): np.zeros(0) for day in days}
    for day, worth in _best_trades(market, rules, list(best)).items():
        best[day] = _chosen(worth, rules.max_trades_per_day)
    return np.array([best[int(day)][-1] for day in days])


def _best_trades(market: Market, rules: Rules, days: Sequence[int]) -> dict[int, Floats]:
    """By day: the most that a trade earns, by bar of its decision, bar of its end, and ticker."""
    spans = {day: np.flatnonzero(market.table.day == day) for day in days}
    shape = market.table.close.shape
    found = {day: np.full((len(rows), len(rows), shape[1]), -np.inf) for day, rows in spans.items()}
    for hold_bars in range(1, max(map(len, spans.values()), default=0)):
        outcomes = fast.outcomes(
            market.table,
            market.fixed,
            rules,
            np.full(shape, hold_bars, np.int32),
            market.finer,
            market.first_fine,
        )
        for day, rows in spans.items():
            _keep_best(found[day], outcomes, rows)
    return found


def _keep_best(best: Floats, outcomes: fast.Outcomes, rows: Ints) -> None:
    for side in range(2):
        ended, r = outcomes.exit_row[side, rows], outcomes.r[side, rows]
        bar, s = np.nonzero(ended != NO_TRADE)
        where = (bar, ended[bar, s] - rows[0], s)
        best[where] = np.maximum(best[where], r[bar, s])


def _chosen(best: Floats, most: int) -> Floats:
    """The most that 0, 1 ... `most` trades of a day earn together."""
    total = np.zeros(most + 1)
    for s in range(best.shape[2]):
        own = _alone(best[:, :, s], most)
        total = np.array([max(total[: n + 1] + own[n::-1]) for n in range(most + 1)])
    return total


def _alone(best: Floats, most: int) -> Floats:
    """The same of one ticker: from each bar on, nothing, or a trade and what comes after its end."""
    bars = len(best)
    later = np.zeros((bars + 1, most + 1))
    for bar in range(bars - 1, -1, -1):
        trade = (best[bar, bar + 1 :, None] + later[bar + 1 : bars, :-1]).max(axis=0, initial=-np.inf)
        later[bar] = later[bar + 1]
        later[bar, 1:] = np.maximum(later[bar, 1:], trade)
    return np.asarray(later[0])
