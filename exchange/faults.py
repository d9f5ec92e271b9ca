"""Which disaster strikes now? Faults by name, with a probability, a time window and a count, all seeded.

Each name draws from a random stream of its own, so that switching one fault on does not move the others
(faults.md 6). Whoever can fail asks `strikes(NAME, ...)` at the place where it would fail; a rule answers
or None does. The table says what each name does and what its value means; faults.md 4 has the reasons.

`where` narrows a fault: to an endpoint ("POST /orders/*") where it is about requests, to a ticker where it
is about orders and prices, to orders, trades or flows where it is about what the books show. Four names
are events of the market, not of a request: gap, circuit_lock, market_halt and early_square_off begin by
themselves (disasters.py), at `after` or as soon as they are noticed, and end at `until` or when healed.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from outcome import ConfigError

# name -> (its row in faults.md 4, what happens, what `value` means)
KNOWN: Mapping[str, tuple[str, str]] = {
    # REST, every endpoint unless `where` narrows it ("POST /orders/*")
    "request_lost": ("R1", "the connection closes before the request is carried out"),
    "answer_lost": ("R2", "carried out, then the connection closes"),
    "late_in_book": ("R3", "an accepted order shows up in the books `value` ms later"),
    "timed_out_400": ("R4", "carried out, answered with status 400 and a text that says timed out"),
    "rate_limited": ("R5", "429, and again for `value` ms"),
    "server_error_before": ("R6", "503, nothing carried out"),
    "server_error_after": ("R6", "503 after it was carried out"),
    "token_dead": ("R7", "the access token dies; a new login is needed"),
    "second_login": ("R7", "somebody logs in elsewhere: the token in use dies"),
    "address_refused": ("R7", "place, modify and cancel are refused: the address is not registered"),
    "slow": ("R8", "the answer comes `value` ms late"),
    "empty_body": ("R9", "200 with nothing in it"),
    "truncated_body": ("R9", "half of the JSON"),
    "html_body": ("R9", "an HTML page with status 502"),
    "wrong_types": ("R9", "numbers as text, lists as objects"),
    "no_error_type": ("R9", "an error envelope without error_type"),
    "no_content_type": ("R9", "an answer without Content-Type"),
    "huge_body": ("R9", "`value` MB of spaces behind the JSON"),
    "redirect": ("R10", "302 to a captive portal"),
    "stale_books": ("R11", "orders, trades and positions as they were `value` ms ago"),
    "newest_missing": ("R11", "the newest order and trade are left out"),
    "unordered_books": ("R11", "orders and trades in any order"),
    "executed_twice": ("R12", "a proxy sends the order twice; one answer comes back, that of the first"),
    # orders
    "partial_fills": ("O1", "an order that would fill is filled in `value` slices, a second apart"),
    "cancel_loses_race": ("O2", "a cancel is accepted, and the order fills before it arrives"),
    "being_processed": ("O2", "modify and cancel are refused as being processed"),
    "refused": ("O3", "placing is refused; `text`: margin tick freeze circuit lpp mis protection"),
    "rejected_later": ("O4", "the order gets its id, and risk management rejects it `value` ms afterwards"),
    "gap": ("O6", "the price jumps by `value` basis points (below zero: down) and stays there for the day"),
    "band_reached": ("O7", "a protected market order finds at most half of its quantity in the band"),
    "circuit_lock": ("O8", "the ticker is locked at its upper (value >= 0) or lower circuit: one side only"),
    "market_halt": ("O9", "nothing trades anywhere while it lasts"),
    "early_square_off": ("O10", "the broker squares off now, and takes no MIS order in the ticker any more"),
    "modify_refused": ("O11", "a modify is accepted and then NOT MODIFIED"),
    "self_trade": ("O12", "an order against an own resting one is refused by the exchange"),
    # the stream
    "ws_close": ("W1", "the socket closes without a word"),
    "ws_refused": ("W1", "the upgrade is answered with `value` (403, 429)"),
    "ws_stall": ("W2", "nothing is sent for `value` ms, the socket stays up"),
    "ws_mute": ("W2", "heartbeats only, for `value` ms"),
    "ws_forgets": ("W3", "a subscription is taken and nothing comes of it"),
    "ws_wrong_mode": ("W3", "ltp packets where full ones were asked for"),
    "ws_duplicate": ("W4", "a frame comes twice"),
    "ws_out_of_order": ("W4", "a frame comes after the next one"),
    "ws_gap": ("W4", "a frame is lost"),
    "ws_corrupt": ("W5", "bytes are flipped in a frame"),
    "ws_hostile_length": ("W5", "a packet's length says more than there is"),
    "ws_wrong_segment": ("W5", "a token of another segment, with another divisor"),
    "ws_zero_price": ("W5", "a price of 0"),
    "ws_absurd_price": ("W5", "a price a hundred times too high"),
    "frozen_price": ("W6", "prices and exchange stamps stand still while frames go on"),
    "order_update_lost": ("W7", "an order frame is not sent"),
    "ws_flood": ("W8", "`value` more frames than anything asked for"),
    # clock and pages
    "clock_step": ("P6", "the clock steps by `value` ms"),
    "nse_blocked": ("pages", "NSE answers 403 and a page that says Access Denied"),
    "nse_changed": ("pages", "NSE's pages have another shape"),
    "nse_down": ("pages", "NSE answers 503"),
    "stale_master": ("D2", "the instruments list is old: one tick size is wrong, one token has moved"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """When a name strikes. No window: always; no count: as often as it is asked."""

    name: str
    probability: float = 1.0
    count: int | None = None
    after: datetime | None = None
    until: datetime | None = None
    where: str = "*"
    value: int = 0
    text: str = ""

    def __post_init__(self) -> None:
        if self.name not in KNOWN:
            raise ConfigError(f"unknown fault {self.name!r}; one of: {', '.join(KNOWN)}")
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"{self.name}: probability {self.probability} is not within [0, 1]")

    def holds(self, at: datetime, where: str) -> bool:
        early = self.after is not None and at < self.after
        late = self.until is not None and at >= self.until
        return not early and not late and fnmatchcase(where, self.where)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: int | None  # strikes; None: no end


class Faults:
    """The faults that are switched on, their draws and how often each has struck."""

    def __init__(self, seed: int, faults: Iterable[Fault] = ()) -> None:
        self._seed = seed
        self._on: list[_Armed] = []
        self._streams: dict[str, Random] = {}
        self.struck: dict[str, int] = {}
        self.changes = 0  # so that one can notice that faults came or went
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        self.changes += 1
        self._on.append(_Armed(fault, fault.count))

    def clear(self, name: str | None = None) -> None:
        """Heal one fault, or all of them."""
        self.changes += 1
        self._on = [armed for armed in self._on if name is not None and armed.fault.name != name]

    def on(self) -> tuple[Fault, ...]:
        return tuple(armed.fault for armed in self._on)

    def strikes(self, name: str, at: datetime, where: str = "") -> Fault | None:
        """The fault of that name that strikes here and now, and counts as struck."""
        assert name in KNOWN, name
        if not self._on:
            return None
        for armed in self._on:
            if armed.fault.name == name and armed.fault.holds(at, where) and self._hits(armed):
                return armed.fault
        return None

    def strikes_by(self, fault: Fault, at: datetime, where: str) -> bool:
        """Whether that very fault strikes here; it counts as struck."""
        return any(
            armed.fault is fault and fault.holds(at, where) and self._hits(armed) for armed in self._on
        )

    def _hits(self, armed: _Armed) -> bool:
        """Draw, unless it has struck as often as it may."""
        name = armed.fault.name
        if armed.left == 0 or self.stream(name).random() >= armed.fault.probability:
            return False
        armed.left = None if armed.left is None else armed.left - 1
        self.struck[name] = self.struck.get(name, 0) + 1
        return True

    def stream(self, name: str) -> Random:
        """The random numbers of that fault alone."""
        if name not in self._streams:
            self._streams[name] = Random(f"{self._seed}:{name}")
        return self._streams[name]


def read(text: str, source: str) -> tuple[Fault, ...]:
    """Faults from a JSON list, as --faults FILE and the control address take them."""
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{source}: not JSON: {error}") from None
    if not isinstance(rows, list):
        raise ConfigError(f"{source}: a list of faults is wanted, each an object with at least a name")
    return tuple(_fault(row, source) for row in rows)


def _fault(row: Any, source: str) -> Fault:
    if not isinstance(row, dict) or "name" not in row:
        raise ConfigError(f"{source}: {row!r} has no name")
    values = dict(row)
    for key in ("after", "until"):
        if values.get(key) is not None:
            values[key] = datetime.fromisoformat(values[key])
            if values[key].utcoffset() is None:
                raise ConfigError(f"{source}: {key} {row[key]!r} has no offset; write +05:30")
    try:
        return Fault(**values)
    except TypeError as error:
        raise ConfigError(f"{source}: {row!r}: {error}") from None


def written(fault: Fault) -> dict[str, Any]:
    """As `read` takes it."""
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in asdict(fault).items()
    }
