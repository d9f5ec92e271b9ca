"""A running market is told as the batch will tell it: every window of the day, to the bit, whatever came when."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import cache
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candle_file import frame_of
from live_bars import LiveBars
from live_features import LiveFeatures
from outcome import DataError
from panel import Panel, panel
from processed import Recipe, columns_of
from rulebook.bars import path
from rulebook.hours import IST, Calendar, Closure, SymbolClass
from rulebook.records import Bar, Paise
from sessions_grid import Grid, imputed, opened_s, resampled
from tests.candles import calendar, candles, sessions

*DAYS, TOMORROW = sessions(6)
TODAY = DAYS[-1]
TICKERS = ("TCS", "INFY", "SBIN", "HDFC", "LONE")
INDUSTRIES = {"TCS": "IT", "INFY": "IT", "SBIN": "Banks", "HDFC": "Banks"}
LENGTHS_S = {"5m": 300, "15m": 900}
Frames = dict[str, dict[str, pd.DataFrame]]
BarsByTime = dict[str, dict[datetime, dict[str, Bar]]]


@cache
def early_close() -> Calendar:
    """Today ends at 13:00."""
    year = calendar().years[TODAY.year]
    closures = {**year.closures, TODAY: Closure(TODAY, "a short day", time(13))}
    return replace(calendar(), years={**calendar().years, TODAY.year: replace(year, closures=closures)})


@dataclass(frozen=True)
class World:
    """A market, whole: what disk will hold when today is over."""

    frames: Frames
    recipes: Mapping[str, Recipe]

    @property
    def lookbacks(self) -> dict[str, int]:
        return {name: recipe.lookback for name, recipe in self.recipes.items()}

    def live(self, before: datetime | None = None) -> LiveFeatures:
        """Begun with what had closed by then; with the days before today if nothing is said."""
        live = LiveFeatures(TICKERS, self.recipes, self.lookbacks)
        known = {
            name: {
                ticker: cut(frame, before or midnight(TODAY), LENGTHS_S[name])
                for ticker, frame in frames.items()
            }
            for name, frames in self.frames.items()
        }
        live.begin({name: {t: f for t, f in frames.items() if len(f)} for name, frames in known.items()})
        return live

    def today(self) -> BarsByTime:
        return {name: bars_of_day(frames, self.recipes[name].grid) for name, frames in self.frames.items()}

    def panel(self) -> Panel:
        columns = {
            name: columns_of(ordered(frames), self.recipes[name]) for name, frames in self.frames.items()
        }
        return panel(columns, LENGTHS_S)


def ordered(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Sums over the market are made in the order of names, as live."""
    return {ticker: frames[ticker] for ticker in sorted(frames)}


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), IST)


def cut(frame: pd.DataFrame, before: datetime, length_s: int) -> pd.DataFrame:
    """What had closed by then."""
    return frame[opened_s(frame) + length_s <= before.timestamp()].reset_index(drop=True)


def bars_of_day(frames: Mapping[str, pd.DataFrame], grid: Grid) -> dict[datetime, dict[str, Bar]]:
    found: dict[datetime, dict[str, Bar]] = {}
    for ticker, frame in frames.items():
        rows = frame[np.isin(opened_s(frame), grid.of(TODAY))]
        for at_s, row in zip(opened_s(rows).tolist(), rows.to_dict("records"), strict=True):
            opened_at = datetime.fromtimestamp(at_s, IST)
            open_, high, low, close = (
                Paise(round(100 * row[name])) for name in ("open", "high", "low", "close")
            )
            bar = Bar(
                ticker, opened_at, open_, high, low, close, int(row["volume"]), bool(row.get("filled", False))
            )
            found.setdefault(opened_at, {})[ticker] = bar
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Kind:
    """What is out of the ordinary."""

    gaps: float = 0.0  # the share of bars without a trade
    is_filled: bool = True
    calendar: Calendar = field(default_factory=calendar)
    version: int = 2
    lookbacks: tuple[int, int] = (24, 10)
    listed: Mapping[str, int] = field(default_factory=dict)  # by ticker: the row of its first bar
    nobody: tuple[str, ...] = ()  # bars of today that no ticker has, by clock


