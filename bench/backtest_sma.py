"""How fast is a simple backtest, beside those who do only that? SMA(10/30), a 2 % stop, 50 x 37,500 bars.

Ours is the full simulation with its rules switched off by settings, no kernel of its own. First all
engines must have taken the same trades; only then is anything timed.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import candles, compare
from bench.results import Bar, Outcome, Row, least, most, row
from bench.turns import OURS, PEERS, Crew, EngineError, Job, Times, alternate, crew, peaks_mb, ratios

NAME = "backtest_sma"
OURSELVES, LIMIT, FAST_PEER, SLOW_PEER = "ours", "bare loop", "vectorbt", "backtesting.py"
PYTHONS = {OURSELVES: OURS, LIMIT: OURS, FAST_PEER: PEERS, SLOW_PEER: PEERS}
REPEATS = {OURSELVES: 5, LIMIT: 15, FAST_PEER: 1, SLOW_PEER: 1}  # runs a turn
PROCESSES = {OURSELVES: 3, LIMIT: 3, FAST_PEER: 1, SLOW_PEER: 1}
ROUNDS = {OURSELVES: 9, LIMIT: 9, FAST_PEER: 9, SLOW_PEER: 3}
QUICK_ROUNDS = {OURSELVES: 5, LIMIT: 5, FAST_PEER: 5, SLOW_PEER: 1}


async def measure(quick: bool) -> Outcome:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "candles.npz"
        candles.make(path)
        crews, failed = await _started(path)
        comparisons, differing = _compared(Path(folder), crews)
        times = await alternate(crews, QUICK_ROUNDS if quick else ROUNDS)
        peaks = {name: [peak] for name, peak in (await peaks_mb(crews)).items()}
    versions: dict[str, str] = {}
    for engines in crews.values():
        versions.update(engines[0].ready["versions"])
    rows = [*_time_rows(times, failed), *_ratio_rows(times), *_other_rows(crews, peaks)]
    return Outcome(
        NAME, "A simple backtest: SMA(10/30) with a 2 % stop, 50 tickers x 37,500 bars", rows,
        _bars(times, peaks, differing), [*comparisons, *_words(failed)], versions,
    )  # fmt: skip


async def _started(path: Path) -> tuple[dict[str, Crew], dict[str, str]]:
    """The engines that came up, and the reason for each that did not."""
    crews: dict[str, Crew] = {}
    failed: dict[str, str] = {}
    for name, python in PYTHONS.items():
        job = Job(name, path, path.with_name(f"{name}.npy"), REPEATS[name])
        try:
            crews[name] = await crew(python, job, PROCESSES[name])
        except EngineError as error:
            failed[name] = str(error)
    return crews, failed


def _compared(folder: Path, crews: Mapping[str, Crew]) -> tuple[list[str], list[float]]:
    """A sentence for each other engine, and how many trades are not explained."""
    ours = compare.load(folder / f"{OURSELVES}.npy", candles.BARS)
    sentences, unexplained = [], []
    for name in crews:
        if name != OURSELVES:
            found = compare.compared(ours, compare.load(folder / f"{name}.npy", candles.BARS))
            sentences.append(found.sentence(name))
            unexplained.append(float(found.different - found.stop_before_open))
    return sentences, unexplained


def _time_rows(times: Times, failed: Mapping[str, str]) -> list[Row]:
    rows = [row(name, values, "ms", _pace(values), scale=1e3) for name, values in times.items()]
    return [*rows, *(row(name, [], "ms", f"not run: {why}") for name, why in failed.items())]


def _pace(values: list[float]) -> str:
    return f"{candles.TICKERS * candles.BARS / sorted(values)[len(values) // 2] / 1e6:.3g} M bars/s"


def _ratio_rows(times: Times) -> list[Row]:
    others = [name for name in times if name != OURSELVES]
    return [row(f"{name} / ours", ratios(times, name, OURSELVES), "times") for name in others]


def _other_rows(crews: Mapping[str, Crew], peaks: Mapping[str, list[float]]) -> list[Row]:
    firsts = [
        row(
            f"{name}: first call",
            [engine.ready["first_s"] for engine in engines],
            "s",
            "compiling or loading what is compiled",
        )
        for name, engines in crews.items()
    ]
    memory = [row(f"{name}: peak memory", values, "MB", "candles included") for name, values in peaks.items()]
    return [*firsts, *memory]


def _bars(times: Times, peaks: Mapping[str, list[float]], differing: list[float]) -> list[Bar]:
    share = [mine / its for mine in peaks.get(OURSELVES, []) for its in peaks.get(FAST_PEER, [])]
    return [
        most("trades that differ unexplained", [max(differing)] if differing else [], 0),
        least("vectorbt / ours", _ratios(times, FAST_PEER), 10),
        least("backtesting.py / ours", _ratios(times, SLOW_PEER), 800),
        least("bare loop / ours", _ratios(times, LIMIT), 0.45),
        most("peak memory, ours / vectorbt", share, 0.4),
    ]


def _ratios(times: Times, other: str) -> list[float]:
    return ratios(times, other, OURSELVES) if other in times else []


def _words(failed: Mapping[str, str]) -> list[str]:
    return [
        "ours / bare loop: both read int32 prices ticker by ticker; the bare loop has its sums in registers "
        "and knows one strategy, ours runs any strategy's step and the whole rule book, its limits at zero.",
        "vectorbt is told to act at the next open and to count the stop from the fill (its defaults do not), "
        "backtesting.py runs one ticker after the other.",
        "All on one thread; medians of a turn's runs, engines in turns, ratios within a turn.",
        *(f"{name} was NOT measured: {why}." for name, why in failed.items()),
    ]
