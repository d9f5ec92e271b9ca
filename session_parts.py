"""What is a session made of? Its parts, and what it asks of the broker beside orders.

trading_wiring.py puts them together of the configuration; a simulation does it of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from notes import Notes
from order_desk import Desk
from paper_quotes import Quote
from rulebook.book import Book
from session_mind import Mind
from session_start import Past
from trading_day import TradingDay
from watch import Watch


class Reads(Protocol):
    """Asks the broker elsewhere; each answer comes back as an event."""

    def quotes(self, tickers: tuple[str, ...]) -> None: ...
    def cash(self) -> None: ...
    def beat(self) -> None: ...
    def token(self) -> None: ...
    def candles(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a session is made of."""

    book: Book
    desk: Desk
    watch: Watch
    day: TradingDay
    mind: Mind
    notes: Notes
    reads: Reads
    past: Past
    tickers: Mapping[int, str]  # by the token of the stream
    silence_s: Callable[[], float | None]  # of the stream
    on_paper: Callable[[Quote], bool] | None  # fills orders on paper; True where one has changed
    eight_hex: Callable[[], str]
    max_slippage_bps: float
    model_hash: str
    keep_halted: Callable[[str], None]  # where the next process looks
    keep_lost: Callable[[str], None]
    pace_s: float
