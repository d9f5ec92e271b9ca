"""Does a report say what happened, all of it, to anyone, and to nobody else?"""

import base64
import csv
import hashlib
import io
import json
import re
import time
import zlib
from dataclasses import replace
from datetime import date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_candles
from files import WriteError
from report import BacktestResult, Candles, as_csv, as_json, fields, summarise, write
from report_page import data, embedded, histogram, page, policy
from report_summary import judged
from report_tables import grouped_digits, rupees, signed
from rulebook.hours import IST
from rulebook.records import ExitReason, Paise, Side
from rulebook.trades import ALL_FOLLOWED, ClosedTrade, Followed
from stats import Estimate

BARS, BAR_MINUTES, OPEN_MINUTE = 75, 5, 9 * 60 + 15
SESSION_MINUTES = BARS * BAR_MINUTES


# --- synthetic trades over synthetic candles ---


def sessions(count: int) -> list[date]:
    first = date(2024, 1, 1)
    return [day for k in range(count * 2) if (day := first + timedelta(k)).weekday() < 5][:count]


def candles_of(rng: np.random.Generator, price: float) -> Candles:
    """A random walk on a grid of five paise."""
    moves = np.exp(np.cumsum(rng.normal(0, 0.0015, BARS * 6))).reshape(BARS, 6) * price
    grid = (np.rint(moves / 5) * 5).astype(np.int64)
    minute = OPEN_MINUTE + BAR_MINUTES * np.arange(BARS)
    return Candles(minute, grid[:, 0], grid.max(1), grid.min(1), grid[:, -1])