@cache
def candles_of(ticker: str) -> pd.DataFrame:
    return candles(ticker, [*DAYS, TOMORROW])


def world(kind: Kind, seed: int = 0) -> World:
    rng = np.random.default_rng(seed)
    fine, coarse = (Grid(kind.calendar, name, SymbolClass.OTHER) for name in ("5m", "15m"))
    frames: Frames = {"5m": {}, "15m": {}}
    for ticker in TICKERS:
        frame = candles_of(ticker)
        kept = (rng.random(len(frame)) >= kind.gaps) & (np.arange(len(frame)) >= kind.listed.get(ticker, 0))
        clocks = frame["timestamp"].dt.tz_convert(IST).dt.strftime("%Y-%m-%d %H:%M")
        kept &= ~clocks.isin([f"{TODAY} {clock}" for clock in kind.nobody]).to_numpy()
        traded = frame[kept].reset_index(drop=True)
        made = {"5m": traded, "15m": resampled(traded, fine, "15m")}
        for grid in (fine, coarse):
            each = made[grid.timeframe]
            each = imputed(each, grid) if kind.is_filled else each
            frames[grid.timeframe][ticker] = cut(each, midnight(TOMORROW), grid.length_s)
    recipes = {
        grid.timeframe: Recipe(kind.version, lookback, grid, INDUSTRIES)
        for grid, lookback in zip((fine, coarse), kind.lookbacks, strict=True)
    }
    return World(frames, recipes)


def play(live: LiveFeatures, bars: BarsByTime, since: datetime | None = None) -> None:
    """In order of closing, as a running market brings them."""
    moments = [
        (at + timedelta(seconds=LENGTHS_S[name]), LENGTHS_S[name], name, at)
        for name in bars
        for at in bars[name]
    ]
    for closes_at, _, name, at in sorted(moments):
        if since is None or closes_at > since:
            live.add(name, at, bars[name][at])


def windows_of(seen: Panel, row: int, lookbacks: Mapping[str, int]) -> dict[str, np.ndarray]:
    """As lessons.windows cuts them."""
    return {
        name: features[last[row] - lookback + 1 : last[row] + 1]
        for (name, lookback), features, last in zip(lookbacks.items(), seen.features, seen.last, strict=True)
    }


def same(live: LiveFeatures, world: World, clocks: list[datetime] | None = None) -> None:
    seen = world.panel()
    rows = [n for n, at_s in enumerate(seen.opened_s) if at_s >= midnight(TODAY).timestamp()]
    assert seen.tickers == live.tickers
    assert rows
    for row in rows:
        at = datetime.fromtimestamp(int(seen.opened_s[row]), IST)
        if clocks is None or at in clocks:
            found, is_there = live.windows(at)

            np.testing.assert_array_equal(seen.is_there[row], is_there)
            for name, expected in windows_of(seen, row, world.lookbacks).items():
                assert expected.dtype == found[name].dtype == np.float32
                np.testing.assert_array_equal(expected, found[name], f"{name} {at}")


KINDS = {
    "whole": Kind(),
    "filled": Kind(gaps=0.2),
    "gaps that nobody filled": Kind(gaps=0.3, is_filled=False),
    "listed late": Kind(listed={"INFY": 4 * 75 + 30, "LONE": 75}),
    "listed today": Kind(listed={"INFY": 4 * 75 + 10, "LONE": 4 * 75}),
    "early close": Kind(calendar=early_close()),
    "early close with gaps": Kind(gaps=0.3, calendar=early_close()),
    "nobody trades for a while": Kind(is_filled=False, nobody=("10:00", "10:05", "10:10", "11:20")),
    "nobody trades at first": Kind(gaps=0.1, nobody=("09:15", "09:20", "09:25", "09:30")),
    "version 1": Kind(version=1, gaps=0.1),
    "windows longer than a day": Kind(gaps=0.1, lookbacks=(120, 40)),
    "windows of one bar": Kind(gaps=0.1, lookbacks=(2, 2)),
}


