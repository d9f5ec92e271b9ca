"""Why was there a trade, or none? In plain words, from the journal alone, whatever the journal holds."""

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli import Answer
from ledger import Identity, Journal, journal_folder
from ledger_facts import (
    AlarmSaid,
    BarsSeen,
    Closed,
    Decided,
    Fact,
    GateSaid,
    HaltSaid,
    LossLocked,
    Opened,
    Quiet,
    SessionBegan,
    SessionEnded,
    StateIs,
    Unlocked,
)
from outcome import ConfigError, DataError, ExitCode
from rulebook.hours import IST
from rulebook.order_records import Severity
from rulebook.records import Action, ExitReason, Paise, Side
from rulebook.trades import ALL_FOLLOWED, ClosedTrade
from tests.conftest import ROOT
from tests.journal_tables import KEY
from tests.paper_tables import HandClock
from tests.told_session import DAY, asked, entries_of, printed, told_house

PAPER = Identity("paper", "127.0.0.1:4000", "AB1234")
LIVE = Identity("live", "api.kite.trade", "AB1234")


def at(clock: str, day: str = DAY) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=IST)


# --- journals made by hand ----------------------------------------------------------------------------------

BAR_AT, BOUNDARY, WRITTEN = at("10:10:00"), at("10:15:00"), at("10:15:01")
TRADED, FILLED = (100, 110, 90, 105, 7), (105,)
BEGAN = SessionBegan(
    "paper", "127.0.0.1:4000", "AB1234", "0.1.0", "s", "m", 1, False, ("INFY", "SBIN", "TCS"), "h"
)
RUNNING = StateIs("RUNNING", "entries and exits")
COOLDOWN = GateSaid("cooldown", 1, 3, False, "INFY was stopped out 1 bar ago; 3 must pass")
SPREAD = GateSaid("spread", 31.4, 20.0, False, "bid and ask are 31.4 bp apart; at most 20 bp may be")
LOST = GateSaid("daily_loss", -3.2, -3.0, False, "the day stands at -3.2 R")
UNSURE = GateSaid("min_confidence", 0.5, 0.6, False, "the confidence is 0.5; at least 0.6 is needed")
FULL = GateSaid("max_concurrent_trades", 1, 1, False, "1 trade is open; at most 1 may be")
GOOD = GateSaid("kill_switch", False, False, True, "the kill switch is not set")


def decided(ticker: str = "INFY", *missed: GateSaid, sure: float = 0.5, entered: bool = False) -> Decided:
    verdicts = (GOOD, *missed)
    return Decided(
        ticker, Action.BUY, sure, (0.5, -0.5, 0.1), Paise(150_000), BAR_AT, verdicts, entered, "m", {}
    )


def quiet(said: dict[str, tuple[str, float]], **blocked: tuple[GateSaid, ...]) -> Quiet:
    q = dict.fromkeys(said, (0.25, -0.5, 0.125))
    return Quiet(BAR_AT, said, blocked, BOUNDARY, q)


def seen(incomplete: tuple[str, ...] = (), decides: bool = True, **bars: tuple[int, ...]) -> BarsSeen:
    rows = bars or dict.fromkeys(("INFY", "SBIN", "TCS"), TRADED)
    return BarsSeen(BOUNDARY, {"15m": {at("10:00:00"): {}}, "5m": {BAR_AT: rows}}, {}, incomplete, decides)


def opened(ticker: str = "INFY", name: str = "p1") -> Opened:
    return Opened(
        name, ticker, Side.BUY, 7, 1_050_000, "1", "2", 1500.0, BOUNDARY, Paise(150_000), Paise(500)
    )


def closed(reason: ExitReason = ExitReason.STOP, ticker: str = "INFY", name: str = "p1") -> Closed:
    trade = ClosedTrade(
        ticker=ticker, side=Side.BUY, qty=7, decided_at=BOUNDARY, decision_price=Paise(150_000),
        entered_at=at("10:15:02"), entry_value=1_050_000, initial_stop=Paise(149_500),
        exited_at=at("10:21:07"), exit_value=1_046_500, intended_exit=Paise(149_500), reason=reason,
        worst=Paise(149_500), best=Paise(150_000), charges=700, followed=ALL_FOLLOWED, stop_path=(),
    )  # fmt: skip
    return Closed(name, "1", "2", 1500.0, trade)


