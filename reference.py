"""What would the best trader earn who knows a planted market's hidden state, but not the noise to come?

Theory of operation
-------------------
At a bar's close the reference knows what `Planted` hides: how many bars of drift are to come, how large each
is, how volatile the stock is. It draws futures to the day's end from the process itself, puts them behind the
bars that the stop's distance needs, and has the rule book walk them, as tickers of one table that never meet:

    flat, a drift runs    enter now, or at the next bar, which is what waiting is worth
    in a trade            leave now, or stay

To enter and to stay are each worth the better of two plans: until the rules close the trade, or until the
drift is over. A plan is only for its value; at the next bar everything is asked anew. Then, in the account:

    enters   where now is worth more than later and than ENTRY_R, for a day has few entries and the good ones
             may come late. All of these speak; confidence grows with R, so that the contest takes the best.
    leaves   where leaving is worth more than staying, beyond doubt; and where all places are taken and YIELDS
             of what the best that is left out would earn, entered a bar later, is more than the weakest trade
             earns by staying (a place may come free without it). It leaves by an opposite signal of no
             confidence, said only while the trade is open.

It would be the best policy but for what it leaves out: events to come (drawn, they changed nothing that could
be measured), the quiet and busy bars before one (taken for slow volatility), a second trade in the same drift
(counted, it uses up entries: 16.9 became 16.0 R a day), the day's loss limit. ENTRY_R, YIELDS and DOUBT were
chosen on days 16 to 199 of seven markets of seeds 11 to 13, where they add 0.45 R a day to 14.3; half and
twice of the first two is worse. The noise of a case depends on its row, its ticker and the seed alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import fast
from market import PAISE, Market
from planted import BARS, SIGMA, STEPS, Planted, _hour, prices, substeps
from rulebook import tables
from rulebook.bars import ATR_BARS, next_atr, true_range
from rulebook.outcomes import net_r
from rulebook.rules import STOP, TRAIL, Rules, is_rested
from rulebook.tables import Fixed, Table

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
PATHS = 100
ENTRY_R, YIELDS = 0.25, 0.4
DOUBT = 2.0  # standard errors; after a drift staying is worth 0.12 R, for a stop is filled at its price
DAYS_AT_ONCE = 50  # side by side; memory grows with it
KEPT, NEWS = 0.97, 0.08  # of slow volatility, from bar to bar, in logs; a test holds them to planted.py
SURE = 0.5  # in futures: an entry is surer, a leaving signal is not and enters nothing


def signals(
    planted: Planted, market: Market, rules: Rules, days: Sequence[int] | Ints, seed: int, paths: int = PATHS
) -> fast.Signals:
    """For the whole table; silence but on these days (numbers). `paths` are rounded down to pairs."""
    scene = _scene(planted, market, rules, seed, paths)
    shape = market.table.close.shape
    said = fast.Signals(np.zeros(shape, np.int8), np.zeros(shape))
    for opening_rows in _alike(market, np.unique(days)):
        for bar in range(BARS - 1):
            _speak(scene, opening_rows + bar, said)
    return said


# --- what is known --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scene:
    """What is known at each row of each ticker of the market, and what it is weighed with."""

    market: Market
    rules: Rules
    left: Ints
    step: Floats
    sigma: Floats
    atr_milli: Ints
    seed: int
    pairs: int


def _scene(planted: Planted, market: Market, rules: Rules, seed: int, paths: int) -> _Scene:
    if len(planted.left) != len(market.table.close):
        raise ValueError(
            f"{len(planted.left)} planted bars, {len(market.table.close)} in the market: load it from the "
            "candles of this very Planted"
        )
    own = [list(planted.frames).index(ticker) for ticker in market.tickers]
    left, step = planted.left[:, own], planted.step[:, own]
    is_drift = (left > 0) & (step != 0)
    return _Scene(
        market, rules, np.where(is_drift, left, 0), np.where(is_drift, step, 0.0), planted.sigma[:, own],
        _atr_milli(market.table), seed, max(1, paths // 2),
    )  # fmt: skip


def _atr_milli(table: Table) -> Ints:
    """As the walk remembers it, at each bar's close."""
    found = np.zeros(table.close.shape, np.int64)
    days = table.day.tolist()
    for s in range(found.shape[1]):
        atr_milli, last = 0, 0
        bars = zip(*(column[:, s].tolist() for column in (table.high, table.low, table.close)), strict=True)
        for row, (high, low, close) in enumerate(bars):
            if row and days[row] != days[row - 1]:
                last = 0
            atr_milli = next_atr(atr_milli, row, true_range(high, low, last))
            found[row, s], last = atr_milli, close
    return found


