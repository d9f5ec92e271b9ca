"""Is what we write what the broker writes, and can any bytes or text do more than be refused?"""

import base64
import json
import struct
import warnings
from collections import Counter
from datetime import datetime
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kite import texts
from kite.columns import columns
from kite.texts import SetMode, Subscribe, Text, Unsubscribe
from kite.units import MOST_PRICE_PAISE
from kite.wire import (
    HEARTBEAT,
    MOST_UINT32,
    DepthRow,
    Flaw,
    FullPacket,
    IndexFull,
    IndexQuote,
    LtpPacket,
    Mode,
    Packet,
    QuotePacket,
    WireError,
    decode_frame,
    decode_packet,
    encode_frame,
    encode_packet,
    frame_of,
    is_heartbeat,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what its dependencies deprecate is none of ours
    from kiteconnect import KiteTicker

PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "market" / "ticks" / "kite_packets"
PEER = KiteTicker("key", "token")
INFY, NIFTY = 408065, 256265  # 1594 * 256 + 1, a share of NSE; 1001 * 256 + 9, an index
MUTATED_FRAMES = 20_000  # of a million, run once, none raised anything else either

# --- the broker's own samples, as numbers (zerodha/kiteconnect-mocks c7a8123, INFY on 2021-07-05) ----------

FULL_NUMBERS = (
    408065, 157370, 7, 157037, 1192471, 256443, 363009, 156915, 157500, 156105, 156780,
    1625461887, 0, 0, 0, 1625461887,
    5, 157340, 1, 140, 157300, 2, 2, 157295, 1, 219, 157290, 7, 50, 157285, 1,
    172, 157370, 3, 44, 157375, 3, 302, 157385, 3, 141, 157390, 2, 724, 157395, 5,
)  # fmt: skip
FULL_BYTES = struct.pack(">16I" + "IIHH" * 10, *FULL_NUMBERS[:16], *(
    number for at in range(16, 46, 3) for number in (*FULL_NUMBERS[at : at + 3], 0)
))  # fmt: skip
FULL = FullPacket(
    token=408065, last=157370, last_qty=7, average=157037, volume=1192471, buy_qty=256443, sell_qty=363009,
    open=156915, high=157500, low=156105, close=156780,
    last_trade_s=1625461887, oi=0, oi_high=0, oi_low=0, at_s=1625461887,
    bids=(DepthRow(5, 157340, 1), DepthRow(140, 157300, 2), DepthRow(2, 157295, 1), DepthRow(219, 157290, 7), DepthRow(50, 157285, 1)),
    asks=(DepthRow(172, 157370, 3), DepthRow(44, 157375, 3), DepthRow(302, 157385, 3), DepthRow(141, 157390, 2), DepthRow(724, 157395, 5)),
)  # fmt: skip
QUOTE_NUMBERS = (408065, 157315, 1, 157033, 1175986, 256511, 360503, 156915, 157500, 156105, 156780)
QUOTE = QuotePacket(
    token=408065, last=157315, last_qty=1, average=157033, volume=1175986, buy_qty=256511, sell_qty=360503,
    open=156915, high=157500, low=156105, close=156780,
)  # fmt: skip

LAYOUTS: dict[str, tuple[Packet, bytes]] = {
    "ltp": (LtpPacket(INFY, 157315), struct.pack(">2I", INFY, 157315)),
    "index ltp": (LtpPacket(NIFTY, 2621540), struct.pack(">2I", NIFTY, 2621540)),
    "index quote": (
        IndexQuote(NIFTY, last=2621540, high=2630000, low=2610000, open=2615000, close=2625000),
        struct.pack(">6Ii", NIFTY, 2621540, 2630000, 2610000, 2615000, 2625000, -3460),
    ),
    "index full": (
        IndexFull(
            NIFTY, last=2621540, high=2630000, low=2610000, open=2615000, close=2600000, at_s=1625461887
        ),
        struct.pack(">6IiI", NIFTY, 2621540, 2630000, 2610000, 2615000, 2600000, 21540, 1625461887),
    ),
    "quote": (QUOTE, struct.pack(">11I", *QUOTE_NUMBERS)),
    "full": (FULL, FULL_BYTES),
}


@pytest.mark.parametrize(("packet", "payload"), LAYOUTS.values(), ids=LAYOUTS)
def test_each_layout_is_the_published_one_to_the_byte(packet, payload):
    assert payload == encode_packet(packet)
    assert packet == decode_packet(payload)


@pytest.mark.parametrize(
    ("name", "length"),
    [("ltp", 8), ("index ltp", 8), ("index quote", 28), ("index full", 32), ("quote", 44), ("full", 184)],
)
def test_each_layout_has_the_published_length(name, length):
    assert length == len(LAYOUTS[name][1])


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the broker's samples are not on this machine")
@pytest.mark.parametrize(("file", "name"), [("ticker_full", "full"), ("ticker_quote", "quote")])
def test_our_numbers_are_those_of_the_broker_s_recordings(file, name):
    assert base64.b64decode((PUBLISHED / f"{file}.packet").read_bytes()) == LAYOUTS[name][1]


# --- what the broker's own client reads of what we write ----------------------------------------------------


def as_the_peer_says(packet: Packet) -> dict[str, Any]:
    """Its dict for that packet, each price the nearest float to that number of rupees."""
    is_index = packet.token & 0xFF == 9
    mode = {LtpPacket: "ltp", IndexQuote: "quote", QuotePacket: "quote"}.get(type(packet), "full")
    said: dict[str, Any] = {"tradable": not is_index, "mode": mode, "instrument_token": packet.token,
                            "last_price": packet.last / 100}  # fmt: skip
    if isinstance(packet, LtpPacket):
        return said
    said["ohlc"] = {name: getattr(packet, name) / 100 for name in ("open", "high", "low", "close")}
    close = packet.close / 100
    said["change"] = (packet.last / 100 - close) * 100 / close if close else 0
    if isinstance(packet, IndexFull):
        said["exchange_timestamp"] = datetime.fromtimestamp(packet.at_s)  # noqa: DTZ006  (as naive as it)
    if isinstance(packet, QuotePacket | FullPacket):
        said |= {
            "last_traded_quantity": packet.last_qty, "average_traded_price": packet.average / 100,
            "volume_traded": packet.volume, "total_buy_quantity": packet.buy_qty,
            "total_sell_quantity": packet.sell_qty,
        }  # fmt: skip
    if isinstance(packet, FullPacket):
        said |= {
            "last_trade_time": datetime.fromtimestamp(packet.last_trade_s),  # noqa: DTZ006
            "exchange_timestamp": datetime.fromtimestamp(packet.at_s),  # noqa: DTZ006
            "oi": packet.oi, "oi_day_high": packet.oi_high, "oi_day_low": packet.oi_low,
            "depth": {"buy": five(packet.bids), "sell": five(packet.asks)},
        }  # fmt: skip
    return said


def five(rows: tuple[DepthRow, ...]) -> list[dict[str, Any]]:
    padded = [*rows, *[DepthRow(0, 0, 0)] * (5 - len(rows))]
    return [{"quantity": row.qty, "price": row.price / 100, "orders": row.orders} for row in padded]


def test_the_broker_s_client_reads_every_field_of_every_layout_as_we_meant_it():
    packets = [packet for packet, _ in LAYOUTS.values()]

    assert [as_the_peer_says(packet) for packet in packets] == PEER._parse_binary(encode_frame(packets))


# --- any packet ---------------------------------------------------------------------------------------------

NUMBERS, PRICES = st.integers(0, MOST_UINT32), st.integers(1, MOST_PRICE_PAISE)
ROWS = st.lists(
    st.builds(DepthRow, st.integers(1, MOST_UINT32), PRICES, st.integers(0, 2**16 - 1)), max_size=5
)
CLOSES = st.integers(0, MOST_PRICE_PAISE)
SHARES = st.builds(
    lambda number, segment: number * 256 + segment,
    st.integers(0, 2**24 - 1),
    st.sampled_from([1, 2, 4, 5, 7, 8]),
)
INDICES = st.integers(0, 2**24 - 1).map(lambda number: number * 256 + 9)


@st.composite
def whole_days(draw: st.DrawFn) -> dict[str, int]:
    """Low at the bottom, high on top, or nothing traded yet."""
    low, one, other, high = sorted(draw(st.tuples(PRICES, PRICES, PRICES, PRICES)))
    if draw(st.booleans()):
        one, other = other, one
    if draw(st.integers(0, 9)) == 0:
        return {"open": 0, "high": 0, "low": 0, "last": one, "close": draw(CLOSES)}
    return {"open": one, "high": high, "low": low, "last": other, "close": draw(CLOSES)}


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    day = draw(whole_days())
    traded = {"average": draw(CLOSES)} | {
        name: draw(NUMBERS) for name in ("last_qty", "volume", "buy_qty", "sell_qty")
    }
    match draw(st.sampled_from(list(LAYOUTS))):
        case "ltp":
            return LtpPacket(draw(SHARES), day["last"])
        case "index ltp":
            return LtpPacket(draw(INDICES), day["last"])
        case "index quote":
            return IndexQuote(token=draw(INDICES), **day)
        case "index full":
            return IndexFull(token=draw(INDICES), at_s=draw(NUMBERS), **day)
        case "quote":
            return QuotePacket(token=draw(SHARES), **day, **traded)
    return draw(full_packets(SHARES, day | traded))


def full_packets(tokens: st.SearchStrategy[int], known: dict[str, int]) -> st.SearchStrategy[FullPacket]:
    stamps = dict.fromkeys(("last_trade_s", "oi", "oi_high", "oi_low", "at_s"), NUMBERS)
    return st.builds(
        FullPacket, token=tokens, bids=ROWS.map(tuple), asks=ROWS.map(tuple), **stamps,
        **{name: st.just(value) for name, value in known.items()},
    )  # fmt: skip


@settings(max_examples=50)
@given(st.lists(packets(), max_size=8))
def test_every_frame_comes_back_as_it_went(sent):
    assert (sent, []) == decode_frame(encode_frame(sent))


@settings(max_examples=50)
@given(st.lists(packets(), min_size=1, max_size=4))
def test_the_broker_s_client_reads_every_frame_as_we_do(sent):
    assert [as_the_peer_says(packet) for packet in sent] == PEER._parse_binary(encode_frame(sent))


@pytest.mark.parametrize(
    ("segment", "units"),
    [(1, 1), (2, 1), (4, 1), (5, 1), (7, 1), (8, 1), (9, 1), (3, 100_000), (6, 100), (12, 100)],
)
def test_the_divisor_of_each_segment_is_the_published_one(segment, units):
    token = 77 * 256 + segment
    payload = struct.pack(">2I", token, 1234 * units)

    assert LtpPacket(token, 1234) == decode_packet(payload)
    assert payload == encode_packet(LtpPacket(token, 1234))
    assert 12.34 == PEER._parse_binary(frame_of([payload]))[0]["last_price"]


def test_prices_of_another_divisor_are_scaled_in_the_whole_packet_and_numbers_are_not():
    raw = QUOTE._replace(token=77 * 256 + 6)
    packet = FullPacket(*raw, 1, 2, 3, 4, 5, (DepthRow(9, 157340, 8),), ())
    ours, theirs = decode_frame(encode_frame([packet])), PEER._parse_binary(encode_frame([packet]))[0]

    assert ([packet], []) == ours
    assert as_the_peer_says(packet) == theirs


@pytest.mark.parametrize("segment", [0, 10, 11, 13, 99, 255])
def test_a_segment_without_a_known_divisor_has_no_price(segment):
    with pytest.raises(WireError) as caught:
        decode_packet(struct.pack(">2I", 77 * 256 + segment, 1234))
    with pytest.raises(WireError):
        encode_packet(LtpPacket(77 * 256 + segment, 1234))

    assert Flaw.SEGMENT == caught.value.flaw


@pytest.mark.parametrize(
    "packet",
    [
        LtpPacket(INFY, -1), LtpPacket(INFY, 2**32), LtpPacket(77 * 256 + 3, 2**31), LtpPacket(2**32 + 1, 5),
        IndexQuote(NIFTY, MOST_UINT32, 0, 0, 0, 0), FULL._replace(bids=(*FULL.bids, DepthRow(1, 1, 1))), FULL._replace(bids=(*FULL.bids, FULL.asks[0]), asks=FULL.asks[1:]),
        FULL._replace(asks=(DepthRow(1, 1, 2**16),)), QUOTE._replace(volume=2**32),
    ],
)  # fmt: skip
def test_what_the_wire_has_no_room_for_is_refused_by_name(packet):
    with pytest.raises(WireError) as caught:
        encode_packet(packet)

    assert Flaw.TOO_LARGE == caught.value.flaw


# --- bad packets: dropped and counted, the rest of the frame is kept ------------------------------------------


def with_number(payload: bytes, offset: int, number: int) -> bytes:
    return payload[:offset] + struct.pack(">I", number) + payload[offset + 4 :]


ABSURD = MOST_PRICE_PAISE + 1
BAD_PACKETS = {
    "nothing": (b"", Flaw.LENGTH),
    "7 bytes": (FULL_BYTES[:7], Flaw.LENGTH),
    "between quote and full": (FULL_BYTES[:64], Flaw.LENGTH),
    "185 bytes": (FULL_BYTES + b"\0", Flaw.LENGTH),
    "a share as an index": (LAYOUTS["index full"][1][:3] + b"\1" + LAYOUTS["index full"][1][4:], Flaw.KIND),
    "an index as a share": (FULL_BYTES[:3] + b"\11" + FULL_BYTES[4:], Flaw.KIND),
    "no token": (with_number(FULL_BYTES, 0, 0), Flaw.SEGMENT),
    "currency": (FULL_BYTES[:3] + b"\3" + FULL_BYTES[4:], Flaw.NOT_PAISE),
    "last 0": (with_number(FULL_BYTES, 4, 0), Flaw.ZERO_PRICE),
    "last 0 alone": (struct.pack(">2I", INFY, 0), Flaw.ZERO_PRICE),
    "last absurd": (with_number(FULL_BYTES, 4, ABSURD), Flaw.ABSURD_PRICE),
    "last absurd alone": (struct.pack(">2I", INFY, ABSURD), Flaw.ABSURD_PRICE),
    "average absurd": (with_number(FULL_BYTES, 12, ABSURD), Flaw.ABSURD_PRICE),
    "close absurd": (with_number(FULL_BYTES, 40, ABSURD), Flaw.ABSURD_PRICE),
    "bid absurd": (with_number(FULL_BYTES, 68, ABSURD), Flaw.ABSURD_PRICE),
    "last ask absurd": (with_number(FULL_BYTES, 176, ABSURD), Flaw.ABSURD_PRICE),
    "open below low": (with_number(FULL_BYTES, 28, 156104), Flaw.CROSSED),
    "open above high": (with_number(FULL_BYTES, 28, 157501), Flaw.CROSSED),
    "last below low": (with_number(FULL_BYTES, 4, 156104), Flaw.CROSSED),
    "last above high": (with_number(FULL_BYTES, 4, 157501), Flaw.CROSSED),
    "a hundredfold last": (with_number(FULL_BYTES, 4, 15737000), Flaw.CROSSED),
    "no low": (with_number(FULL_BYTES, 36, 0), Flaw.CROSSED),
    "high below low": (with_number(with_number(FULL_BYTES, 32, 5), 36, 6), Flaw.CROSSED),
    "an index's last above its high": (with_number(LAYOUTS["index full"][1], 4, 2630001), Flaw.CROSSED),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "flaw"), BAD_PACKETS.values(), ids=BAD_PACKETS)