def moment(day: date, minute: int, second: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, minute // 60, minute % 60, second, tzinfo=IST)


def trade_on(
    rng: np.random.Generator, ticker: str, day: date, bars: Candles, foresight: float
) -> ClosedTrade:
    """In at a bar's open, out at a trailed stop or by the clock; some entries know the day's last price."""
    high, low, opened = (np.asarray(x) for x in (bars.high, bars.low, bars.open))
    k, gap = int(rng.integers(2, 60)), int(opened[0] * rng.uniform(0.006, 0.012)) // 5 * 5
    side = Side(int(rng.choice([1, -1])))
    if rng.random() < foresight:
        side = Side.BUY if opened[-1] > opened[k] else Side.SELL
    start, qty = int(opened[k]), int(rng.integers(5, 60))
    stop = first_stop = start - side * gap
    worst = best = start
    path, end, reason = (
        [(moment(day, OPEN_MINUTE + BAR_MINUTES * k, 2), Paise(stop))],
        BARS - 4,
        ExitReason.CLOCK,
    )
    for j in range(k, BARS - 3):
        against, favour = (low[j], high[j]) if side > 0 else (high[j], low[j])
        worst = int(min(worst, against, key=lambda p: side * p))
        if side * (against - stop) <= 0:
            end, reason = j, ExitReason.STOP if stop == first_stop else ExitReason.TRAIL
            break
        best = int(max(best, favour, key=lambda p: side * p))
        trailed = max(stop, best - side * gap, key=lambda p: side * p)
        if trailed != stop:
            stop = trailed
            path.append((moment(day, OPEN_MINUTE + BAR_MINUTES * (j + 1)), Paise(stop)))
    intended = stop if reason != ExitReason.CLOCK else int(opened[end])
    paid = intended - side * 5
    return ClosedTrade(
        ticker=ticker, side=side, qty=qty,
        decided_at=moment(day, OPEN_MINUTE + BAR_MINUTES * k), decision_price=Paise(start - side * 5),
        entered_at=moment(day, OPEN_MINUTE + BAR_MINUTES * k, 2), entry_value=start * qty,
        initial_stop=Paise(first_stop),
        exited_at=moment(day, OPEN_MINUTE + BAR_MINUTES * end + 3, 17), exit_value=paid * qty,
        intended_exit=Paise(intended), reason=reason, worst=Paise(worst), best=Paise(best),
        charges=int(0.00035 * (start + paid) * qty) + 300,
        followed=ALL_FOLLOWED if rng.random() < 0.97 else ALL_FOLLOWED & ~Followed.TRAIL_UPDATED,
        stop_path=tuple(path),
    )  # fmt: skip


def result_of(
    trades: int, days: int = 60, seed: int = 1, foresight: float = 0.0, **changes
) -> BacktestResult:
    rng = np.random.default_rng(seed)
    calendar = sessions(days)
    tickers = [f"STOCK{k:02d}" for k in range(min(50, max(3, trades // 20)))]
    prices = {ticker: float(rng.uniform(2e4, 4e5)) for ticker in tickers}
    kept: dict[tuple[str, date], Candles] = {}

    def candles(ticker: str, day: date) -> Candles:
        if (ticker, day) not in kept:
            own = np.random.default_rng([seed, *ticker.encode(), day.toordinal()])
            kept[ticker, day] = candles_of(own, prices[ticker])
        return kept[ticker, day]

    picks = sorted((calendar[rng.integers(days)], tickers[rng.integers(len(tickers))]) for _ in range(trades))
    made = [trade_on(rng, ticker, day, candles(ticker, day), foresight) for day, ticker in picks]
    made.sort(key=lambda trade: trade.exited_at)
    known: dict[str, Any] = {
        "strategy": "sma_cross",
        "parameters": {"fast": 10, "slow": 30},
        "parameters_hash": "a3f19c2b77e0",
        "settings_hash": "5d0c41e9ab12",
        "data_span": "5m candles of 50 tickers, 2024-01-01 to 2025-11-28",
        "days": calendar,
        "open_minutes": days * SESSION_MINUTES,
        "trades": made,
        "candles": candles,
        "made_at": datetime(2026, 11, 21, 16, 5, 9, tzinfo=IST),
    }
    return BacktestResult(**{**known, **changes})


class Reader(HTMLParser):
    """What a browser would see: elements, their attributes, and the text of each."""

    VOID = frozenset({"meta", "input", "br", "link", "img"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert [] == self.open, "an element was not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
            self.text.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.text[tag][-1] += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def embedded_in(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def unpacked(text: str, columns: int) -> list[list[int]]:
    """The way of the page's script, written a second time."""
    raw = zlib.decompress(base64.b64decode(text)) if text else b""
    rows = len(raw) // 4 // columns
    table = []
    for c in range(columns):
        planes = [raw[(c * 4 + k) * rows : (c * 4 + k + 1) * rows] for k in range(4)]
        zigzags = [sum(plane[i] << (8 * k) for k, plane in enumerate(planes)) for i in range(rows)]
        table.append([(z >> 1) ^ -(z & 1) for z in zigzags])
    return table


def candles_in(packed: dict[str, Any], trade: int) -> list[tuple[int, ...]]:
    """Minute, open, high, low, close of the bars of one trade, as the page draws them."""
    minute, gap, body, above, under = unpacked(packed["data"], 5)
    rows, at, close = [], 0, 0
    for i in range(len(minute)):
        at, opened = at + minute[i], close + gap[i]
        close = opened + body[i]
        prices = opened, max(opened, close) + above[i], min(opened, close) - under[i], close
        rows.append((at, *(price * packed["unit"] for price in prices)))
    first = sum(packed["counts"][:trade])
    return rows[first : first + packed["counts"][trade]]


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    rng = np.random.default_rng(9)
    candidates = {f"c{k}": rng.normal(size=60).tolist() for k in range(6)}
    return result_of(
        300, trials=8, candidates=candidates, counts={"bars where both extremes mattered": 1_23_456}
    )


@pytest.fixture(scope="module")
def html(result: BacktestResult) -> str:
    return page(summarise(result))


# --- the page --------------------------------------------------------------------------------------


def test_the_page_is_whole_has_a_title_and_every_section(html):
    reader = Reader(html)

    assert ["sma_cross: backtest report"] == reader.text["title"]
    assert {"equity", "daily", "histogram", "scatter", "trade"} <= {
        a.get("id") for a in reader.attributes("figure")
    }
    assert {
        "Measures",
        "From the plan to the purse",
        "By hour of entry, IST",
        "By exit reason",
        "By ticker",
        "Trades",
    } <= set(reader.text["h2"])
    assert "1,23,456" in reader.text["dd"]


def test_the_page_reaches_for_nothing_outside(html):
    reader = Reader(html)
    addresses = [
        v
        for _, attributes in reader.elements
        for k, v in attributes.items()
        if k in ("src", "href", "action", "srcset", "data")
    ]
    code = re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.DOTALL)
    without_namespace = code.replace("http://www.w3.org/2000/svg", "")

    assert ["#list"] == addresses
    assert [] == re.findall(
        r"https?:|//[a-z]|url\(|@import|fetch\(|XMLHttp|WebSocket|innerHTML|eval\(", without_namespace
    )


def test_the_policy_of_the_page_forbids_the_network_and_allows_exactly_its_own_script_and_style(html):
    reader = Reader(html)
    rules = next(
        a["content"] or ""
        for a in reader.attributes("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    )
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)

    assert rules.startswith("default-src 'none'; ")
    assert "unsafe" not in rules
    assert (1, 1) == (len(script), len(style))
    for text in (*script, *style):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in rules
    assert [] == [a for _, a in reader.elements if "style" in a or any(k.startswith("on") for k in a)]


def test_every_trade_is_in_the_page_with_its_measures(result, html):
    found = embedded_in(html)["trades"]

    assert [t.net for t in result.trades] == found["net"]
    assert [t.charges for t in result.trades] == found["charges"]
    assert [t.entry_value for t in result.trades] == found["entry"]
    for name, value in (("r", "r"), ("mae", "mae_r"), ("mfe", "mfe_r")):
        assert [getattr(t, value) for t in result.trades] == pytest.approx(
            [n / 1000 for n in found[name]], abs=6e-4
        )
    assert {300} == {len(column) for column in found.values()}


def test_times_are_those_of_india(result, html):
    found = embedded_in(html)
    at = result.trades[7].entered_at

    assert result.days[found["trades"]["day"][7]] == at.date()
    assert found["trades"]["in"][7] == at.hour * 3600 + at.minute * 60 + at.second


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "</title><b>",
        '"><img src=x onerror=alert(1)>',
        "</script><script>",
        "M&M",
        "{{ 7 * 7 }}",
    ],
)
def test_strangers_text_is_text_everywhere(name):
    plain, hostile = (
        result_of(3),
        result_of(
            3, strategy=name, data_span=name, warnings=[name], counts={name: 1}, charges_by_kind={name: 5}
        ),
    )
    hostile = replace(
        hostile,
        parameters={name: name},
        trades=[replace(t, ticker=name) for t in hostile.trades],
        candles=None,
    )
    before, after = (
        Reader(page(summarise(replace(plain, warnings=["w"], counts={"c": 1}, charges_by_kind={"k": 5})))),
        page(summarise(hostile)),
    )

    assert [tag for tag, _ in before.elements if tag != "tr" and tag not in ("td", "th")] == [
        tag for tag, _ in Reader(after).elements if tag not in ("tr", "td", "th")
    ]
    assert f"{name}: backtest report" == Reader(after).text["title"][0]
    assert [name] == embedded_in(after)["tickers"]
    assert name in Reader(after).text["li"]


@given(st.text())
def test_embedded_json_reads_back_and_cannot_end_its_element(text):
    assert not set("<>&") & set(embedded({text: text}))
    assert {text: text} == json.loads(embedded({text: text}))


# --- candles ---------------------------------------------------------------------------------------


def test_the_candles_of_any_trade_are_the_bars_around_it(result):
    packed = data(summarise(result))["bars"]
    for i in (0, 17, 299):
        trade = result.trades[i]
        assert result.candles
        bars = result.candles(trade.ticker, trade.entered_at.date())
        assert bars
        rows = list(
            zip(
                *(np.asarray(x).tolist() for x in (bars.minute, bars.open, bars.high, bars.low, bars.close)),
                strict=True,
            )
        )
        entry = (trade.entered_at.hour * 60 + trade.entered_at.minute - OPEN_MINUTE) // BAR_MINUTES
        exit = (trade.exited_at.hour * 60 + trade.exited_at.minute - OPEN_MINUTE) // BAR_MINUTES

        assert rows[max(0, entry - report_candles.BEFORE) : exit + 1 + report_candles.AFTER] == candles_in(
            packed, i
        )


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=4, max_size=4), min_size=1, max_size=3))
def test_packed_numbers_read_back(columns):
    assert columns == unpacked(
        report_candles.pack([np.array(c, dtype=np.int64) for c in columns]), len(columns)
    )


def test_the_path_of_every_stop_reads_back(result):
    packed = data(summarise(result))["stops"]
    seconds, steps = unpacked(packed["data"], 2)
    at, price, found = 0, 0, []
    for second, step in zip(seconds, steps, strict=True):
        at, price = at + second, price + step
        found.append((at, price))
    expected = [
        (int((when - t.entered_at).total_seconds()), stop - t.initial_stop)
        for t in result.trades
        for when, stop in t.stop_path
    ]

    assert expected == found
    assert [len(t.stop_path) for t in result.trades] == packed["counts"]


def test_a_long_trade_s_bars_are_merged_without_losing_an_extreme():
    minute = np.arange(555, 555 + 375)
    price = 10_000 + np.arange(375) % 97
    bars = Candles(minute, price, price + 3, price - 2, price)
    one = replace(
        result_of(1).trades[0],
        ticker="X",
        entered_at=moment(sessions(1)[0], 560),
        exited_at=moment(sessions(1)[0], 900),
    )
    packed = data(summarise(replace(result_of(1, days=1), trades=[one], candles=lambda *_: bars)))["bars"]
    rows = candles_in(packed, 0)

    assert (4, True) == (packed["merged"][0], len(rows) <= report_candles.BARS_MOST)
    assert (10_099, 9_998) == (max(row[2] for row in rows), min(row[3] for row in rows))
    assert all(row[3] <= min(row[1], row[4]) <= max(row[1], row[4]) <= row[2] for row in rows)


def test_a_trade_without_candles_has_none_and_the_others_keep_theirs(result):
    gone = result.trades[0]
    few = replace(
        result, candles=lambda ticker, day: None if ticker == gone.ticker else result.candles(ticker, day)
    )
    counts = data(summarise(few))["bars"]["counts"]

    assert {0} == {n for n, t in zip(counts, result.trades, strict=True) if t.ticker == gone.ticker}
    assert all(n for n, t in zip(counts, result.trades, strict=True) if t.ticker != gone.ticker)


def test_beyond_the_budget_the_largest_results_keep_their_candles(result):
    counts = report_candles.bars_of(summarise(result).trades, result.candles, most_bars=24 * 10).counts
    largest = sorted(range(300), key=lambda i: -abs(result.trades[i].r))[:10]

    assert set(largest) == {i for i, n in enumerate(counts) if n}


def test_candles_that_are_no_whole_paise_are_refused_by_ticker():
    bars = Candles([555], [1.5], [2.0], [1.0], [float("nan")])

    with pytest.raises(ValueError, match="STOCK"):
        data(summarise(result_of(1, candles=lambda *_: bars)))


# --- JSON and CSV ----------------------------------------------------------------------------------


def test_the_csv_reads_back_to_the_same_numbers(result):
    summary = summarise(result)
    rows = list(csv.DictReader(io.StringIO(as_csv(summary))))

    assert 300 == len(rows)
    for row, measured in zip(rows, summary.trades, strict=True):
        for name, value in fields(measured).items():
            assert value == type(value)(row[name])


def test_the_json_reads_back_to_the_same_numbers(result):
    summary = summarise(result)
    document = json.loads(as_json(summary))

    assert [fields(t) for t in summary.trades] == [
        {k: v for k, v in t.items() if k != "stop_path"} for t in document["trades"]
    ]
    assert [[(datetime.fromisoformat(at), p) for at, p in t["stop_path"]] for t in document["trades"]] == [
        list(t.stop_path) for t in result.trades
    ]
    assert document["measures"]["sharpe"]["value"] == summary.sharpe.value
    assert (
        sum(t.net for t in result.trades)
        == document["measures"]["net_paise"]
        == sum(day["net_paise"] for day in document["daily"])
    )
    assert document["verdict"]["sentence"] == summary.verdict.sentence


def test_the_groups_add_up_to_the_whole(result):
    summary = summarise(result)

    for groups in (summary.by_ticker, summary.by_hour, summary.by_reason):
        assert (300, summary.costs.net) == (sum(g.trades for g in groups), sum(g.net for g in groups))


@pytest.mark.parametrize("ticker", ["=1+1", "+X", "-X", "@X", "\tX"])
def test_a_spreadsheet_does_not_run_a_ticker(ticker):
    odd = result_of(1, candles=None)
    text = as_csv(summarise(replace(odd, trades=[replace(odd.trades[0], ticker=ticker)])))

    assert "'" + ticker == next(csv.DictReader(io.StringIO(text)))["ticker"]


def test_the_same_record_gives_the_same_files(result, tmp_path):
    first, second = write(result, tmp_path, "a"), write(result, tmp_path / "new" / "folder", "a")

    for kind in ("html", "json", "csv"):
        assert getattr(first, kind).read_bytes() == getattr(second, kind).read_bytes()


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "a b", "a\n"])
def test_a_name_that_leaves_the_folder_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="no name for a file"):
        write(result_of(1), tmp_path, name)

    assert [] == list(tmp_path.iterdir())


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path):
    (tmp_path / "a.html").mkdir()
    (tmp_path / "a.json").write_text("old")

    with pytest.raises(WriteError):
        write(result_of(1), tmp_path, "a")
    assert "old" == (tmp_path / "a.json").read_text()


