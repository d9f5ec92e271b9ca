"""How does the broker's WebSocket spell ticks? Binary frames, in both directions.

Layouts, all big-endian and of 32 bits unless noted: a frame is a uint16 count of packets, then for each a
uint16 length and that many bytes. The records below name a packet's fields in the order of the wire; the
broker's own sample packets pin them in tests/test_wire.py. Prices are paise on both sides of this file.

What is wrong with bytes that came in
-------------------------------------
A bad frame is dropped whole, WireError: it is cut short, goes on behind its last packet, or says more
packets than it has room for. Nothing in it can be trusted then. A bad packet in a frame of sane lengths is
left out and listed in Frame.dropped with its flaw; the rest is kept. A packet is bad when

- its length is none of the five, or is another kind's (an index's layout for a share, or the reverse);
- its segment has no known divisor of prices, or a price is not whole paise (a tick of the currency
  segment is a quarter of a paisa): refused rather than rounded, for the suite trades shares of NSE;
- its last price is 0, or a price is above a crore of rupees (units.MOST_PRICE_PAISE);
- the day is crossed: open or last price outside of low and high. A day of only zeros has not traded yet.
  That the broker's snapshots are never crossed for a moment is UNCONFIRMED; Frame.dropped would show it.

A level of the depth without price or quantity is no level (before the open the wire has such), and is left
out. One byte is a heartbeat, whichever byte. No input raises anything but WireError.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import chain
from struct import Struct
from typing import Any, NamedTuple

from kite.units import MOST_PRICE_PAISE

HEARTBEAT = b"\0"
SEGMENT_NSE, SEGMENT_CDS, SEGMENT_BCD, SEGMENT_INDICES, SEGMENT_NCO = 1, 3, 6, 9, 12
# What of a paisa one unit of the wire is: 1 / 1, or the divisor of rupees by 100. Segments as in ticker.py of
# kiteconnect 5.2.2: nse nfo bse bfo mcx mcxsx indices; cds; bcd nco.
UNITS_PER_PAISA = {
    **dict.fromkeys((SEGMENT_NSE, 2, 4, 5, 7, 8, SEGMENT_INDICES), 1),
    SEGMENT_CDS: 100_000,
    SEGMENT_BCD: 100,
    SEGMENT_NCO: 100,
}
LEVELS = 5
MOST_UINT16, MOST_UINT32 = 2**16 - 1, 2**32 - 1

UINT16 = Struct(">H")
_LTP = Struct(">2I")
_INDEX_QUOTE, _INDEX_FULL = Struct(">6Ii"), Struct(">6IiI")
_QUOTE, FULL = Struct(">11I"), Struct(">16I" + 2 * LEVELS * "IIH2x")
FULL_HEAD, LEVEL = 16, 3  # numbers before the depth, and of each level
_ASKS = FULL_HEAD + LEVELS * LEVEL
_PRICES = frozenset(("last", "average", "open", "high", "low", "close"))


class Flaw(StrEnum):
    """What is wrong, to be counted by."""

    CUT_SHORT = "cut short"
    TRAILING = "bytes behind the last packet"
    LENGTH = "a length of no packet"
    KIND = "the layout of another kind of instrument"
    SEGMENT = "an unknown segment"
    ZERO_PRICE = "a price of 0"
    ABSURD_PRICE = "an absurd price"
    NOT_PAISE = "a price that is not whole paise"
    CROSSED = "a day that is crossed"
    TOO_LARGE = "a number that the wire has no room for"
    TEXT = "a text that is none of the protocol"


class WireError(ValueError):
    """The one error of this file."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        super().__init__(f"{flaw}: {detail}")
        self.flaw = flaw


class Mode(StrEnum):
    LTP = "ltp"
    QUOTE = "quote"
    FULL = "full"


# --- records, their fields in the order of the wire ------------------------------------------------------


class DepthRow(NamedTuple):
    qty: int
    price: int
    orders: int


class LtpPacket(NamedTuple):
    """8 bytes, of shares and indices."""

    token: int
    last: int


class IndexQuote(NamedTuple):
    """28 bytes; the last four are last - close, which is not read back."""

    token: int
    last: int
    high: int
    low: int
    open: int
    close: int


