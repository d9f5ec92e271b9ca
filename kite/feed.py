"""Is the stream alive, is it complete, and how old is each price? What a connection's messages mean.

The broker's own client cannot see a dead feed: it sends no pings and believes in a silent socket for ever
(zerodha/pykiteconnect#229, #237). Here a heartbeat is due every second, a connection that is silent for
longer than `SILENT_S` is dropped, and after each connect every subscribed token must show a first tick, or
it is asked for again and then the connection is given up (a reconnect without resubscription looks healthy).

Prices have the age of the exchange's own stamp, as far as the mode carries one: a frozen price that is sent
again and again grows old. No socket, no clock: seconds of a monotonic clock come with each message.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from kite.texts import mode_text, read_text, subscribe_text, unsubscribe_text
from kite.units import moment_of_epoch
from kite.wire import FullPacket, IndexFull, Mode, Packet, WireError, decode_frame, is_heartbeat

SILENT_S = 5.0  # five missed heartbeats
FIRST_TICK_S = 5.0  # the cached tick comes at once (kite.md 5.2)
ASKS_MOST = 2  # subscriptions repeated before the connection is given up
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
SOON_S = 0.001  # after a span is over, not at its very end
SETTLED_S = 30.0  # up for so long: the next drop starts the back-off anew


@dataclass(frozen=True, slots=True)
class Connected:
    """The stream is up (again): whatever was lost meanwhile is not sent again, so the books must be read."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    reason: str
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """The upgrade was answered with 403: final until there is another token."""


@dataclass(frozen=True, slots=True)
class Ticked:
    packet: Packet


@dataclass(frozen=True, slots=True)
class OrderHint:
    """An order frame: late, lost and out of order at times, hence a hint to read the book."""

    data: Mapping[str, Any]


News = Connected | Disconnected | LoggedOut | Ticked | OrderHint


@dataclass(slots=True)
class Seen:
    """What is known of one token's stream."""

    received_s: float | None = None  # of this connection; None before its first tick
    changed_s: float | None = None  # when its exchange stamp, or what it says, last moved on
    stamp_s: int = 0
    last: Packet | None = None


@dataclass(slots=True)
class Counts:
    """For /metrics and for who wonders."""

    frames: int = 0
    heartbeats: int = 0
    packets: int = 0
    dropped_packets: int = 0
    dropped_frames: int = 0
    stale_packets: int = 0  # older than what was known: out of order
    unknown_texts: int = 0
    connects: int = 0


