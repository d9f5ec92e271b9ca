"""What another hand holds in our symbols: told once, when it is sure, and again when it changes."""

from datetime import datetime, timedelta

from rulebook.hours import IST
from rulebook.order_messages import BookRead
from rulebook.order_records import STALE_MOST
from rulebook.orders import Machine

from by_hand import ByHand  # isort: skip

NOON = datetime(2026, 11, 20, 12, tzinfo=IST)


class Watcher:
    """Readings of the positions, second by second; nothing of it is ours."""

    def __init__(self) -> None:
        self.by_hand, self.now = ByHand(), NOON

    def reads(self, seconds: int, **positions: int) -> list[str]:
        told = []
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            read = BookRead(self.now, self.now, (), (), positions)
            told += [noticed.text for noticed in self.by_hand.read(read, Machine())]
        return told


def test_what_the_user_holds_is_told_once_after_ten_seconds_of_the_same():
    watcher = Watcher()
    patience_s = int(STALE_MOST.total_seconds())

    assert [] == watcher.reads(patience_s, INFY=10)
    assert ["you hold +10 INFY of your own; it is shown, and neither traded nor stopped here"] == (
        watcher.reads(1, INFY=10)
    )
    assert [] == watcher.reads(60, INFY=10)


def test_a_position_that_flickers_is_nobody_s_yet():
    watcher = Watcher()

    assert [] == [word for _ in range(20) for word in (*watcher.reads(1, INFY=10), *watcher.reads(1, INFY=0))]


def test_its_end_is_told_too_also_where_the_broker_shows_no_row_any_more():
    watcher = Watcher()
    watcher.reads(15, INFY=-4)

    assert ["your own position in INFY is gone"] == watcher.reads(15)


def test_a_reading_without_positions_says_nothing():
    read = BookRead(NOON, NOON, (), (), None)

    assert [] == ByHand().read(read, Machine())
