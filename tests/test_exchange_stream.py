"""Does a client of the stream get what the broker would send it, when it would, and each fault on demand?"""

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.faults import Fault, Faults
from exchange.nouns import Depth, Listing, Quote
from exchange.stream import HEARTBEAT_EVERY, INTERVAL, MOST_TOKENS, Connections, Packets, Sent, Stream
from kite.texts import mode_text, read_text, subscribe_text, unsubscribe_text
from kite.wire import (
    HEARTBEAT,
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
    is_heartbeat,
)
from rulebook.fills import Level
from rulebook.hours import IST
from rulebook.records import Paise

NINE = datetime(2026, 11, 20, 9, 30, tzinfo=IST)
MS = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)

SHARES = [Listing(f"T{n}", f"Share {n}", 1000 + n, Paise(5)) for n in range(4)]
INDEX = Listing("NIFTY 50", "NIFTY 50", 1001, Paise(5), is_index=True)
BY_TOKEN = {listing.token: listing for listing in (*SHARES, INDEX)}
T0, T1, T2, T3, NIFTY = BY_TOKEN


def quote(ticker: str, last: int, at: datetime) -> Quote:
    depth = Depth(
        tuple(Level(Paise(last - 5 * n), 10 * n) for n in range(1, 6)),
        tuple(Level(Paise(last + 5 * n), 20 * n) for n in range(1, 6)),
    )
    return Quote(
        ticker, at, Paise(last), 7, at - SECOND, Paise(last - 1), 123_456, 1_000, 2_000,
        open=Paise(last - 100), high=Paise(last + 300), low=Paise(last - 200), close=Paise(last - 50),
        lower_circuit=Paise(last - 5_000), upper_circuit=Paise(last + 5_000), depth=depth,
    )  # fmt: skip


class Desk:
    """A stream, the quotes it asks for and the time; every test talks to the real thing through it."""

    def __init__(self, *faults: Fault, interval: timedelta = INTERVAL, seed: int = 7) -> None:
        self.now = NINE
        self.quotes = {listing.ticker: quote(listing.ticker, 10_000, NINE) for listing in BY_TOKEN.values()}
        self.faults = Faults(seed, faults)
        self.stream = Stream(BY_TOKEN, self.quotes.get, self.faults, interval=interval)

    def say(self, text: str | bytes) -> list[Sent]:
        self.stream.received(text, self.now)
        return self.due()

    def watch(self, mode: Mode, *tokens: int) -> list[Sent]:
        self.stream.received(subscribe_text(tokens), self.now)
        return self.say(mode_text(mode, tokens))

    def tick(self, ticker: str, last: int) -> None:
        self.quotes[ticker] = quote(ticker, last, self.now)
        self.stream.ticked(ticker)

    def due(self, after: timedelta = timedelta()) -> list[Sent]:
        self.now += after
        return self.stream.due(self.now)

    def order(self, number: int, ticker: str = "T0") -> None:
        self.stream.order_updated({"order_id": str(number), "tradingsymbol": ticker}, self.now)


def packets(frames: list[Sent]) -> list[Packet]:
    """All of the ticks, which have to be sound."""
    decoded = [decode_frame(frame) for frame in frames if isinstance(frame, bytes)]
    assert [] == [error for frame in decoded for error in frame.dropped]
    return [packet for frame in decoded for packet in frame.packets]


def lasts(frames: list[Sent]) -> list[tuple[int, int]]:
    return [(packet.token, packet.last) for packet in packets(frames)]


def errors(frames: list[Sent]) -> list[str]:
    said = [read_text(frame) for frame in frames if isinstance(frame, str)]
    return [text.data for text in said if text.kind == "error"]


def orders(frames: list[Sent]) -> list[int]:
    said = [read_text(frame) for frame in frames if isinstance(frame, str)]
    return [int(text.data["order_id"]) for text in said if text.kind == "order"]


# --- subscriptions -------------------------------------------------------------------------------------------


def test_a_subscription_brings_the_cached_quote_at_once_even_when_nothing_moves():
    frames = Desk().say(subscribe_text([T0, T1]))

    assert [QuotePacket, QuotePacket] == [type(packet) for packet in packets(frames)]
    assert [(T0, 10_000), (T1, 10_000)] == lasts(frames)
    assert 1 == len(frames)