# --- edges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trades", "days"), [(0, 0), (0, 5), (1, 1), (1, 3), (2, 1), (40, 30)])
def test_a_small_run_has_a_whole_report(trades, days, tmp_path):
    made = result_of(trades, days=max(1, days))
    written = write(replace(made, days=made.days[:days]) if days == 0 else made, tmp_path, "small")
    text = written.html.read_text()

    assert (
        trades
        == len(embedded_in(text)["trades"]["net"])
        == len(json.loads(written.json.read_text())["trades"])
    )
    assert [] == re.findall(
        r"\b(?:NaN|nan|inf|None)\b", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    )
    assert Reader(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "0 trials"),
        ({"trials": 1, "candidates": {"a": [0.0] * 60, "b": [0.0] * 60}}, "1 trials, but 2 candidates"),
        ({"candidates": {"a": [0.0]}}, "candidate a"),
        ({"open_minutes": 0}, "no time"),
        ({"capital_paise": 0}, "capital"),
        ({"days": sessions(60)[::-1]}, "in order"),
        ({"days": sessions(1) * 2}, "in order"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(result_of(1), **changes)


def test_a_candidate_that_is_no_number_is_refused_by_name(result):
    bad = {"good": [0.0] * 60, "odd": [float("nan")] * 60}

    with pytest.raises(ValueError, match="candidate odd"):
        summarise(replace(result, candidates=bad))


# --- the verdict -----------------------------------------------------------------------------------


def verdict_of(low: float, value: float, high: float, **changes: Any) -> tuple[str, str]:
    summary = summarise(result_of(300, **changes))
    object.__setattr__(summary, "mean_r", Estimate(value, low, high))
    found = judged(summary)
    return found.word, found.sentence


def test_an_interval_around_zero_is_not_distinguishable_from_zero():
    word, sentence = verdict_of(-0.02, 0.03, 0.08)

    assert "Not shown" == word
    assert (
        "Net R per trade +0.030, 90 % interval -0.020 to +0.080 (300 trades, 60 sessions): not distinguishable from zero."
        == sentence
    )


def test_an_interval_below_zero_loses():
    word, sentence = verdict_of(-0.3, -0.2, -0.1)

    assert "Loses" == word
    assert sentence.endswith("it loses, and not by chance.")


def test_skill_is_above_zero_and_stays_so_after_few_trials():
    assert "Above zero" == summarise(result_of(300, foresight=0.9, trials=3)).verdict.word


def test_a_good_interval_after_many_trials_is_doubtful():
    word, sentence = verdict_of(0.01, 0.05, 0.09, trials=5_000)

    assert "Doubtful" == word
    assert "after 5,000 trials this may be the luck of the best" in sentence


def test_few_days_are_too_few_to_judge_however_good():
    few = summarise(result_of(300, days=10, foresight=0.9)).verdict

    assert "Too few days" == few.word
    assert "at least 20 days" in few.sentence


def test_a_run_without_trades_says_so():
    assert (
        "No trade was made in 60 sessions: there is nothing to judge."
        == summarise(result_of(0)).verdict.sentence
    )


# --- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paise", "text"),
    [
        (12345678, "+\u20b91,23,456.78"),
        (-5, "-\u20b90.05"),
        (0, "\u20b90.00"),
        (99999, "+\u20b9999.99"),
        (100000, "+\u20b91,000.00"),
        (-1234567890123, "-\u20b912,34,56,78,901.23"),
    ],
)
def test_rupees_are_grouped_the_indian_way_with_their_sign(paise, text):
    assert text == rupees(paise)


