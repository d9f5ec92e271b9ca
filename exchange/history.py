"""Which candles did a client ask for? Intervals, their limits in days, and the ends of a span.

Published (kite.md 1.4): the names, the limits, and that both ends count by a candle's start. Decided here:

- the limit is on the difference of the two dates: sixty days for `minute`, so sixty-one dates. Clients that
  page by sixty days are served at the broker, and 2,001 days of `day` are refused there;
- a date without a time is midnight as `from`, and the day's last second as `to`: people who ask for one
  date get that day;
- for `day` the times of day are passed over;
- a span that ends before it begins, or texts that are no dates, are an InputException.
"""

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import NamedTuple

from exchange.asks import wrong
from kite.units import UnitError, moment
from rulebook.hours import IST

DAY_MINUTES = 1_440
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TO_THE_MINUTE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d")
_LAST_SECOND = "23:59:59"


class Interval(NamedTuple):
    minutes: int
    most_days: int


INTERVALS: Mapping[str, Interval] = {
    "minute": Interval(1, 60),
    "3minute": Interval(3, 100),
    "5minute": Interval(5, 100),
    "10minute": Interval(10, 100),
    "15minute": Interval(15, 200),
    "30minute": Interval(30, 200),
    "60minute": Interval(60, 400),
    "day": Interval(DAY_MINUTES, 2_000),
}


class Span(NamedTuple):
    """Candles that start from `first` to `last`, both included."""

    minutes: int
    first: datetime
    last: datetime


def span(interval: str, first: str, last: str) -> Span:
    """What the address and the query say, checked."""
    found = INTERVALS.get(interval)
    if found is None:
        raise wrong("invalid interval")
    begins, ends = _moment("from", first, "00:00:00"), _moment("to", last, _LAST_SECOND)
    if begins > ends:
        raise wrong("invalid from date: it is after to")
    if (ends.date() - begins.date()).days > found.most_days:
        raise wrong(f"interval exceeds max limit: {found.most_days} days")
    if found.minutes == DAY_MINUTES:
        begins = datetime.combine(begins.date(), time(), IST)
        ends = datetime.combine(ends.date() + timedelta(days=1), time(), IST) - timedelta(seconds=1)
    return Span(found.minutes, begins, ends)


def _moment(name: str, text: str, clock: str) -> datetime:
    if _DATE.fullmatch(text):
        text = f"{text} {clock}"
    elif _TO_THE_MINUTE.fullmatch(text):
        text = f"{text}:00"
    try:
        return moment(text)
    except UnitError:
        raise wrong(f"invalid {name} date") from None
