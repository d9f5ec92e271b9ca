"""What may stand behind a flag? Values of the command line, each refused in a sentence that shows it."""

import argparse
from collections.abc import Callable
from datetime import date, time


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date YYYY-MM-DD") from None


def clock_time(text: str) -> time:
    """A time of today; a duration or a date would be misread as one, so it is refused."""
    try:
        if len(text) == len("HH:MM:SS"):
            return time.fromisoformat(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a clock time HH:MM:SS of today")


def symbols(text: str) -> tuple[str, ...]:
    names = tuple(name.strip().upper() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("no symbol given; write them as INFY,TCS")
    return tuple(dict.fromkeys(names))


def some_of(*allowed: str) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        found = tuple(name.strip() for name in text.split(","))
        for name in found:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of: {', '.join(allowed)}")
        return found

    return names


def whole(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return number


def between(above: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not above < value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number above {above} and up to {most}")
        return value

    return number
