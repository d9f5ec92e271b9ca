"""A feed that is alive, complete and young, or says what it lacks."""

import json
import threading
from random import Random

import pytest

from kite.feed import BACK_OFF_S, FIRST_TICK_S, SETTLED_S, SILENT_S, Feed, OrderHint, Ticked
from kite.inbox import Inbox
from kite.texts import server_text
from kite.wire import HEARTBEAT, FullPacket, LtpPacket, Mode, encode_frame

INFY, TCS = 408065, 2953217
STAMP = 1_795_000_000


def full(token: int = INFY, last: int = 157_370, at_s: int = STAMP) -> FullPacket:
    return FullPacket(token, last, 1, last, 10, 5, 5, last, last, last, last, at_s, 0, 0, 0, at_s, (), ())


def opened(*tokens: int, now_s: float = 0.0) -> Feed:
    feed = Feed()
    feed.want(tokens or (INFY,))
    feed.opened(now_s)
    return feed


def test_a_connection_begins_with_the_whole_subscription():
    feed = Feed()

    assert [] == feed.want([TCS, INFY])

    subscribe, mode = (json.loads(text) for text in feed.opened(0.0))

    assert {"a": "subscribe", "v": [INFY, TCS]} == subscribe
    assert {"a": "mode", "v": ["full", [INFY, TCS]]} == mode


def test_other_tokens_are_asked_for_on_the_open_connection():
    feed = opened(INFY)
    texts = [json.loads(text) for text in feed.want([TCS])]

    assert [("unsubscribe", [INFY]), ("subscribe", [TCS]), ("mode", ["full", [TCS]])] == [
        (text["a"], text["v"]) for text in texts
    ]
    assert [] == feed.received(encode_frame([full(INFY)]), 1.0)
    assert [Ticked(full(TCS))] == feed.received(encode_frame([full(TCS)]), 1.0)


def test_a_silent_connection_is_ill_and_a_heartbeat_keeps_it_well():
    feed = opened()
    feed.received(encode_frame([full()]), 0.0)

    assert feed.ails(SILENT_S) is None

    feed.received(HEARTBEAT, SILENT_S)

    assert feed.ails(2 * SILENT_S) is None
    assert "silent for 5.5 s" == feed.ails(2 * SILENT_S + 0.5)


def test_a_token_without_its_first_tick_is_asked_for_again_and_then_the_connection_is_given_up():
    feed = opened(INFY, TCS)
    asked, now_s = [], 0.0
    while feed.ails(now_s) is None:
        now_s += 1.0
        feed.received(encode_frame([full(INFY, at_s=STAMP + int(now_s))]), now_s)
        asked += [json.loads(text) for text in feed.remind(now_s)]

    assert [[TCS], [TCS]] == [text["v"] for text in asked if text["a"] == "subscribe"]
    assert "no first tick of 1 instruments" == feed.ails(now_s)
    assert 3 * FIRST_TICK_S < now_s < 4 * FIRST_TICK_S


def test_after_a_reconnect_every_token_must_show_again():
    feed = opened(INFY)
    feed.received(encode_frame([full()]), 1.0)

    assert [] == feed.remind(100.0)

    feed.closed(100.0, Random(1))
    feed.opened(101.0)

    assert feed.remind(101.0 + FIRST_TICK_S + 1)


def test_a_frozen_price_grows_old_though_frames_go_on():
    feed = opened(INFY)
    for second in range(10):
        feed.received(encode_frame([full()]), float(second))

    assert 9.0 == feed.age_s(INFY, 9.0)
    assert 0.0 == feed.silence_s(9.0)
    assert feed.age_s(TCS, 9.0) is None


def test_a_quiet_share_whose_stamp_moves_on_stays_young():
    feed = opened(INFY)
    for second in range(10):
        feed.received(encode_frame([full(at_s=STAMP + second)]), float(second))

    assert 0.0 == feed.age_s(INFY, 9.0)


