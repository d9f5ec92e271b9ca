"""What is known when somebody asks whether a trade may be opened? Facts and a venue's limits, nothing else.

gates.py judges these; whoever asks fills them in: a Moment once for all tickers, TickerFacts and a
ProposedOrder for each. None means unknown, and unknown never passes. Ages are counted from the arrival, on
a clock that nobody can set. Judges nothing, fetches nothing, knows no clock and no caller.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from math import inf

from rulebook.hours import NoWindow, Window
from rulebook.records import Decision, Instrument, Paise, Side
from rulebook.rules import Rules

NEVER = 1_000_000_000  # bars or milliseconds since something that did not happen: binds nothing


class Health(StrEnum):
    """Of a feed. A silent one is DEGRADED, and DOWN when a quote that was asked for has failed as well."""

    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Thresholds that the rules do not know because only a venue has what they are compared with."""

    max_slippage_bps: float
    order_min_interval_ms: int
    max_orders_per_minute: int
    winner_min_avg_reward: float | None  # mean net R on the holdout; None: it is reported, not enforced
    max_spread_bps: float = 20.0
    min_depth_multiple: float = 2.0
    price_band_atr: float = 3.0
    feed_age_s: float = 5.0
    ticker_age_s: float = 30.0
    heartbeat_s: float = 120.0
    clock_drift_warn_s: float = 1.0  # the broker's stamps are whole seconds: less cannot be seen
    clock_drift_most_s: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_reward = field.name == "winner_min_avg_reward"  # it alone may be off, or below zero
            if is_reward and (value is None or -inf < value < inf):
                continue
            if is_reward or not 0 <= value < inf:  # also refuses NaN
                raise ValueError(f"{field.name} {value} is no limit; it must be a number, 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What holds for every ticker now. Counts and values include what is pending and what is UNKNOWN."""

    now: datetime
    exempt: frozenset[str] = frozenset()  # gates that do not apply because the venue has no such thing

    # the session
    venue_asked: str | None = None  # where the user wants the orders to go
    venue_reached: str | None = None  # where they would go, by the wiring itself
    is_only_instance: bool | None = None
    is_killed: bool | None = None
    is_reconciled: bool | None = None
    is_trading_day: bool | None = None
    day_label: str = ""  # the holiday's or the weekday's name
    is_calendar_verified: bool | None = None  # the exchange's own list of this year, not a provisional one
    is_winner_intact: bool | None = None  # its files are the promoted ones
    winner_reward: float | None = None  # mean net R on the holdout

    # the connection
    is_token_valid: bool | None = None
    feed: Health | None = None
    feed_age_s: float | None = None
    heartbeat_age_s: float | None = None
    clock_drift_s: float | None = None  # ours less the broker's

    # the account
    is_locked: bool | None = None  # the day's loss lock as it is stored
    day_milli_r: int | None = None  # net of charges, open trades at fresh quotes
    day_net: int | None = None  # paise
    active_trades: int | None = None
    trades_today: int | None = None
    open_value: int | None = None  # paise
    margin_available: int | None = None  # paise
    since_entry_ms: int | None = None
    entries_last_minute: int | None = None

    def __post_init__(self) -> None:
        if self.now.utcoffset() is None:
            raise ValueError(f"naive datetime {self.now.isoformat()}: times here are aware")


@dataclass(frozen=True, slots=True, kw_only=True)
class TickerFacts:
    """What is known about one ticker."""

    name: str
    instrument: Instrument | None = None  # of today's list; None also where that list is an old one
    window: Window | NoWindow | None = None  # of its class of stock
    decision: Decision | None = None
    feed: Health | None = None
    seen_age_s: float | None = None  # of the last tick, or of the quote asked for in its place
    bars_seen: int | None = None
    bars_needed: int | None = None  # by the features of whoever decides
    are_features_finite: bool | None = None
    bars_since_stop_out: int | None = None
    unknown_orders: int | None = None
    atr_milli: int | None = None  # thousandths of a paisa
    last_close: Paise | None = None
    bid: Paise | None = None
    ask: Paise | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedOrder:
    """The entry that is thought of, and what the venue is expected to do with it."""

    side: Side | None = None
    qty: int | None = None
    price: Paise | None = None  # at which it was decided and sized
    stop: Paise | None = None
    distance: Paise | None = None
    cost: int | None = None  # paise a share, of the whole round trip
    reference: Paise | None = None  # the mid, or the last price where there is no mid
    pays: Paise | None = None  # at the most: what the book would take now, or the order's own limit
    depth_qty: int | None = None  # shares visible on the side that it takes
    margin_needed: int | None = None  # paise


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that is asked about one entry."""

    rules: Rules
    limits: Limits
    moment: Moment
    ticker: TickerFacts
    order: ProposedOrder