def test_every_mode_of_a_share_and_of_an_index_has_its_own_packet():
    kinds = {
        mode: [type(packet) for packet in packets(Desk().watch(mode, T0, NIFTY))] for mode in Mode
    }  # fmt: skip

    assert {
        Mode.LTP: [LtpPacket, LtpPacket],
        Mode.QUOTE: [QuotePacket, IndexQuote],
        Mode.FULL: [FullPacket, IndexFull],
    } == kinds


def test_a_full_packet_says_the_whole_quote():
    at_s = int(NINE.timestamp())

    assert [
        FullPacket(
            token=T0, last=10_000, last_qty=7, average=9_999, volume=123_456, buy_qty=1_000, sell_qty=2_000,
            open=9_900, high=10_300, low=9_800, close=9_950, last_trade_s=at_s - 1, oi=0, oi_high=0, oi_low=0,
            at_s=at_s,
            bids=tuple(DepthRow(10 * n, 10_000 - 5 * n, 1) for n in range(1, 6)),
            asks=tuple(DepthRow(20 * n, 10_000 + 5 * n, 1) for n in range(1, 6)),
        ),
        IndexFull(NIFTY, last=10_000, high=10_300, low=9_800, open=9_900, close=9_950, at_s=at_s),
    ] == packets(Desk().watch(Mode.FULL, T0, NIFTY))  # fmt: skip


def test_unknown_tokens_are_ignored_and_what_has_no_price_waits_for_one():
    desk = Desk()
    del desk.quotes["T1"]

    assert [(T0, 10_000)] == lasts(desk.say(subscribe_text([5, T1, T0, 999_999])))

    desk.tick("T1", 20_000)

    assert [(T1, 20_000)] == lasts(desk.due(INTERVAL))
    assert ("T1", "T0") == desk.stream.tickers


def test_a_mode_for_what_is_not_subscribed_is_ignored():
    desk = Desk()
    desk.due()

    assert [] == desk.say(mode_text(Mode.FULL, [T0]))
    assert () == desk.stream.tickers


def test_subscribing_again_sets_the_mode_back_to_quote():
    desk = Desk()
    desk.watch(Mode.FULL, T0)

    assert [QuotePacket] == [type(packet) for packet in packets(desk.say(subscribe_text([T0])))]


def test_what_is_unsubscribed_is_never_sent_again_not_even_what_was_waiting():
    desk = Desk()
    desk.watch(Mode.FULL, T0, T1)
    desk.tick("T0", 10_005)
    desk.stream.received(subscribe_text([T2]), desk.now)
    desk.stream.received(unsubscribe_text([T0, T2, 5]), desk.now)
    desk.tick("T0", 10_010)
    desk.tick("T1", 10_015)

    assert [(T1, 10_015)] == lasts(desk.due(INTERVAL))
    assert ("T1",) == desk.stream.tickers


def test_a_request_beyond_3000_tokens_is_refused_whole_and_what_there_is_goes_on():
    many = {
        listing.token: listing
        for listing in (Listing(f"S{n}", "", n, Paise(5)) for n in range(1, MOST_TOKENS + 2))
    }
    stream = Stream(many, lambda ticker: quote(ticker, 10_000, NINE), Faults(1))
    tokens = list(many)
    stream.received(subscribe_text(tokens), NINE)
    refused = stream.due(NINE)
    stream.received(subscribe_text(tokens[:MOST_TOKENS]), NINE)
    stream.received(subscribe_text(tokens[:1]), NINE)  # one of them again is none more
    taken = stream.due(NINE)
    stream.received(subscribe_text(tokens[MOST_TOKENS:]), NINE)

    assert ["more than 3000"] == [sentence[:14] for sentence in errors(refused)]
    assert (MOST_TOKENS, []) == (len(packets(taken)), errors(taken))
    assert 1 == len(errors(stream.due(NINE)))
    assert MOST_TOKENS == len(stream.tickers)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"a":"subscribe","v":["x"]}', '{"a":"mode","v":["loud",[1]]}', b"\xff"]
)
def test_what_is_no_request_is_answered_by_an_error_and_changes_nothing(text):
    desk = Desk()
    desk.say(subscribe_text([T0]))
    frames = desk.say(text)

    assert 1 == len(frames) == len(errors(frames))
    assert ("T0",) == desk.stream.tickers


# --- the beat ------------------------------------------------------------------------------------------------