def day(folder: Path, *facts: Fact | tuple[str, Fact], who: Identity = PAPER) -> Journal:
    """Each a second after 10:15, or at the time that stands with it; the writer stays."""
    shutil.copy(ROOT / "config.json", folder)
    book = Journal(journal_folder(folder / "data" / "ledger", who), who, KEY, HandClock(WRITTEN))
    for fact in facts:
        clock, told = fact if isinstance(fact, tuple) else ("10:15:01", fact)
        book.write(at(clock) if len(clock) == len("10:15:01") else datetime.fromisoformat(clock), told)
    return book


def bar(*facts: Fact | tuple[str, Fact]) -> tuple[Fact | tuple[str, Fact], ...]:
    """A session with one bar in it."""
    return (("09:15:00", BEGAN), ("09:15:01", RUNNING), *facts)


def answered(folder: Path, *args: str) -> Answer:
    return asked(folder, "--fn", "why", *args)


BUY, SELL, HOLD = ("BUY", 0.5), ("SELL", 0.4), ("HOLD", 0.75)
SURER = decided("TCS", sure=0.6, entered=True)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ((quiet({"INFY": HOLD}),), "HOLD with confidence 0.7500 (R expected: BUY +0.2500, SELL -0.5000, HOLD +0.1250); no trade: neither side was worth more than waiting"),
        ((decided(entered=True), quiet({"INFY": BUY})), "it was entered: it was the surest, and every gate passed"),
        ((decided("INFY", SPREAD), quiet({"INFY": BUY}, INFY=(SPREAD,))), "it was the surest that could be entered, and these gates stood against it"),
        ((decided(), quiet({"INFY": BUY})), "no new trade: it was the surest, and had a trade already"),
        ((SURER, quiet({"INFY": BUY, "TCS": ("BUY", 0.6)})), "no trade: TCS was surer (0.6000 against 0.5000) and was entered"),
        ((SURER, quiet({"INFY": BUY, "TCS": ("BUY", 0.6)}, INFY=(FULL,))), "no trade: TCS was surer (0.6000 against 0.5000) and was entered; once that was done these stood against it, too"),
        ((decided("TCS", SPREAD, sure=0.5), quiet({"INFY": BUY, "TCS": BUY})), "no trade: TCS was as sure (0.5000) and comes first and was considered, but spread stood against it"),
        ((decided("TCS", sure=0.6), quiet({"INFY": BUY, "TCS": BUY})), "and was considered, but had a trade already"),
        ((SURER, quiet({"INFY": ("SELL", 0.9)}, INFY=(COOLDOWN,))), "no trade: it could not be entered at all in that bar"),
        ((quiet({"INFY": BUY}, INFY=(UNSURE,)),), "no trade: it took no part in the contest"),
        ((quiet({"INFY": BUY}, INFY=(LOST, COOLDOWN)),), "no trade: the day had lost what it may"),
        ((seen(INFY=FILLED), quiet({"INFY": BUY})), "no trade: nobody traded it in that bar, and such a bar enters nothing"),
        ((quiet({"INFY": BUY}),), "no trade; the journal does not say why"),
        ((seen(incomplete=("INFY",)), quiet({"TCS": BUY})), "nothing was said; not decided: ticks of a bar of today were missed and the broker's candle had not come yet"),
        ((seen(decides=False), quiet({})), "not decided: the program was held up, and decides on the newest bar only"),
        ((seen(TCS=TRADED), quiet({"TCS": BUY})), "not decided: it had not traded yet on that day"),
        ((seen(), quiet({"TCS": BUY})), "not decided: its features are no numbers"),
        ((quiet({"TCS": BUY}),), "not decided; the journal does not say why"),
        ((seen(), SURER), "the process ended while it decided, and what was said of it was not written down"),
    ],
)  # fmt: skip
def test_one_sentence_says_what_was_decided_and_why_it_was_no_trade(tmp_path, facts, sentence):
    with day(tmp_path, *bar(*facts)):
        answer = answered(tmp_path, "--symbol", "INFY", "--at", "10:15:00")

    assert ExitCode.DONE == answer.code
    assert "INFY, bar 10:10 to 10:15, decided 10:15:01: " in answer.text
    assert sentence in answer.text
    assert answer.data["sentence"] in answer.text
    json.dumps(answer.data)