def _alike(market: Market, days: Ints) -> Iterator[Ints]:
    """The first rows of days of the same hours and charges, some at a time."""
    fixed = market.fixed
    terms = np.concatenate([fixed.start_s, fixed.safe_end_s, fixed.rates], axis=1)[days]
    _, kind = np.unique(terms, axis=0, return_inverse=True)
    for each in range(int(kind.max(initial=-1)) + 1):
        some = days[kind.reshape(-1) == each]
        for first in range(0, len(some), DAYS_AT_ONCE):
            yield np.searchsorted(market.table.day, some[first : first + DAYS_AT_ONCE]).astype(np.int64)


# --- what is said ---------------------------------------------------------------------------------------


class _Case(NamedTuple):
    """A ticker at a bar's close: in a trade of that sign since `decided`, or thinking of one now."""

    row: int
    s: int
    decided: int
    sign: int


class _Worth(NamedTuple):
    """In R: of entering or leaving now, of not doing so now, and what their difference may be by chance."""

    case: _Case
    act: float
    wait: float
    doubt: float = 0.0


def _speak(scene: _Scene, rows: Ints, said: fast.Signals) -> None:
    """At the close of the same bar of several days."""
    open_cases, tired = _account(scene, rows, said)
    busy = tired | {(case.row, case.s) for case in open_cases}
    flat_cases = [
        _Case(row, s, row, int(np.sign(scene.step[row, s])))
        for row in rows.tolist()
        for s in np.flatnonzero(scene.left[row]).tolist()
        if (row, s) not in busy
    ]
    entries, trades = _entries(scene, flat_cases), _trades(scene, open_cases)
    for row in rows.tolist():
        own_entries = [worth for worth in entries if worth.case.row == row]
        _decide(own_entries, [worth for worth in trades if worth.case.row == row], scene.rules, said)


def _account(scene: _Scene, rows: Ints, said: fast.Signals) -> tuple[list[_Case], set[tuple[int, int]]]:
    """Trades that are open at the close of these rows, one a day; and who was stopped out just now.

    The walk goes on to the day's end, but whether a trade has ended by now is a matter of bars until now.
    """
    market, table = scene.market, scene.market.table
    trades = fast.simulate(table, market.fixed, scene.rules, said, market.finer, market.first_fine).trades
    decided = np.searchsorted(table.opened_s, trades[:, tables.T_DECIDED]) - 1
    ended = np.searchsorted(table.opened_s, trades[:, tables.T_EXITED], side="right") - 1
    now = np.full(len(market.days), -1)
    now[table.day[rows]] = rows
    open_cases, tired = [], set()
    for trade, first, last in zip(trades.tolist(), decided.tolist(), ended.tolist(), strict=True):
        row, s = int(now[table.day[first]]), trade[tables.T_TICKER]
        if row < 0:
            continue
        if first < row and trade[tables.T_EXITED] >= table.opened_s[row] + table.length_s:
            open_cases.append(_Case(row, s, first, trade[tables.T_SIGN]))
        elif trade[tables.T_REASON] in (STOP, TRAIL) and not is_rested(row - last, scene.rules):
            tired.add((row, s))
    return open_cases, tired


