"""Does a backtest, started as the user starts it, tell the truth, always the same, and never from the future?"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pandas as pd
import pytest

import backtest
import fast
from backtest import Span
from candle_store import path_of
from facts import read_tariff
from market import Hours, Market, load
from outcome import DataError, SuiteError
from rulebook.book import Book
from rulebook.charges import Rates
from rulebook.events import DayBegan
from rulebook.hours import IST, NoWindow, SymbolClass
from rulebook.records import Bar, ExitReason, Instrument, Paise
from rulebook.rules import Rules
from rulebook.simulate import Row, Venue
from rulebook.trades import ClosedTrade
from strategies import Observer, Strategy, find, known, with_parameters
from tests.candles import calendar, candles, grouped, minute_candles, sessions, write
from tests.conftest import ROOT, House
from tests.tables import LIMITS
from tests.test_market import early_close, without

REAL = ROOT.parent / "shared" / "market"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="real candles are not part of the repository")
HOURS = Hours(time(9, 20), time(15, 0), time(15, 8))
TARIFF = read_tariff(ROOT / "config")
NAMES = ("AXISBANK", "INFY", "M&M")
DAYS = sessions(20)
SHIPPED = Rules(capital=1_000_000)
BUSY = Rules(
    capital=1_000_000, cost_times_milli=500, max_trades_per_day=1_000, max_loss_milli=0, cooldown_bars=0,
    target_milli=1_500, one_entry_a_bar=False, max_concurrent=50,
)  # fmt: skip
OFTEN = with_parameters(find("random_policy"), {"rate": 0.2})


def market_of(raw: Path, *names: str, known_days=None) -> Market:
    return load(raw, names or NAMES, "5m", HOURS, known_days or calendar(), TARIFF)


def whole(market: Market) -> Span:
    return Span(market.days[0], market.days[-1])


def trades_of(market: Market, strategy: Strategy = OFTEN, rules: Rules = BUSY) -> tuple[ClosedTrade, ...]:
    return backtest.walk(market, strategy, rules, whole(market)).trades


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tickers, twenty days."""
    folder = tmp_path_factory.mktemp("raw")
    for name in NAMES:
        write(folder, name, candles(name, DAYS))
    return folder


@pytest.fixture(scope="module")
def market(raw: Path) -> Market:
    return market_of(raw)


# --- through the front door --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def byte_code(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Shared by the processes of this file: without it each compiles pandas and numba's sources anew."""
    return {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("pyc")), "PYTHONDONTWRITEBYTECODE": ""}


class Desk:
    """A house with three tickers, candles, a rolling holdout, and `train.py --fn ...` to run in it."""

    def __init__(self, house: House, raw: Path, environ: dict[str, str]) -> None:
        self.folder, self._house, self._environ = house.folder, house, environ
        paths = json.loads((house.folder / "config.json").read_text())["paths"]
        self.configure(tickers=NAMES, holdout={"last_sessions": 8}, paths={**paths, "raw": str(raw)})

    def configure(self, **changes: Any) -> None:
        path = self.folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    def run(self, function: str, *args: str) -> CompletedProcess[str]:
        return self._house.run("train", "--fn", function, *args, **self._environ)

    def result(self, *args: str) -> dict[str, Any]:
        done = self.run("backtest", "--json", *args)
        assert (0, "") == (done.returncode, done.stderr)
        document: dict[str, Any] = json.loads(done.stdout)["results"][0]["result"]
        return document


@pytest.fixture
def desk(house: House, raw: Path, byte_code: dict[str, str]) -> Desk:
    return Desk(house, raw, byte_code)


def but_for_the_time(path: str) -> dict[str, Any]:
    return {**json.loads(Path(path).read_text()), "made_at": None}