class IndexFull(NamedTuple):
    """32 bytes."""

    token: int
    last: int
    high: int
    low: int
    open: int
    close: int
    at_s: int  # the exchange's stamp; 0 is none


class QuotePacket(NamedTuple):
    """44 bytes. `close` is the previous day's."""

    token: int
    last: int
    last_qty: int
    average: int
    volume: int
    buy_qty: int
    sell_qty: int
    open: int
    high: int
    low: int
    close: int


class FullPacket(NamedTuple):
    """184 bytes."""

    token: int
    last: int
    last_qty: int
    average: int
    volume: int
    buy_qty: int
    sell_qty: int
    open: int
    high: int
    low: int
    close: int
    last_trade_s: int
    oi: int
    oi_high: int
    oi_low: int
    at_s: int
    bids: tuple[DepthRow, ...]
    asks: tuple[DepthRow, ...]


Packet = LtpPacket | IndexQuote | IndexFull | QuotePacket | FullPacket

# Where the prices of each stand; those of the depth beside them.
PRICED: Mapping[type[Packet], frozenset[int]] = {
    kind: frozenset(at for at, name in enumerate(kind._fields) if name in _PRICES)
    for kind in (LtpPacket, IndexQuote, IndexFull, QuotePacket, FullPacket)
}


class Frame(NamedTuple):
    """What a binary message said; of a heartbeat nothing."""

    packets: list[Packet]
    dropped: list[WireError]


# --- records -> bytes ------------------------------------------------------------------------------------


def encode_frame(packets: Sequence[Packet]) -> bytes:
    return frame_of([encode_packet(packet) for packet in packets])


def frame_of(payloads: Sequence[bytes]) -> bytes:
    """Packets that have been encoded before, as they are sent together."""
    if len(payloads) > MOST_UINT16:
        raise WireError(Flaw.TOO_LARGE, f"{len(payloads)} packets in one frame")
    parts = [UINT16.pack(len(payloads))]
    for payload in payloads:
        parts += (UINT16.pack(len(payload)), payload)
    return b"".join(parts)


def encode_packet(packet: Packet) -> bytes:
    """Says nothing about sense (a test sends nonsense), only about room."""
    units = _units_per_paisa(packet.token)
    raw = packet if units == 1 else _repriced(packet, lambda paise: paise * units)
    try:
        match raw:
            case FullPacket():
                return FULL.pack(*raw[:FULL_HEAD], *_side(raw.bids), *_side(raw.asks))
            case QuotePacket():
                return _QUOTE.pack(*raw)
            case LtpPacket():
                return _LTP.pack(*raw)
            case IndexQuote():
                return _INDEX_QUOTE.pack(*raw, raw.last - raw.close)
            case IndexFull():
                return _INDEX_FULL.pack(*raw[:-1], raw.last - raw.close, raw.at_s)
    except struct.error as error:
        raise WireError(Flaw.TOO_LARGE, f"token {packet.token}: {error}") from None


def _side(rows: tuple[DepthRow, ...]) -> Iterable[int]:
    """Five levels; more of them make more numbers than pack takes."""
    return chain(chain.from_iterable(rows), (0,) * (LEVEL * (LEVELS - len(rows))))


def _repriced(packet: Packet, change: Callable[[int], int]) -> Packet:
    """Every price of it through that change; the other numbers as they are."""
    numbers: Sequence[Any] = packet
    priced = PRICED[type(packet)]
    moved: Packet = type(packet)._make(change(n) if at in priced else n for at, n in enumerate(numbers))
    if isinstance(moved, FullPacket):
        bids, asks = (
            tuple(row._replace(price=change(row.price)) for row in side) for side in (moved.bids, moved.asks)
        )
        return moved._replace(bids=bids, asks=asks)
    return moved


# --- bytes -> records ------------------------------------------------------------------------------------


def is_heartbeat(message: bytes) -> bool:
    return len(message) == 1


def decode_frame(message: bytes) -> Frame:
    """Everything sound in it; WireError where the frame itself is not."""
    frame = Frame([], [])
    for payload in () if is_heartbeat(message) else _payloads(message):
        try:
            frame.packets.append(decode_packet(payload))
        except WireError as error:
            frame.dropped.append(error.with_traceback(None))  # or it would hold this frame, and that it
    return frame