def test_ticks_of_an_interval_go_out_in_one_frame_with_the_newest_price_of_each():
    desk = Desk()
    desk.watch(Mode.LTP, T0, T1, T2)
    for last in (10_005, 10_010, 10_015):
        desk.tick("T1", last)
        desk.tick("T0", last + 1)

    assert [] == desk.due(INTERVAL - MS)

    frames = desk.due(MS)

    assert [(T1, 10_015), (T0, 10_016)] == lasts(frames)
    assert 1 == len(frames)
    assert [] == desk.due(INTERVAL)


def test_the_first_tick_after_a_quiet_time_does_not_wait():
    desk = Desk()
    desk.watch(Mode.LTP, T0)
    desk.due(10 * SECOND)
    desk.tick("T0", 10_005)

    assert [(T0, 10_005)] == lasts(desk.due())


def test_ticks_of_what_is_not_subscribed_are_nothing():
    desk = Desk()
    desk.watch(Mode.LTP, T0)
    desk.tick("T1", 10_005)
    desk.stream.ticked("NOBODY")

    assert [] == desk.due(INTERVAL)


def test_a_new_subscription_neither_waits_for_the_beat_nor_hurries_the_others():
    desk = Desk()
    desk.watch(Mode.LTP, T0)
    desk.tick("T0", 10_005)
    desk.now += 100 * MS

    assert [(T1, 10_000)] == lasts(desk.say(subscribe_text([T1])))
    assert [(T0, 10_005)] == lasts(desk.due(INTERVAL - 100 * MS))


def test_what_went_out_for_a_request_is_not_sent_again_at_the_beat():
    desk = Desk()
    desk.watch(Mode.LTP, T0)
    desk.tick("T0", 10_005)

    assert [(T0, 10_005)] == lasts(desk.say(mode_text(Mode.LTP, [T0])))
    assert [] == desk.due(INTERVAL)


def test_a_heartbeat_goes_out_when_a_second_brought_nothing_and_only_then():
    desk = Desk()

    assert [HEARTBEAT] == desk.due()
    assert [] == desk.due(HEARTBEAT_EVERY - MS)
    assert [HEARTBEAT] == desk.due(MS)

    desk.now += HEARTBEAT_EVERY - MS
    desk.order(1)
    frames = desk.due()

    assert [1] == orders(frames)
    assert [] == desk.due(HEARTBEAT_EVERY - MS)
    assert [HEARTBEAT] == desk.due(MS)


def test_orders_go_out_at_once_in_their_order_and_before_ticks():
    desk = Desk()
    desk.watch(Mode.LTP, T0)
    desk.tick("T0", 10_005)
    desk.now += INTERVAL
    for number in (3, 1, 2, 1):
        desk.order(number)
    frames = desk.due()

    assert [3, 1, 2, 1] == orders(frames)
    assert [str, str, str, str, bytes] == [type(frame) for frame in frames]
    assert {"type": "order", "data": {"order_id": "3", "tradingsymbol": "T0"}} == json.loads(frames[0])


def test_next_due_names_the_moment_at_which_something_goes_out():
    desk = Desk()

    assert NINE == desk.stream.next_due(NINE)

    desk.watch(Mode.LTP, T0)

    assert NINE + HEARTBEAT_EVERY == desk.stream.next_due(NINE)

    desk.tick("T0", 10_005)
    desk.due(INTERVAL)
    desk.tick("T0", 10_010)

    assert NINE + 2 * INTERVAL == desk.stream.next_due(desk.now)
    assert NINE + 2 * INTERVAL + SECOND == desk.stream.next_due(NINE + 2 * INTERVAL + SECOND)

    desk.order(1)

    assert desk.now == desk.stream.next_due(desk.now)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from(["tick", "tick", "tick", "watch", "order", "ask"]),
        st.integers(0, 3),
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(STEPS)
def test_whatever_happens_no_interval_has_two_ticks_nothing_is_late_and_no_second_is_silent(steps):
    """Somebody who comes exactly when next_due says; requests bring their own packets at once."""
    desk = Desk()
    desk.watch(Mode.LTP, T0, T1, T2, T3)
    last_out = desk.now
    last_of: dict[int, datetime] = dict.fromkeys((T0, T1, T2, T3), desk.now)
    shown: dict[int, int] = dict.fromkeys(last_of, 10_000)
    ticked_at: dict[int, datetime] = {}

    def send(asked: int | None = None) -> None:
        nonlocal last_out
        frames = desk.due()
        for token, last in lasts(frames):
            assert token == asked or desk.now - last_of[token] >= INTERVAL
            last_of[token], shown[token] = desk.now, last
            ticked_at.pop(token, None)
        assert all(desk.now - at <= INTERVAL for at in ticked_at.values())
        last_out = desk.now if frames else last_out
        assert desk.now - last_out < HEARTBEAT_EVERY
        assert desk.now < desk.stream.next_due(desk.now) <= desk.now + HEARTBEAT_EVERY

    for number, (wait, what, which) in enumerate([*steps, (3_000, "ask", 0)]):
        until = desk.now + wait * MS
        while (due := desk.stream.next_due(desk.now)) <= until:
            desk.now = due
            send()
        desk.now = until
        if what == "tick":
            desk.tick(f"T{which}", 10_001 + number)
            ticked_at.setdefault(SHARES[which].token, desk.now)
        if what == "order":
            desk.order(number)
        if what == "watch":
            desk.stream.received(mode_text(Mode.LTP, [SHARES[which].token]), desk.now)
        send(SHARES[which].token if what == "watch" else None)

    assert {token: desk.quotes[BY_TOKEN[token].ticker].last for token in shown} == shown


