"""What is one client of the stream sent, and when? Its subscriptions, its beat and its faults; no socket.

The broker's stream gives snapshots, not trades: at most one packet of an instrument in an interval, sent
when something changed, in one frame with the others; at once after a subscription, also when the market
is shut; and a heartbeat when a second went by without anything. Whoever owns the socket hands in what the
client said, asks `due` and sends what it is given, and asks `next_due` when to come again.

Choices where the broker's own behaviour is not published: a subscription sets the mode to quote again; a
mode for what is not subscribed is ignored; a request that would pass 3000 tokens is refused whole.
The market's levels carry no count of orders, so each says one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from exchange.faults import Faults
from exchange.nouns import Listing, Quote
from kite import texts
from kite.units import epoch_s
from kite.wire import (
    HEARTBEAT,
    MOST_UINT32,
    SEGMENT_CDS,
    DepthRow,
    FullPacket,
    IndexFull,
    IndexQuote,
    LtpPacket,
    Mode,
    Packet,
    QuotePacket,
    WireError,
    encode_packet,
    frame_of,
)
from rulebook.fills import Level

MOST_CONNECTIONS = 3  # of one api_key; the next gets 429 at the upgrade
MOST_TOKENS = 3_000  # of one connection
INTERVAL = timedelta(milliseconds=500)
HEARTBEAT_EVERY = timedelta(seconds=1)
MOST_FLIPPED = 4  # bytes of a corrupt frame
_NEVER = datetime.max.replace(tzinfo=UTC)

Sent = bytes | str
QuoteOf = Callable[[str], Quote | None]


class Connections:
    """How many streams are open under each key."""

    def __init__(self, most: int = MOST_CONNECTIONS) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def may_open(self, key: str) -> bool:
        return self._open[key] < self._most

    def opened(self, key: str) -> None:
        self._open[key] += 1

    def closed(self, key: str) -> None:
        assert self._open[key] > 0, "a stream that was not opened has closed"
        self._open[key] -= 1


class Packets:
    """The packet of each quote in each mode, made once for all clients that share this."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, Mode], tuple[Quote, bytes]] = {}
        self._latest: dict[int, Quote] = {}

    def of(self, listing: Listing, quote: Quote, mode: Mode) -> bytes:
        self._latest[listing.token] = quote
        made = self._made.get((listing.token, mode))
        if made is None or (made[0] is not quote and made[0] != quote):
            made = quote, encode_packet(packet_of(listing, quote, mode))
            self._made[listing.token, mode] = made
        return made[1]

    def latest(self, listing: Listing) -> Quote | None:
        """The quote that was last sent to anybody."""
        return self._latest.get(listing.token)


def packet_of(listing: Listing, quote: Quote, mode: Mode) -> Packet:
    token = listing.token
    if mode is Mode.LTP:
        return LtpPacket(token, quote.last)
    if listing.is_index:
        index = IndexQuote(token, quote.last, quote.high, quote.low, quote.open, quote.close)
        return index if mode is Mode.QUOTE else IndexFull(*index, epoch_s(quote.at))
    # A uint32 ends at 4.29 billion shares, which is more than a day has seen: full is better than gone.
    volume, wanted, offered = (min(n, MOST_UINT32) for n in (quote.volume, quote.buy_qty, quote.sell_qty))
    traded = quote.last, quote.last_qty, quote.average, volume, wanted, offered
    share = QuotePacket(token, *traded, quote.open, quote.high, quote.low, quote.close)
    if mode is Mode.QUOTE:
        return share
    at_s = epoch_s(quote.at)
    traded_s = at_s if quote.last_trade_at is quote.at else epoch_s(quote.last_trade_at)
    stamps = (traded_s, 0, 0, 0, at_s)  # shares have no open interest
    return FullPacket(*share, *stamps, _rows(quote.depth.bids), _rows(quote.depth.asks))


def _rows(levels: Iterable[Level]) -> tuple[DepthRow, ...]:
    return tuple([DepthRow(min(qty, MOST_UINT32), price, 1) for price, qty in levels])


@dataclass(slots=True)
class _Subscription:
    listing: Listing
    mode: Mode = Mode.QUOTE
    sent_at: datetime | None = None