def _decide(entries: Sequence[_Worth], trades: Sequence[_Worth], rules: Rules, said: fast.Signals) -> None:
    """In one account, at one close."""
    wanted = sorted((each for each in entries if each.act > max(each.wait, 0.0)), key=lambda each: -each.act)
    for each in wanted:
        said.action[each.case.row, each.case.s] = each.case.sign
        said.confidence[each.case.row, each.case.s] = each.act / (1 + each.act)
    staying = [each for each in trades if each.act <= each.wait + each.doubt]
    leaving = [each for each in trades if each.act > each.wait + each.doubt]
    entering = min(len(wanted), max(0, rules.max_concurrent - len(trades)))
    entering = min(entering, 1) if rules.one_entry_a_bar else entering
    left_out = wanted[entering:]
    if left_out and staying and len(staying) + entering >= rules.max_concurrent:
        weakest = min(staying, key=lambda each: each.wait - each.act)
        if YIELDS * max(each.wait for each in left_out) > max(weakest.wait - weakest.act, 0.0):
            leaving.append(weakest)
    for each in leaving:
        said.action[each.case.row, each.case.s] = -each.case.sign


# --- what it is worth -----------------------------------------------------------------------------------


def _entries(scene: _Scene, cases: Sequence[_Case]) -> list[_Worth]:
    if not cases:
        return []
    futures = _futures(scene, cases)
    over = futures.now + futures.left
    now, later = (
        _better(futures, scene.rules, futures.now + wait, over).mean(axis=1) - ENTRY_R for wait in (0, 1)
    )
    return [_Worth(*each) for each in zip(cases, now.tolist(), later.tolist(), strict=True)]


def _trades(scene: _Scene, cases: Sequence[_Case]) -> list[_Worth]:
    if not cases:
        return []
    futures = _futures(scene, cases)
    decided = futures.now - np.array([case.row - case.decided for case in cases])
    is_with_us = np.array([scene.step[case.row, case.s] * case.sign > 0 for case in cases])
    over = futures.now + np.where(is_with_us, futures.left, 1)
    leave = _r(futures, scene.rules, decided, np.full(len(cases), futures.now))
    stay = _better(futures, scene.rules, decided, over)
    doubt = DOUBT * (leave - stay).std(axis=1) / np.sqrt(stay.shape[1])
    found = (leave.mean(axis=1), stay.mean(axis=1), doubt)
    return [_Worth(*each) for each in zip(cases, *(each.tolist() for each in found), strict=True)]


def _better(futures: "_Futures", rules: Rules, entry: Ints | int, over: Ints) -> Floats:
    """Of each case the better plan: until the rules close the trade, or at most until that row."""
    never = np.full(len(over), len(futures.table.close))
    plans = [_r(futures, rules, entry, leave) for leave in (never, over)]
    is_first = plans[0].mean(axis=1) >= plans[1].mean(axis=1)
    return np.where(is_first[:, None], *plans)


def _r(futures: "_Futures", rules: Rules, entry: Ints | int, leave: Ints) -> Floats:
    """By case and path: entered at the close of that row, and left at that one if still open."""
    rows, columns = futures.table.close.shape
    row, sign = np.arange(rows)[:, None], futures.sign
    action = np.where(row >= leave, -sign, np.where(row == entry, sign, 0)).astype(np.int8)
    confidence = np.where(action == sign, 1.0, 0.0)
    paths = columns // len(sign)
    said = fast.Signals(action.repeat(paths, axis=1), confidence.repeat(paths, axis=1))
    trades = fast.simulate(
        futures.table, futures.fixed, _never_meeting(rules, rows, columns), said, room=columns
    ).trades
    r = np.bincount(trades[:, tables.T_TICKER], weights=net_r(trades.T), minlength=columns)
    return np.asarray(r.reshape(-1, paths))


def _never_meeting(rules: Rules, rows: int, columns: int) -> Rules:
    """No column keeps another from anything. One entry less than all could make: for fast.py they are then no
    tickers that stand apart, which would be walked one by one."""
    return rules._replace(
        max_concurrent=columns, max_trades_per_day=rows * columns - 1, one_entry_a_bar=False,
        max_loss_milli=0, max_loss=0, max_total=0, volume_share_milli=0, min_confidence=SURE,
    )  # fmt: skip


# --- what may come --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Futures:
    """Paths of several cases side by side, as tickers of a day; `now` is the row of the close."""

    table: Table
    fixed: Fixed
    now: int
    left: Ints
    sign: Ints


