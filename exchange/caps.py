"""How many requests about orders does the broker still take? Its caps, counted by its own clock.

The exchange counts by the second of the clock, not by a sliding window (kite.md 2), so ten requests at the
end of a second and ten at the start of the next one are taken. Placing, modifying and cancelling count
together for the second and the minute; for the day placing alone. A request that is refused for what it
says has been counted (C 35150); one that is refused by a cap has not, else nobody would get out again.
Knows no order; orders by hand are not asked about.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from exchange import refusals
from exchange.agenda import SECOND
from exchange.nouns import Terms

MINUTE = 60 * SECOND


@dataclass(slots=True)
class Window:
    """Requests in the present unit of the clock."""

    length_us: int
    most: int
    unit: int = -1
    count: int = 0

    def is_full(self, us: int) -> bool:
        return us // self.length_us == self.unit and self.count >= self.most

    def add(self, us: int) -> None:
        unit = us // self.length_us
        self.count = self.count + 1 if unit == self.unit else 1
        self.unit = unit


@dataclass(slots=True)
class Caps:
    """One account's; a second api_key does not raise them."""

    terms: Terms
    placed_today: int = 0
    windows: Sequence[Window] = field(init=False)

    def __post_init__(self) -> None:
        # IST is whole minutes away from the epoch's clock, so its seconds and minutes are the same.
        self.windows = (
            Window(SECOND, self.terms.orders_per_second),
            Window(MINUTE, self.terms.orders_per_minute),
        )

    def begin_day(self) -> None:
        self.placed_today = 0

    def count(self, us: int, is_placing: bool) -> None:
        """Take a request, or refuse it with 429."""
        is_day_over = is_placing and self.placed_today >= self.terms.orders_per_day
        if is_day_over or any(window.is_full(us) for window in self.windows):
            raise refusals.too_many_requests()
        self.placed_today += is_placing
        for window in self.windows:
            window.add(us)
