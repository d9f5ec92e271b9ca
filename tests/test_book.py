"""The rule book itself: what it answers to which fact, in which order, and what it refuses."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rulebook.book import Book
from rulebook.charges import Rates
from rulebook.events import (
    BarsClosed,
    Considered,
    DayBegan,
    Entered,
    EntryEnded,
    Left,
    LossTold,
    Marked,
    Recalled,
    Resumed,
    StopRests,
    Strayed,
    TradeTold,
)
from rulebook.hours import IST, SymbolClass, Window
from rulebook.position import STEPS, IllegalStepError
from rulebook.records import (
    Action,
    Bar,
    Decision,
    Enter,
    Exit,
    ExitReason,
    Instrument,
    MoveStop,
    Paise,
    Phase,
    Side,
    Tick,
)
from rulebook.rules import CLOCK, LOSS_LOCK, SIGNAL, SQUARE_OFF, STOP, TARGET, TRAIL, Rules
from rulebook.simulate import conditions
from rulebook.tables import Table
from rulebook.trades import ALL_FOLLOWED, ClosedTrade, Followed
from tests.conftest import ROOT
from tests.tables import LIMITS, RATES, Market, by_events, random_market

DAY = datetime(2026, 11, 20, tzinfo=IST)
FREE_OF_CHARGE = Rates(0, 0, 0, 0, 0, 0, 0, 0, 0)
RULES = Rules(capital=1_000_000, stop_bps=100, cost_times_milli=0, cooldown_bars=2)


def at(clock: str) -> datetime:
    return datetime.combine(DAY, time.fromisoformat(clock), IST)


def bar(ticker: str, opened: str, price: int = 10_000) -> Bar:
    return Bar(ticker, at(opened), Paise(price), Paise(price + 5), Paise(price - 5), Paise(price), 10**6)


class Desk:
    """A book in the middle of a day, with the shortest words for telling it things."""

    def __init__(self, rules: Rules = RULES, tickers: str = "ABC") -> None:
        self.book = Book(rules, LIMITS, {name: Instrument(name, Paise(5)) for name in tickers})
        window = Window(at("09:20:00"), at("15:00:00"), at("15:08:00"))
        self.book.on(DayBegan({SymbolClass.OTHER: window}, RATES))
        self.book.on(conditions(tickers))

    def close(self, clock: str, price: int = 10_000, **said: Any) -> list[Any]:
        """A bar of every ticker closes at that time; answers what the book wants done."""
        opened = (at(clock) - timedelta(minutes=5)).strftime("%H:%M:%S")
        decisions = {name: Decision(Action(action), sure) for name, (action, sure) in said.items()}
        bars = {name: bar(name, opened, price) for name in self.book.positions}
        answers = self.book.on(BarsClosed(at(clock), bars, decisions))
        return [answer for answer in answers if not isinstance(answer, Considered)]

    def hold(
        self, ticker: str = "A", action: str = "BUY", clock: str = "10:00:00", price: int = 10_000
    ) -> None:
        said: dict[str, Any] = {ticker: (action, 0.9)}
        (entry,) = self.close(clock, **said)
        self.book.on(Entered(at(clock), ticker, entry.qty, entry.qty * price))

    def tick(self, clock: str, price: int, ticker: str = "A") -> list[Any]:
        return list(self.book.on(Tick(ticker, at(clock), Paise(price))))


def test_the_reasons_are_the_same_numbers_everywhere():
    assert {STOP, TRAIL, TARGET, SIGNAL, CLOCK, LOSS_LOCK, SQUARE_OFF} <= {
        int(reason) for reason in ExitReason
    }
    assert ("STOP", "TRAIL", "TARGET", "SIGNAL", "CLOCK", "LOSS_LOCK") == tuple(
        ExitReason(code).name for code in (STOP, TRAIL, TARGET, SIGNAL, CLOCK, LOSS_LOCK)
    )


# --- entries ------------------------------------------------------------------------------------------


def test_the_most_confident_ticker_is_entered_with_size_and_distance_fixed():
    (entry,) = Desk().close("10:00:00", A=("BUY", 0.6), B=("SELL", 0.8), C=("HOLD", 1.0))

    assert Enter(at("10:00:00"), "B", Side.SELL, 100, Paise(10_000), Paise(100)) == entry


def test_among_equals_the_smaller_name_is_entered():
    (entry,) = Desk().close("10:00:00", C=("BUY", 0.8), B=("BUY", 0.8))

    assert "B" == entry.ticker


def test_among_equals_a_ticker_without_a_trade_is_preferred():
    desk = Desk()
    desk.hold("A")
    (entry,) = desk.close("10:05:00", A=("BUY", 0.8), C=("BUY", 0.8))

    assert "C" == entry.ticker


def test_a_winner_with_an_open_trade_blocks_the_bar():
    desk = Desk()
    desk.hold("A")

    assert [] == desk.close("10:05:00", A=("BUY", 0.9), C=("BUY", 0.8))


@pytest.mark.parametrize(
    ("clock", "is_entered"),
    [("09:15:00", False), ("09:20:00", True), ("14:55:00", True), ("15:00:00", False), ("15:05:00", False)],
)
def test_entries_are_taken_from_the_safe_start_until_before_the_safe_end(clock, is_entered):
    assert is_entered == bool(Desk().close(clock, A=("BUY", 0.9)))


def test_no_more_trades_than_may_be_open_at_once():
    desk = Desk(RULES._replace(max_concurrent=1))
    desk.hold("A")

    assert [] == desk.close("10:05:00", B=("BUY", 0.9))


def test_an_exit_on_its_way_still_takes_its_place():
    desk = Desk(RULES._replace(max_concurrent=1))
    desk.hold("A")
    answers = desk.close("10:05:00", A=("SELL", 0.1), B=("BUY", 0.9))

    assert [Exit(at("10:05:00"), "A", ExitReason.SIGNAL, Paise(10_000))] == answers


def test_the_day_s_entries_are_counted_also_when_nothing_was_filled():
    desk = Desk(RULES._replace(max_trades_per_day=1))
    desk.close("10:00:00", A=("BUY", 0.9))
    desk.book.on(EntryEnded("A"))

    assert [] == desk.close("10:05:00", A=("BUY", 0.9))


def test_no_revenge_within_the_cooldown_after_a_stop_out():
    desk = Desk()
    desk.hold("A")
    qty = desk.book.positions["A"].qty
    desk.book.on(Left(at("10:03:00"), "A", qty, qty * 9_900, Paise(9_900), ExitReason.STOP, Paise(9_900)))
    entered = [bool(desk.close(f"10:{minute:02}:00", A=("BUY", 0.9))) for minute in (5, 10, 15)]

    assert [False, False, True] == entered


def test_every_gate_is_told_whether_the_entry_passes_or_not():
    desk = Desk(RULES._replace(max_concurrent=1))
    desk.hold("A")
    bars = {name: bar(name, "10:00:00") for name in "ABC"}
    decision = Decision(Action.BUY, 0.9)
    (considered,) = desk.book.on(BarsClosed(at("10:05:00"), bars, {"B": decision}))
    assert isinstance(considered, Considered)

    assert ("B", decision, False) == (considered.ticker, considered.decision, considered.entered)
    assert ["max_concurrent_trades"] == [v.name for v in considered.verdicts if not v.passed]


# --- exits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "said", "clock", "reason"),
    [
        ("BUY", "SELL", "10:05:00", ExitReason.SIGNAL),
        ("SELL", "BUY", "10:05:00", ExitReason.SIGNAL),
        ("BUY", "BUY", "15:00:00", ExitReason.CLOCK),
        ("BUY", "SELL", "15:00:00", ExitReason.CLOCK),
        ("BUY", "BUY", "14:55:00", None),
        ("BUY", "HOLD", "14:55:00", None),
    ],
)
def test_at_a_bar_s_close_the_clock_comes_first_then_the_opposite_action(action, said, clock, reason):
    desk = Desk()
    desk.hold("A", action)
    answers = desk.close(clock, A=(said, 0.0))

    assert ([] if reason is None else [reason]) == [answer.reason for answer in answers]


def test_the_stop_follows_the_best_price_and_never_back():
    desk = Desk()
    desk.hold("A")  # risk 100, stop 9,900
    asked = []
    for minute, price in enumerate((10_050, 10_120, 10_110, 10_130)):
        for move in desk.tick(f"10:0{minute}:30", price):
            asked.append(move.stop)
            desk.book.on(StopRests(move.at, "A", move.stop))

    assert [9_950, 10_020, 10_030] == asked


def test_a_move_that_did_not_come_to_rest_is_asked_for_again_and_counted_once():
    desk = Desk()
    desk.hold("A")
    asked = [desk.tick(f"10:00:{second}", 10_050)[0].stop for second in (10, 20, 30)]

    assert [9_950, 9_950, 9_950] == asked
    assert 1 == desk.book.positions["A"].moves


def test_a_move_must_be_worth_a_modification_and_five_seconds_apart():
    desk = Desk()
    desk.hold("A")
    first = desk.tick("10:00:10", 10_009)
    second = desk.tick("10:00:20", 10_050)
    desk.book.on(StopRests(at("10:00:20"), "A", Paise(9_950)))
    third, fourth = desk.tick("10:00:24", 10_080), desk.tick("10:00:25", 10_080)

    assert [] == first
    assert [MoveStop(at("10:00:20"), "A", Paise(9_950))] == second
    assert [] == third
    assert [MoveStop(at("10:00:25"), "A", Paise(9_980))] == fourth


def test_a_price_between_trail_and_resting_stop_is_an_exit_at_once():
    desk = Desk()
    desk.hold("A")
    desk.tick("10:00:10", 10_050)  # the move to 9,950 was asked for and has not come to rest
    (exit_,) = desk.tick("10:00:11", 9_945)

    assert (ExitReason.TRAIL, 9_945) == (exit_.reason, exit_.intended)


def test_a_price_beyond_the_resting_stop_is_the_broker_s_for_two_seconds():
    desk = Desk()
    desk.hold("A")
    answers = [desk.tick(clock, 9_890) for clock in ("10:00:10", "10:00:11", "10:00:12")]

    assert [[], [], [ExitReason.STOP]] == [[answer.reason for answer in found] for found in answers]


def test_a_price_that_comes_back_starts_the_two_seconds_anew():
    desk = Desk()
    desk.hold("A")
    for clock, price in (("10:00:10", 9_890), ("10:00:11", 9_910), ("10:00:12", 9_890), ("10:00:13", 9_890)):
        assert [] == desk.tick(clock, price)


def test_a_target_is_taken_when_it_is_set():
    desk = Desk(RULES._replace(target_milli=1_500))
    desk.hold("A")

    assert [] == [a for a in desk.tick("10:00:10", 10_149) if isinstance(a, Exit)]
    assert [ExitReason.TARGET] == [a.reason for a in desk.tick("10:00:20", 10_150)]


def test_a_tick_at_the_safe_end_is_an_exit_without_a_bar():
    desk = Desk()
    desk.hold("A")

    assert [ExitReason.CLOCK] == [a.reason for a in desk.tick("15:00:00", 10_000)]


def test_the_day_s_loss_sends_everything_away_and_locks_the_day():
    desk = Desk(RULES._replace(max_loss_milli=500, trail_milli=0))
    desk.hold("A")
    lost = desk.close("10:05:00", 9_945, B=("BUY", 0.9))
    after = desk.close("10:10:00", 10_500, B=("BUY", 0.9))

    assert [ExitReason.LOSS_LOCK] == [answer.reason for answer in lost]
    assert [] == after
    assert desk.book.is_locked


def test_the_day_may_be_lost_between_two_bars():
    desk = Desk(RULES._replace(max_loss_milli=500, trail_milli=0))
    desk.hold("A")
    before = desk.book.on(Marked(at("10:01:00"), {"A": Paise(9_980)}))
    lost = desk.book.on(Marked(at("10:01:01"), {"A": Paise(9_945)}))

    assert ((), [Exit(at("10:01:01"), "A", ExitReason.LOSS_LOCK, Paise(9_945))]) == (before, list(lost))
    assert desk.book.is_locked


# --- a book that another kept before ----------------------------------------------------------------------


def told(desk: Desk, *events: Any) -> None:
    for event in events:
        assert () == desk.book.on(event)


def test_a_position_that_is_resumed_goes_on_as_if_the_book_had_always_known_it():
    first, second = Desk(), Desk()
    first.hold("A")
    first.tick("10:01:00", 10_060)
    moved = StopRests(at("10:01:00"), "A", Paise(9_960))
    first.book.on(moved)
    first.tick("10:01:01", 9_990)
    told(
        second,
        BarsClosed(at("10:00:00"), {name: bar(name, "09:55:00") for name in "ABC"}, {}),
        Resumed(at("10:02:00"), "A", Side.BUY, 100, Paise(100), at("10:00:00"), Paise(10_000)),
        Entered(at("10:00:00"), "A", 100, 1_000_000),
        moved,
        Recalled("A", Paise(10_060), Paise(9_990)),
    )
    for desk in (first, second):
        desk.book.on(Left(at("10:03:00"), "A", 100, 995_500, Paise(9_955), ExitReason.STOP, Paise(9_960)))

    assert first.book.closed == [replace(second.book.closed[0], stop_path=first.book.closed[0].stop_path)]
    assert first.book.earnings.milli_r == second.book.earnings.milli_r
    assert first.book.earnings.entries == second.book.earnings.entries == 1


def test_a_trade_that_is_told_counts_for_the_day_and_for_the_cooldown():
    first, second = Desk(), Desk()
    first.hold("A")
    first.book.on(Left(at("10:03:00"), "A", 100, 990_000, Paise(9_900), ExitReason.STOP, Paise(9_900)))
    told(second, TradeTold(first.book.closed[0]))

    assert first.book.earnings.milli_r == second.book.earnings.milli_r < 0
    assert first.book.earnings.net == second.book.earnings.net
    assert 1 == second.book.earnings.entries
    assert [] == second.close("10:05:00", A=("BUY", 0.9))


def test_a_value_that_is_exact_later_moves_neither_stop_nor_trail():
    desk = Desk()
    desk.hold("A")
    desk.tick("10:01:00", 10_060)
    position = desk.book.positions["A"]
    before = (position.stop, position.trail, position.best, position.phase)
    desk.book.on(Entered(at("10:01:01"), "A", 100, 1_000_049))

    assert before == (position.stop, position.trail, position.best, position.phase)
    assert 1_000_049 == position.entry_value


def test_what_strays_after_a_trade_s_end_counts_for_the_day_with_its_charges():
    desk = Desk()
    desk.hold("A")
    desk.book.on(Left(at("10:03:00"), "A", 100, 990_000, Paise(9_900), ExitReason.STOP, Paise(9_900)))
    net, milli_r = desk.book.earnings.net, desk.book.earnings.milli_r
    desk.book.on(Strayed("A", 70_140, 70_070))

    assert desk.book.earnings.net < net - 70
    assert desk.book.earnings.milli_r < milli_r
    assert 1 == len(desk.book.closed)


def test_a_day_that_was_lost_before_stays_lost():
    desk = Desk()
    told(desk, LossTold())

    assert [] == desk.close("10:00:00", A=("BUY", 0.9))


def test_shares_that_come_while_we_leave_are_left_as_well():
    desk = Desk()
    (entry,) = desk.close("10:00:00", A=("BUY", 0.9))
    desk.book.on(Entered(at("10:00:01"), "A", 40, 400_000))
    desk.close("10:05:00", A=("SELL", 0.9))
    desk.book.on(Entered(at("10:05:01"), "A", entry.qty, entry.qty * 10_000))

    assert (Phase.EXITING, entry.qty) == (desk.book.positions["A"].phase, desk.book.positions["A"].left)


# --- positions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", Phase)
@pytest.mark.parametrize("after", Phase)
def test_a_phase_follows_only_where_the_table_says_so(before, after):
    position = Desk().book.positions["A"]
    position.phase = before
    if after in STEPS[before]:
        position.step(after)
    else:
        with pytest.raises(IllegalStepError, match=f"{before} cannot become {after}"):
            position.step(after)

    assert (after if after in STEPS[before] else before) == position.phase


@pytest.mark.parametrize(
    "event",
    [
        Entered(at("10:01:00"), "B", 10, 100_000),
        Left(at("10:01:00"), "A", 101, 1, Paise(1), ExitReason.STOP, Paise(1)),
        Left(at("10:01:00"), "B", 1, 1, Paise(1), ExitReason.STOP, Paise(1)),
        Entered(at("10:01:00"), "A", 50, 500_000),
    ],
)
def test_an_impossible_fact_is_refused_and_changes_nothing(event):
    desk = Desk()
    desk.hold("A")
    before = {name: replace(position) for name, position in desk.book.positions.items()}
    with pytest.raises(IllegalStepError):
        desk.book.on(event)

    assert before == desk.book.positions


def test_more_shares_of_an_entry_move_the_stop_with_the_average():
    desk = Desk()
    (entry,) = desk.close("10:00:00", A=("BUY", 0.9))
    desk.book.on(Entered(at("10:00:01"), "A", 40, 40 * 10_010))
    desk.book.on(Entered(at("10:00:02"), "A", 100, 40 * 10_010 + 60 * 10_020))

    position = desk.book.positions["A"]
    assert 100 == entry.qty == position.qty
    assert (9_915, 101) == (position.stop, position.risk)


def test_adherence_names_what_was_not_kept():
    desk = Desk()
    desk.hold("A")
    qty = desk.book.positions["A"].qty
    desk.tick("10:00:10", 10_050)  # the stop should have followed, and nothing was ever placed
    desk.book.on(Left(at("10:03:00"), "A", qty, qty * 9_900, Paise(9_900), ExitReason.EXTERNAL, Paise(9_900)))
    (trade,) = desk.book.closed

    assert (
        ALL_FOLLOWED & ~(Followed.STOP_PLACED | Followed.TRAIL_UPDATED | Followed.EXIT_BY_RULE)
        == trade.followed
    )
    assert 62.5 == trade.adherence_percent


# --- laws over whole days ------------------------------------------------------------------------------------

PLAIN = Rules(
    capital=10**9,
    cost_times_milli=0,
    fill_cost_bps=0,
    volume_share_milli=0,
    max_loss_milli=0,
    target_milli=1_700,
)


def reflected(market: Market, pivot: int) -> Market:
    """The same market upside down, and every opinion turned round."""

    def turned(table: Table) -> Table:
        flip = [
            (2 * pivot - column) * (column != 0)
            for column in (table.open, table.low, table.high, table.close)
        ]
        return table._replace(open=flip[0], high=flip[1], low=flip[2], close=flip[3])

    return replace(market, table=turned(market.table), finer=turned(market.finer), action=-market.action)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**31), with_finer=st.booleans(), trail=st.sampled_from([300, 1_000, 2_500]))
def test_a_market_upside_down_gives_the_trades_upside_down(seed, with_finer, trail):
    rules, pivot = PLAIN._replace(trail_milli=trail), 15_000
    market = random_market(seed, missing=0.02)
    trades = by_events(market, rules, with_finer, FREE_OF_CHARGE)
    mirror = by_events(reflected(market, pivot), rules, with_finer, FREE_OF_CHARGE)

    def told(trade: ClosedTrade, sign: int) -> tuple[Any, ...]:
        def at_pivot(price: float) -> float:
            return sign * (price - pivot)

        prices = (trade.decision_price, trade.initial_stop, trade.intended_exit, trade.worst, trade.best)
        averages = (trade.entry_value / trade.qty, trade.exit_value / trade.qty)
        path = [(moment, at_pivot(stop)) for moment, stop in trade.stop_path]
        return (trade.ticker, sign * trade.side, trade.reason, trade.entered_at, trade.exited_at, path,
                *map(at_pivot, (*prices, *averages)))  # fmt: skip

    assert [told(trade, 1) for trade in trades] == [told(trade, -1) for trade in mirror]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**31), jump=st.sampled_from([0.001, 0.004, 0.02]))
def test_no_stop_ever_loosens_over_whole_days(seed, jump):
    for trade in by_events(random_market(seed, jump=jump), PLAIN):
        stops = [trade.side * stop for _, stop in trade.stop_path]

        assert sorted(stops) == stops


def test_the_same_tape_gives_the_same_trades_in_any_process():
    code = (
        "import hashlib; from rulebook.rules import Rules; from tests.tables import by_events, random_market\n"
        "print(hashlib.sha256(repr(by_events(random_market(7), Rules(capital=10**6))).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("0", "1", "31337")
    }  # fmt: skip
    here = hashlib.sha256(repr(by_events(random_market(7), Rules(capital=10**6))).encode()).hexdigest()

    assert {here} == digests
