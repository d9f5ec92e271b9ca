"""What does a benchmark say? Rows of figures, bars that hold or not; as a table and as JSON."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

from bench import machine
from clock import SystemClock
from files import write_atomically

FOLDER = Path(__file__).resolve().parent.parent / "reports" / "bench"
IST_OFFSET = timedelta(hours=5, minutes=30)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: its median and spread. `note` says what the reader could otherwise misread."""

    what: str
    middle: float | None  # None: could not be measured, and the note says why
    low: float | None
    high: float | None
    unit: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """What is asked of a figure."""

    what: str
    measured: float | None
    wanted: float
    is_least: bool

    @property
    def holds(self) -> bool:
        if self.measured is None:
            return False
        return self.measured >= self.wanted if self.is_least else self.measured <= self.wanted


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one benchmark found."""

    name: str
    title: str
    rows: Sequence[Row]
    bars: Sequence[Bar]
    notes: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def row(what: str, values: Sequence[float], unit: str, note: str = "", scale: float = 1.0) -> Row:
    """Of several measurements; of none there is nothing to say but the note."""
    if not values:
        return Row(what, None, None, None, unit, note)
    scaled = [scale * value for value in values]
    return Row(what, median(scaled), min(scaled), max(scaled), unit, note)


def least(what: str, values: Sequence[float], wanted: float) -> Bar:
    return Bar(what, median(values) if values else None, wanted, True)


def most(what: str, values: Sequence[float], wanted: float) -> Bar:
    return Bar(what, median(values) if values else None, wanted, False)


# --- out ----------------------------------------------------------------------------------------------


def keep(outcome: Outcome, load_before: float, quick: bool) -> dict[str, Any]:
    """The JSON beside the others, replaced whole."""
    document = asdict(outcome) | {
        "bars": [asdict(bar) | {"holds": bar.holds} for bar in outcome.bars],
        "measured_at": (SystemClock().now() + IST_OFFSET).strftime("%Y-%m-%d %H:%M IST"),
        "quick": quick,
        "machine": machine.about(),
        "load": [load_before, machine.load()],
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1) + "\n"
    write_atomically(FOLDER / f"{outcome.name}.json", text.encode(), 0o644)
    return document


def tell(text: str) -> None:
    """The one place that speaks to the terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def as_table(document: Mapping[str, Any]) -> str:
    """Markdown: the same text for the terminal and for the page."""
    lines = ["| what | median | min - max | unit | |", "|---|---:|---:|---|---|"]
    for each in document["rows"]:
        spread = f"{figure(each['low'])} - {figure(each['high'])}" if each["middle"] is not None else ""
        cells = (each["what"], figure(each["middle"]), spread, each["unit"], each["note"])
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| bar | wanted | measured | |", "|---|---:|---:|---|"]
    for each in document["bars"]:
        wanted = f"{'>=' if each['is_least'] else '<='} {figure(each['wanted'])}"
        verdict = "holds" if each["holds"] else "DOES NOT HOLD"
        lines.append(f"| {each['what']} | {wanted} | {figure(each['measured'])} | {verdict} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in document["notes"]), "", _where(document)])


def _where(document: Mapping[str, Any]) -> str:
    about, (before, after) = document["machine"], document["load"]
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    return (
        f"{document['measured_at']}{', quick' if document['quick'] else ''}; {about['processor']}, "
        f"{about['cores']} cores, {about['memory']}, {about['system']}, Python {about['python']}; "
        f"load {before:g} before, {after:g} after; {versions or 'no package of others'}"
    )


def figure(value: float | None) -> str:
    """Three digits that mean something."""
    if value is None:
        return "not measured"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