def test_each_gate_against_it_stands_with_its_value_and_its_threshold(tmp_path):
    with day(tmp_path, *bar(quiet({"INFY": BUY}, INFY=(COOLDOWN, SPREAD)))):
        answer = answered(tmp_path, "--symbol", "INFY")

    assert "  cooldown: INFY was stopped out 1 bar ago; 3 must pass (value 1, threshold 3)" in answer.text
    assert [("cooldown", 1, 3), ("spread", 31.4, 20.0)] == [
        (gate["name"], gate["value"], gate["threshold"]) for gate in answer.data["against"]
    ]


def test_who_was_taken_instead_is_named_for_programs(tmp_path):
    with day(tmp_path, *bar(SURER, quiet({"INFY": BUY, "TCS": ("BUY", 0.6)}))):
        answer = answered(tmp_path, "--symbol", "INFY")

    assert ("TCS", False, 0.5, "BUY") == tuple(
        answer.data[k] for k in ("instead", "entered", "confidence", "action")
    )
    assert {"BUY": 0.25, "SELL": -0.5, "HOLD": 0.125} == answer.data["q"]


ENTERED = (decided(entered=True), quiet({"INFY": BUY}))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ((), "no share is known to have come of it"),
        ((("10:15:02", opened()),), "it became a trade: BUY 7 INFY at 1500.00 since 10:15:02, open as far as the journal tells"),
        ((("10:15:02", opened()), ("10:21:07", closed())), "closed 10:21:07 because its stop was hit: -1.20 R, net Rs -42.00"),
        ((("10:15:02", opened()), ("10:21:07", closed(ExitReason.SIGNAL))), "because the opposite was decided"),
        ((("10:15:02", opened("TCS")),), "no share is known to have come of it"),
    ],
)  # fmt: skip
def test_what_became_of_an_entry_is_told_also_where_it_happened_later(tmp_path, facts, words):
    with day(tmp_path, *bar(*ENTERED, *facts)):
        answer = answered(tmp_path, "--symbol", "INFY", "--at", "10:15:00")

    assert words in answer.text


@pytest.mark.parametrize("reason", ExitReason)
def test_every_reason_to_leave_has_words(tmp_path, reason):
    with day(tmp_path, *bar(*ENTERED, ("10:15:02", opened()), ("10:21:07", closed(reason)))):
        assert "closed 10:21:07 because " in answered(tmp_path, "--symbol", "INFY").text


def test_a_trade_that_was_open_at_that_time_is_told_beside_the_decision(tmp_path):
    later = replace(quiet({"INFY": HOLD}), bar_opened_at=BOUNDARY, boundary=at("10:20:00"))
    facts = (*ENTERED, ("10:15:02", opened()), ("10:20:01", later), ("10:21:07", closed()))
    with day(tmp_path, *bar(*facts)):
        at_20 = answered(tmp_path, "--symbol", "INFY", "--at", "10:20:30")
        at_22 = answered(tmp_path, "--symbol", "INFY", "--at", "10:22:00")

    assert "a trade was open: BUY 7 INFY at 1500.00 since 10:15:02" in at_20.text
    assert "a trade was open" not in at_22.text
    assert "HOLD with confidence" in at_22.text


# --- which bar is meant -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        ("10:14:59", "no bar had ended by then; the first was decided at 10:15:01"),
        ("10:15:00", "bar 10:10 to 10:15"),
        ("10:19:59", "bar 10:10 to 10:15"),
        ("10:20:00", "bar 10:15 to 10:20"),
        ("23:59:59", "bar 10:15 to 10:20"),
        ("09:14:59", "before the first session of that day had begun"),
    ],
)
def test_a_moment_means_the_bar_that_had_ended_by_then(tmp_path, clock, expected):
    later = replace(quiet({"INFY": SELL}), bar_opened_at=BOUNDARY, boundary=at("10:20:00"))
    with day(tmp_path, *bar(quiet({"INFY": BUY}), ("10:20:01", later))):
        of_ticker = answered(tmp_path, "--symbol", "INFY", "--at", clock)
        of_all = answered(tmp_path, "--at", clock)

    assert expected in of_ticker.text
    assert expected in of_all.text


def test_an_older_journal_without_boundaries_is_read_by_when_it_was_written(tmp_path):
    told = Quiet(BAR_AT, {"INFY": BUY}, {})
    with day(tmp_path, *bar(told)):
        assert "BUY with confidence 0.5000; no trade" in answered(tmp_path, "--symbol", "INFY").text
        assert "no bar had ended" in answered(tmp_path, "--symbol", "INFY", "--at", "10:15:00").text