@dataclass(slots=True)
class Feed:
    """One subscription over any number of connections."""

    mode: Mode = Mode.FULL
    counts: Counts = field(default_factory=Counts)
    _seen: dict[int, Seen] = field(default_factory=dict)
    _opened_s: float | None = None
    _heard_s: float = 0.0
    _asks: int = 0
    _drops: int = 0

    # --- what is wanted ---

    def want(self, tokens: Iterable[int]) -> list[str]:
        """From now on these; the texts to send if the connection is up."""
        wanted = set(tokens)
        gone, new = self._seen.keys() - wanted, wanted - self._seen.keys()
        for token in gone:
            del self._seen[token]
        self._seen |= {token: Seen() for token in new}
        if self._opened_s is None:
            return []
        texts = [unsubscribe_text(sorted(gone))] if gone else []
        return texts + self._subscription(new)

    @property
    def wanted(self) -> frozenset[int]:
        return frozenset(self._seen)

    # --- the life of a connection ---

    def opened(self, now_s: float) -> list[str]:
        """The connection is up: what to send first. Modes are not kept by the broker over connections."""
        self._opened_s = self._heard_s = now_s
        self._asks = 0
        self.counts.connects += 1
        for seen in self._seen.values():
            seen.received_s = None
        return self._subscription(self._seen.keys())

    def closed(self, now_s: float, rng: Random) -> float:
        """The connection is gone: seconds to wait before the next try."""
        if self._opened_s is not None and now_s - self._opened_s >= SETTLED_S:
            self._drops = 0
        self._opened_s = None
        base_s = BACK_OFF_S[min(self._drops, len(BACK_OFF_S) - 1)]
        self._drops += 1
        return base_s * rng.uniform(0.5, 1.0)  # programs that fell together do not come back together

    def ails(self, now_s: float) -> str | None:
        """Why this connection should be dropped; None while it is well."""
        if self._opened_s is None:
            return None
        if now_s - self._heard_s > SILENT_S:
            return f"silent for {now_s - self._heard_s:.1f} s"
        if self._asks > ASKS_MOST and self._missing():
            return f"no first tick of {len(self._missing())} instruments"
        return None

    @property
    def due_s(self) -> float:
        """From when on, if nothing comes before, `ails` or `remind` has something to say."""
        if self._opened_s is None:
            return math.inf
        silent_s = self._heard_s + SILENT_S + SOON_S
        if not self._missing():
            return silent_s
        return min(silent_s, self._opened_s + FIRST_TICK_S * (self._asks + 1) + SOON_S)

    def remind(self, now_s: float) -> list[str]:
        """Subscriptions to repeat, because nothing came of them."""
        if self._opened_s is None or not (missing := self._missing()):
            return []
        if now_s - self._opened_s <= FIRST_TICK_S * (self._asks + 1):
            return []
        self._asks += 1
        return self._subscription(missing) if self._asks <= ASKS_MOST else []

    # --- messages ---

    def received(self, message: bytes | str, now_s: float) -> list[News]:
        """Whatever comes in: news, or a count of what was wrong with it."""
        self._heard_s = now_s
        self.counts.frames += 1
        if isinstance(message, str):
            return self._text(message)
        if is_heartbeat(message):
            self.counts.heartbeats += 1
            return []
        try:
            frame = decode_frame(message)
        except WireError:
            self.counts.dropped_frames += 1
            return []
        self.counts.dropped_packets += len(frame.dropped)
        return [Ticked(packet) for packet in frame.packets if self._is_news(packet, now_s)]

    # --- ages ---

    def age_s(self, token: int, now_s: float) -> float | None:
        """Since the price of that token last moved on; None: never in this run."""
        seen = self._seen.get(token)
        return None if seen is None or seen.changed_s is None else now_s - seen.changed_s

    def silence_s(self, now_s: float) -> float | None:
        """Since anything came over the connection; None: there is none."""
        return None if self._opened_s is None else now_s - self._heard_s

    def last(self, token: int) -> Packet | None:
        seen = self._seen.get(token)
        return None if seen is None else seen.last

    def _subscription(self, tokens: Iterable[int]) -> list[str]:
        ordered = sorted(tokens)
        return [subscribe_text(ordered), mode_text(self.mode, ordered)] if ordered else []

    def _missing(self) -> list[int]:
        return [token for token, seen in self._seen.items() if seen.received_s is None]

    def _text(self, message: str) -> list[News]:
        try:
            text = read_text(message)
        except WireError:
            self.counts.dropped_frames += 1
            return []
        if text.kind == "order":
            return [OrderHint(text.data)]
        self.counts.unknown_texts += 1
        return []

    def _is_news(self, packet: Packet, now_s: float) -> bool:
        """Whether it was asked for and does not go back in time; a repeated one is no change."""
        seen = self._seen.get(packet.token)
        if seen is None:
            return False
        self.counts.packets += 1
        stamp_s = packet.at_s if isinstance(packet, FullPacket | IndexFull) else 0
        if stamp_s and stamp_s < seen.stamp_s:
            self.counts.stale_packets += 1
            return False
        seen.received_s = now_s
        if packet == seen.last:
            return False
        if not stamp_s or stamp_s > seen.stamp_s:
            seen.changed_s = now_s
        seen.stamp_s, seen.last = stamp_s, packet
        return True


def stamped_at(packet: Packet) -> datetime | None:
    """The exchange's own time of that packet, where the mode carries one."""
    if isinstance(packet, FullPacket | IndexFull) and packet.at_s:
        return moment_of_epoch(packet.at_s)
    return None