# --- equal to the batch ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_day_bar_by_bar_is_the_batch(kind):
    market = world(kind)
    live = market.live()
    play(live, market.today())

    same(live, market)


@pytest.mark.parametrize("clock", ["09:20", "10:07", "11:30", "15:25"])
@pytest.mark.parametrize("kind", ["filled", "gaps that nobody filled", "listed late"])
def test_begun_in_the_middle_of_a_day_it_is_the_batch(kind, clock):
    market = world(KINDS[kind])
    since = datetime.combine(TODAY, time.fromisoformat(clock), IST)
    live = market.live(since)
    play(live, market.today(), since)

    same(live, market)


def test_the_morning_may_come_as_corrections_and_all_at_once():
    market = world(KINDS["filled"])
    live = market.live()
    for name, bars in market.today().items():
        assert live.correct(name, bars)

    same(live, market)


def test_at_each_moment_the_windows_are_those_of_then():
    """A panel of the whole day knows nothing at ten o'clock that one of ten o'clock does not."""
    market = world(KINDS["filled"])
    live, bars = market.live(), market.today()
    seen = market.panel()
    for row, at in enumerate(bars["5m"], len(seen.opened_s) - 75):
        live.add("5m", at, bars["5m"][at])
        coarse = at - timedelta(minutes=10)
        if coarse in bars["15m"]:
            live.add("15m", coarse, bars["15m"][coarse])
        found, _ = live.windows(at)

        for name, expected in windows_of(seen, row, market.lookbacks).items():
            np.testing.assert_array_equal(expected, found[name])


def test_a_coarser_bar_is_seen_once_it_has_closed_and_not_a_bar_before():
    market = world(KINDS["whole"])
    live = market.live()
    play(live, market.today())
    opening = datetime.combine(TODAY, time(9, 15), IST)
    last = [live.windows(opening + timedelta(minutes=5 * n))[0]["15m"][-1] for n in range(5)]

    assert np.array_equal(last[0], last[1])
    assert not np.array_equal(last[1], last[2])
    assert np.array_equal(last[2], last[4])


def test_day_after_day_it_stays_the_batch():
    market = world(KINDS["filled"])
    yesterday = midnight(DAYS[-2])
    live = market.live(yesterday)
    for day in DAYS[-2:]:
        for name, frames in market.frames.items():
            grid = market.recipes[name].grid
            for at_s in grid.of(day).tolist():
                some = {t: f[opened_s(f) == at_s] for t, f in frames.items()}
                bars = {t: bar_of(t, f) for t, f in some.items() if len(f)}
                live.add(name, datetime.fromtimestamp(at_s, IST), bars)

    same(live, market)


def bar_of(ticker: str, row: pd.DataFrame) -> Bar:
    open_, high, low, close = (
        Paise(round(100 * row[name].iloc[0])) for name in ("open", "high", "low", "close")
    )
    opened_at = datetime.fromtimestamp(int(opened_s(row)[0]), IST)
    return Bar(
        ticker, opened_at, open_, high, low, close, int(row["volume"].iloc[0]), bool(row["filled"].iloc[0])
    )


# --- corrections ----------------------------------------------------------------------------------------