class Stream:
    """One client's connection."""

    def __init__(
        self,
        listings: Mapping[int, Listing],  # by token
        quote_of: QuoteOf,
        faults: Faults,
        *,
        interval: timedelta = INTERVAL,
        packets: Packets | None = None,
    ) -> None:
        self._listings = listings
        self._quote_of = quote_of
        self._faults = faults
        self._interval = interval
        self._packets = Packets() if packets is None else packets
        self._subscribed: dict[int, _Subscription] = {}
        self._tokens: dict[str, int] = {}  # of what is subscribed, by ticker
        # What has to go out. Dicts for sets: their order is kept, so that a seed gives the same bytes.
        self._texts: list[str] = []
        self._fresh: dict[int, None] = {}  # subscribed just now: waits for no beat
        self._dirty: dict[int, None] = {}  # changed since it was sent
        self._held: list[Sent] = []  # by ws_out_of_order
        self._beat_at: datetime | None = None  # no packet of what is dirty before; None: none was sent yet
        self._sent_at: datetime | None = None
        self._quiet_until: dict[str, datetime] = {}

    @property
    def tickers(self) -> tuple[str, ...]:
        return tuple(self._tokens)

    # --- what happens ---

    def received(self, text: str | bytes, now: datetime) -> None:
        """A text of the client; whatever is wrong with it is answered by an error frame."""
        try:
            request = texts.read_request(text)
        except WireError as error:
            self._texts.append(texts.server_text("error", str(error)))
            return
        match request:
            case texts.Subscribe(tokens):
                self._subscribe(tokens, now)
            case texts.Unsubscribe(tokens):
                self._unsubscribe(tokens)
            case texts.SetMode(mode, tokens):
                self._set_mode(mode, tokens, now)

    def ticked(self, ticker: str) -> None:
        token = self._tokens.get(ticker)
        if token is not None:
            self._dirty[token] = None

    def order_updated(self, data: Mapping[str, Any], now: datetime) -> None:
        """`data` as the broker's books spell the order."""
        if not self._faults.strikes("order_update_lost", now, str(data.get("tradingsymbol", ""))):
            self._texts.append(texts.server_text("order", data))

    def _subscribe(self, tokens: Iterable[int], now: datetime) -> None:
        known = dict.fromkeys(token for token in tokens if token in self._listings)
        if len(self._subscribed.keys() | known.keys()) > MOST_TOKENS:
            sentence = f"more than {MOST_TOKENS} instruments on one connection; nothing of it was subscribed"
            self._texts.append(texts.server_text("error", sentence))
            return
        for token in known:
            listing = self._listings[token]
            if not self._faults.strikes("ws_forgets", now, listing.ticker):
                self._subscribed[token] = _Subscription(listing)
                self._tokens[listing.ticker] = token
                self._fresh[token] = None

    def _unsubscribe(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            gone = self._subscribed.pop(token, None)
            if gone is not None:
                del self._tokens[gone.listing.ticker]
                self._fresh.pop(token, None)
                self._dirty.pop(token, None)

    def _set_mode(self, mode: Mode, tokens: Iterable[int], now: datetime) -> None:
        for token in tokens:
            found = self._subscribed.get(token)
            if found is None:
                continue
            # Once for each request and not for each packet: asking again is the client's remedy.
            is_wrong = mode is not Mode.LTP and self._faults.strikes(
                "ws_wrong_mode", now, found.listing.ticker
            )
            found.mode = Mode.LTP if is_wrong else mode
            self._fresh[token] = None

    # --- what is sent ---

    def due(self, now: datetime) -> list[Sent]:
        """What goes out now, in this order."""
        has_news, needs_heartbeat = self._news_at(now) <= now, self._heartbeat_at(now) <= now
        if not (has_news or needs_heartbeat) or self._is_quiet("ws_stall", now):
            return []
        frames = self._news(now) if has_news and not self._is_quiet("ws_mute", now) else []
        if not frames and needs_heartbeat:
            frames = [HEARTBEAT]
        if frames:
            self._sent_at = now
        return frames

    def next_due(self, now: datetime) -> datetime:
        """When `due` may have something, if nothing happens before."""
        stalled, muted = (self._quiet_until.get(name, now) for name in ("ws_stall", "ws_mute"))
        wanted = min(self._heartbeat_at(now), max(self._news_at(now), muted))
        return max(now, wanted, stalled)

    def _heartbeat_at(self, now: datetime) -> datetime:
        return now if self._sent_at is None else self._sent_at + HEARTBEAT_EVERY

    def _news_at(self, now: datetime) -> datetime:
        if self._texts or self._fresh:
            return now
        if not self._dirty:
            return _NEVER
        return now if self._beat_at is None else self._beat_at

    def _is_quiet(self, name: str, now: datetime) -> bool:
        """A time without anything, or without anything but heartbeats; each begins by a strike."""
        if now < self._quiet_until.get(name, now):
            return True
        fault = self._faults.strikes(name, now)
        if fault is not None:
            # A millisecond at least, or time would stand still for who comes again at next_due.
            self._quiet_until[name] = now + timedelta(milliseconds=max(1, fault.value))
        return fault is not None

    def _news(self, now: datetime) -> list[Sent]:
        frames: list[Sent] = list(self._texts)
        self._texts.clear()
        made = [self._payload(self._subscribed[token], now) for token in self._ready(now)]
        payloads = [payload for payload in made if payload is not None]
        return frames + self._as_sent(payloads, now) if payloads else frames

    def _ready(self, now: datetime) -> dict[int, None]:
        """Whose packet goes out; the others stay dirty."""
        ready, self._fresh = self._fresh, {}
        if self._dirty and (self._beat_at is None or self._beat_at <= now):
            waits = {token: self._subscribed[token].sent_at for token in self._dirty}
            young = {t: at for t, at in waits.items() if at is not None and now < at + self._interval}
            ready |= dict.fromkeys(token for token in waits if token not in young)
            self._dirty = dict.fromkeys(young)
            self._beat_at = min(young.values(), default=now) + self._interval
        for token in ready:
            self._dirty.pop(token, None)
        return ready

    def _payload(self, subscription: _Subscription, now: datetime) -> bytes | None:
        """None where there is no price yet."""
        listing = subscription.listing
        quote, latest = self._quote_of(listing.ticker), self._packets.latest(listing)
        if latest is not None and self._faults.strikes("frozen_price", now, listing.ticker):
            quote = latest
        if quote is None:
            return None
        subscription.sent_at = now
        payload = self._packets.of(listing, quote, subscription.mode)
        for name, spoiled in _PACKET_FAULTS.items():
            if self._faults.strikes(name, now, listing.ticker):
                payload = spoiled(payload)
        return payload

    def _as_sent(self, payloads: Sequence[bytes], now: datetime) -> list[Sent]:
        """The frame of these packets, as often, as whole and as late as the faults have it."""
        frame, strikes = frame_of(payloads), self._faults.strikes
        if strikes("ws_gap", now):
            return []
        if strikes("ws_corrupt", now):
            frame = _flipped(frame, self._faults.stream("ws_corrupt"))
        if strikes("ws_hostile_length", now):
            frame = _overlong(frame, len(payloads[-1]))
        frames: list[Sent] = [frame] * (2 if strikes("ws_duplicate", now) else 1)
        flood = strikes("ws_flood", now)
        frames += [frame] * (0 if flood is None else flood.value)
        if self._held:
            late, self._held = self._held, []
            return frames + late
        if strikes("ws_out_of_order", now):
            frames, self._held = [], frames
        return frames


# --- spoiled bytes ------------------------------------------------------------------------------------------


def _flipped(frame: bytes, luck: Random) -> bytes:
    spoiled = bytearray(frame)
    for _ in range(luck.randint(1, MOST_FLIPPED)):
        spoiled[luck.randrange(len(spoiled))] ^= luck.randint(1, 255)
    return bytes(spoiled)


def _overlong(frame: bytes, last_length: int) -> bytes:
    """Of the last packet, so that it says too much however long the frame is."""
    at = len(frame) - last_length
    return frame[: at - 2] + b"\xff\xff" + frame[at:]


def _of_another_segment(payload: bytes) -> bytes:
    return payload[:3] + bytes((SEGMENT_CDS,)) + payload[4:]


def _with_last(payload: bytes, change: Callable[[int], int]) -> bytes:
    last = int.from_bytes(payload[4:8])
    return payload[:4] + min(change(last), MOST_UINT32).to_bytes(4) + payload[8:]


_PACKET_FAULTS: Mapping[str, Callable[[bytes], bytes]] = {
    "ws_wrong_segment": _of_another_segment,
    "ws_zero_price": lambda payload: _with_last(payload, lambda _last: 0),
    "ws_absurd_price": lambda payload: _with_last(payload, lambda last: 100 * last),
}