def test_a_bad_packet_is_dropped_with_its_flaw_and_its_neighbours_are_kept(payload, flaw):
    frame = decode_frame(frame_of([FULL_BYTES, payload, LAYOUTS["quote"][1]]))

    assert [FULL, QUOTE] == frame.packets
    assert [flaw] == [error.flaw for error in frame.dropped]
    assert [None] == [error.__traceback__ for error in frame.dropped], "it would keep itself alive"


def test_the_days_before_the_first_trade_and_of_a_new_listing_are_sound():
    untraded = QUOTE._replace(open=0, high=0, low=0, average=0, volume=0, last_qty=0)
    newly_listed = QUOTE._replace(close=0)

    assert [untraded, newly_listed] == decode_frame(encode_frame([untraded, newly_listed])).packets


def test_a_level_without_price_or_quantity_is_no_level():
    """Before the open, market orders stand at a price of 0."""
    rows = (DepthRow(7, 0, 3), DepthRow(0, 157340, 0), DepthRow(0, 0, 0), DepthRow(5, 157300, 1))
    packet = FULL._replace(bids=rows, asks=(DepthRow(0, ABSURD, 1),))

    assert FULL._replace(bids=rows[3:], asks=()) == decode_packet(encode_packet(packet))


# --- bad frames: refused whole --------------------------------------------------------------------------------