@given(st.integers(-(10**15), 10**15))
def test_grouping_loses_no_digit(whole):
    assert str(whole) == grouped_digits(whole).replace(",", "")
    assert re.fullmatch(r"-?\d{1,3}|-?\d{1,2}(,\d\d)*,\d{3}", grouped_digits(whole))


def test_zero_has_no_sign_and_what_is_undefined_says_so():
    assert ["+0.01", "-0.01", "0.00", "0.00", "not defined"] == [
        signed(x) for x in (0.01, -0.01, 0.0, -0.001, None)
    ]


def test_no_bar_of_the_histogram_mixes_winners_and_losers():
    found = histogram([-9.0, -0.001, 0.0, 0.2, 50.0])
    zero = round(-found["low"] / found["step"])

    assert (2, 3, 5) == (sum(found["counts"][:zero]), sum(found["counts"][zero:]), sum(found["counts"]))


def test_the_style_knows_dark_and_light_and_the_phone():
    style = (Path(__file__).parent.parent / "web" / "report" / "report.css").read_text()

    assert "prefers-color-scheme: dark" in style
    assert "max-width: 760px" in style
    assert policy(style, "") != policy(style + " ", "")


# --- the numbers -----------------------------------------------------------------------------------


def test_a_report_of_ten_thousand_trades_is_small_and_quick(tmp_path):
    """The bar is 3 s and 5 MB with a picture of every trade; the machine of a test may be busy, so 6 s here."""
    some = result_of(1_000, days=250)
    many = replace(some, trades=[t for t in some.trades for _ in range(10)])
    started = time.perf_counter()
    written = write(many, tmp_path, "many")
    seconds = time.perf_counter() - started
    text = written.html.read_text()

    assert seconds < 6
    assert len(text) < 5_000_000
    assert 10_000 == sum(1 for bars in embedded_in(text)["bars"]["counts"] if bars)