def test_packets_are_made_once_for_all_clients_and_anew_when_the_quote_changes():
    shared, listing, first = Packets(), SHARES[0], quote("T0", 10_000, NINE)
    made = shared.of(listing, first, Mode.FULL)

    assert made is shared.of(listing, quote("T0", 10_000, NINE), Mode.FULL)
    assert made != shared.of(listing, first, Mode.LTP)
    assert made != shared.of(listing, quote("T0", 10_005, NINE), Mode.FULL)


def test_totals_beyond_the_wire_s_room_stand_at_its_end():
    desk = Desk()
    desk.quotes["T0"] = desk.quotes["T0"]._replace(volume=2**40, buy_qty=2**33)
    (packet,) = packets(desk.watch(Mode.QUOTE, T0))

    assert isinstance(packet, QuotePacket)
    assert (2**32 - 1, 2**32 - 1, 2_000) == (packet.volume, packet.buy_qty, packet.sell_qty)


# --- faults --------------------------------------------------------------------------------------------------


def test_a_stall_sends_nothing_at_all_and_then_the_newest_of_each_and_every_order():
    desk = Desk(Fault("ws_stall", count=1, value=5_000, after=NINE + SECOND))
    desk.watch(Mode.LTP, T0)
    desk.now += SECOND
    desk.order(1)

    assert [] == desk.due()
    assert NINE + 6 * SECOND == desk.stream.next_due(desk.now)

    desk.tick("T0", 10_005)
    desk.tick("T0", 10_010)
    desk.order(2)

    assert [] == desk.due(5 * SECOND - MS)

    frames = desk.due(MS)

    assert [1, 2] == orders(frames)
    assert [(T0, 10_010)] == lasts(frames)


def test_a_mute_stream_sends_heartbeats_only():
    desk = Desk(Fault("ws_mute", count=1, value=3_000, after=NINE + SECOND))
    desk.watch(Mode.LTP, T0)
    desk.now += SECOND
    desk.tick("T0", 10_005)
    desk.order(1)
    frames = desk.due() + [frame for _ in range(2) for frame in desk.due(SECOND)]

    assert [HEARTBEAT] * 3 == frames
    assert NINE + 4 * SECOND == desk.stream.next_due(desk.now)
    assert [1] == orders(after := desk.due(SECOND))
    assert [(T0, 10_005)] == lasts(after)


@pytest.mark.parametrize("name", ["ws_stall", "ws_mute"])
def test_a_quiet_time_of_no_length_does_not_hold_time_itself(name):
    desk = Desk(Fault(name))
    desk.stream.received(subscribe_text([T0]), desk.now)
    desk.due()

    assert desk.now < desk.stream.next_due(desk.now)


def test_a_forgotten_subscription_is_taken_and_nothing_comes_of_it_until_it_is_asked_again():
    desk = Desk(Fault("ws_forgets", count=1, where="T1"))

    assert [(T0, 10_000)] == lasts(desk.watch(Mode.FULL, T0, T1))

    desk.tick("T1", 10_005)

    assert [] == desk.due(INTERVAL)
    assert [(T1, 10_005)] == lasts(desk.say(subscribe_text([T1])))