EVERY_LAYOUT = frame_of([payload for _, payload in LAYOUTS.values()])


def test_every_beginning_of_a_frame_is_refused_but_the_one_byte_that_is_a_heartbeat():
    flaws = []
    for length in range(len(EVERY_LAYOUT)):
        if length != 1:
            with pytest.raises(WireError) as caught:
                decode_frame(EVERY_LAYOUT[:length])
            flaws.append(caught.value.flaw)

    assert {Flaw.CUT_SHORT} == set(flaws)
    assert ([], []) == decode_frame(EVERY_LAYOUT[:1])


@pytest.mark.parametrize("byte", [HEARTBEAT, b"\n", b"\xff"])
def test_one_byte_is_a_heartbeat_and_says_nothing(byte):
    assert is_heartbeat(byte)
    assert ([], []) == decode_frame(byte)


def test_a_frame_of_no_packets_is_no_heartbeat_and_says_nothing():
    assert not is_heartbeat(b"\0\0")
    assert ([], []) == decode_frame(encode_frame([]))


@pytest.mark.parametrize(
    ("message", "flaw"),
    [
        (b"", Flaw.CUT_SHORT),
        (EVERY_LAYOUT + b"\0", Flaw.TRAILING),
        (b"\0\0\0", Flaw.TRAILING),
        (b"\xff\xff" + EVERY_LAYOUT[2:], Flaw.CUT_SHORT),
        (b"\0\1" + EVERY_LAYOUT[2:], Flaw.TRAILING),
        (EVERY_LAYOUT[:2] + b"\xff\xff" + EVERY_LAYOUT[4:], Flaw.CUT_SHORT),
    ],
    ids=[
        "empty",
        "a byte too many",
        "bytes behind none",
        "hostile count",
        "count too small",
        "hostile length",
    ],
)
def test_a_frame_that_is_not_framed_is_refused_whole(message, flaw):
    with pytest.raises(WireError) as caught:
        decode_frame(message)

    assert flaw == caught.value.flaw