def test_a_day_on_which_no_bar_was_decided_says_so(tmp_path):
    with day(tmp_path, *bar()):
        assert "no bar was decided on that day" in answered(tmp_path, "--symbol", "INFY").text


# --- the whole session --------------------------------------------------------------------------------------


def test_without_a_ticker_each_that_would_have_traded_has_a_line(tmp_path):
    said = {"INFY": BUY, "SBIN": HOLD, "TCS": ("BUY", 0.6)}
    facts = (seen(incomplete=("WIPRO",)), SURER, quiet(said, INFY=(FULL,)), ("10:15:02", opened("TCS")))
    with day(tmp_path, *bar(*facts)):
        lines = answered(tmp_path).text.splitlines()

    assert (
        "2026-11-20, paper session at 127.0.0.1:4000, begun 09:15:00, RUNNING: entries and exits" == lines[0]
    )
    assert "open: BUY 7 TCS at 1500.00 since 10:15:02" == lines[1]
    assert "bar 10:10 to 10:15, decided 10:15:01: 2 would have traded, 1 HOLD, 1 not decided" == lines[2]
    assert ["INFY", "TCS", "WIPRO"] == [line.strip().split(":")[0] for line in lines[3:]]
    assert "(max_concurrent_trades: 1 trade is open; at most 1 may be)" in lines[3]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ((HaltSaid("the switch was set"),), "halted: the switch was set"),
        ((LossLocked(BOUNDARY.date(), -3_100, -12_345),), "the day was lost at -3.10 R, net Rs -123.45"),
        ((StateIs("EXITS-ONLY", "the feed is DOWN"),), "EXITS-ONLY: the feed is DOWN"),
        ((AlarmSaid("TCS", "its stop was refused", Severity.CRITICAL),), "10:15:01 TCS CRITICAL: its stop was refused"),
        ((SessionEnded("flat at the end", 0, True),), "over since 10:15:01: flat at the end"),
        ((opened(), closed()), "1 trade closed by then, -1.20 R together"),
        ((BEGAN,), "not awake yet"),
    ],
)  # fmt: skip
def test_how_the_session_stood_is_told(tmp_path, facts, words):
    with day(tmp_path, *bar(*facts)):
        assert words in answered(tmp_path).text
        assert words not in answered(tmp_path, "--at", "10:15:00").text, "it happened a second later"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("", "it was a session that only closes what is open: it decides nothing"),
        ("m", "nothing was decided, for no bar of anybody had ended"),
    ],
)
def test_a_bar_in_which_nobody_was_asked_says_why(tmp_path, model, words):
    with day(tmp_path, ("09:15:00", replace(BEGAN, model_hash=model)), quiet({})):
        assert words in answered(tmp_path).text


def test_what_was_unlocked_does_not_stand_any_more(tmp_path):
    with day(tmp_path, *bar(HaltSaid("the switch was set"), Unlocked("by hand"))):
        assert "halted" not in answered(tmp_path).text


def test_alarms_of_the_ticker_are_told_and_those_of_others_are_not(tmp_path):
    alarms = [AlarmSaid(name, f"{name} is stuck", Severity.WARNING) for name in ("INFY", "TCS")]
    with day(tmp_path, *bar(*alarms, quiet({"INFY": HOLD, "TCS": HOLD}))):
        text = answered(tmp_path, "--symbol", "INFY").text

    assert "INFY is stuck" in text
    assert "TCS is stuck" not in text


# --- which journal is meant ---------------------------------------------------------------------------------


def session(who: Identity, *begins: str) -> Callable[[Path], Journal]:
    began = replace(BEGAN, mode=who.mode, host=who.host)
    return lambda folder: day(folder, *((moment, began) for moment in begins), who=who)


def test_the_newest_session_is_meant_and_a_date_names_another(tmp_path):
    with ExitStack() as held:
        held.enter_context(session(LIVE, "2026-11-18T09:15:00+05:30", "2026-11-19T09:15:00+05:30")(tmp_path))
        held.enter_context(session(PAPER, "2026-11-19T09:16:00+05:30")(tmp_path))
        newest = answered(tmp_path)
        older = answered(tmp_path, "--date", "2026-11-18")

    assert "2026-11-19, paper session" in newest.text
    assert (
        f"{tmp_path / 'data' / 'ledger' / 'journal.sqlite3'} tells of sessions on that day, too"
        in newest.text
    )
    assert "2026-11-18, live session at api.kite.trade" in older.text
    assert "too" not in older.text


