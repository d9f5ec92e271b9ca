"""What did the user configure? config.json as frozen, typed values.

A file is judged as a whole: every wrong, missing, unknown or contradictory key is reported at
once, each with its value, what is allowed and, for a slip of the pen, the name that was meant.
The values flow inwards from here; nothing below the scripts imports this file. Secrets and
addresses live in environment.py. Knows no clock: `today` is handed in where it matters.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import date, time
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints
from zoneinfo import ZoneInfo, available_timezones

from annotated_types import Ge, Gt, Le, MinLen, Predicate

from contradictions import contradictions
from files import write_atomically
from outcome import ConfigError
from rulebook.rules import Rules

if TYPE_CHECKING:
    from pydantic import TypeAdapter

# pydantic does the checking but is imported only when a file is read: it costs 0.15 s, which
# `--help` and everybody who merely names a type would pay.

Timeframe = Literal["1m", "3m", "5m", "15m", "1h", "1d"]
TIMEFRAMES: tuple[Timeframe, ...] = get_args(Timeframe)  # finest first
Action = Literal["BUY", "SELL", "HOLD"]
ACTIONS: tuple[Action, ...] = get_args(Action)
AlertEvent = Literal["entry", "exit", "halt", "token", "feed", "error", "end_of_day"]

PYDANTIC_CONFIG = {"extra": "forbid", "use_attribute_docstrings": True, "regex_engine": "python-re"}


def _is_symbol(text: str) -> bool:
    return text.replace("&", "A").replace("-", "A").isalnum() and text == text.upper() and len(text) <= 20


def _is_clock_time(value: time) -> bool:
    return value.tzinfo is None and value.microsecond == 0


def _is_time_zone(text: str) -> bool:
    return text in available_timezones()


Symbol = Annotated[str, Predicate(_is_symbol)]
Share = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[float, Gt(0)]
Whole = Annotated[int, Ge(1)]
ClockTime = Annotated[time, Predicate(_is_clock_time)]
FromDates = Mapping[Timeframe, date]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """Days that training never sees: fixed (start and end) or rolling (last_sessions)."""

    __pydantic_config__ = PYDANTIC_CONFIG

    start: date | None = None
    """First day, YYYY-MM-DD."""
    end: date | None = None
    """Last day, YYYY-MM-DD."""
    last_sessions: Whole | None = None
    """Instead of dates: the newest N sessions; `train.py --fn roll_holdout` freezes them to dates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Limits beyond the given ones; null switches a limit off."""

    __pydantic_config__ = PYDANTIC_CONFIG

    max_notional_per_order: Positive | None = None
    """Rupees of one entry, at most."""
    max_notional_total: Positive | None = None
    """Rupees of all open positions and pending entries together, at most."""
    max_spread_bps: Positive = 20.0
    """No entry while bid and ask are further apart, in basis points of the mid."""
    min_depth_multiple: Annotated[float, Ge(0)] = 2.0
    """The visible depth on our side must be this many times our quantity."""
    price_band_atr: Positive = 3.0
    """No entry when the price is further than this many ATR(14) from the last close."""
    daily_max_loss_rupees: Positive | None = None
    """Net of charges; flattens and locks the day, beside DAILY_MAX_LOSS_R."""
    max_trades_per_day: Whole = 12
    """Entries a day, all tickers together."""
    cooldown_bars: Annotated[int, Ge(0)] = 3
    """Bars without an entry in a ticker that was stopped out."""
    min_confidence: Share = 0.0
    """Decisions below this confidence are held."""
    min_stop_cost_multiple: Annotated[float, Ge(1)] = 4.0
    """The stop's distance is at least this many times the round trip's expected cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketData:
    """What is asked of the broker's stream."""

    __pydantic_config__ = PYDANTIC_CONFIG

    mode: Literal["ltp", "quote", "full"] = "full"
    """full carries the depth that spread and slippage are judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """Which events are sent out; the addresses are secrets and stand in .env."""

    __pydantic_config__ = PYDANTIC_CONFIG

    events: tuple[AlertEvent, ...] = get_args(AlertEvent)
    """Of: entry, exit, halt, token, feed, error, end_of_day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Folders, relative to the folder of config.json."""

    __pydantic_config__ = PYDANTIC_CONFIG

    raw: Path
    """Candles as downloaded."""
    processed: Path
    """Features."""
    checkpoints: Path
    """Models in training."""
    winner: Path
    """The promoted model."""
    ledger: Path
    """The journal and its parquet views."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """config.json. Rupees and basis points as the user writes them; the rule book gets paise."""

    __pydantic_config__ = PYDANTIC_CONFIG

    timezone: Annotated[str, Predicate(_is_time_zone)]
    """Time zone of every trading window, e.g. Asia/Kolkata; TZ in .env only formats output."""
    index: Annotated[str, MinLen(2)]
    """The index whose constituents are traded, e.g. NIFTY50."""
    tickers: tuple[Symbol, ...]
    """NSE symbols; `fetch.py index` refreshes them, empty at first."""
    timeframes: Annotated[tuple[Timeframe, ...], MinLen(1)]
    """Of 1m, 3m, 5m, 15m, 1h, 1d; the finest is the base of all decisions."""
    lookbacks: Mapping[Timeframe, Annotated[int, Ge(8)]]
    """Bars that the model sees, per timeframe; at least 8."""
    from_dates: FromDates
    """Where history begins, per timeframe, YYYY-MM-DD."""
    safe_trading_start: ClockTime
    """No decision before, HH:MM:SS."""
    safe_trading_end: ClockTime
    """No entry after it, and exits begin, HH:MM:SS."""
    hard_trading_end: ClockTime
    """Flat by then, HH:MM:SS; --end replaces it for a run, the day's session can pull it in."""
    trailing_stop_r: Positive
    """Distance of the trailing stop behind the best price, in R."""
    initial_stop_atr: Positive = 1.5
    """Distance of the first stop, in ATR(14) of the base timeframe."""
    capital_per_ticker: Positive
    """Rupees put into one trade, before leverage."""
    leverage: Annotated[float, Ge(1), Le(5)]
    """1 to 5; the broker's limit for the symbol applies as well."""
    max_concurrent_trades: Whole
    """Open trades at a time."""
    paper_trading: bool
    """true: orders are simulated; false: LIVE."""
    holdout: Holdout
    """{"start": ..., "end": ...} or {"last_sessions": N}."""
    actions: tuple[Action, ...]
    """["BUY", "SELL", "HOLD"], in this order."""
    winner_min_avg_reward: float
    """Live needs a winner whose mean net R on the holdout is at least this."""
    max_slippage_bps: Annotated[float, Ge(0), Le(500)]
    """A market order may cost this much against the mid; beyond it a limit order is sent."""
    order_min_interval_ms: Annotated[int, Ge(0), Le(60_000)]
    """Between two entries."""
    max_orders_per_minute: Annotated[int, Ge(1), Le(200)]
    """Entries; exits and stops have their own reserve."""
    take_profit_r: Positive | None = None
    """Target in R; null is off."""
    feature_version: Literal[1, 2] = 2
    """Which features the model sees; 2 adds volume, VWAP and market context."""
    market_data: MarketData = field(default_factory=MarketData)
    """The broker's stream."""
    risk: Risk = field(default_factory=Risk)
    """Further limits."""
    alerts: Alerts = field(default_factory=Alerts)
    """What is sent out."""
    state: Path = Path("data/state")
    """Locks, the kill switch, logs and requests to the running trader."""
    paths: Paths
    """Where data, models and the ledger live."""

    @property
    def base_timeframe(self) -> Timeframe:
        return min(self.timeframes, key=TIMEFRAMES.index)

    def rules(self, max_loss_r: float) -> Rules:
        """The rule book's numbers: paise and thousandths instead of rupees and floats."""
        risk = self.risk
        return Rules(
            capital=round(100 * self.capital_per_ticker * self.leverage),
            trail_milli=round(1_000 * self.trailing_stop_r),
            atr_times_milli=round(1_000 * self.initial_stop_atr),
            cost_times_milli=round(1_000 * risk.min_stop_cost_multiple),
            target_milli=round(1_000 * (self.take_profit_r or 0)),
            max_concurrent=self.max_concurrent_trades,
            max_trades_per_day=risk.max_trades_per_day,
            cooldown_bars=risk.cooldown_bars,
            min_confidence=risk.min_confidence,
            max_loss_milli=round(1_000 * max_loss_r),
            max_loss=round(100 * (risk.daily_max_loss_rupees or 0)),
            max_order=round(100 * (risk.max_notional_per_order or 0)),
            max_total=round(100 * (risk.max_notional_total or 0)),
        )

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