def test_a_frame_of_65535_empty_packets_is_only_counted():
    frame = decode_frame(b"\xff\xff" + b"\0\0" * 65535)

    assert (0, 65535) == (len(frame.packets), len(frame.dropped))


# --- any bytes ------------------------------------------------------------------------------------------------


def mutated(frame: bytes, luck: Random) -> bytes:
    """As a hostile or broken line would: bits, lengths, cuts, insertions, repetitions."""
    spoiled = bytearray(frame)
    for _ in range(luck.randint(1, 6)):
        at = luck.randrange(len(spoiled) + 1)
        match luck.randrange(6):
            case 0:
                spoiled[at : at + 1] = luck.randbytes(1)
            case 1:
                spoiled[at : at + 2] = luck.choice([b"\xff\xff", b"\0\0", b"\0\1", b"\0\xb8"])
            case 2:
                spoiled[at : at + 4] = struct.pack(">I", luck.choice([0, 1, 2**31, MOST_UINT32, ABSURD]))
            case 3:
                del spoiled[at : at + luck.randint(1, 40)]
            case 4:
                spoiled[at:at] = luck.randbytes(luck.randint(1, 40))
            case _:
                spoiled[at:at] = spoiled[: luck.randint(0, 60)]
    return bytes(spoiled)


def seen_in(frames: int, seed: int) -> Counter[str]:
    """What became of so many mutated frames; a raise of anything else ends it."""
    luck, seen = Random(seed), Counter[str]()
    currency = encode_frame(
        [QUOTE._replace(token=INFY + 2, last=5, open=5, high=5, low=5, close=5, average=5)] * 9
    )
    shapes = [EVERY_LAYOUT, frame_of([FULL_BYTES] * 3), frame_of([LAYOUTS["ltp"][1]]), currency, HEARTBEAT]
    for _ in range(frames):
        message = mutated(luck.choice(shapes), luck)
        table = columns(message)
        try:
            frame = decode_frame(message)
        except WireError as error:
            assert table is None
            seen[error.flaw] += 1
            continue
        seen["kept"] += len(frame.packets)
        seen.update(error.flaw for error in frame.dropped)
        assert all(is_fit_to_trade_on(packet) for packet in frame.packets)
        assert table is None or int(table.sound().sum()) == len(frame.packets)
    return seen


