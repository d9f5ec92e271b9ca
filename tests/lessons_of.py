"""A planted market, small or whole, as lessons: by files on disk, as a user's candles are."""

from datetime import datetime, time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

import fast
from candle_store import Origin, replace_candles
from facts import read_calendar, read_tariff
from features import NAMES
from lessons import Lessons
from market import Hours, load
from network import Shape
from panel import Panel, panel
from planted import Kind, Planted
from planted import market as planted_market
from processed import Recipe, columns_of
from rulebook.hours import IST
from rulebook.rules import Rules
from sessions_grid import Grid, resampled
from tests.conftest import ROOT

CALENDAR, TARIFF = read_calendar(ROOT / "config"), read_tariff(ROOT / "config")
HOURS = Hours(time(9, 20), time(15, 0), time(15, 8))
ORIGIN = Origin("planted", datetime(2026, 1, 1, tzinfo=IST), False)
LENGTHS_S = {"5m": 300, "15m": 900}
RULES = Rules(capital=1_000_000)


SMALL_SHAPE = Shape(len(NAMES[2]), {"5m": 16, "15m": 8})


@cache
def small_lessons() -> Lessons:
    """48 days of eight stocks with a strong edge, made once for all tests of a process."""
    with TemporaryDirectory() as folder:
        planted = planted_market(Kind.SHOCK, 70, 5, CALENDAR, days=48)
        return lessons_of(planted, Path(folder), dict(SMALL_SHAPE.lookbacks))


def lessons_of(planted: Planted, folder: Path, lookbacks: dict[str, int], rules: Rules = RULES) -> Lessons:
    fine = Grid(CALENDAR, "5m")
    frames = {"5m": planted.frames, "15m": {n: resampled(f, fine, "15m") for n, f in planted.frames.items()}}
    for name, frame in planted.frames.items():
        replace_candles(folder, name, "5m", frame, ORIGIN)
    market = load(folder, list(planted.frames), "5m", HOURS, CALENDAR, TARIFF)
    columns = {
        name: columns_of(frames[name], Recipe(2, bars, Grid(CALENDAR, name), planted.industries))
        for name, bars in lookbacks.items()
    }
    seen = panel(columns, {name: LENGTHS_S[name] for name in lookbacks}, market.table.opened_s)
    return Lessons(market, seen, rules, fast.outcomes(market.table, market.fixed, rules), hot_of(seen))


def hot_of(seen: Panel) -> NDArray[np.bool_]:
    values = seen.features[0]
    loud, wide = (
        values[..., NAMES[2].index("f_volume")] > 1.5,
        values[..., NAMES[2].index("f_true_range")] > 1,
    )
    return np.asarray(loud | wide)