def test_it_answers_with_a_verdict_and_writes_three_files(desk):
    done = desk.run("backtest")
    verdict, *files = done.stdout.splitlines()
    html, document, table = map(Path, files)

    assert (0, "") == (done.returncode, done.stderr)
    assert desk.folder / "reports" == html.parent
    assert f"backtest-sma_cross-{find('sma_cross').hash}" == html.stem
    assert verdict == json.loads(document.read_text())["verdict"]["sentence"]
    assert html.read_text().startswith("<!DOCTYPE html>")
    assert table.read_text().startswith("number,ticker,side,")


def test_the_same_run_twice_writes_the_same_bytes_but_for_the_time(desk):
    first = desk.result("--strategy", "opening_range")
    csv, document = Path(first["csv"]).read_bytes(), but_for_the_time(first["json"])
    again = desk.result("--strategy", "opening_range")

    assert first == again
    assert csv == Path(again["csv"]).read_bytes()
    assert document == but_for_the_time(again["json"])
    assert csv.count(b"\n") > 2


def test_a_fixed_holdout_is_the_rolling_one_with_its_dates_written_down(desk):
    rolling = desk.result()
    rolling_csv = Path(rolling["csv"]).read_bytes()
    desk.configure(holdout={"start": str(DAYS[-8]), "end": str(DAYS[-1])})
    fixed = desk.result()

    assert rolling["measures"] == fixed["measures"]
    assert 8 == fixed["measures"]["sessions"]
    assert rolling_csv == Path(fixed["csv"]).read_bytes()


def test_every_shipped_strategy_runs_by_its_name(desk):
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda name: desk.result("--strategy", name), known()))
    results = dict(zip(known(), found, strict=True))

    assert [f"backtest-{n}-{find(n).hash}.csv" for n in known()] == [Path(each["csv"]).name for each in found]
    assert 0 == results["stay_out"]["measures"]["trades"] < results["buy_and_hold"]["measures"]["trades"]
    assert {len(known())} == {each["measures"]["trials"] for each in found}


def test_the_user_s_own_file_runs_by_its_path_and_is_judged_beside_the_shipped_ones(desk):
    own = desk.folder / "my idea (2).py"
    own.write_text((ROOT / "strategies" / "buy_and_hold.py").read_text() + f"# {own}\n")
    found = desk.result("--strategy", str(own))
    shipped = desk.result("--strategy", "buy_and_hold")

    assert f"backtest-my_idea__2_-{find(own).hash}" == Path(found["html"]).stem
    assert Path(found["csv"]).read_bytes() == Path(shipped["csv"]).read_bytes()
    assert len(known()) + 1 == found["measures"]["trials"]


def test_an_unknown_strategy_is_a_slip_that_is_said_at_once_with_the_list(desk):
    desk.configure(tickers=["NOFILE"])
    done = desk.run("backtest", "--strategy", "sma_croos")

    assert 2 == done.returncode
    assert "unknown strategy 'sma_croos'; did you mean sma_cross?" in done.stderr
    assert all(name in done.stderr for name in known())