def is_fit_to_trade_on(packet: Packet) -> bool:
    day = [] if isinstance(packet, LtpPacket) else [packet.open, packet.high, packet.low, packet.close]
    rows = [*packet.bids, *packet.asks] if isinstance(packet, FullPacket) else []
    return (
        0 < packet.last <= MOST_PRICE_PAISE
        and all(0 <= price <= MOST_PRICE_PAISE for price in day)
        and all(0 < row.price <= MOST_PRICE_PAISE and row.qty > 0 for row in rows)
        and packet == decode_packet(encode_packet(packet))
    )


def test_mutated_frames_are_records_or_one_typed_error_and_nothing_unfit_gets_through():
    seen = seen_in(MUTATED_FRAMES, seed=4)

    assert set(Flaw) - {Flaw.TOO_LARGE, Flaw.TEXT} <= set(seen)
    assert seen["kept"] > 1_000


@given(st.binary(max_size=600))
def test_any_bytes_are_records_or_one_typed_error(message):
    try:
        frame = decode_frame(message)
    except WireError:
        assert columns(message) is None
        return

    assert all(is_fit_to_trade_on(packet) for packet in frame.packets)


# --- columns --------------------------------------------------------------------------------------------------

NSE_SHARES = st.integers(1, 2**24 - 1).map(lambda number: number * 256 + 1)
FULL_DAYS = whole_days().flatmap(
    lambda day: full_packets(
        NSE_SHARES, day | {"average": 5, "last_qty": 1, "volume": MOST_UINT32, "buy_qty": 2, "sell_qty": 3}
    )
)