def test_a_wrong_mode_stays_until_the_mode_is_asked_again():
    desk = Desk(Fault("ws_wrong_mode", count=1, where="T0"))
    first = packets(desk.watch(Mode.FULL, T0, T1))
    desk.tick("T0", 10_005)
    second = packets(desk.due(INTERVAL))
    third = packets(desk.say(mode_text(Mode.FULL, [T0])))

    assert [LtpPacket, FullPacket] == [type(packet) for packet in first]
    assert [LtpPacket] == [type(packet) for packet in second]
    assert [FullPacket] == [type(packet) for packet in third]


def test_who_asks_for_ltp_cannot_get_a_wrong_mode():
    desk = Desk(Fault("ws_wrong_mode"))
    desk.watch(Mode.LTP, T0)

    assert {} == desk.faults.struck


def ticking(desk: Desk, times: int) -> list[list[tuple[int, int]]]:
    """The frames of so many ticks of T0, an interval apart, as far as they are ticks."""
    desk.watch(Mode.LTP, T0)
    out = []
    for number in range(times):
        desk.tick("T0", 10_001 + number)
        frames = desk.due(INTERVAL)
        out += [
            lasts([frame]) for frame in frames if not is_heartbeat(frame if isinstance(frame, bytes) else b"")
        ]
    return out


def test_a_duplicate_frame_comes_twice():
    desk = Desk(Fault("ws_duplicate", count=1, after=NINE + SECOND))

    assert [[(T0, n)] for n in (10_001, 10_002, 10_002, 10_003)] == ticking(desk, 3)


def test_a_frame_out_of_order_comes_behind_the_next_one():
    desk = Desk(Fault("ws_out_of_order", count=1, after=NINE + SECOND))

    assert [[(T0, n)] for n in (10_001, 10_003, 10_002, 10_004)] == ticking(desk, 4)


def test_a_gap_loses_one_frame():
    desk = Desk(Fault("ws_gap", count=1, after=NINE + SECOND))

    assert [[(T0, n)] for n in (10_001, 10_003)] == ticking(desk, 3)


def test_a_flood_brings_so_many_more_frames():
    desk = Desk(Fault("ws_flood", count=1, value=5_000, after=NINE + SECOND))

    assert {(T0, 10_001): 1, (T0, 10_002): 5_001, (T0, 10_003): 1} == Counter(
        packet for frame in ticking(desk, 3) for packet in frame
    )


def read(frames: list[Sent]) -> list[Flaw]:
    """What our own reader says is wrong, of a frame or of its packets."""
    flaws = []
    for frame in frames:
        try:
            flaws += [error.flaw for error in decode_frame(frame).dropped] if isinstance(frame, bytes) else []
        except WireError as error:
            flaws.append(error.flaw)
    return flaws


@pytest.mark.parametrize(
    ("name", "mode", "flaws"),
    [
        ("ws_hostile_length", Mode.FULL, [Flaw.CUT_SHORT]),
        ("ws_wrong_segment", Mode.FULL, [Flaw.NOT_PAISE] * 2),
        ("ws_zero_price", Mode.FULL, [Flaw.ZERO_PRICE] * 2),
        ("ws_zero_price", Mode.LTP, [Flaw.ZERO_PRICE] * 2),
        ("ws_absurd_price", Mode.FULL, [Flaw.CROSSED] * 2),
        ("ws_absurd_price", Mode.QUOTE, [Flaw.CROSSED] * 2),
        ("ws_absurd_price", Mode.LTP, []),  # nothing on the wire tells it: the day's limits do
    ],
)
def test_each_spoiled_packet_is_told_by_its_flaw(name, mode, flaws):
    frames = Desk(Fault(name)).watch(mode, T0, T1)

    assert 1 == len(frames)
    assert flaws == read(frames)


def test_an_absurd_price_is_a_hundred_times_the_last_one():
    assert [(T0, 1_000_000)] == lasts(Desk(Fault("ws_absurd_price", where="T0")).watch(Mode.LTP, T0))


def test_faults_of_packets_strike_where_they_are_told_to():
    frames = Desk(Fault("ws_zero_price", where="T1")).watch(Mode.LTP, T0, T1, T2)
    frame = decode_frame(frames[0]) if isinstance(frames[0], bytes) else None
    assert frame is not None

    assert [T0, T2] == [packet.token for packet in frame.packets]
    assert [Flaw.ZERO_PRICE] == [error.flaw for error in frame.dropped]


def test_a_corrupt_frame_has_flipped_bytes_and_its_own_length():
    sound, spoiled = (Desk(*faults).watch(Mode.FULL, T0, T1) for faults in ([], [Fault("ws_corrupt")]))
    (one,), (other,) = sound, spoiled
    assert isinstance(one, bytes) and isinstance(other, bytes)
    differ = sum(a != b for a, b in zip(one, other, strict=True))

    assert 1 <= differ <= 4