def _futures(scene: _Scene, cases: Sequence[_Case]) -> _Futures:
    """All of the same bar, on days of the same hours and charges."""
    base, row, paths = scene.market.table, cases[0].row, 2 * scene.pairs
    behind, ahead = ATR_BARS + max(case.row - case.decided for case in cases), BARS - 1 - row % BARS
    columns = [np.zeros((behind + ahead, len(cases), paths), np.int32) for _ in range(4)]
    for number, case in enumerate(cases):
        for column, past, drawn in zip(columns, _past(scene, case), _drawn(scene, case), strict=True):
            column[behind - len(past) : behind, number] = past[:, None]
            column[behind:, number] = drawn
    opened, high, low, closed = (column.reshape(behind + ahead, -1) for column in columns)
    after_s = base.length_s * (np.arange(behind + ahead) - (behind - 1))
    day = np.zeros(behind + ahead, np.int64)
    table = Table(
        opened,
        high,
        low,
        closed,
        closed,
        base.opened_s[row] + after_s,
        base.second[row] + after_s,
        day,
        base.length_s,
    )
    own = np.array([case.s for case in cases]).repeat(paths)
    fixed, today = scene.market.fixed, slice(base.day[row], base.day[row] + 1)
    return _Futures(
        table,
        Fixed._make([*(each[own] for each in fixed[:3]), *(each[today] for each in fixed[3:])]),
        behind - 1,
        np.array([scene.left[case.row, case.s] for case in cases]),
        np.array([case.sign for case in cases]),
    )


def _past(scene: _Scene, case: _Case) -> list[Ints]:
    """The trade's bars until now, behind as many as the average range needs to be what it was at its decision
    (the mean of the first ones counts, so they share out its sum)."""
    table, s = scene.market.table, case.s
    whole = int(scene.atr_milli[case.decided, s]) * ATR_BARS // 1_000
    ranges = whole // ATR_BARS + (np.arange(ATR_BARS) < whole % ATR_BARS)
    warm = np.full(ATR_BARS, table.close[case.decided, s], np.int64)
    since = slice(case.decided + 1, case.row + 1)
    found = (warm, warm + ranges, warm, warm)
    return [np.concatenate([each, column[since, s]]) for each, column in zip(found, table[:4], strict=True)]


def _drawn(scene: _Scene, case: _Case) -> list[NDArray[np.int32]]:
    """Open, high, low, close in paise, by bar and path; each draw of noise is used twice, upside down too."""
    row, s, bar = case.row, case.s, case.row % BARS
    rng = np.random.default_rng([scene.seed, row, s])
    ahead, pairs = BARS - 1 - bar, scene.pairs
    noise = substeps(rng, volatility_ahead(rng, float(scene.sigma[row, s]), bar, pairs))
    walk = noise.transpose(0, 2, 1).reshape(ahead * STEPS, pairs).cumsum(axis=0)
    drift = np.where(np.arange(ahead) < scene.left[row, s], scene.step[row, s], 0.0)
    middle = np.log(scene.market.table.close[row, s] / PAISE) + (drift / STEPS).repeat(STEPS).cumsum()
    path = (middle[:, None] + np.concatenate([walk, -walk], axis=1)).reshape(ahead, STEPS, 2 * pairs)
    start = np.full((1, 2 * pairs), np.log(scene.market.table.close[row, s] / PAISE))
    before = np.concatenate([start, path[:-1, -1]])[:, None]
    rupees = prices(np.moveaxis(np.concatenate([before, path], axis=1), 1, -1))
    return [np.rint(each * PAISE).astype(np.int32) for each in rupees]


def volatility_ahead(rng: np.random.Generator, sigma: float, bar: int, paths: int) -> Floats:
    """Of the day's bars after this one, by path: the hour's, times what the slow process does from here."""
    hour = SIGMA * _hour()
    ahead = np.arange(BARS - 1 - bar)
    lag = ahead[:, None] - ahead
    kept = np.where(lag >= 0, KEPT ** np.maximum(lag, 0), 0.0)
    slow = KEPT ** (1 + ahead) * np.log(sigma / hour[bar])
    return np.asarray(
        hour[bar + 1 :, None] * np.exp(slow[:, None] + kept @ rng.normal(0, NEWS, (len(ahead), paths)))
    )
