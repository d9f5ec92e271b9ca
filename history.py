"""Which candles are missing on disk, and how do they get here? Pages planned, fetched, checked, stored.

Finest timeframe first: a coarser one is made of it where it reaches as far back, and only the rest is asked
for. A file grows page by page at its two ends and never has a hole: what comes after it is fetched forwards,
what comes before it backwards, so an interrupted download goes on where it was. How far the broker has been
asked stands in the file, so that a listing day is not asked for again every morning.

Knows no broker: `ask` is handed in. What a file lacks is candle_file.py's to say.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from candle_file import Candle, CandleFile, Page, Store
from outcome import DataError, NetworkError, SuiteError
from rulebook.bars import MINUTES

FINE_TO_COARSE: Final = ("1m", "3m", "5m", "15m", "1h", "1d")


# Ticker, timeframe, first and last opening time, both included: one request.
Ask = Callable[[str, str, datetime, datetime], Sequence[Candle]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks for; `last` is the moment up to which candles count as known."""

    tickers: tuple[str, ...]
    first_days: Mapping[str, date]  # by timeframe
    last: datetime
    may_resample: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one file."""

    ticker: str
    timeframe: str
    requests: int
    bars_added: int
    note: str = ""  # for people: adjusted, not listed before, made of finer ones


Files = Mapping[tuple[str, str], CandleFile]  # by ticker and timeframe


def files_of(store: Store, wanted: Wanted) -> Files:
    return {
        (ticker, timeframe): CandleFile(store, ticker, timeframe, wanted.last)
        for ticker in wanted.tickers
        for timeframe in wanted.first_days
    }


def planned(files: Files, wanted: Wanted) -> dict[str, int]:
    """Requests by timeframe, as far as can be said before the answers: a split makes more."""
    found: dict[str, int] = {}
    for timeframe in (tf for tf in FINE_TO_COARSE if tf in wanted.first_days):
        finer = [wanted.first_days[tf] for tf in found if wanted.may_resample and _fits(tf, timeframe)]
        found[timeframe] = sum(
            files[ticker, timeframe].requests(wanted.first_days[timeframe], min(finer, default=None))
            for ticker in wanted.tickers
        )
    return found


class History:
    """One download. `told` hears of every request and of every finished file, from any thread."""

    def __init__(self, files: Files, ask: Ask, told: Callable[[Page | Found], None]) -> None:
        self._files = files
        self._ask = ask
        self._told = told
        self._stop = threading.Event()

    def fetch(self, wanted: Wanted, workers: int) -> list[Found]:
        """Everything, a ticker at a time and some of them at once; raises after all others are done."""
        found: list[Found] = []
        failed: dict[str, SuiteError] = {}
        with ThreadPoolExecutor(workers, "history") as pool:
            jobs = {ticker: pool.submit(self._ticker, ticker, wanted) for ticker in wanted.tickers}
            try:
                for ticker, job in jobs.items():
                    try:
                        found += job.result()
                    except (DataError, NetworkError) as error:
                        failed[ticker] = error
            except BaseException:
                self._stop.set()  # Ctrl-C: pages under way are stored, no new one is asked for
                pool.shutdown(cancel_futures=True)
                raise
        if failed:
            raise _summed_up(failed, len(wanted.tickers))
        return found

    def _ticker(self, ticker: str, wanted: Wanted) -> list[Found]:
        found: list[Found] = []
        finer: list[str] = []
        for timeframe in (tf for tf in FINE_TO_COARSE if tf in wanted.first_days):
            made = self._file(ticker, timeframe, wanted, finer)
            self._told(made)
            found.append(made)
            finer.append(timeframe)
        return found

    def _file(self, ticker: str, timeframe: str, wanted: Wanted, finer: Sequence[str]) -> Found:
        file = self._files[ticker, timeframe]
        source = next((tf for tf in reversed(finer) if wanted.may_resample and _fits(tf, timeframe)), None)
        first_day = wanted.first_days[timeframe]
        added = requests = 0
        notes = []
        if source is not None and (made := file.make_of(self._files[ticker, source])) is not None:
            added, notes = made, [f"made of {source}"]
        else:
            for page in file.forwards(first_day):
                candles = self._page(page)
                requests += 1
                if file.is_adjusted(candles):
                    pages = list(file.anew(first_day))
                    file.replace([candle for page in pages for candle in self._page(page)], first_day)
                    note = "the broker has adjusted the past: fetched anew"
                    return Found(ticker, timeframe, requests + len(pages), 0, note)
                added += file.add(candles, page)
        for page in file.backwards(first_day):
            added += file.add(self._page(page), page)
            requests += 1
        if requests and not file.is_there:
            notes.append("the broker has no candle of it: suspended, or not listed that long")
        return Found(ticker, timeframe, requests, added, ", ".join(notes))

    def _page(self, page: Page) -> Sequence[Candle]:
        if self._stop.is_set():
            raise NetworkError("the download was stopped")
        candles = self._ask(page.ticker, page.timeframe, page.first, page.last)
        self._told(page)
        return candles


def _fits(finer: str, coarser: str) -> bool:
    """A day's candle has the official close, which no finer one has."""
    return coarser != "1d" and MINUTES[coarser] % MINUTES[finer] == 0


def _summed_up(failed: Mapping[str, SuiteError], tickers: int) -> SuiteError:
    """One error for all: what went wrong first, and for whom else."""
    first, error = next(iter(failed.items()))
    others = f"; the same or worse with {', '.join(list(failed)[1:6])}" if len(failed) > 1 else ""
    return type(error)(f"{len(failed)} of {tickers} tickers are not complete: {first}: {error}{others}")
