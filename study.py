"""What is there to be taught with this configuration? Market, features, outcomes, which days are for what.

Features that are stale are made anew on the way (processed.py knows which). Everything that was made of it
carries `key`: settings, rules, candles, features and our own sources; another key, another study.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import fast
from backtest import Span
from facts import read_calendar, read_tariff
from features import NAMES
from lessons import Lessons, Rows, Split, split, surprising
from market import Hours, Market, load
from nse import kept_industries
from outcome import DataError
from panel import panel
from processed import Columns, Recipe, build, recipe_hash
from processed import load as load_columns
from rulebook.bars import MINUTES
from sessions_grid import Grid
from settings import Settings
from sizes import Shape

FACTS = Path(__file__).resolve().parent / "config"
Telling = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """One configuration's lessons."""

    lessons: Lessons
    shape: Shape
    split: Split
    span: Span  # the holdout
    data_hashes: Mapping[str, str]  # by timeframe
    feature_version: int

    @property
    def settings_hash(self) -> str:
        """Of what the lessons were made by, the rules apart."""
        market = self.lessons.market
        days = [[market.days[day].isoformat() for day in part[[0, -1]]] for part in self._parts]
        hours = [str(window) for window in market.windows]
        return _hash([self.shape.lookbacks, self.feature_version, market.tickers, days, hours])

    @property
    def rules_hash(self) -> str:
        return _hash([self.lessons.rules, fast.sources_hash()])

    @cached_property
    def key(self) -> str:
        return _hash([self.settings_hash, self.rules_hash, self.data_hashes])

    @property
    def taught_from_to(self) -> tuple[date, date]:
        days = self.lessons.market.days
        return days[self.split.training[0]], days[self.split.training[-1]]

    def rows(self, holdout: bool) -> Rows:
        return self.lessons.rows_of(self.split.holdout if holdout else self.split.training)

    @property
    def _parts(self) -> list[Rows]:
        return [self.split.training, self.split.validation, self.split.holdout]


def study(settings: Settings, max_loss_r: float, told: Telling) -> Study:
    """From what is on disk; DataError says what is missing."""
    if not settings.tickers:
        raise DataError("config.json has no tickers; get them with: python fetch.py index")
    market = market_of(settings)
    span = holdout_of(settings, market)
    columns, hashes = features_of(settings, told)
    seen = panel(columns, {name: 60 * MINUTES[name] for name in columns}, market.table.opened_s)
    rules = settings.rules(max_loss_r)
    outcomes = fast.outcomes(market.table, market.fixed, rules, None, market.finer, market.first_fine)
    lessons = Lessons(market, seen, rules, outcomes, surprising(seen, settings.feature_version))
    shape = Shape(len(NAMES[settings.feature_version]), {name: lookbacks(settings)[name] for name in columns})
    held = [market.days.index(day) for day in span.days_of(market)]
    return Study(lessons, shape, split(lessons, shape, held), span, hashes, settings.feature_version)


def market_of(settings: Settings) -> Market:
    """The candles on disk within the user's hours."""
    hours = Hours(settings.safe_trading_start, settings.safe_trading_end, settings.hard_trading_end)
    calendar, tariff = read_calendar(FACTS), read_tariff(FACTS)
    return load(settings.paths.raw, settings.tickers, settings.base_timeframe, hours, calendar, tariff)


def holdout_of(settings: Settings, market: Market) -> Span:
    holdout = settings.holdout
    if holdout.start is not None and holdout.end is not None:
        span = Span(holdout.start, holdout.end)
    else:
        span = Span(market.days[-min(holdout.last_sessions or 1, len(market.days))], market.days[-1])
    if not span.days_of(market):
        raise DataError(f"no candles between {span.first} and {span.last}; fetch them or move the holdout")
    return span


def features_of(settings: Settings, told: Telling) -> tuple[dict[str, Mapping[str, Columns]], dict[str, str]]:
    """By timeframe, the base first, and ticker, as up to date as the candles; and what they are made of."""
    found: dict[str, Mapping[str, Columns]] = {}
    hashes = {}
    raw, processed = settings.paths.raw, settings.paths.processed
    for name, recipe in recipes(settings).items():
        made = build(raw, processed, settings.tickers, recipe, told)
        told(f"features of {name}: {made} files made, {len(settings.tickers) - made} reused")
        found[name] = load_columns(raw, processed, settings.tickers, recipe)
        hashes[name] = recipe_hash(raw, settings.tickers, recipe)
    return found, hashes


def recipes(settings: Settings) -> dict[str, Recipe]:
    """How the features of each timeframe are made, the base first."""
    calendar, industries = read_calendar(FACTS), kept_industries(settings.state / "nse")
    names = sorted((str(name) for name in settings.timeframes), key=lambda name: MINUTES[name])
    return {
        name: Recipe(settings.feature_version, lookbacks(settings)[name], Grid(calendar, name), industries)
        for name in names
    }


def lookbacks(settings: Settings) -> dict[str, int]:
    return {str(name): bars for name, bars in settings.lookbacks.items()}


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
