"""Which sessions are on disk whole, and why are the others not? Ticker by day, with causes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from candle_store import path_of, read_candles
from rulebook.hours import IST
from sessions_grid import Cause, Gap, Grid, gaps, opened_s

WORST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Coverage:
    """One ticker and timeframe."""

    ticker: str
    timeframe: str
    first: date | None
    last: date | None
    sessions: int
    gaps: tuple[Gap, ...]

    @property
    def whole(self) -> int:
        """Sessions without any gap."""
        return self.sessions - len({gap.day for gap in self.gaps})

    def as_json(self) -> dict[str, Any]:
        return {
            "ticker": self.ticker,
            "timeframe": self.timeframe,
            "first": str(self.first),
            "last": str(self.last),
            "sessions": self.sessions,
            "whole": self.whole,
            "gaps": [
                {"day": str(gap.day), "from": _clock(gap), "bars": gap.bars, "cause": gap.cause.value}
                for gap in self.gaps
            ],
        }


def covered(raw: Path, tickers: Sequence[str], grid: Grid, first: date, last: date) -> list[Coverage]:
    """Of the sessions from `first` to `last`; a ticker without a file lacks them all."""
    return [_of(raw, ticker, grid, first, last) for ticker in tickers]


def _of(raw: Path, ticker: str, grid: Grid, first: date, last: date) -> Coverage:
    sessions = len([day for day in grid.calendar.sessions_between(first, last) if len(grid.of(day))])
    if not path_of(raw, ticker, grid.timeframe).exists():
        none = Gap(first, 0, 0, Cause.MISSING)
        return Coverage(ticker, grid.timeframe, None, None, sessions, (none,) * min(1, sessions))
    frame = read_candles(raw, ticker, grid.timeframe)
    stamps = opened_s(frame)
    found = tuple(gaps(frame, grid, first, last))
    begins, ends = (grid.day_of(int(stamps[row])) for row in (0, -1))
    return Coverage(ticker, grid.timeframe, begins, ends, sessions, found)


def as_text(found: Sequence[Coverage]) -> str:
    """One line for all that is whole, and the worst of the rest with their causes."""
    lines = []
    for timeframe in dict.fromkeys(each.timeframe for each in found):
        rows = [each for each in found if each.timeframe == timeframe]
        whole = [each for each in rows if not each.gaps]
        lines.append(f"{timeframe}: {len(whole)} of {len(rows)} tickers have every bar of every session")
        worst = sorted((each for each in rows if each.gaps), key=lambda each: (each.whole, each.ticker))
        lines += [f"  {each.ticker}: {_causes(each)}" for each in worst[:WORST_SHOWN]]
        if len(worst) > WORST_SHOWN:
            lines.append(f"  and {len(worst) - WORST_SHOWN} more; --json has them all")
    return "\n".join(lines)


def _causes(each: Coverage) -> str:
    if each.first is None:
        return "nothing on disk; get it with: python fetch.py history"
    days: Mapping[Cause, set[date]] = {
        cause: {g.day for g in each.gaps if g.cause is cause} for cause in Cause
    }
    bars = Counter[Cause]()
    for gap in each.gaps:
        bars[gap.cause] += gap.bars
    parts = [f"{cause.value} on {len(on)} days ({bars[cause]} bars)" for cause, on in days.items() if on]
    return f"{each.whole} of {each.sessions} sessions whole; " + ", ".join(parts)


def _clock(gap: Gap) -> str:
    return f"{datetime.fromtimestamp(gap.first_s, IST):%H:%M}" if gap.first_s else ""