def test_a_frozen_price_stands_still_with_its_stamp_while_frames_go_on():
    desk = Desk(Fault("frozen_price", where="T0", after=NINE + SECOND, until=NINE + 3 * SECOND))
    desk.watch(Mode.FULL, T0, T1)
    seen: dict[int, list[tuple[int, timedelta]]] = {T0: [], T1: []}
    for number in range(1, 5):
        desk.now += SECOND - INTERVAL
        desk.tick("T0", 10_000 + number)
        desk.tick("T1", 10_000 + number)
        for packet in packets(desk.due(INTERVAL)):
            assert isinstance(packet, FullPacket)
            seen[packet.token].append((packet.last, timedelta(seconds=packet.at_s - int(NINE.timestamp()))))

    assert [(10_000, 0 * SECOND)] * 2 + [(10_003, 2 * SECOND), (10_004, 3 * SECOND)] == seen[T0]
    assert [10_001, 10_002, 10_003, 10_004] == [last for last, _ in seen[T1]]


def test_a_new_connection_sees_the_same_frozen_price():
    desk = Desk()
    shared = Packets()
    faults = Faults(1, [Fault("frozen_price")])
    first, second = (Stream(BY_TOKEN, desk.quotes.get, faults, packets=shared) for _ in range(2))
    first.received(subscribe_text([T0]), NINE)
    first.due(NINE)
    desk.quotes["T0"] = quote("T0", 10_005, NINE + SECOND)
    second.received(subscribe_text([T0]), NINE + SECOND)

    assert [(T0, 10_000)] == lasts(second.due(NINE + SECOND))


def test_a_lost_order_update_is_never_sent_while_ticks_flow():
    desk = Desk(Fault("order_update_lost", where="T0"))
    desk.watch(Mode.LTP, T0)
    desk.order(1, "T0")
    desk.order(2, "T1")
    desk.tick("T0", 10_005)
    frames = desk.due(INTERVAL)

    assert [2] == orders(frames)
    assert [(T0, 10_005)] == lasts(frames)
    assert {"order_update_lost": 1} == desk.faults.struck


EVERY_FAULT = (
    *(Fault(name, 0.2, value=700) for name in ("ws_stall", "ws_mute")),
    *(
        Fault(name, 0.2, value=3)
        for name in (
            "ws_forgets", "ws_wrong_mode", "ws_duplicate", "ws_out_of_order", "ws_gap", "ws_corrupt", "frozen_price",
            "ws_hostile_length", "ws_wrong_segment", "ws_zero_price", "ws_absurd_price", "order_update_lost", "ws_flood",
        )
    ),
)  # fmt: skip


def an_evil_hour(seed: int) -> tuple[list[Any], dict[str, int]]:
    desk = Desk(*EVERY_FAULT, seed=seed)
    heard: list[Any] = []
    for number in range(300):
        desk.now = max(desk.now + 50 * MS, desk.stream.next_due(desk.now))
        if number % 20 == 0:
            heard += desk.watch(Mode.FULL, *BY_TOKEN)
        desk.tick(f"T{number % 4}", 10_000 + number)
        desk.order(number)
        heard += desk.due()
    return heard, desk.faults.struck


def test_the_same_seed_brings_the_same_bytes_through_every_fault_and_our_reader_stands_them_all():
    heard, struck = an_evil_hour(seed=3)

    assert (heard, struck) == an_evil_hour(seed=3)
    assert heard != an_evil_hour(seed=4)[0]
    assert {fault.name for fault in EVERY_FAULT} == set(struck)
    assert {Flaw.CUT_SHORT, Flaw.ZERO_PRICE, Flaw.CROSSED, Flaw.NOT_PAISE} <= set(read(heard))


# --- connections ---------------------------------------------------------------------------------------------


def test_three_connections_of_a_key_may_be_open_and_a_closed_one_makes_room():
    connections = Connections()
    for _ in range(3):
        assert connections.may_open("a")
        connections.opened("a")

    assert not connections.may_open("a")
    assert connections.may_open("b")

    connections.closed("a")

    assert connections.may_open("a")


def test_a_connection_that_was_not_opened_cannot_close():
    with pytest.raises(AssertionError, match="not opened"):
        Connections().closed("a")