@settings(max_examples=50)
@given(st.lists(FULL_DAYS, min_size=1, max_size=8))
def test_columns_hold_what_the_records_hold(sent):
    table = columns(encode_frame(sent))
    assert table is not None
    names = FullPacket._fields[:16]

    assert len(sent) == len(table)
    assert [packet[:16] for packet in sent] == list(
        zip(*(table[name].tolist() for name in names), strict=True)
    )
    for side in ("bid", "ask"):
        depth = [table[f"{side}_{name}"].T.tolist() for name in DepthRow._fields]
        rows = [[list(row) for row in zip(*of_one, strict=True)] for of_one in zip(*depth, strict=True)]
        assert [padded(getattr(packet, f"{side}s")) for packet in sent] == rows
    assert [True] * len(sent) == table.sound().tolist()


def padded(rows: tuple[DepthRow, ...]) -> list[list[int]]:
    return [list(row) for row in rows] + [[0, 0, 0]] * (5 - len(rows))


def test_columns_call_sound_what_the_records_let_through():
    offsets = [*range(4, 64, 4), *range(68, 184, 12), *range(64, 184, 12)]
    spoiled = [
        with_number(FULL_BYTES, at, number)
        for at in offsets
        for number in (0, 1, 156104, 157501, ABSURD, MOST_UINT32)
    ]
    twice = [
        with_number(with_number(FULL_BYTES, one, 0), other, 0)
        for one, other in combinations((4, 28, 32, 36), 2)
    ]
    untraded = with_number(twice[-1], 28, 0)
    payloads = [FULL_BYTES, *spoiled, *twice, untraded]
    table = columns(frame_of(payloads))
    assert table is not None

    assert [is_kept(payload) for payload in payloads] == table.sound().tolist()
    assert 0 < table.sound().sum() < len(payloads)


def is_kept(payload: bytes) -> bool:
    try:
        decode_packet(payload)
    except WireError:
        return False
    return True


@pytest.mark.parametrize(
    "message",
    [
        b"", HEARTBEAT, b"\0\0", EVERY_LAYOUT, frame_of([LAYOUTS["quote"][1]]), frame_of([FULL_BYTES]) + b"\0",
        frame_of([FULL_BYTES])[:-1], b"\0\2" + frame_of([FULL_BYTES])[2:], b"\0\1" + frame_of([FULL_BYTES] * 2)[2:],
        frame_of([FULL_BYTES, with_number(FULL_BYTES, 0, INFY + 1)]), b"\0\1\0\xb9" + FULL_BYTES, b"\0\1\1\xb8" + FULL_BYTES,
    ],
)  # fmt: skip
def test_columns_are_of_nothing_but_whole_full_packets_of_nse_s_shares(message):
    assert columns(message) is None