# --- reading and writing -----------------------------------------------------------------------


def load_settings(path: Path | str = "config.json", today: date | None = None) -> Settings:
    """The settings of that file, its paths made absolute beside it."""
    return settings_of(load_json(Path(path)), path, today)


def settings_of(
    config: Mapping[str, Any], path: Path | str = "config.json", today: date | None = None
) -> Settings:
    """The same of a file's content, as `load_config` answers it."""
    values = _checked(config, Path(path), today)
    folder = Path(path).resolve().parent
    values["state"] = folder / values.get("state", Path("data/state"))
    values["paths"] = Paths(**{f.name: folder / getattr(values["paths"], f.name) for f in fields(Paths)})
    return Settings(**values)


def load_config(path: Path | str = "config.json") -> dict[str, Any]:
    """The file's own keys in their own order, after the whole of it was found valid."""
    config = load_json(Path(path))
    _checked(config, Path(path), today=None)
    return config


def persist_config(cfg: dict[str, Any], path: Path | str = "config.json") -> None:
    """Write a valid configuration, atomically; what is invalid is refused and the old file stands."""
    _checked(cfg, Path(path), today=None)
    text = json.dumps(cfg, indent=2, ensure_ascii=False)
    write_atomically(Path(path), text.encode() + b"\n")


