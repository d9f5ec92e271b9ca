"""How fast is the whole rule book over years of bars, and what does its first call cost?

Days of 75 bars, the contest of confidences, all rules, trailing, charges and the accounting of every
trade, on candles and random signals. vectorbt does its simpler job of the other benchmark in the same
turns. The first call is timed in a process with an empty cache of compiled code, then in a second one.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench import candles
from bench.results import Outcome, Row, least, most, row
from bench.turns import OURS, PEERS, Engine, EngineError, Job, Times, alternate, crew, peaks_mb, ratios

NAME = "rulebook"
DENSE, SPARSE, NEVER_LOCKED, PEER = "rules, dense", "rules, sparse", "rules, never locked", "vectorbt"
OF_OURS = {
    DENSE: "signals on a third of the bars",
    SPARSE: "signals on a hundredth",
    NEVER_LOCKED: "a third; no day is ended by its loss or its count of trades",
}
TICKER_BARS = candles.TICKERS * candles.BARS
REPEATS, PROCESSES = 5, 2


async def measure(quick: bool) -> Outcome:
    rounds = 5 if quick else 11
    with TemporaryDirectory() as folder:
        path = Path(folder) / "candles.npz"
        candles.make(path)
        first, again = await _first_calls(path, Path(folder))
        crews = {name: await crew(OURS, _job(path, name, REPEATS), PROCESSES) for name in OF_OURS}
        failed = ""
        try:
            crews[PEER] = await crew(PEERS, _job(path, PEER, 1))
        except EngineError as error:
            failed = str(error)
        times = await alternate(crews, dict.fromkeys(crews, rounds))
        peaks = await peaks_mb(crews)
        trades = {name: len(np.load(_job(path, name, 1).trades)) for name in OF_OURS}
    versions = {key: text for engines in crews.values() for key, text in engines[0].ready["versions"].items()}
    rows = _rows(times, trades, peaks)
    rows += [
        row(
            "first call, empty cache: wall",
            first[:1],
            "s",
            "signals and walk of the other benchmark, compiled",
        ),
        row(
            "first call, empty cache: CPU", first[1:], "CPU s", "what others run on the machine is not in it"
        ),
        row("first call, second process: wall", again[:1], "s", "the same, read from the disk"),
        row("first call, second process: CPU", again[1:], "CPU s"),
        *([row(PEER, [], "ms", f"not run: {failed}")] if failed else []),
    ]
    bars = [
        *(least(f"million ticker-bars/s, {name}", _rates(times[name]), 20) for name in OF_OURS),
        least("vectorbt's simpler job / rules, dense", ratios(times, PEER, DENSE) if not failed else [], 2),
        most("first call, empty cache, s", first[:1], 10),
    ]
    title = f"The full rule book over {candles.TICKERS} tickers x {candles.BARS:,} bars"
    return Outcome(NAME, title, rows, bars, _notes(), versions)


def _job(path: Path, name: str, repeats: int) -> Job:
    return Job(name, path, path.with_name(f"{name}.npy"), repeats)


async def _first_calls(path: Path, folder: Path) -> list[list[float]]:
    """Wall and CPU seconds of an engine's first call, twice: the cache was empty before the first."""
    cache = {"XDG_CACHE_HOME": str(folder / "cache")}
    seconds = []
    for _ in range(2):
        engine = await Engine.started(OURS, _job(path, "ours", 1), cache)
        seconds.append([float(engine.ready[name]) for name in ("first_s", "first_cpu_s")])
        await engine.ended()
    return seconds


def _rates(values: list[float]) -> list[float]:
    return [TICKER_BARS / value / 1e6 for value in values]


def _rows(times: Times, trades: dict[str, int], peaks: dict[str, float]) -> list[Row]:
    rows = []
    for name, words in OF_OURS.items():
        rows.append(row(name, times[name], "ms", f"{words}; {trades[name]:,} trades", scale=1e3))
        rows.append(row(f"{name}: rate", _rates(times[name]), "M ticker-bars/s"))
        rows.append(row(f"{name}: peak memory", [peaks[name]], "MB", "candles and signals included"))
    if PEER in times:
        rows.append(row(f"{PEER}, its simpler job", times[PEER], "ms", scale=1e3))
        rows += [row(f"{PEER} / {name}", ratios(times, PEER, name), "times") for name in OF_OURS]
    return rows


def _notes() -> list[str]:
    return [
        "Signals are random and given; making them is not in these times. One thread.",
        "Random signals lose, so most days of the dense run end by the loss limit, and a locked day is "
        "cheap; the run that is never locked is the honest upper bound of the work.",
        "The first call includes loading the compiler itself.",
    ]
