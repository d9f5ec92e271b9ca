"""How do the broker's numbers and times become ours, and ours the broker's? The one door between them.

The broker writes prices as JSON numbers in rupees and times as texts without an offset, in IST. Inside,
a price is whole paise and a moment is aware. What cannot be either (NaN, a price below zero or beyond
any share, half a paisa, a date of 1970) raises UnitError here, so that no other file has to look for it.
"""

import re
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from rulebook.hours import IST
from rulebook.records import Paise

# A crore of rupees. The dearest share of NSE costs about 1.5 lakh (2026), an index stands below one lakh:
# whatever is above is a flipped bit or a wrong divisor.
MOST_PRICE_PAISE = 10**9
MOST_MONEY_PAISE = 10**15  # of margins, turnovers and profits
FIRST_YEAR, LAST_YEAR = 2000, 2099

_EPOCH = datetime(1970, 1, 1, 5, 30, tzinfo=IST)
_SECOND = timedelta(seconds=1)
_SHOWN_BITS = 64
_FIRST_S = int((datetime(FIRST_YEAR, 1, 1, tzinfo=IST) - _EPOCH) / _SECOND)
_PAST_LAST_S = int((datetime(LAST_YEAR + 1, 1, 1, tzinfo=IST) - _EPOCH) / _SECOND)
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(\+05:?30)?")
_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}")


class UnitError(ValueError):
    """What came in is no price, no amount or no time."""


# --- rupees -> paise ----------------------------------------------------------------------------------


def price_paise(rupees: object) -> Paise:
    """A price that somebody quoted: whole paise exactly, or it is refused rather than rounded. 0 is none."""
    exact = _as_paise(rupees)
    if exact != exact.to_integral_value():
        raise UnitError(f"{rupees!r} rupees is no whole number of paise")
    return _price(rupees, exact)


def average_paise(rupees: object) -> Paise:
    """A price that somebody computed (an order's average): to the nearest paisa, half of one upwards."""
    return _price(rupees, _nearest(_as_paise(rupees)))


def money_paise(rupees: object) -> int:
    """An amount, below zero as well: to the nearest paisa, half of one away from zero."""
    paise = int(_nearest(_as_paise(rupees)))
    if abs(paise) > MOST_MONEY_PAISE:
        raise UnitError(f"{rupees!r} rupees is beyond every account: at most {MOST_MONEY_PAISE // 100:,}")
    return paise


def _as_paise(rupees: object) -> Decimal:
    amount = _decimal(rupees)
    # Bounded before it is multiplied: a Decimal of more than 28 digits would be rounded silently.
    if not amount.is_finite() or abs(amount) > MOST_MONEY_PAISE:
        raise UnitError(f"{_short(rupees)} is no finite number of rupees")
    return amount * 100


def _decimal(rupees: object) -> Decimal:
    """Exact: of a float the shortest decimal that means it, which is what the JSON said."""
    if isinstance(rupees, float):
        return Decimal(float.__repr__(rupees))  # numpy's floats are floats and have another repr
    if isinstance(rupees, int) and not isinstance(rupees, bool):
        return Decimal(rupees)
    if isinstance(rupees, str) and _NUMBER.fullmatch(rupees):
        return Decimal(rupees)
    raise UnitError(f"{_short(rupees)} is no number of rupees")


def _nearest(paise: Decimal) -> Decimal:
    return paise.to_integral_value(ROUND_HALF_UP)


def _price(rupees: object, paise: Decimal) -> Paise:
    if not 0 <= paise <= MOST_PRICE_PAISE:
        most = MOST_PRICE_PAISE // 100
        raise UnitError(f"{rupees!r} rupees is no price: it lies between 0 and {most:,}")
    return Paise(int(paise))


def _short(value: object) -> str:
    """An int of thousands of digits cannot even be printed."""
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return f"a number of {value.bit_length()} bits"
    return repr(value)[:40]


# --- paise -> rupees ----------------------------------------------------------------------------------


def rupees(paise: int) -> float:
    """For JSON: the float nearest to that decimal, so that it is written with two decimals at most."""
    if abs(paise) > MOST_MONEY_PAISE:
        raise UnitError(f"{_short(paise)} is beyond every account")
    return paise / 100


def rupees_text(paise: int) -> str:
    """For forms and CSV: always two decimals."""
    sign = "-" if paise < 0 else ""
    return f"{sign}{abs(paise) // 100}.{abs(paise) % 100:02d}"


# --- times --------------------------------------------------------------------------------------------


def moment(text: object) -> datetime:
    """ "2026-11-20 09:15:00" of the books, "2026-11-20T09:15:00+0530" of the candles: aware, in IST."""
    found = _MOMENT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise UnitError(f"{_short(text)} is no time of the broker: 2026-11-20 09:15:00, IST")
    try:
        at = datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=IST)
    except ValueError:
        raise UnitError(f"{text!r} is a time that does not exist") from None
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise UnitError(f"{text!r} is not within the years {FIRST_YEAR} to {LAST_YEAR}")
    return at


def moment_of_day(text: object, day: date) -> datetime:
    """A trade's order_timestamp is a time of day alone."""
    if not isinstance(text, str) or not _CLOCK.fullmatch(text):
        raise UnitError(f"{_short(text)} is no time of day: 09:15:00, IST")
    return moment(f"{day:%Y-%m-%d} {text}")


def moment_text(at: datetime) -> str:
    """As the books write it."""
    return f"{_in_ist(at):%Y-%m-%d %H:%M:%S}"


def candle_text(at: datetime) -> str:
    """As the candles write it."""
    return f"{_in_ist(at):%Y-%m-%dT%H:%M:%S%z}"


def epoch_s(at: datetime) -> int:
    """Whole seconds of Unix time; what is after the second's beginning is cut off."""
    return (_in_ist(at) - _EPOCH) // _SECOND


def moment_of_epoch(seconds: int) -> datetime:
    """0 is how the wire says that there is none: ask before."""
    if not _FIRST_S <= seconds < _PAST_LAST_S:
        raise UnitError(f"epoch second {_short(seconds)} is not within {FIRST_YEAR} to {LAST_YEAR}")
    return _EPOCH + seconds * _SECOND


def _in_ist(at: datetime) -> datetime:
    if at.utcoffset() is None:
        raise UnitError(f"naive time {at.isoformat()}: times here are aware")
    return at.astimezone(IST)
