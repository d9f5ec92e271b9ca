"""Which ticker has its next row when? The rows of many tickers, merged second by second.

Only tickers that somebody watches, or in which an order of ours is at the exchange, are walked; the rest
is looked up when it is asked for. A million rows a day pass through here, so a step is a heap entry and
nothing else: no object is made and no price is read.
"""

import heapq
from collections.abc import Collection

from exchange.agenda import NEVER, SECOND
from exchange.board import Board


class Walker:
    """Each walked ticker has one true entry in the heap; others are stale and skipped."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}  # the true entry of each
        self._seconds: dict[str, list[int]] = {}
        self._row: dict[str, int] = {}  # the next one
        self._midnight_us = 0
        self.watched: frozenset[str] = frozenset()
        self.held: set[str] = set()  # with orders of ours

    @property
    def next_us(self) -> int:
        heap, due = self._heap, self._due
        while heap and due.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else NEVER

    def begin(self, midnight_us: int, now_us: int) -> None:
        """A new day: all walked tickers from their first row after now."""
        self._midnight_us = midnight_us
        self._heap, self._due = [], {}
        self._seconds, self._row = {}, {}
        self.held.clear()
        for ticker in sorted(self.watched):
            self.renew(ticker, now_us)

    def watch(self, tickers: Collection[str], now_us: int) -> None:
        """These and no others."""
        before, self.watched = self.watched, frozenset(tickers)
        for ticker in sorted(self.watched - before - self.held):
            self.renew(ticker, now_us)
        for ticker in before - self.watched - self.held:
            self._due.pop(ticker, None)

    def hold(self, ticker: str, now_us: int) -> None:
        """An order of ours is there: from the next row on."""
        if ticker not in self.held:
            self.held.add(ticker)
            if ticker not in self.watched:
                self.renew(ticker, now_us)

    def release(self, ticker: str) -> None:
        self.held.discard(ticker)
        if ticker not in self.watched:
            self._due.pop(ticker, None)

    def renew(self, ticker: str, now_us: int) -> None:
        """Walk on from now, on the strip as it is now."""
        page = self._board.today(ticker)
        self._seconds[ticker] = page.strip.seconds
        self._row[ticker] = page.row(now_us) + 1
        self._enter(ticker)

    def is_walking(self, ticker: str) -> bool:
        return ticker in self.watched or ticker in self.held

    def take(self) -> list[str]:
        """The tickers that have a row at the next moment, by name; they move on."""
        us = self.next_us
        heap, due, rows, seconds = self._heap, self._due, self._row, self._seconds
        found: list[str] = []
        while heap and heap[0][0] == us:
            ticker = heap[0][1]
            if due.get(ticker) != us:
                heapq.heappop(heap)
                continue
            found.append(ticker)
            row = rows[ticker] = rows[ticker] + 1
            if row < len(seconds[ticker]):
                following = due[ticker] = self._midnight_us + seconds[ticker][row] * SECOND
                heapq.heapreplace(heap, (following, ticker))
            else:
                del due[ticker]
                heapq.heappop(heap)
        return found

    def _enter(self, ticker: str) -> None:
        row, seconds = self._row[ticker], self._seconds[ticker]
        if row >= len(seconds):
            self._due.pop(ticker, None)
            return
        us = self._midnight_us + seconds[row] * SECOND
        if self._due.get(ticker) != us:
            self._due[ticker] = us
            heapq.heappush(self._heap, (us, ticker))
