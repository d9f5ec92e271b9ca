"""A day's journal leads to the same decisions again, or says which one does not, or why nobody can tell."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import candle_store
from cli import Answer
from day_replay import entries_that_do_not_follow, seen_of
from explain import bars_seen
from ledger import Entry
from ledger_facts import BarsSeen, Decided, Fact, GateSaid, Quiet, SessionBegan, decode, encode
from outcome import DataError, ExitCode
from rulebook.hours import IST
from rulebook.records import Action, Bar, Paise
from session_mind import Seen
from tests.journal_tables import MOMENT
from tests.told_session import DAY, asked, entries_of, printed, retold, told_house

pytestmark = [pytest.mark.long, pytest.mark.torch]

Change = Callable[[Fact], Fact | None]
Told = TypeVar("Told")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return told_house(tmp_path_factory)


def replayed(house: Path, folder: Path, change: Change) -> Answer:
    return asked(retold(house, folder, change), "--fn", "replay")


def facts_of(house: Path, kind: type[Told]) -> list[Told]:
    return [entry.fact for entry in entries_of(house) if isinstance(entry.fact, kind)]


# --- the same -----------------------------------------------------------------------------------------------


def test_the_decisions_of_two_processes_and_two_models_are_the_same_again(house):
    answer = asked(house, "--fn", "replay", "--date", DAY)
    said = sum(len(fact.said) for fact in facts_of(house, Quiet))

    assert (ExitCode.DONE, []) == (answer.code, answer.data["differences"])
    assert f"{DAY}: {said} decisions of {len(facts_of(house, Quiet))} bars: all the same" == answer.text
    assert said > 15
    assert 2 == len({fact.model_hash for fact in facts_of(house, SessionBegan)})
    assert {"BUY", "HOLD"} <= {action for fact in facts_of(house, Quiet) for action, _ in fact.said.values()}
    assert any(fact.corrected for fact in facts_of(house, BarsSeen)), (
        "the broker's candles had come in between"
    )


def test_the_bars_lie_in_the_transaction_of_the_order_that_they_led_to(house):
    """Whatever a crash leaves: no order without what it was decided by."""
    kinds = [entry.kind for entry in entries_of(house)]
    entered = [n for n, entry in enumerate(entries_of(house)) if entry.kind == "decision"]

    assert entered
    assert all("bars" == kinds[n - 1] for n in entered)


def test_a_process_that_ended_before_it_wrote_all_of_a_bar_is_held_to_what_it_wrote(house, tmp_path):
    last = facts_of(house, Quiet)[3]
    answer = replayed(house, tmp_path, lambda fact: None if fact == last else fact)

    assert (ExitCode.DONE, []) == (answer.code, answer.data["differences"])


def test_rounding_of_another_machine_is_no_difference(house, tmp_path):
    assert ExitCode.DONE == replayed(house, tmp_path, said_otherwise("TCS", 4e-7)).code


# --- what differs -------------------------------------------------------------------------------------------


def said_otherwise(ticker: str, more: float = 0.0, action: str | None = None) -> Change:
    """Of that ticker, in every bar."""

    def change(fact: Fact) -> Fact:
        if isinstance(fact, Quiet) and ticker in fact.said:
            was, sure = fact.said[ticker]
            return replace(fact, said={**fact.said, ticker: (action or was, sure + more)})
        return fact

    return change


def first_decided(fact: Fact, change: Callable[[Decided], Decided | None]) -> Fact | None:
    return change(fact) if isinstance(fact, Decided) and fact.entered else fact


def a_gate_stood_against_it(fact: Decided) -> Decided:
    first, *others = fact.verdicts
    return replace(fact, verdicts=(replace(first, passed=False, sentence="the kill switch is set"), *others))


def dearer(fact: Fact) -> Fact:
    """One share closed 5% higher in each bar than it did."""
    if not isinstance(fact, BarsSeen):
        return fact
    ended = {
        timeframe: {
            at: {name: raised(numbers) if name == "INFY" else numbers for name, numbers in bars.items()}
            for at, bars in by_time.items()
        }
        for timeframe, by_time in fact.ended.items()
    }
    return replace(fact, ended=ended)


def raised(numbers: tuple[int, ...]) -> tuple[int, ...]:
    o, h, low, _, volume = numbers
    return o, h * 21 // 20, low, h * 21 // 20, volume


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (said_otherwise("TCS", 1e-5), "TCS: BUY 0.3"),
        (said_otherwise("TCS", action="SELL"), "TCS: SELL 0.3"),
        (dearer, "INFY: BUY 0.3"),
        (lambda f: replace(f, said={}) if isinstance(f, Quiet) else f, "nothing was said, and now BUY"),
        (lambda f: first_decided(f, lambda d: replace(d, entered=False)), "it was not entered, though it had no trade and every gate passed"),
        (lambda f: first_decided(f, a_gate_stood_against_it), "it was entered, though it had no trade and the kill switch is set"),
        (lambda f: first_decided(f, lambda _: None), "it was the surest that no gate of its own kept out, and nobody was considered"),
    ],
)  # fmt: skip
def test_what_does_not_follow_is_named_with_its_bar_and_ticker(house, tmp_path, change, words):
    answer = replayed(house, tmp_path, change)

    assert ExitCode.FAILED == answer.code
    assert words in answer.text
    assert answer.data["differences"][0]["boundary"].startswith(DAY)
    assert len(answer.text.splitlines()) <= 12


def test_a_changed_configuration_is_named_as_a_likely_cause(house, tmp_path):
    told = retold(house, tmp_path, said_otherwise("TCS", 1e-5))
    (told / "config.json").write_text((house / "config.json").read_text() + "\n")

    assert "config.json is not what it was then" in asked(told, "--fn", "replay").text


# --- what cannot be told ------------------------------------------------------------------------------------


def hashed_otherwise(fact: Fact, **other: Any) -> Fact:
    return replace(fact, **other) if isinstance(fact, SessionBegan) else fact


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: hashed_otherwise(f, history_hash="0" * 16), "the candles on disk before 2026-11-20 are not those"),
        (lambda f: hashed_otherwise(f, model_hash="ab" * 32), "the model that decided on 2026-11-20 (abababababab) is not under"),
        (lambda f: None if isinstance(f, BarsSeen) else f, "does not hold the bars that it decided on at 09:"),
        (lambda f: hashed_otherwise(f, history_hash=""), "does not say what its decisions rest on"),
    ],
)  # fmt: skip
def test_without_the_same_model_candles_and_bars_nothing_is_compared(house, tmp_path, change, words):
    told = retold(house, tmp_path, change)
    with pytest.raises(DataError) as caught:
        asked(told, "--fn", "replay")

    assert words in str(caught.value)


def with_candles(house: Path, folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """The same day told where the candles of one ticker are others."""
    told = retold(house, folder, lambda fact: fact)
    raw = told / "data" / "raw"
    raw.unlink()
    shutil.copytree(house / "data" / "raw", raw)
    origin = candle_store.origin_of(raw, "INFY", "5m")
    assert origin is not None
    candle_store.replace_candles(
        raw, "INFY", "5m", change(candle_store.read_candles(raw, "INFY", "5m")), origin
    )
    return told


def test_one_candle_that_the_broker_has_changed_since_is_seen(house, tmp_path):
    def changed(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(volume=frame["volume"] + (frame.index == frame.index[7]))

    with pytest.raises(DataError, match="the candles on disk before"):
        asked(with_candles(house, tmp_path, changed), "--fn", "replay")


def test_candles_that_came_after_the_session_change_nothing(house, tmp_path):
    def longer(frame: pd.DataFrame) -> pd.DataFrame:
        last = frame.tail(1)
        return pd.concat([frame, last.assign(timestamp=last["timestamp"] + pd.Timedelta(days=1))])

    assert ExitCode.DONE == asked(with_candles(house, tmp_path, longer), "--fn", "replay").code


def test_where_there_is_no_journal_it_says_so(house, tmp_path):
    shutil.copy(house / "config.json", tmp_path)
    with pytest.raises(DataError, match="there is no journal under"):
        asked(tmp_path, "--fn", "replay")


# --- the contest --------------------------------------------------------------------------------------------

BAR_AT = MOMENT.replace(hour=10, minute=10, second=0, microsecond=0)
PASSED = GateSaid("cooldown", 9, 3, True, "it rested")
COOLDOWN = replace(PASSED, passed=False)
SPREAD = GateSaid("spread", 30.0, 20.0, False, "it is wide")


def considered(ticker: str, *verdicts: GateSaid, entered: bool = False) -> Decided:
    return Decided(ticker, Action.BUY, 0.5, (), Paise(100), BAR_AT, verdicts or (PASSED,), entered, "m", {})


def seen_bar(**numbers: tuple[int, ...]) -> BarsSeen:
    return BarsSeen(
        BAR_AT + timedelta(minutes=5), {"5m": {BAR_AT: numbers}, "15m": {BAR_AT: {}}}, {}, (), True
    )


def contest(said: dict[str, float], *facts: Fact, **blocked: tuple[GateSaid, ...]) -> list[str]:
    traded = (100, 110, 90, 105, 7)
    first = (
        [] if any(isinstance(fact, BarsSeen) for fact in facts) else [seen_bar(**dict.fromkeys(said, traded))]
    )
    told = [*first, *facts, Quiet(BAR_AT, {name: ("BUY", sure) for name, sure in said.items()}, blocked)]
    entries = [Entry(seq, MOMENT, *encode(fact)) for seq, fact in enumerate(told, 1)]
    return [f"{each.ticker}: {each.text}" for each in entries_that_do_not_follow(entries)]


@pytest.mark.parametrize(
    ("facts", "blocked", "expected"),
    [
        ((considered("TCS", entered=True),), {}, []),
        ((considered("INFY", entered=True),), {"TCS": (COOLDOWN,)}, []),
        ((considered("INFY", entered=True),), {"TCS": (SPREAD,)}, ["TCS: it was the surest that no gate of its own kept out, and INFY was considered"]),
        ((considered("INFY", entered=True),), {}, ["TCS: it was the surest that no gate of its own kept out, and INFY was considered"]),
        ((), {"TCS": (COOLDOWN,), "INFY": (COOLDOWN,)}, []),
        ((), {"TCS": (COOLDOWN,)}, ["INFY: it was the surest that no gate of its own kept out, and nobody was considered"]),
        ((), {name: (GateSaid("daily_loss", -3.0, -3.0, False, "lost"),) for name in ("TCS", "INFY")}, []),
        ((), {name: (GateSaid("min_confidence", 0.5, 0.6, False, "unsure"),) for name in ("TCS", "INFY")}, []),
        ((considered("TCS", SPREAD),), {"TCS": (SPREAD,)}, []),
        ((considered("SBIN", SPREAD),), {"TCS": (COOLDOWN,), "INFY": (COOLDOWN,)}, ["SBIN: it was considered, and took no part in the contest"]),
        ((seen_bar(TCS=(105,), INFY=(100, 110, 90, 105, 7)), considered("INFY", entered=True)), {}, []),
    ],
)  # fmt: skip
def test_who_is_considered_follows_from_what_was_said_and_from_the_gates(facts, blocked, expected):
    assert expected == contest({"TCS": 0.6, "INFY": 0.5}, *facts, **blocked)


def test_among_equally_sure_ones_the_smaller_name_is_considered():
    assert [] == contest({"TCS": 0.5, "INFY": 0.5}, considered("INFY", entered=True))
    assert [] != contest({"TCS": 0.5, "INFY": 0.5}, considered("TCS", entered=True))


# --- how bars are written down ------------------------------------------------------------------------------


@st.composite
def bars(draw: st.DrawFn, ticker: str) -> Bar:
    low = draw(st.integers(1, 10**7))
    o, c = (low + draw(st.integers(0, 10**5)) for _ in range(2))
    if draw(st.booleans()):
        return Bar(ticker, BAR_AT, Paise(c), Paise(c), Paise(c), Paise(c), 0, filled=True)
    high = max(o, c) + draw(st.integers(0, 10**5))
    return Bar(ticker, BAR_AT, Paise(o), Paise(high), Paise(low), Paise(c), draw(st.integers(0, 10**9)))


@settings(max_examples=50, deadline=None)
@given(bars("INFY"), bars("TCS"), st.booleans())
def test_bars_come_back_as_they_were_seen(one, other, decides):
    seen = Seen(MOMENT, {"5m": {BAR_AT: {"INFY": one}}}, {"15m": {BAR_AT: {"TCS": other}}}, ("TCS",), decides)
    fact = decode(*encode(bars_seen(seen)))

    assert isinstance(fact, BarsSeen)
    assert seen == seen_of(fact)


def test_a_day_of_fifty_tickers_all_mended_by_the_broker_stays_under_a_megabyte():
    dice, opens = random.Random(7), datetime(2026, 11, 20, 9, 15, tzinfo=IST)
    names, written = [f"TICKER{n:02}" for n in range(50)], 0

    def row(at: datetime) -> dict[datetime, dict[str, Bar]]:
        """Four digits before the point and a big share's volume of five minutes."""
        prices = [sorted(dice.sample(range(150_000, 160_000), 4)) for _ in names]
        made = {
            name: Bar(name, at, Paise(b), Paise(d), Paise(a), Paise(c), dice.randrange(400_000))
            for name, (a, b, c, d) in zip(names, prices, strict=True)
        }
        return {at: made}

    for n in range(75):
        at = opens + timedelta(minutes=5 * n)
        ended = {"5m": row(at)} | ({"15m": row(at)} if n % 3 == 2 else {})
        mended = {"5m": row(at - timedelta(minutes=5))} | ({"15m": row(at)} if n % 3 == 0 else {})
        written += len(encode(bars_seen(Seen(at, ended, mended, (), True)))[1])

    assert 300_000 < written < 1_000_000


# --- through the front door ---------------------------------------------------------------------------------


def test_the_script_prints_one_document_and_leaves_the_journal_as_it_was(house):
    before = entries_of(house)
    done = printed(house, "--fn", "replay", "--json")
    found = json.loads(done.stdout)["results"][0]["result"]

    assert (0, []) == (done.returncode, found["differences"])
    assert before == entries_of(house)
