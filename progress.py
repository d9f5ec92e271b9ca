"""How far is a long download? One display: for each timeframe what is left, the rate, the time left.

On a terminal it is drawn in place; elsewhere a plain line now and then, so that a log of a timer stays short.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from clock import Clock

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 10.0


class Requests(AbstractContextManager["Requests"]):
    """Counts requests against a plan; `most_per_s` is what the broker allows. Threads may share it.

    `is_drawn`: the stream is a terminal that can move its cursor.
    """

    def __init__(
        self,
        planned: Mapping[str, int],
        most_per_s: float,
        clock: Clock,
        stream: TextIO,
        *,
        is_drawn: bool,
        no_color: bool = False,
    ) -> None:
        self._planned = dict(planned)
        self._done: Counter[str] = Counter()
        self._most_per_s = most_per_s
        self._clock = clock
        self._stream = stream
        self._lock = Lock()
        self._began_s = self._told_s = clock.monotonic()
        self._drawn = _drawn(self._planned, stream, no_color) if is_drawn and any(planned.values()) else None

    def __enter__(self) -> "Requests":
        if self._drawn is not None:
            self._drawn[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn is not None:
            self._drawn[0].stop()

    def done(self, name: str) -> None:
        """One more request of that timeframe has been answered."""
        with self._lock:
            self._done[name] += 1
            if self._drawn is not None:
                display, rows = self._drawn
                display.update(rows[name], completed=self._done[name])
                for other, row in rows.items():  # they share one rate
                    display.update(row, description=self._about(other))
            elif self._clock.monotonic() - self._told_s >= LINE_EVERY_S:
                self._told_s = self._clock.monotonic()
                self._stream.write(self.line() + "\n")
                self._stream.flush()

    def line(self) -> str:
        """All of it in one."""
        left = {name: max(0, count - self._done[name]) for name, count in self._planned.items()}
        parts = ", ".join(f"{name} {count}" for name, count in left.items() if count)
        rate = self._rate()
        minutes = sum(left.values()) / rate / 60 if rate else 0
        return (
            f"{sum(self._done.values())} requests done; left: {parts or 'none'}; "
            f"{rate:.1f} of {self._most_per_s:g} a second; about {minutes:.0f} min"
        )

    def _rate(self) -> float:
        passed_s = self._clock.monotonic() - self._began_s
        return sum(self._done.values()) / passed_s if passed_s > 0 else 0.0

    def _about(self, name: str) -> str:
        return f"{name}  {self._rate():.1f} of {self._most_per_s:g} requests/s"


def _drawn(
    planned: Mapping[str, int], stream: TextIO, no_color: bool
) -> "tuple[Progress, dict[str, TaskID]]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    display = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(file=stream, no_color=no_color), transient=True,
    )  # fmt: skip
    return display, {name: display.add_task(name, total=count) for name, count in planned.items()}