# --- texts ----------------------------------------------------------------------------------------------------

TOKENS = st.lists(st.integers(1, MOST_UINT32), max_size=5)


@given(TOKENS, st.sampled_from(Mode))
def test_every_request_comes_back_as_it_went(tokens, mode):
    assert Subscribe(tuple(tokens)) == texts.read_request(texts.subscribe_text(tokens))
    assert Unsubscribe(tuple(tokens)) == texts.read_request(texts.unsubscribe_text(tokens).encode())
    assert SetMode(mode, tuple(tokens)) == texts.read_request(texts.mode_text(mode, tokens))


class Line:
    """Stands where the broker's client has its socket: keeps what it says."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def sendMessage(self, payload):  # noqa: N802  (the client's own spelling)
        self.said.append(payload)


def test_what_the_broker_s_client_says_is_read_as_it_meant_it():
    peer = KiteTicker("key", "token")
    peer.ws = Line()
    peer.subscribe([INFY, NIFTY])
    peer.set_mode("full", [INFY])
    peer.unsubscribe([NIFTY])

    assert [Subscribe((INFY, NIFTY)), SetMode(Mode.FULL, (INFY,)), Unsubscribe((NIFTY,))] == [
        texts.read_request(said) for said in peer.ws.said
    ]


def test_the_broker_s_client_takes_our_orders_and_errors():
    peer = KiteTicker("key", "token")
    heard: list[tuple[Any, ...]] = []
    peer.on_order_update = lambda _ws, data: heard.append(("order", data))
    peer.on_error = lambda _ws, code, reason: heard.append(("error", code, reason))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer._parse_text_message(texts.server_text("order", {"order_id": "1", "price": 1573.7}).encode())
        peer._parse_text_message(texts.server_text("error", "no such thing").encode())

    assert [("order", {"order_id": "1", "price": 1573.7}), ("error", 0, "no such thing")] == heard


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "[]", "5", "null", "{}", "[" * 100_000, "1" * 5_000, b"\xff\xfe\xfd", '{"a":"subscribe"}',
        '{"a":"subscribe","v":5}', '{"a":"subscribe","v":[1.0]}', '{"a":"subscribe","v":[true]}',
        '{"a":"subscribe","v":["408065"]}', '{"a":"subscribe","v":[0]}', '{"a":"subscribe","v":[-1]}',
        '{"a":"subscribe","v":[4294967296]}', '{"a":"subscribe","v":[NaN]}', '{"a":"subscribe","v":[[1]]}',
        '{"a":"mode","v":["full"]}', '{"a":"mode","v":["fully",[1]]}', '{"a":"mode","v":[["full"],[1]]}',
        '{"a":"mode","v":[1,["full"]]}', '{"a":"shout","v":[1]}', '{"a":["subscribe"],"v":[1]}',
    ],
    ids=lambda text: repr(text)[:40],
)  # fmt: skip
def test_what_is_no_request_is_refused_by_name(text):
    with pytest.raises(WireError) as caught:
        texts.read_request(text)

    assert Flaw.TEXT == caught.value.flaw
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (texts.server_text("order", {"order_id": "1"}), Text("order", {"order_id": "1"})),
        (texts.server_text("error", "too many"), Text("error", "too many")),
        (texts.server_text("message", "hello"), Text("message", "hello")),
        ('{"type":"instruments_meta","data":{"count":5}}', Text("instruments_meta", {"count": 5})),
        ('{"type":"app_code","timestamp":"x"}', Text("app_code", None)),
    ],
)
def test_every_kind_of_the_server_s_texts_is_read(text, said):
    assert said == texts.read_text(text)


@pytest.mark.parametrize(
    "text", ['{"type":"order"}', '{"type":"order","data":[1]}', '{"type":5}', "[]", "{", ""]
)
def test_a_text_of_no_kind_and_an_order_without_an_object_are_refused(text):
    with pytest.raises(WireError):
        texts.read_text(text)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["subscribe", "mode", "full", "order"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "v", "type", "data"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(JSON.map(json.dumps) | st.text() | st.binary())
def test_any_text_is_a_record_or_one_typed_error(text):
    for read in (texts.read_request, texts.read_text):
        try:
            assert isinstance(read(text), Subscribe | Unsubscribe | SetMode | Text)
        except WireError:
            continue