def wrong(bar: Bar, random: Random) -> Bar:
    """What we might have made of the ticks that we saw."""
    close = Paise(max(1, bar.close + random.choice([-300, -5, 5, 300])))
    high, low = Paise(max(bar.high, close)), Paise(min(bar.low, close))
    return Bar(bar.ticker, bar.opened_at, bar.open, high, low, close, bar.volume // 2, not bar.filled)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 1_000),
    st.sampled_from([0.05, 0.5]),
)
def test_corrections_in_any_order_lead_to_the_batch(kind, seed, share):
    """Of wrong bars and of bars that we had not at all, some at once, before and after later ones have come."""
    random, market = Random(seed), world(KINDS[kind], seed)
    live, bars = market.live(), market.today()
    moments = [(at + timedelta(seconds=LENGTHS_S[name]), name, at) for name in bars for at in bars[name]]
    owed: list[tuple[str, Bar]] = []
    for _, name, at in sorted(moments):
        seen = dict(bars[name][at])
        for ticker in [t for t in seen if random.random() < share]:
            owed.append((name, seen[ticker]))
            if random.random() < 0.3:
                del seen[ticker]
            else:
                seen[ticker] = wrong(seen[ticker], random)
        live.add(name, at, seen)
        if random.random() < 0.1:
            pay(live, owed, random, random.randrange(len(owed) + 1))
    pay(live, owed, random, len(owed))

    same(live, market)


def pay(live: LiveFeatures, owed: list[tuple[str, Bar]], random: Random, count: int) -> None:
    """So many of the true bars, in any order, in one call for each timeframe."""
    told: BarsByTime = {}
    for _ in range(count):
        name, bar = owed.pop(random.randrange(len(owed)))
        told.setdefault(name, {}).setdefault(bar.opened_at, {})[bar.ticker] = bar
    for name, rows in told.items():
        assert live.correct(name, rows)


def test_what_is_known_already_changes_nothing_and_another_bar_does():
    market = world(KINDS["filled"])
    live, bars = market.live(), market.today()
    play(live, bars)
    at, rows = next(iter(bars["5m"].items()))
    other = {ticker: wrong(bar, Random(1)) for ticker, bar in rows.items()}

    assert not live.correct("5m", bars["5m"])
    assert live.correct("5m", {at: other})
    assert live.correct("5m", {at: rows})

    same(live, market)


def test_bars_that_come_later_change_nothing_of_what_was_seen():
    market = world(KINDS["filled"])
    bars = market.today()
    at = list(bars["5m"])[40]
    seen = []
    for random in (None, Random(1), Random(2)):
        live = market.live()
        for name, rows in bars.items():
            for opened_at, row in rows.items():
                is_later = opened_at + timedelta(seconds=LENGTHS_S[name]) > at + timedelta(seconds=300)
                if not (is_later and random is None):
                    live.add(
                        name,
                        opened_at,
                        {t: wrong(b, random) if is_later and random else b for t, b in row.items()},
                    )
        seen.append(live.windows(at)[0])

    for name in LENGTHS_S:
        np.testing.assert_array_equal(seen[0][name], seen[1][name])
        np.testing.assert_array_equal(seen[0][name], seen[2][name])


def test_windows_are_copies_that_later_bars_leave_alone():
    market = world(KINDS["whole"])
    live, bars = market.live(), market.today()
    at, rows = next(iter(bars["5m"].items()))
    live.add("5m", at, rows)
    found, is_there = live.windows(at)
    before = found["5m"].copy(), is_there.copy()
    live.correct("5m", {at: {ticker: wrong(bar, Random(1)) for ticker, bar in rows.items()}})

    np.testing.assert_array_equal(before[0], found["5m"])
    np.testing.assert_array_equal(before[1], is_there)
    assert not np.array_equal(found["5m"], live.windows(at)[0]["5m"])


# --- from ticks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["whole", "filled", "early close with gaps"])
def test_from_ticks_to_windows_it_is_the_batch(kind):
    market = world(KINDS[kind])
    grids = [recipe.grid for recipe in market.recipes.values()]
    live, bars = market.live(), LiveBars(TICKERS, grids, TODAY, midnight(TODAY))
    totals = dict.fromkeys(TICKERS, 0)
    for at, row in market.today()["5m"].items():
        for ticker, bar in row.items():
            totals[ticker] += bar.volume
            for tick in () if bar.filled else path(bar, 300):
                bars.add(replace(tick, volume_today=totals[ticker]))
        found = bars.close(at + timedelta(minutes=5))
        for closed in found.rows if found else ():
            live.add(closed.timeframe, closed.opened_at, closed.bars)

    same(live, market)


