"""How is a finding put to a trader? The guards against what is not a number, and the words of a sentence.

A finding names the value, its threshold and whether it passes, and brings a template for the sentence that
says what would have to change. The words are put together when somebody reads them: at a bar's close more
than a thousand findings are made and most are never read. A template is filled with `value`, `threshold`
and the finding's extras by number, and knows two formats of its own: {value:Rs} for paise as rupees and
{value:trade is|trades are} for a count and its noun. Knows no gate and no situation.
"""

from datetime import datetime
from math import inf
from string import Formatter
from typing import Any, TypeGuard, TypeVar

Value = bool | int | float | str | datetime | None
Finding = tuple[Value, Value, bool, str, tuple[Value, ...]]  # value, threshold, passed, template, extras
Number = TypeVar("Number", bound=float)

_LAKH_PAISE = 1_00_000_00
_ABSURD_PAISE = 10**18  # no money any more, but a sentence must not fail

# --- what may be computed with: None, NaN and infinities are unknown ------------------------------------


def is_finite(value: Number | None) -> TypeGuard[Number]:
    return value is not None and -inf < value < inf


def is_amount(value: Number | None) -> TypeGuard[Number]:
    """A count, an age, a value of money: not below zero."""
    return value is not None and 0 <= value < inf


def is_price(value: Number | None) -> TypeGuard[Number]:
    """Above zero: prices, ranges, and whatever else is divided by."""
    return value is not None and 0 < value < inf


# --- findings that many gates share -------------------------------------------------------------------


def unknown(what: str, threshold: Value = None, *extras: Value) -> Finding:
    """`what` is a clause: whether ..., how many ..., what ..."""
    return None, threshold, False, f"it is not known {what}; entries wait until it is", extras


def switch(state: bool | None, wanted: bool, good: str, bad: str, what: str) -> Finding:
    """A fact that is either so or not; whatever is neither is unknown."""
    if state is wanted:
        return wanted, wanted, True, good, ()
    if state is (not wanted):
        return state, wanted, False, bad, ()
    return unknown(what, wanted)


# --- words ----------------------------------------------------------------------------------------------


class _Words(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "Rs":
            return rupees(value)
        one, bar, many = format_spec.partition("|")
        if bar:
            return f"1 {one}" if value == 1 else f"{value} {many}"
        return format(value, format_spec)


_WORDS = _Words()


def sentence(template: str, value: Value, threshold: Value, extras: tuple[Value, ...]) -> str:
    return _WORDS.format(template, *extras, value=value, threshold=threshold)


def rupees(paise: float) -> str:
    """With the commas where a trader in India looks for them: Rs 1,23,456.50."""
    if -_LAKH_PAISE < paise < _LAKH_PAISE:
        return f"Rs {paise / 100:,.2f}"
    if not -_ABSURD_PAISE < paise < _ABSURD_PAISE:
        return f"Rs {paise / 100:g}"
    lakhs, rest = divmod(abs(round(paise)), _LAKH_PAISE)
    return f"Rs {'-' if paise < 0 else ''}{_in_pairs(lakhs)},{rest / 100:09,.2f}"


def _in_pairs(number: int) -> str:
    return str(number) if number < 100 else f"{_in_pairs(number // 100)},{number % 100:02d}"