def json_schema() -> dict[str, Any]:
    """For editors; config/config.schema.json is this."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(Settings).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def load_json(path: Path) -> dict[str, Any]:
    """An object, or an error that names the place. Twice the same key is an error too."""
    try:
        content = json.loads(
            path.read_text("utf-8"), object_pairs_hook=_no_twins, parse_constant=_no_constant
        )
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing; restore it with: git checkout {path.name}") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg.lower()}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must be one JSON object, {{...}}")
    return content


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen = dict(pairs)
    if len(seen) < len(pairs):
        twins = sorted({key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1})
        raise ValueError(f"the key {twins[0]!r} stands there twice; keep one")
    return seen


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON allows")


# --- judging -----------------------------------------------------------------------------------


def _checked(config: Mapping[str, Any], path: Path, today: date | None) -> dict[str, Any]:
    """Typed values of all keys, or one error with everything that is wrong."""
    known = {f.name: f for f in fields(Settings)}
    problems = [unknown_key(key, known) for key in config if key not in known]
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        if name in config:
            problems += _take(name, hint, config[name], values)
        elif known[name].default is MISSING and known[name].default_factory is MISSING:
            problems.append(f"{name}: missing; add it: {_description(Settings, name)}")
    problems += contradictions({**_defaults(), **values, "today": today})
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"{path} has {count}:\n  " + "\n  ".join(problems))
    return values


def unknown_key(key: str, known: Iterable[str], prefix: str = "") -> str:
    meant = get_close_matches(key, list(known), n=1)
    remedy = f"did you mean {meant[0]}?" if meant else "remove it"
    return f"{prefix}{key}: unknown key; {remedy}"


def _take(name: str, hint: Any, raw: Any, values: dict[str, Any]) -> list[str]:
    """Check one key into `values`; answer what is wrong with it."""
    from pydantic import ValidationError

    try:
        values[name] = _judge(hint).validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        return [_sentence(name, hint, problem) for problem in error.errors(include_url=False)]
    return []


@lru_cache
def _judge(hint: Any) -> "TypeAdapter[Any]":
    """Made once a process: a run reads its configuration several times."""
    from pydantic import TypeAdapter

    return TypeAdapter(hint)


def _sentence(name: str, hint: Any, problem: Any) -> str:
    *parents, last = (name, *map(str, problem["loc"]))
    key, prefix = last, "".join(f"{parent}." for parent in parents)
    match problem["type"]:
        case "unexpected_keyword_argument":
            return unknown_key(key, [f.name for f in fields(hint)], prefix)
        case "missing" | "missing_argument":
            return f"{prefix}{key}: missing; add it: {_description(hint, key)}"
        case "predicate_failed" | "time_parsing" | "date_parsing" | "date_from_datetime_parsing":
            allowed = "wanted: " + _description(Settings, name)
        case _:
            allowed = re.sub("^(Input|Value|Tuple) should", "it must", problem["msg"])
    return f"{prefix}{key}: {json.dumps(problem['input'], default=str)} is not allowed; {allowed}"


def _description(owner: Any, name: str) -> str:
    """The docstring below the attribute, which is also the schema's description."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(owner).json_schema()
    return str(schema["properties"][name].get("description", "it is required"))


def _defaults() -> dict[str, Any]:
    optional = [f for f in fields(Settings) if f.default_factory is not MISSING]
    return {f.name: f.default_factory() for f in optional if callable(f.default_factory)}