def test_where_nothing_is_told_it_says_what_there_is(tmp_path):
    shutil.copy(ROOT / "config.json", tmp_path)
    with pytest.raises(DataError, match=r"there is no journal under .* yet; the first session begins one"):
        answered(tmp_path)
    with day(tmp_path), pytest.raises(DataError, match="no session has begun yet"):
        answered(tmp_path)
    with (
        session(PAPER, "2026-11-19T09:15:00+05:30")(tmp_path),
        pytest.raises(DataError, match="no session on 2026-11-18 is told of; the newest days are 2026-11-19"),
    ):
        answered(tmp_path, "--date", "2026-11-18")


@pytest.mark.parametrize(("symbol", "hint"), [("INFX", "did you mean INFY?"), ("NOBODY", "SBIN, TCS")])
def test_a_ticker_that_nobody_watched_is_a_wrong_flag(tmp_path, symbol, hint):
    with day(tmp_path, *bar(quiet({"INFY": BUY}))), pytest.raises(ConfigError) as caught:
        answered(tmp_path, "--symbol", symbol)

    assert ExitCode.USAGE == caught.value.exit_code
    assert hint in str(caught.value)
    assert str(caught.value).endswith("--symbol takes one of: INFY, SBIN, TCS")


def test_a_ticker_may_be_written_small(tmp_path):
    with day(tmp_path, *bar(quiet({"INFY": BUY}))):
        assert "INFY, bar" in answered(tmp_path, "--symbol", "infy").text


# --- of a real session, through the front door --------------------------------------------------------------


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return told_house(tmp_path_factory)


@pytest.mark.long
@pytest.mark.torch
def test_of_every_ticker_and_bar_of_a_real_day_there_is_a_reason(house):
    reasons = []
    for entry in entries_of(house):
        if isinstance(entry.fact, Quiet) and entry.fact.boundary is not None:
            clock = f"{entry.fact.boundary.astimezone(IST):%H:%M:%S}"
            reasons += [
                answered(house, "--symbol", name, "--at", clock).data for name in ("INFY", "SBIN", "TCS")
            ]

    assert len(reasons) >= 24
    assert not [each for each in reasons if "does not say why" in each["sentence"]]
    assert {"BUY", "HOLD", None} == {each["action"] for each in reasons}
    assert any(each["entered"] for each in reasons)
    assert all(set(each["q"]) == {"BUY", "SELL", "HOLD"} for each in reasons if each["action"])


@pytest.mark.long
@pytest.mark.torch
def test_each_entry_of_a_real_day_is_told_with_its_trade_and_its_end(house):
    entered = [e.fact for e in entries_of(house) if isinstance(e.fact, Decided) and e.fact.entered]
    trades: list[Any] = []
    for fact in entered:
        clock = (fact.bar_opened_at.astimezone(IST) + timedelta(minutes=5)).strftime("%H:%M:%S")
        trades.append(answered(house, "--symbol", fact.ticker, "--at", clock).data["trade"])
    closings = [e.fact.trade for e in entries_of(house) if isinstance(e.fact, Closed)]

    assert len(entered) >= 2
    assert [trade.r for trade in closings] == [each["closed"]["r"] for each in trades]
    assert [fact.ticker for fact in entered] == [each["opened"]["ticker"] for each in trades]


@pytest.mark.long
@pytest.mark.torch
@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--at", "09:25:00", "--symbol", "SBIN"), 0, "SBIN, bar 09:20 to 09:25"),
        (("--date", "2026-11-19"), 5, "no session on 2026-11-19 is told of"),
        (("--symbol", "NOBODY"), 2, "--symbol takes one of: INFY, SBIN, TCS"),
        (("--at", "9:25"), 2, "is not a clock time HH:MM:SS"),
    ],
)
def test_the_script_leaves_with_the_documented_codes(house, args, code, words):
    done = printed(house, "--fn", "why", *args)

    assert code == done.returncode
    assert words in done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.torch
def test_for_programs_it_is_one_document_and_the_journal_is_as_it_was(house):
    before = entries_of(house)
    done = printed(house, "--fn", "why", "--symbol", "SBIN", "--at", "09:25:00", "--json")
    found = json.loads(done.stdout)["results"][0]["result"]

    assert ("SBIN", DAY, "paper") == (found["symbol"], found["day"], found["session"]["mode"])
    assert before == entries_of(house)