def test_a_bar_in_paise_is_the_candle_on_disk_to_the_bit():
    """Every price of three rupees and some of a million."""
    prices = [*range(1, 300), *range(99_999_000, 99_999_300)]
    opened_at = datetime.combine(TODAY, time(9, 15), IST)
    grid = Grid(calendar(), "5m", SymbolClass.OTHER)
    recipe = Recipe(2, 2, grid, {})
    bars = [
        Bar("A", opened_at + timedelta(minutes=5 * n), *(Paise(price),) * 4, 7)
        for n, price in enumerate(prices[:75])
    ]
    live = LiveFeatures("A", {"5m": recipe}, {"5m": 70})
    live.correct("5m", {bar.opened_at: {"A": bar} for bar in bars})

    np.testing.assert_array_equal(
        columns_of({"A": frame_of(bars)}, recipe)["A"].values[-70:],
        live.windows(bars[-1].opened_at)[0]["5m"][:, 0],
    )
    for price in prices:
        assert float(f"{price // 100}.{price % 100:02}") == price / 100, "the broker's text and our division"


# --- what is refused ------------------------------------------------------------------------------------


def test_too_short_a_history_is_refused_and_says_how_much_there_is():
    market = world(Kind(lookbacks=(24, 200)))
    live, bars = market.live(), market.today()
    at, rows = next(iter(bars["5m"].items()))
    live.add("5m", at, rows)

    with pytest.raises(DataError, match="100 bars of 15m are known and 200 wanted: fetch more history"):
        live.windows(at)


def test_a_moment_that_nobody_has_a_bar_of_is_refused():
    market = world(KINDS["whole"])
    live = market.live()

    with pytest.raises(DataError, match="nobody has a bar of 5m that opened at"):
        live.windows(datetime.combine(TODAY, time(9, 15), IST))


def test_the_last_session_on_disk_can_be_looked_at_as_it_was():
    market = world(KINDS["filled"])
    live = market.live(midnight(TODAY + timedelta(days=1)))

    same(live, market)


def test_a_bar_outside_of_sessions_changes_nothing():
    market = world(KINDS["whole"])
    live, bars = market.live(), market.today()
    play(live, bars)
    some = next(iter(bars["5m"].values()))
    for clock in (time(9, 10), time(15, 30), time(9, 17)):
        live.add("5m", datetime.combine(TODAY, clock, IST), some)
    live.add("5m", midnight(TODAY + timedelta(days=2)).replace(hour=10), some)

    same(live, market)


def test_a_day_that_is_over_cannot_be_corrected():
    market = world(KINDS["whole"])
    live, bars = market.live(), market.today()
    play(live, bars)
    at = datetime.combine(DAYS[-2], time(9, 15), IST)

    with pytest.raises(DataError, match="begin again with all history"):
        live.correct("5m", {at: next(iter(bars["5m"].values()))})


def test_unsound_candles_are_refused_by_name():
    market = world(KINDS["whole"])
    frame = market.frames["15m"]["SBIN"]
    market.frames["15m"]["SBIN"] = frame.assign(low=frame["high"] + 1)

    with pytest.raises(DataError, match="features of SBIN 15m: row 0"):
        market.live()


def test_it_can_begin_again():
    market = world(KINDS["filled"])
    live = market.live()
    play(live, market.today())
    live.begin(
        {
            name: {t: cut(f, midnight(TODAY), LENGTHS_S[name]) for t, f in frames.items()}
            for name, frames in market.frames.items()
        }
    )
    play(live, market.today())

    same(live, market)