UNREADY: dict[str, tuple[dict[str, Any], str]] = {
    "no candles": ({"tickers": ["INFY", "TCS"]}, "TCS/5m.parquet is missing; get it with: python fetch.py --symbols TCS"),
    "no tickers": ({"tickers": []}, "no tickers: fill config.tickers with `python fetch.py index`"),
    "a holdout without data": (
        {"holdout": {"start": "2025-06-02", "end": "2025-06-30"}},
        "no candles between 2025-06-02 and 2025-06-30; fetch them or move the holdout",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADY)
def test_without_the_data_it_ends_with_5_and_the_remedy(name, desk):
    changes, sentence = UNREADY[name]
    desk.configure(**changes)
    done = desk.run("backtest")

    assert (5, "") == (done.returncode, done.stdout)
    assert sentence in done.stderr
    assert 1 == done.stderr.count("\n")


def test_a_broken_file_ends_it_with_5_and_nothing_is_written(desk):
    path = write(desk.folder, "INFY", candles("INFY", DAYS).assign(high=1.0))
    paths = json.loads((desk.folder / "config.json").read_text())["paths"]
    desk.configure(tickers=["INFY"], paths={**paths, "raw": "."})
    done = desk.run("backtest")

    assert (5, "") == (done.returncode, done.stdout)
    assert f"{path}: row 0 (2024-12-02 03:45:00+00:00): high and low do not enclose" in done.stderr
    assert not (desk.folder / "reports").exists()


# --- nobody sees the future --------------------------------------------------------------------------


def test_all_shipped_strategies_pass_the_check_for_the_future(desk):
    done = desk.run("lookahead_check", "--json")

    assert (0, "") == (done.returncode, done.stderr)
    assert dict.fromkeys(known(), backtest.CUTS) == json.loads(done.stdout)["results"][0]["result"]


HEAD = """
import math
from typing import NamedTuple
import numba, numpy, pandas
class PARAMETERS(NamedTuple):
    bars: int = 1
def state_size(p):
    return 2
"""
STEP = "def step(state, p, session_bar, open, high, low, close, volume):\n"
NEXT = "    state[1] += 1\n    return (1 if {}[int(state[1])] > close else -1), 1.0\n"
CHEATS = {
    "an array": "TAPE = numpy.arange(9_999.0)\n" + STEP + NEXT.format("TAPE"),
    "a tuple": "TAPE = tuple(range(9_999))\n" + STEP + NEXT.format("TAPE"),
    "a list": "TAPE = list(range(9_999))\n" + STEP + NEXT.format("TAPE"),
    "a long number": f"TAPE = {2**70 + 1}\n" + STEP + "    return (TAPE >> session_bar) & 1, 1.0\n",
    "an attribute of math": "math.tape = numpy.arange(9_999.0)\n" + STEP + NEXT.format("math.tape"),
    "a default": f"def at(n, tape=numpy.arange(9_999.0)):\n    return tape[n]\n{STEP}    return 1, at(0)\n",
    "a closure": "def made(tape):\n    def step(state, p, session_bar, open, high, low, close, volume):\n"
                 "        return 1, tape[session_bar]\n    return step\nstep = made(numpy.arange(99.0))\n",
    "a count of calls": f"CALLS = 0\n{STEP}    global CALLS\n    CALLS += 1\n    return CALLS % 2, 1.0\n",
    "a way back to Python": f"CALLS = []\n{STEP}    with numba.objmode():\n        CALLS.append(1)\n    return 1, 1.0\n",
    "an import": f"{STEP}    import os\n    return 1, 1.0\n",
    "chance": f"{STEP}    return 1, numpy.random.random()\n",
    "an attribute of itself": f"{STEP}    return 1, step.tape\n",
    "a helper's tape": f"TAPE = (1, 2)\ndef at(n):\n    return TAPE[n % 2]\n{STEP}    return at(session_bar), 1.0\n",
    "memory that is not its own": f"{STEP}    return (1 if state[5_000] > 0 else -1), 1.0\n",
}  # fmt: skip


@pytest.mark.parametrize("name", CHEATS)
def test_a_file_that_keeps_the_future_somewhere_is_refused(name, market, tmp_path):
    path = tmp_path / "cheat.py"
    path.write_text(f"# {path}{HEAD}{CHEATS[name]}")

    with pytest.raises(
        SuiteError, match=r"strategy cheat: (step|at|math.tape) |strategy cheat: at .*IndexError"
    ):
        backtest.lookahead(market, find(path), SHIPPED)
    vars(math).pop("tape", None)


def test_a_file_that_reads_tomorrow_s_candles_off_the_disk_trades_nowhere(desk, raw):
    path = desk.folder / "oracle.py"
    tape = f"TAPE = pandas.read_parquet({str(path_of(raw, 'INFY', '5m'))!r})['close'].to_numpy() * 100\n"
    path.write_text(HEAD + tape + STEP + NEXT.format("TAPE"))
    for function in ("lookahead_check", "backtest"):
        done = desk.run(function, "--strategy", str(path))

        assert (1, "") == (done.returncode, done.stdout)
        assert "strategy oracle: step uses TAPE, of type ndarray" in done.stderr


def test_the_comparison_finds_the_first_answer_that_changed(market):
    said = fast.signals(OFTEN, market.table, market.tickers)
    other = replace(said, action=said.action.copy())
    other.action[[5, 9], 1] += 1

    with pytest.raises(
        SuiteError, match=r"saw the future: .* altered, its answer for INFY at 2024-12-02 04:10"
    ):
        backtest._compare(market, OFTEN, "altered", said, other, 10)
    backtest._compare(market, OFTEN, "altered", said, other, 5)


def test_the_comparison_finds_a_trade_and_a_stop_that_changed(market):
    said = fast.signals(OFTEN, market.table, market.tickers)
    walked = fast.simulate(market.table, market.fixed, BUSY, said)
    fewer_trades, fewer_moves = (
        replace(walked, trades=walked.trades[1:]),
        replace(walked, moves=walked.moves[1:]),
    )

    for other in (fewer_trades, fewer_moves):
        with pytest.raises(
            SuiteError, match="the rules saw the future of random_policy's trades, cut off at"
        ):
            backtest._compare_walks(market, OFTEN, "cut off", walked, other, 700)


def test_one_bar_has_no_future_to_look_at(tmp_path):
    write(tmp_path, "A", candles("A", DAYS[:1]).head(1))

    with pytest.raises(DataError, match="one bar has no future to look at"):
        backtest.lookahead(market_of(tmp_path, "A"), OFTEN, SHIPPED)


# --- hard markets ------------------------------------------------------------------------------------


def entered_at(trades, market: Market, s: int) -> set[int]:
    """The rows at whose open this ticker was entered."""
    mine = (trade for trade in trades if trade.ticker == market.tickers[s])
    return {int(np.searchsorted(market.table.opened_s, trade.entered_at.timestamp())) for trade in mine}


def is_of_one_day(trade: ClosedTrade) -> bool:
    return trade.decided_at.astimezone(IST).date() == trade.exited_at.astimezone(IST).date()


def test_only_the_days_of_the_span_are_traded(market):
    span = Span(DAYS[3], DAYS[5])
    trades = backtest.walk(market, OFTEN, BUSY, span).trades
    every = trades_of(market)

    assert set(DAYS[3:6]) == {trade.entered_at.astimezone(IST).date() for trade in trades}
    assert [t for t in every if DAYS[3] <= t.entered_at.astimezone(IST).date() <= DAYS[5]] == list(trades)


def test_no_trade_spans_a_split(tmp_path):
    days = DAYS[:6]
    frame = candles("A", days)
    late = (frame["timestamp"].dt.tz_convert(IST).dt.date >= days[3]).to_numpy()
    prices = ["open", "high", "low", "close"]
    write(tmp_path, "A", frame.assign(**{p: frame[p].where(~late, frame[p] * 0.5) for p in prices}))
    market = market_of(tmp_path, "A")
    for name in known():
        trades = trades_of(market, find(name))

        assert all(is_of_one_day(trade) for trade in trades)
        assert all(abs(trade.net) < 0.1 * trade.entry_value for trade in trades)
    assert trades_of(market)


def test_a_ticker_that_stops_for_good_is_squared_off_at_its_last_price(tmp_path):
    write(tmp_path, "A", without(candles("A", DAYS[:5]), range(150 + 40, 375)))
    write(tmp_path, "B", candles("B", DAYS[:5]))
    market = market_of(tmp_path, "A", "B")
    patient = BUSY._replace(stop_bps=1_000, trail_milli=9_000, target_milli=0)
    trades = [t for t in trades_of(market, find("buy_and_hold"), patient) if t.ticker == "A"]
    last = trades[-1]

    assert {1, 76, 151} == entered_at(trades, market, 0)
    assert (DAYS[2], ExitReason.SQUARE_OFF) == (last.exited_at.astimezone(IST).date(), last.reason)
    assert market.table.close[189, 0] == last.intended_exit
    assert all(is_of_one_day(trade) for trade in trades)


def test_a_ticker_that_comes_later_trades_from_then_on(tmp_path):
    write(tmp_path, "A", candles("A", DAYS[:6]))
    write(tmp_path, "B", candles("B", DAYS[3:6]))
    late = market_of(tmp_path, "A", "B")
    alone = market_of(tmp_path, "B")

    assert trades_of(alone) == tuple(trade for trade in trades_of(late) if trade.ticker == "B")
    assert {"A", "B"} == {trade.ticker for trade in trades_of(late)}


def test_missing_and_imputed_bars_are_the_same_and_nothing_is_done_in_them(tmp_path):
    holes = np.flatnonzero(np.random.default_rng(5).random(20 * 75) < 0.2)
    whole_frame = candles("A", DAYS)
    write(tmp_path / "missing", "A", without(whole_frame, holes))
    write(tmp_path / "imputed", "A", whole_frame.assign(filled=whole_frame.index.isin(holes)))
    for folder in ("missing", "imputed"):  # the other ticker keeps the grid whole
        write(tmp_path / folder, "B", candles("B", DAYS))
    missing, imputed = (market_of(tmp_path / folder, "A", "B") for folder in ("missing", "imputed"))
    said = fast.signals(OFTEN, imputed.table, imputed.tickers)

    assert trades_of(missing) == trades_of(imputed)
    assert not said.action[holes, 0].any()
    assert set() == entered_at(trades_of(imputed), imputed, 0) & set(holes.tolist())
    assert len(entered_at(trades_of(imputed), imputed, 0)) > 50


def test_nothing_fills_where_nothing_is_traded(tmp_path):
    write(tmp_path, "A", candles("A", DAYS[:4]).assign(volume=0.0))
    market = market_of(tmp_path, "A")

    assert () == trades_of(market)
    assert fast.signals(OFTEN, market.table, market.tickers).action.any()


def test_a_day_without_volume_has_no_trade_and_the_others_have(tmp_path):
    frame = candles("A", DAYS[:4])
    write(
        tmp_path,
        "A",
        frame.assign(volume=frame["volume"].where((frame.index < 75) | (frame.index >= 150), 0)),
    )

    trades = trades_of(market_of(tmp_path, "A"))

    assert {DAYS[0], *DAYS[2:4]} == {trade.entered_at.astimezone(IST).date() for trade in trades}


def test_a_session_cut_short_is_left_before_its_close(tmp_path):
    write(tmp_path, "A", candles("A", DAYS[:4]))
    market = market_of(tmp_path, "A", known_days=early_close(DAYS[1], time(13, 0)))
    short = [trade for trade in trades_of(market) if trade.entered_at.astimezone(IST).date() == DAYS[1]]

    window = market.windows[1]

    assert short and window
    assert max(trade.entered_at for trade in short) <= window.safe_end
    assert max(trade.exited_at.astimezone(IST).time() for trade in short) < time(13, 0)


@pytest.mark.parametrize("bars", [1, 75])
def test_one_bar_or_one_day_in_all_makes_a_report(bars, tmp_path):
    write(tmp_path, "A", candles("A", DAYS[:1]).head(bars))
    market = market_of(tmp_path, "A")
    found = backtest.run(market, OFTEN, SHIPPED, whole(market), "0", datetime(2026, 1, 1, tzinfo=UTC))

    assert (DAYS[:1], "2024-12-02 to 2024-12-02, 1 tickers") == (found.days, found.data_span)
    assert bars > 1 or not found.trades
    assert {1} == {len(daily) for daily in found.candidates.values()}


# --- the record ----------------------------------------------------------------------------------------


def test_each_trade_carries_the_moves_of_its_own_stop(market):
    said = fast.signals(OFTEN, market.table, market.tickers)
    walked = fast.simulate(market.table, market.fixed, BUSY, said)
    trades = backtest.closed_trades(market.tickers, walked)
    moves = [(market.tickers[s], at, stop) for s, at, stop in walked.moves.tolist()]

    for trade in trades:
        first, last = trade.entered_at.timestamp(), trade.exited_at.timestamp()
        mine = [(at, stop) for ticker, at, stop in moves if ticker == trade.ticker and first <= at <= last]
        assert [(first, trade.initial_stop), *mine] == [
            (at.timestamp(), stop) for at, stop in trade.stop_path
        ]
    assert len(moves) == sum(len(trade.stop_path) - 1 for trade in trades) > 100


def test_the_record_adds_up(market):
    found = backtest.run(market, OFTEN, BUSY, whole(market), "0", datetime(2026, 1, 1, tzinfo=UTC))
    net = sum(trade.net for trade in found.trades)

    assert net == sum(found.candidates["random_policy"])
    assert set(known()) == set(found.candidates) and len(known()) == found.trials
    assert sum(t.charges for t in found.trades) == pytest.approx(
        sum(found.charges_by_kind.values()), abs=7 * 20
    )
    assert len(DAYS) * (5 * 60 + 48) == found.open_minutes
    assert found.candles is not None and found.candles("TCS", date(2024, 12, 7)) is None


# --- one rule book: event by event, the same trades to the paisa ---------------------------------------


def bars_of(table, tickers, rows) -> list[dict[str, Bar]]:
    opened = [datetime.fromtimestamp(at, UTC) for at in table.opened_s[rows].tolist()]
    cells = np.stack([column[rows].astype(np.int64) for column in table[:5]], axis=2).tolist()
    return [
        {name: Bar(name, at, *values) for name, values in zip(tickers, row, strict=True) if values[3]}
        for at, row in zip(opened, cells, strict=True)
    ]  # fmt: skip


def rows_of(market: Market, number: int, observer: Observer) -> Iterator[Row]:
    """A day's rows as live trading meets them: the decisions are asked for bar by bar."""
    rows = np.flatnonzero(market.table.day == number)
    first = np.zeros(len(market.table.close) + 1, int) if market.first_fine is None else market.first_fine
    begin, end = int(first[rows[0]]), int(first[rows[-1] + 1])
    finer = market.finer or market.table
    minutes = bars_of(finer, market.tickers, np.arange(begin, end))
    for row, bars in zip(rows.tolist(), bars_of(market.table, market.tickers, rows), strict=True):
        inside = minutes[first[row] - begin : first[row + 1] - begin]
        fine = {name: [minute[name] for minute in inside if name in minute] for name in bars}
        opened_at = datetime.fromtimestamp(int(market.table.opened_s[row]), UTC)
        yield Row(opened_at, bars, observer.observe(bars), fine)


def by_events(market: Market, strategy: Strategy, rules: Rules) -> list[ClosedTrade]:
    book = Book(rules, LIMITS, {name: Instrument(name, Paise(5)) for name in market.tickers})
    venue, observer = Venue(book, market.table.length_s), Observer(strategy)
    for number, window in enumerate(market.windows):
        day = DayBegan(
            {SymbolClass.OTHER: window or NoWindow("closed")}, Rates(*market.fixed.rates[number].tolist())
        )
        venue.session(day, rows_of(market, number, observer))
    return book.closed


def in_order(trades) -> list[ClosedTrade]:
    return sorted(trades, key=lambda trade: (trade.exited_at, trade.ticker))


def compared(market: Market, rules: Rules, *strategies: Strategy) -> Counter[str]:
    """How many trades of each strategy were the same both ways, to the paisa and to the second."""
    counts: Counter[str] = Counter()
    for strategy in strategies:
        one_by_one, walked = by_events(market, strategy, rules), trades_of(market, strategy, rules)
        assert in_order(one_by_one) == in_order(walked)
        counts[strategy.name] += len(walked)
    return counts


REAL_SESSIONS = 200
MINUTE_NAMES = (
    "AXISBANK",
    "INFY",
    "ITC",
    "M&M",
    "PAGEIND",
    "PNB",
    "RELIANCE",
    "SBIN",
    "TATASTEEL",
    "YESBANK",
)
THREE = (find("sma_cross"), find("opening_range"), OFTEN)


def holed(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """With bars missing, bars imputed and bars nearly without volume."""
    rng = np.random.default_rng(seed)
    rows = len(frame)
    thin = frame["volume"].where(rng.random(rows) > 0.1, np.rint(rng.integers(0, 300, rows)))
    return without(
        frame.assign(volume=thin, filled=rng.random(rows) < 0.03), np.flatnonzero(rng.random(rows) < 0.05)
    )


@pytest.mark.parametrize("rules", [SHIPPED, BUSY, BUSY._replace(stop_bps=30, volume_share_milli=0)])
def test_on_candles_with_holes_both_ways_take_the_same_trades(rules, tmp_path):
    for n, name in enumerate(NAMES):
        write(tmp_path, name, holed(candles(name, DAYS, pace=12.0), n))
    counts = compared(market_of(tmp_path), rules, *THREE)

    assert min(counts.values()) > 20


@pytest.mark.parametrize("rules", [SHIPPED, BUSY])
def test_with_minutes_inside_the_bars_both_ways_take_the_same_trades(rules, tmp_path):
    for name in NAMES:
        minutes = minute_candles(name, DAYS, pace=12.0)
        write(tmp_path, name, grouped(minutes, 5))
        write(tmp_path, name, without(minutes, range(1_000, 1_030)), "1m")  # for all tickers at once
    market = market_of(tmp_path)
    counts = compared(market, rules, *THREE)

    assert market.finer is not None
    assert min(counts.values()) > 20


@needs_real
def test_on_years_of_real_bars_both_ways_take_the_same_trades(tmp_path):
    for name in ("EQUITAS", "HDFCLIFE", "ICICIPRULI"):
        frame = pd.read_parquet(REAL / "long5m" / name / "5m.parquet")
        write(tmp_path, name, frame.tail(75 * REAL_SESSIONS).reset_index(drop=True))
    market = market_of(tmp_path, "EQUITAS", "HDFCLIFE", "ICICIPRULI")
    counts = compared(market, SHIPPED, *THREE)

    assert len(market.days) >= REAL_SESSIONS - 2
    assert min(counts.values()) > 500


@needs_real
def test_on_real_minutes_inside_the_bars_both_ways_take_the_same_trades(tmp_path):
    for name in MINUTE_NAMES:
        frame = pd.read_parquet(REAL / name / "1m.parquet")
        write(tmp_path, name, grouped(frame, 5))
        path_of(tmp_path, name, "1m").symlink_to(REAL / name / "1m.parquet")
    market = market_of(tmp_path, *MINUTE_NAMES)
    counts = compared(market, SHIPPED, *THREE) + compared(market, BUSY, *THREE)

    assert market.finer is not None
    assert (1_050, 5_250) == (len(market.table.close), len(market.finer.close))
    assert min(counts.values()) > 200


def test_a_ticker_without_minutes_in_a_row_goes_by_its_bar(tmp_path):
    for name in NAMES:
        minutes = minute_candles(name, DAYS, pace=12.0)
        write(tmp_path, name, grouped(minutes, 5))
        gone = range(1_000, 4_000) if name == "INFY" else []
        write(tmp_path, name, without(minutes, gone), "1m")

    assert compared(market_of(tmp_path), BUSY, *THREE)