def _payloads(message: bytes) -> list[bytes]:
    if len(message) < UINT16.size:
        raise WireError(Flaw.CUT_SHORT, f"{len(message)} bytes")
    count, at, found = UINT16.unpack_from(message)[0], UINT16.size, []
    for number in range(count):
        if at + UINT16.size > len(message):
            raise WireError(Flaw.CUT_SHORT, f"{number} of {count} packets in {len(message)} bytes")
        begins = at + UINT16.size
        at = begins + UINT16.unpack_from(message, at)[0]
        if at > len(message):
            raise WireError(Flaw.CUT_SHORT, f"packet {number} says {at - begins} bytes")
        found.append(message[begins:at])
    if at != len(message):
        raise WireError(Flaw.TRAILING, f"{len(message) - at} after {count} packets")
    return found


def decode_packet(payload: bytes) -> Packet:
    """One packet without its length, or WireError with what is wrong with it."""
    raw = _raw(payload)
    is_index = raw.token & 0xFF == SEGMENT_INDICES
    if not isinstance(raw, LtpPacket) and is_index != isinstance(raw, IndexQuote | IndexFull):
        raise WireError(Flaw.KIND, f"token {raw.token}, {len(payload)} bytes")
    units = _units_per_paisa(raw.token)
    packet = raw if units == 1 else _repriced(raw, lambda price: _whole_paise(price, units))
    flaw = _flaw(packet)
    if flaw is not None:
        raise WireError(flaw, f"token {packet.token}, last {packet.last}, {len(payload)} bytes")
    return packet


def _raw(payload: bytes) -> Packet:
    """Numbers as the segment writes them."""
    match len(payload):
        case FULL.size:
            numbers = FULL.unpack(payload)
            bids, asks = _levels(numbers, FULL_HEAD), _levels(numbers, _ASKS)
            return FullPacket._make((*numbers[:FULL_HEAD], bids, asks))
        case _QUOTE.size:
            return QuotePacket._make(_QUOTE.unpack(payload))
        case _LTP.size:
            return LtpPacket._make(_LTP.unpack(payload))
        case _INDEX_QUOTE.size:
            return IndexQuote._make(_INDEX_QUOTE.unpack(payload)[:-1])
        case _INDEX_FULL.size:
            *prices, _change, at_s = _INDEX_FULL.unpack(payload)
            return IndexFull._make((*prices, at_s))
    raise WireError(Flaw.LENGTH, f"{len(payload)} bytes")


def _levels(numbers: Sequence[int], begins: int) -> tuple[DepthRow, ...]:
    rows = (numbers[at : at + LEVEL] for at in range(begins, begins + LEVELS * LEVEL, LEVEL))
    return tuple(DepthRow._make(row) for row in rows if row[0] and row[1])


def _units_per_paisa(token: int) -> int:
    units = UNITS_PER_PAISA.get(token & 0xFF)
    if units is None:
        raise WireError(Flaw.SEGMENT, f"{token & 0xFF} of token {token}")
    return units


def _whole_paise(price: int, units: int) -> int:
    if price % units:
        raise WireError(Flaw.NOT_PAISE, f"{price} / {units}")
    return price // units


def _flaw(packet: Packet) -> Flaw | None:
    if packet.last == 0:
        return Flaw.ZERO_PRICE
    if max(_prices(packet)) > MOST_PRICE_PAISE:
        return Flaw.ABSURD_PRICE
    if isinstance(packet, LtpPacket) or packet.open == packet.high == packet.low == 0:
        return None
    is_whole = 0 < packet.low <= packet.open <= packet.high and packet.low <= packet.last <= packet.high
    return None if is_whole else Flaw.CROSSED


def _prices(packet: Packet) -> list[int]:
    numbers: Sequence[Any] = packet
    found = [numbers[at] for at in PRICED[type(packet)]]
    if isinstance(packet, FullPacket):
        found += [row.price for row in packet.bids] + [row.price for row in packet.asks]
    return found