def test_what_goes_back_in_time_or_comes_twice_is_no_news():
    feed = opened(INFY)
    newer, older = full(last=157_500, at_s=STAMP + 2), full(at_s=STAMP + 1)

    assert [Ticked(newer)] == feed.received(encode_frame([newer]), 1.0)
    assert [] == feed.received(encode_frame([older]), 2.0)
    assert [] == feed.received(encode_frame([newer]), 3.0)
    assert newer == feed.last(INFY)
    assert 1 == feed.counts.stale_packets


@pytest.mark.parametrize(
    "rubbish", [b"\x00\x05", b"\x00\x01\xff\xff", "{", "[]", '{"type":"order","data":5}']
)
def test_rubbish_is_counted_and_the_connection_lives_on(rubbish):
    feed = opened()

    assert [] == feed.received(rubbish, 1.0)
    assert 1 == feed.counts.dropped_frames
    assert feed.ails(1.0) is None


def test_order_frames_are_hints_and_other_texts_are_counted():
    feed = opened()

    assert [OrderHint({"order_id": "1"})] == feed.received(server_text("order", {"order_id": "1"}), 1.0)
    assert [] == feed.received(server_text("message", "hello"), 1.0)
    assert 1 == feed.counts.unknown_texts


def test_a_mode_without_stamps_counts_what_changes():
    feed = Feed(Mode.LTP)
    feed.want([INFY])
    feed.opened(0.0)
    feed.received(encode_frame([LtpPacket(INFY, 100)]), 1.0)
    feed.received(encode_frame([LtpPacket(INFY, 100)]), 5.0)

    assert 4.0 == feed.age_s(INFY, 5.0)


def test_a_storm_of_a_thousand_drops_backs_off_and_holds():
    feed, rng, now_s = opened(), Random(1), 0.0
    waits = []
    for _ in range(1_000):
        wait_s = feed.closed(now_s, rng)
        waits.append(wait_s)
        now_s += wait_s
        feed.opened(now_s)
        now_s += 1.0

    assert all(BACK_OFF_S[-1] / 2 <= wait_s <= BACK_OFF_S[-1] for wait_s in waits[len(BACK_OFF_S) :])
    assert all(base / 2 <= wait <= base for base, wait in zip(BACK_OFF_S, waits, strict=False))
    assert len({round(wait_s, 3) for wait_s in waits[10:]}) > 900


def test_a_connection_that_stood_a_while_starts_the_back_off_anew():
    feed, rng = opened(), Random(1)
    for second in range(5):
        feed.closed(float(second), rng)
        feed.opened(float(second))

    assert BACK_OFF_S[0] >= feed.closed(4.0 + SETTLED_S, rng)


def test_the_latest_tick_takes_the_place_of_one_that_waits_and_an_order_keeps_its_own():
    inbox: Inbox[str] = Inbox()
    inbox.put("infy 1", latest_of=INFY)
    inbox.put("order 1")
    inbox.put("infy 2", latest_of=INFY)
    inbox.put("order 2")

    assert ["infy 2", "order 1", "order 2", None] == [inbox.take(0) for _ in range(4)]
    assert 1 == inbox.replaced


def test_a_flood_leaves_one_tick_a_token_and_every_order():
    inbox: Inbox[tuple[str, int]] = Inbox()

    def flood() -> None:
        for number in range(5_000):
            inbox.put(("tick", number), latest_of=number % 50)
            if number % 100 == 0:
                inbox.put(("order", number))

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [item[0] for _ in range(len(inbox)) if (item := inbox.take(0)) is not None]

    assert 50 == sum(kind == "tick" for kind in taken)
    assert 200 == sum(kind == "order" for kind in taken)


def test_what_is_due_is_when_the_connection_ails_or_reminds_and_not_before():
    """Whoever holds a clock still for the stream waits for that moment, and finds something to do then."""
    feed = opened(INFY)
    first_s = feed.due_s

    assert ([], None) == (feed.remind(first_s - 0.01), feed.ails(first_s - 0.01))
    assert feed.remind(first_s) or feed.ails(first_s)

    feed = opened(INFY)
    feed.received(encode_frame([full()]), 1.0)

    assert feed.ails(feed.due_s - 0.01) is None
    assert feed.ails(feed.due_s) is not None
