"""Does every gate block until the watch was told that all is well, and does it notice when it no longer is?"""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper_quotes import Quote
from rulebook.book import Book
from rulebook.events import BarsClosed, DayBegan
from rulebook.fills import Level
from rulebook.gates import GATE_NAMES, MAY_NOT_APPLY, Verdict, blocking, passed
from rulebook.hours import IST, SymbolClass, Window
from rulebook.records import Action, Bar, Decision, Instrument, Paise, Side
from rulebook.rules import Rules
from rulebook.situation import NEVER, Health, Limits
from tests.tables import RATES
from watch import Watch, exempt_of, least_reward_of
from watch_facts import ASK_AGAIN_S, ASKS_APART_S

LIMITS = Limits(
    max_slippage_bps=10, order_min_interval_ms=1_000, max_orders_per_minute=3, winner_min_avg_reward=0.05
)
RULES = Rules(capital=10_000_00, stop_bps=100, cost_times_milli=0, cooldown_bars=0)
CLOSE = Paise(100_00)
QTY = 100
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
NINE = datetime(2026, 11, 20, 10, 0, tzinfo=IST)
SETTLED_S = 6.0
HEALTHY, DEGRADED, DOWN = Health.HEALTHY, Health.DEGRADED, Health.DOWN


def quote(
    ticker: str = "INFY", at: datetime | None = NINE, last: int = CLOSE, volume: int = 10**6, *,
    bid: int = 99_98, ask: int = 100_02, shown: int = 500, circuit: tuple[int, int] = (0, 0),
) -> Quote:  # fmt: skip
    bids = (Level(Paise(bid), shown),) if bid else ()
    asks = (Level(Paise(ask), shown),) if ask else ()
    stamp = None if at is None else at.replace(microsecond=0)
    return Quote(ticker, stamp, Paise(last), volume, bids, asks, 0, 0, *circuit)


class Desk:
    """A watch and a book in the middle of a day, and the shortest words for telling them things."""

    def __init__(self, tickers: tuple[str, ...] = ("INFY", "TCS"), is_ready: bool = True) -> None:
        self.instruments = {name: Instrument(name, Paise(1)) for name in tickers}
        self.watch = Watch(self.instruments, RULES, LIMITS, 1_000.0)
        self.now_s = 1_000.0
        self.wall_ahead = timedelta()  # of our clock, before the exchange's
        if is_ready:
            self.make_ready()

    @property
    def exchange_now(self) -> datetime:
        return NINE + timedelta(seconds=self.now_s - 1_000.0)

    @property
    def now(self) -> datetime:
        return self.exchange_now + self.wall_ahead

    def make_ready(self) -> None:
        w = self.watch
        w.token(True)
        w.killed(False)
        w.reconciled(True)
        w.instance(True)
        w.venue("Kite", "Kite")
        w.winner(True, 0.12)
        w.calendar(True, "", True)
        w.connected(self.now_s)
        for name in self.instruments:
            w.features(name, True, 1)
            w.unknown_orders(name, 0)
            self.rest(name)
            for side in Side:
                w.margin(name, side, 5_000)
        self.run(SETTLED_S)
        w.funds(Paise(5_000_00), self.now_s)

    def run(self, seconds: float, *silent: str, beats: bool = True, reads: bool = True) -> None:
        """Time passes; each second a heartbeat of the feed and a tick of every ticker that is not silent."""
        for _ in range(int(seconds)):
            self.now_s += 1.0
            if beats:
                self.watch.heard(0.0, self.now_s)
            if reads:
                self.watch.heartbeat(self.now_s, self.now_s)
                self.date()
            for name in self.instruments.keys() - {*silent}:
                self.tick(name)
        self.now_s += seconds % 1

    def tick(self, ticker: str = "INFY", behind_s: float = 0.0, **changes) -> None:
        at = self.exchange_now - timedelta(seconds=behind_s)
        self.watch.quoted(quote(ticker, **{"at": at, **changes}), self.now, self.now_s)

    def rest(self, ticker: str = "INFY", behind_s: float = 0.0, **changes) -> None:
        at = self.exchange_now - timedelta(seconds=behind_s)
        told = quote(ticker, **{"at": at, "circuit": (90_00, 110_00), **changes})
        self.watch.quoted(told, self.now, self.now_s, is_rest=True)

    def date(self) -> None:
        told = self.exchange_now.replace(microsecond=0)
        self.watch.dated((self.now - told).total_seconds(), self.now, self.now_s)

    def health(self, ticker: str = "INFY") -> Health:
        return self.watch.health(ticker, self.now_s)

    def feed(self) -> Health:
        return self.watch.feed_state(self.now_s)

    def asks(self) -> tuple[str, ...]:
        return self.watch.asks(self.now_s)

    def drift_s(self) -> float | None:
        return self.watch.drift_s(self.now, self.now_s)

    def verdicts(self, side: Side = Side.BUY, ticker: str = "INFY") -> tuple[Verdict, ...]:
        """The gates' own, through a book that has seen one bar and is told the conditions."""
        book = Book(RULES, LIMITS, self.instruments)
        hours = [NINE.replace(hour=hour) for hour in (9, 15, 15)]
        book.on(DayBegan({SymbolClass.OTHER: Window(hours[0], hours[1], hours[2])}, RATES))
        closes = dict.fromkeys(self.instruments, CLOSE)
        bars = {
            name: Bar(name, NINE, CLOSE, Paise(CLOSE + 10), Paise(CLOSE - 10), CLOSE, 10) for name in closes
        }
        wanted = {name: side if name == ticker else None for name in self.instruments}
        book.on(self.watch.conditions(self.now, self.now_s, wanted, closes))
        book.on(BarsClosed(NINE, bars, {}))
        return book.judge(NINE, ticker, Decision(Action(side.name), 0.9))

    def blocks(self, side: Side = Side.BUY) -> set[str]:
        return {verdict.name for verdict in blocking(self.verdicts(side))}

    def says(self, gate: str) -> Verdict:
        return next(verdict for verdict in self.verdicts() if verdict.name == gate)


# --- every gate that the watch feeds ------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)
def test_when_all_is_told_and_well_every_gate_passes(side):
    verdicts = Desk().verdicts(side)

    assert () == blocking(verdicts)
    assert passed(verdicts)


FED = {
    "kill_switch", "no_second_instance", "reconciled", "mode", "trading_day", "calendar_verified", "winner",
    "token", "feed", "heartbeat", "clock_drift", "ticker_feed", "warm_up", "settlement", "slippage", "spread", "depth",
    "price_band", "margin", "circuit",
}  # fmt: skip


def test_of_what_was_never_told_every_gate_blocks():
    assert FED == Desk(is_ready=False).blocks()


def both(first: Callable[[Desk], object], second: Callable[[Desk], object]) -> Callable[[Desk], object]:
    return lambda desk: [happens(desk) for happens in (first, second)]


def fail(desk: Desk) -> None:
    desk.watch.asked_failed(["INFY"], desk.now_s)


def forget_the_leverage(desk: Desk) -> None:
    for side in Side:
        desk.watch.margin("INFY", side, 0)


def send(desk: Desk, entries: int, *ago_s: float) -> None:
    for second in ago_s or [5.0] * entries:
        desk.watch.entry_sent(desk.now_s - second)
    desk.watch.funds(Paise(5_000_00), desk.now_s)


def turn_the_clock(desk: Desk, seconds: float) -> None:
    desk.wall_ahead = timedelta(seconds=seconds)


# A gate, what happens, and whether it then passes: what is unknown, what is just right, what is just over.
CASES: list[tuple[str, str, Callable[[Desk], object], bool]] = [
    ("kill_switch", "set", lambda d: d.watch.killed(True), False),
    ("kill_switch", "set and gone again", both(lambda d: d.watch.killed(True), lambda d: d.watch.killed(False)), False),
    ("kill_switch", "unlocked", both(lambda d: d.watch.killed(True), lambda d: d.watch.unlocked()), True),
    ("no_second_instance", "another", lambda d: d.watch.instance(False), False),
    ("no_second_instance", "unknown", lambda d: d.watch.instance(None), False),
    ("reconciled", "differs", lambda d: d.watch.reconciled(False), False),
    ("reconciled", "unknown", lambda d: d.watch.reconciled(None), False),
    ("mode", "elsewhere", lambda d: d.watch.venue("Kite", "paper"), False),
    ("mode", "unknown", lambda d: d.watch.venue("Kite", None), False),
    ("trading_day", "a holiday", lambda d: d.watch.calendar(False, "Diwali", True), False),
    ("trading_day", "unknown", lambda d: d.watch.calendar(None, "", True), False),
    ("calendar_verified", "provisional", lambda d: d.watch.calendar(True, "", False), False),
    ("calendar_verified", "unknown", lambda d: d.watch.calendar(True, "", None), False),
    ("winner", "changed files", lambda d: d.watch.winner(False, 0.12), False),
    ("winner", "no reward", lambda d: d.watch.winner(True, None), False),
    ("winner", "at the least", lambda d: d.watch.winner(True, 0.05), True),
    ("winner", "just below", lambda d: d.watch.winner(True, 0.0499), False),
    ("token", "dead", lambda d: d.watch.token(False), False),
    ("token", "unknown", lambda d: d.watch.token(None), False),
    ("feed", "silent for 5 s", lambda d: d.run(5.0, "INFY", "TCS", beats=False), True),
    ("feed", "silent for longer", lambda d: d.run(5.1, "INFY", "TCS", beats=False), False),
    ("feed", "gone", lambda d: d.watch.disconnected(d.now_s), False),
    ("feed", "no connection", lambda d: d.watch.heard(None, d.now_s), False),
    ("feed", "told of 5 s", both(lambda d: d.run(5.0, "INFY", "TCS", beats=False), lambda d: d.watch.heard(5.0, d.now_s)), True),
    ("feed", "told of longer", lambda d: d.watch.heard(5.1, d.now_s), False),
    ("feed", "nothing moves for 30 s", lambda d: d.run(30.0, "INFY", "TCS"), True),
    ("feed", "nothing moves for longer", lambda d: d.run(30.1, "INFY", "TCS"), False),
    ("feed", "heartbeats and one ticker", lambda d: d.run(60.0, "INFY"), True),
    ("heartbeat", "after 120 s", lambda d: d.run(120.0, reads=False), True),
    ("heartbeat", "after longer", lambda d: d.run(120.1, reads=False), False),
    ("clock_drift", "2 s ahead", lambda d: turn_the_clock(d, 1.999), True),
    ("clock_drift", "further ahead", lambda d: turn_the_clock(d, 2.001), False),
    ("clock_drift", "2 s behind", lambda d: turn_the_clock(d, -1.999), True),
    ("clock_drift", "further behind", lambda d: turn_the_clock(d, -2.001), False),
    ("order_spacing", "a second ago", lambda d: send(d, 1, 1.0), True),
    ("order_spacing", "just now", lambda d: send(d, 1, 0.99), False),
    ("orders_per_minute", "two", lambda d: send(d, 2), True),
    ("orders_per_minute", "three", lambda d: send(d, 3), False),
    ("orders_per_minute", "three, one a minute ago", lambda d: send(d, 3, 60.0, 59.9, 5.0), True),
    ("orders_per_minute", "three within a minute", lambda d: send(d, 3, 59.9, 59.8, 5.0), False),
    ("ticker_feed", "silent for 30 s", lambda d: d.run(30.0, "INFY"), True),
    ("ticker_feed", "silent for longer", lambda d: d.run(30.1, "INFY"), False),
    ("ticker_feed", "another is silent", lambda d: d.run(90.0, "TCS"), True),
    ("warm_up", "just enough bars", lambda d: d.watch.features("INFY", True, 1), True),
    ("warm_up", "a bar too few", lambda d: d.watch.features("INFY", True, 2), False),
    ("warm_up", "not finite", lambda d: d.watch.features("INFY", False, 1), False),
    ("warm_up", "unknown", lambda d: d.watch.features("INFY", None, None), False),
    ("settlement", "one", lambda d: d.watch.unknown_orders("INFY", 1), False),
    ("settlement", "unknown", lambda d: d.watch.unknown_orders("INFY", None), False),
    ("settlement", "one of another", lambda d: d.watch.unknown_orders("TCS", 1), True),
    ("slippage", "a far book goes out at the guard", lambda d: d.tick(ask=101_00, bid=99_00), True),
    ("slippage", "a thin book goes out at the guard", lambda d: d.tick(shown=1), True),
    ("spread", "20 bp", lambda d: d.tick(bid=99_90, ask=100_10), True),
    ("spread", "just over 20 bp", lambda d: d.tick(bid=99_90, ask=100_11), False),
    ("spread", "crossed", lambda d: d.tick(bid=100_02, ask=100_01), False),
    ("spread", "no bid", lambda d: d.tick(bid=0), False),
    ("spread", "nothing asked", lambda d: d.tick(ask=0), False),
    ("depth", "twice the order", lambda d: d.tick(shown=2 * QTY), True),
    ("depth", "a share less", lambda d: d.tick(shown=2 * QTY - 1), False),
    ("depth", "nothing on the side that it takes", lambda d: d.tick(ask=0), False),
    ("price_band", "3 ATR away", lambda d: d.tick(bid=100_59, ask=100_61), True),
    ("price_band", "further away", lambda d: d.tick(bid=100_60, ask=100_62), False),
    ("margin", "just enough", lambda d: d.watch.funds(Paise(QTY * 100_02 // 5), d.now_s), True),
    ("margin", "a paisa less", lambda d: d.watch.funds(Paise(QTY * 100_02 // 5 - 1), d.now_s), False),
    ("margin", "unknown leverage", forget_the_leverage, False),
    ("margin", "spent by an entry", lambda d: d.watch.entry_sent(d.now_s), False),
    ("margin", "read again", lambda d: send(d, 1), True),
    ("circuit", "the stop at the limit", lambda d: d.rest(circuit=(99_00, 110_00)), True),
    ("circuit", "the stop beyond it", lambda d: d.rest(circuit=(99_01, 110_00)), False),
]  # fmt: skip


@pytest.mark.parametrize(("gate", "what", "happens", "passes"), CASES, ids=[f"{c[0]}: {c[1]}" for c in CASES])
def test_each_gate_blocks_just_over_its_threshold_and_not_before(gate, what, happens, passes):
    desk = Desk()
    happens(desk)

    assert passes == desk.says(gate).passed


def test_every_gate_that_is_fed_has_been_seen_to_block_what_is_known():
    """The slippage's guard price keeps within the threshold by construction: only the unknown blocks it."""
    seen = {gate for gate, _, _, passes in CASES if not passes}

    assert FED | {"order_spacing", "orders_per_minute"} == seen | {"slippage"}


@pytest.mark.parametrize("mode", ["live", "paper", "dry-run"])
def test_every_gate_applies_in_every_mode(mode):
    desk = Desk(is_ready=False)
    desk.watch = Watch(desk.instruments, RULES, LIMITS, 0.0, exempt_of(mode))

    assert FED <= desk.blocks()
    assert exempt_of(mode) <= MAY_NOT_APPLY


def test_an_unknown_mode_exempts_nobody():
    with pytest.raises(ValueError, match="'test' is no mode"):
        exempt_of("test")


@pytest.mark.parametrize(("mode", "least"), [("live", 0.05), ("dry-run", 0.05), ("paper", None)])
def test_on_paper_the_winner_s_reward_is_only_reported(mode, least):
    assert least == least_reward_of(mode, 0.05)


# --- the order that is thought of ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "changes", "pays", "shown", "margin"),
    [
        (Side.BUY, {}, 100_02, 500, 2_000_40),  # MARKET: the best offer has enough
        (Side.SELL, {}, 99_98, 500, 2_000_00),  # a short is margined at the market's price
        (Side.BUY, {"shown": 10}, 100_10, 10, 2_002_00),  # LIMIT at the guard, 10 bp over the mid
        (Side.SELL, {"shown": 10}, 99_90, 10, 2_000_00),
        (Side.BUY, {"ask": 0}, 100_10, 0, 2_002_00),  # no mid: the last price
    ],
)
def test_an_order_pays_what_the_book_takes_or_its_own_limit(side, changes, pays, shown, margin):
    desk = Desk()
    desk.tick(**changes)
    order = desk.watch.conditions(desk.now, desk.now_s, {"INFY": side}, {"INFY": CLOSE}).orders["INFY"]

    assert (pays, shown, margin) == (order.pays, order.depth_qty, order.margin_needed)
    assert CLOSE == order.reference


@pytest.mark.parametrize(("side", "margin"), [(Side.BUY, 10_002_00 // 7 + 1), (Side.SELL, 10_000_00 // 2)])
def test_margin_is_rounded_up_and_each_side_has_its_own_leverage(side, margin):
    desk = Desk()
    desk.watch.margin("INFY", Side.BUY, 7_000)
    desk.watch.margin("INFY", Side.SELL, 2_000)

    assert (
        margin
        == desk.watch.conditions(desk.now, desk.now_s, {"INFY": side}, {"INFY": CLOSE})
        .orders["INFY"]
        .margin_needed
    )


def test_an_order_is_thought_of_only_where_a_side_is_wanted_and_a_lot_can_be_paid():
    desk = Desk(("INFY", "TCS", "MRF"))
    wanted = {"INFY": Side.BUY, "TCS": None, "MRF": Side.BUY}
    closes = {"INFY": CLOSE, "TCS": CLOSE, "MRF": Paise(RULES.capital + 1)}
    found = desk.watch.conditions(desk.now, desk.now_s, wanted, closes)

    assert {"INFY", "TCS", "MRF"} == found.tickers.keys()
    assert {"INFY", "MRF"} == found.orders.keys()
    assert found.orders["MRF"].pays is None
    assert found.orders["INFY"].pays is not None


def test_a_read_of_the_funds_that_began_before_an_entry_says_nothing_after_it():
    desk = Desk()
    desk.watch.entry_sent(desk.now_s)
    desk.watch.funds(Paise(5_000_00), desk.now_s - 0.1)

    assert "margin" in desk.blocks()


def test_before_the_first_entry_no_spacing_binds():
    assert NEVER == Desk().says("order_spacing").value


def test_circuit_limits_are_those_that_were_told_last_and_the_stream_takes_none_away():
    desk = Desk()
    desk.rest(circuit=(80_00, 120_00))
    desk.tick()

    assert (80_00, 120_00) == (
        desk.watch.instrument("INFY").lower_circuit,
        desk.watch.instrument("INFY").upper_circuit,
    )


# --- a ticker's health --------------------------------------------------------------------------------


def silent_desk(seconds: float = 31.0) -> Desk:
    desk = Desk()
    desk.run(seconds, "INFY")
    return desk


# What comes of the quote that was asked for, and what the ticker is then.
ANSWERS: list[tuple[str, Callable[[Desk], object], Health, float | None]] = [
    ("a stamp of now", lambda d: d.rest(), HEALTHY, 0.0),
    ("a younger stamp", lambda d: d.rest(behind_s=20.0), HEALTHY, 20.0),
    ("a younger stamp, yet too old", lambda d: d.rest(behind_s=30.5), DEGRADED, 31.0),  # stamps are whole seconds
    ("the same stamp", lambda d: d.rest(behind_s=31.0), DEGRADED, 31.0),
    ("an older stamp", lambda d: d.rest(behind_s=40.0), DEGRADED, 31.0),
    ("no stamp", lambda d: d.rest(at=None), DOWN, 31.0),
    ("no price", lambda d: d.rest(last=0), DOWN, 31.0),
    ("a stamp in the future", lambda d: d.rest(behind_s=-60.0), DOWN, 31.0),
    ("a failure", fail, DOWN, 31.0),
    ("a failure, then a tick", both(fail, lambda d: d.tick()), HEALTHY, 0.0),
    ("a failure, then the same stamp", both(fail, lambda d: d.rest(behind_s=31.0)), DEGRADED, 31.0),
    ("a failure of another", lambda d: d.watch.asked_failed(["TCS"], d.now_s), DEGRADED, 31.0),
    ("nothing yet", lambda d: d.run(ASK_AGAIN_S, "INFY"), DEGRADED, 41.0),
    ("nothing at all", lambda d: d.run(ASK_AGAIN_S + 0.5, "INFY"), DOWN, 41.5),
    ("a tick with the old stamp", lambda d: d.tick(behind_s=31.0, last=100_01), DEGRADED, 31.0),
]  # fmt: skip


@pytest.mark.parametrize(("what", "comes", "health", "age_s"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_what_comes_of_a_question_decides_what_a_silent_ticker_is(what, comes, health, age_s):
    desk = silent_desk()

    assert DEGRADED == desk.health()
    assert ("INFY",) == desk.asks()

    comes(desk)
    seen_age_s = desk.watch.conditions(desk.now, desk.now_s, {}, {}).tickers["INFY"].seen_age_s

    assert health == desk.health()
    assert pytest.approx(age_s) == seen_age_s
    assert HEALTHY == desk.health("TCS")


def test_a_failure_from_before_the_last_tick_is_no_failure_of_now():
    desk = silent_desk()
    desk.watch.asked_failed(desk.asks(), desk.now_s)
    desk.run(1.0)
    desk.run(31.0, "INFY")

    assert DEGRADED == desk.health()


def test_a_silent_ticker_is_asked_for_once_and_again_after_ten_seconds():
    desk = Desk()
    asked = []
    for quarter in range(1, 200):
        desk.now_s += 0.25
        desk.watch.heard(0.0, desk.now_s)
        desk.tick("TCS")
        asked += [(quarter / 4, name) for name in desk.asks()]

    assert [(30.25, "INFY"), (40.25, "INFY")] == asked


def test_questions_keep_apart_what_the_broker_wants_apart():
    desk = Desk()
    desk.run(1.0, "INFY")  # TCS falls silent half a second after INFY
    desk.now_s -= 0.5
    desk.tick("TCS")
    desk.now_s += 30.25
    desk.watch.heard(0.0, desk.now_s)
    first = desk.asks()
    desk.now_s += ASKS_APART_S - 0.01
    early = desk.asks()
    desk.now_s += 0.01

    assert [("INFY",), (), ("TCS",)] == [first, early, desk.asks()]


def test_who_was_never_seen_or_has_no_circuit_limits_is_asked_for_at_once():
    desk = Desk(is_ready=False)
    desk.watch.connected(desk.now_s)
    desk.rest("TCS", circuit=(0, 0))

    assert ("INFY", "TCS") == desk.asks()

    desk.now_s += ASK_AGAIN_S
    desk.rest("TCS")

    assert ("INFY",) == desk.asks()


def test_while_the_connection_is_gone_quotes_are_asked_for_after_five_seconds():
    desk = Desk()
    desk.watch.disconnected(desk.now_s)
    desk.now_s += 5.0
    early = desk.asks()
    desk.now_s += 0.1

    assert [(), ("INFY", "TCS")] == [early, desk.asks()]


def test_one_corrupt_stamp_of_the_future_kills_no_ticker():
    desk = Desk()
    desk.tick(behind_s=-86_400.0)
    desk.run(3.0)

    assert (HEALTHY, HEALTHY) == (desk.health(), desk.feed())
    assert 0.0 == desk.drift_s()


@pytest.mark.parametrize(
    ("behind_s", "more", "known"),
    [(0.0, 1, 99_97), (0.0, 0, 99_97), (0.0, -1, 100_00), (1.0, 1, 100_00), (-1.0, -1, 99_97)],
)
def test_a_stamp_and_within_its_second_the_volume_tell_which_quote_is_newer(behind_s, more, known):
    desk = Desk()
    desk.tick(bid=0, volume=10**6)
    desk.rest(bid=0, volume=10**6 + more, behind_s=behind_s, last=99_97)
    found = desk.watch.conditions(desk.now, desk.now_s, {"INFY": Side.BUY}, {"INFY": CLOSE})

    assert known == found.orders["INFY"].reference


def test_the_newest_quote_can_be_read_and_there_is_none_before_the_first():
    desk = Desk(is_ready=False)
    before = desk.watch.quote("INFY")
    desk.tick(last=99_97)
    found = desk.watch.quote("INFY")

    assert before is None
    assert found is not None
    assert 99_97 == found.last


def test_a_question_without_an_answer_is_not_forgiven_for_being_asked_again():
    desk = silent_desk()
    first = desk.asks()
    desk.run(ASK_AGAIN_S, "INFY")
    again = desk.asks()
    desk.now_s += 0.5

    assert [("INFY",), ("INFY",), DOWN] == [first, again, desk.health()]


def test_an_unmoved_stamp_gets_no_younger_by_setting_our_clock_back():
    """Before the broker has told its time ours is all there is to judge a stamp by."""
    desk = Desk(is_ready=False)
    desk.watch.connected(desk.now_s)
    desk.tick(behind_s=60.0)
    turn_the_clock(desk, -60.0)
    desk.tick(behind_s=60.0, volume=10**6 + 1)

    assert (DEGRADED, DEGRADED) == (desk.health(), desk.feed())
    assert 60.0 == desk.watch.conditions(desk.now, desk.now_s, {}, {}).tickers["INFY"].seen_age_s


# --- the connection's health ----------------------------------------------------------------------------


def test_a_feed_is_degraded_until_a_stamp_has_moved_on_over_this_connection():
    desk = Desk()
    desk.watch.connected(desk.now_s)
    states = [desk.feed()]
    desk.tick()  # the cached one, as known
    states.append(desk.feed())
    desk.run(1.0)
    states.append(desk.feed())

    assert [DEGRADED, DEGRADED, HEALTHY] == states


def test_what_comes_first_over_a_connection_is_cached_and_proves_nothing_even_if_it_is_new_to_us():
    desk = Desk()
    desk.watch.disconnected(desk.now_s)
    desk.now_s += 60.0
    desk.watch.connected(desk.now_s)
    for name, behind_s in (("INFY", 20.0), ("TCS", 10.0)):
        desk.tick(name, behind_s=behind_s)

    assert (DEGRADED, HEALTHY) == (desk.feed(), desk.health())
    assert 0.0 == desk.drift_s()


def test_a_lagging_tick_of_a_quiet_ticker_freezes_no_feed():
    desk = Desk()
    desk.run(45.0, "TCS")
    desk.tick("TCS", behind_s=40.0)

    assert (DEGRADED, HEALTHY) == (desk.health("TCS"), desk.feed())


def test_rest_quotes_keep_tickers_young_and_hide_no_frozen_feed():
    desk = Desk()
    for _ in range(31):
        desk.run(1.0, "INFY", "TCS")
        desk.rest("INFY")
        desk.rest("TCS")

    assert [HEALTHY, HEALTHY, DEGRADED] == [desk.health("INFY"), desk.health("TCS"), desk.feed()]


def test_a_frozen_price_that_comes_again_and_again_freezes_the_feed():
    desk = Desk()
    for second in range(31):
        desk.run(1.0, "INFY", "TCS")
        desk.tick("INFY", behind_s=second + 1.0, volume=10**6 + second)
        desk.tick("TCS", behind_s=second + 1.0, volume=10**6 + second)

    assert [DEGRADED, DEGRADED, DEGRADED] == [desk.health("INFY"), desk.health("TCS"), desk.feed()]


def test_a_feed_is_down_when_quotes_fail_as_well_and_no_longer_when_one_comes():
    desk = Desk()
    desk.watch.asked_failed(["INFY"], desk.now_s)  # before the connection went
    desk.run(6.0, "INFY", "TCS", beats=False)
    states = [desk.feed()]
    desk.watch.asked_failed(["INFY"], desk.now_s)
    states.append(desk.feed())
    desk.now_s += 1.0
    desk.rest()
    states.append(desk.feed())
    desk.watch.asked_failed(["TCS"], desk.now_s)  # the answer lacked one
    states.append(desk.feed())

    assert [DEGRADED, DOWN, DEGRADED, DEGRADED] == states


def test_a_silent_feed_is_noticed_at_the_first_look_after_five_seconds():
    desk = Desk()
    noticed_s = next(
        step / 4 for step in range(1, 100) if desk.watch.feed_state(desk.now_s + step / 4) is not HEALTHY
    )

    assert 5.25 == noticed_s


def test_a_silence_reading_does_not_connect_what_is_not_connected():
    desk = Desk()
    desk.watch.disconnected(desk.now_s)
    desk.watch.heard(0.0, desk.now_s)

    assert DEGRADED == desk.feed()


# --- the clock -----------------------------------------------------------------------------------------


def test_a_lagging_tick_of_a_quiet_ticker_is_no_drift():
    desk = Desk(("INFY", "TCS", "MRF"))
    for lag_s in range(20):
        for name in ("TCS", "MRF"):
            desk.tick(name, behind_s=30.0 - lag_s, volume=10**6 + lag_s)
        desk.run(1.0, "TCS", "MRF")

    assert 0.0 == desk.drift_s()


@pytest.mark.parametrize("behind_s", [-86_400.0, 86_400.0])
def test_one_corrupt_stamp_is_no_drift_where_ticks_are_the_only_witness(behind_s):
    desk = Desk(is_ready=False)
    desk.watch.connected(desk.now_s)
    desk.run(10.0, reads=False)
    desk.tick(behind_s=behind_s)
    at_once = desk.drift_s()
    desk.run(10.0, reads=False)

    assert (0.0, 0.0) == (at_once, desk.drift_s())


def test_the_cached_ticks_of_a_subscription_are_no_drift():
    desk = Desk(is_ready=False)
    desk.watch.connected(desk.now_s)
    for name in desk.instruments:
        desk.tick(name, behind_s=64_000.0 + len(name))

    assert desk.drift_s() is None


@pytest.mark.parametrize("ahead_s", [-3_600.0, -10.0, -2.5, 2.5, 10.0, 3_600.0])
def test_without_any_date_ticks_tell_the_drift(ahead_s):
    desk = Desk(is_ready=False)
    turn_the_clock(desk, ahead_s)
    desk.watch.connected(desk.now_s)
    desk.run(12.0, reads=False)

    assert ahead_s == pytest.approx(desk.drift_s())


def lagging(desk: Desk, seconds: int, lag_s: float) -> None:
    for _ in range(seconds):
        desk.run(1.0, "INFY", "TCS")
        desk.tick("INFY", behind_s=lag_s)


def test_a_feed_that_lags_behind_a_good_clock_blocks_until_it_has_caught_up():
    """No data older than that is decided on, whoever's fault it is."""
    desk = Desk()
    lagging(desk, 20, 3.0)

    assert 3.0 == desk.drift_s()
    assert {"clock_drift"} == desk.blocks()

    desk.run(6.0)

    assert 0.0 == desk.drift_s()


def test_another_connection_is_another_witness():
    desk = Desk()
    lagging(desk, 10, 3.0)
    desk.watch.connected(desk.now_s)
    fresh = desk.drift_s()
    lagging(desk, 3, 10.0)

    assert (0.0, 10.0) == (fresh, desk.drift_s())


def test_a_step_of_our_clock_shows_at_once_and_makes_no_price_older():
    desk = Desk()
    before = desk.watch.conditions(desk.now, desk.now_s, {}, {}).tickers["INFY"].seen_age_s
    turn_the_clock(desk, 86_400.0)
    desk.tick(volume=10**6 + 1)
    after = desk.watch.conditions(desk.now, desk.now_s, {}, {}).tickers["INFY"].seen_age_s

    assert (before, 86_400.0) == (after, desk.drift_s())
    assert {"clock_drift"} == desk.blocks()


@pytest.mark.parametrize("is_dated", [True, False])
def test_a_machine_that_slept_finds_the_broker_s_time_again(is_dated):
    """Asleep, the monotonic clock stands still and the wall clock goes on. One corrupt stamp hinders not."""
    desk = Desk()
    desk.watch = Watch(desk.instruments, RULES, LIMITS, 0.0)
    desk.watch.connected(desk.now_s)
    desk.run(10.0, reads=is_dated)
    desk.tick(behind_s=-86_400.0)
    desk.wall_ahead = timedelta(seconds=300)
    slept_s = desk.drift_s()
    if is_dated:
        for _ in range(5):
            desk.watch.dated(0.0, desk.now, desk.now_s)
    for second in range(10):
        at = desk.now + timedelta(seconds=second)
        desk.watch.quoted(quote("TCS", at=at), at, desk.now_s + second)
    at = desk.now + timedelta(seconds=9)

    assert (300.0, 0.0) == (slept_s, desk.watch.drift_s(at, desk.now_s + 9))


def test_the_cut_of_a_date_to_whole_seconds_warns_of_no_good_clock():
    desk = Desk()
    for part in (0.95, 0.2, 0.6):
        desk.now_s += part
        desk.date()

    drift_s = desk.drift_s()

    assert drift_s is not None
    assert 0.25 > abs(drift_s)


def test_one_wrong_date_is_forgotten_after_five_right_ones():
    desk = Desk()
    desk.watch.dated(-100.0, desk.now, desk.now_s)
    wrong_s = desk.drift_s()
    for _ in range(5):
        desk.watch.dated(0.0, desk.now, desk.now_s)

    assert (-100.0, 0.0) == (wrong_s, desk.drift_s())


def test_of_the_two_witnesses_the_worse_counts():
    desk = Desk()
    for _ in range(5):
        desk.watch.dated(-4.0, desk.now, desk.now_s)

    assert -4.0 == desk.drift_s()


# --- the broker's heartbeat ------------------------------------------------------------------------------


def test_a_heartbeat_is_lost_after_two_minutes_also_where_none_ever_came():
    desk = Desk(is_ready=False)
    never = [desk.watch.is_heartbeat_lost(1_000.0 + age_s) for age_s in (120.0, 120.1)]
    desk.watch.heartbeat(1_090.0, 1_100.0)
    came = [desk.watch.is_heartbeat_lost(1_090.0 + age_s) for age_s in (120.0, 120.1)]

    assert [False, True] == never == came


def test_a_slow_read_that_ends_late_takes_nothing_back():
    desk = Desk(is_ready=False)
    desk.watch.heartbeat(1_050.0, 1_051.0)
    desk.watch.heartbeat(1_010.0, 1_060.0)

    assert 10.0 == desk.watch.conditions(desk.now, 1_060.0, {}, {}).moment.heartbeat_age_s


# --- whatever happens ------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0.0, 40.0)),
        st.tuples(st.just("tick"), st.floats(-100.0, 100.0)),
        st.tuples(st.just("rest"), st.floats(-100.0, 100.0)),
        st.tuples(st.just("clock"), st.floats(-90_000.0, 90_000.0)),
        st.tuples(st.just("date"), st.just(0.0)),
        st.tuples(st.sampled_from(["connected", "disconnected", "fail", "ask", "entry", "read"]), st.just(0.0)),
        st.tuples(st.just("heard"), st.floats(-1.0, 60.0)),
    ),
    max_size=30,
)  # fmt: skip


DO: dict[str, Callable[[Desk, float], object]] = {
    "tick": lambda desk, much: desk.tick(behind_s=much),
    "rest": lambda desk, much: desk.rest(behind_s=much),
    "clock": turn_the_clock,
    "heard": lambda desk, much: desk.watch.heard(much, desk.now_s),
    "date": lambda desk, _: desk.date(),
    "connected": lambda desk, _: desk.watch.connected(desk.now_s),
    "disconnected": lambda desk, _: desk.watch.disconnected(desk.now_s),
    "fail": lambda desk, _: fail(desk),
    "ask": lambda desk, _: desk.asks(),
    "entry": lambda desk, _: desk.watch.entry_sent(desk.now_s),
    "read": lambda desk, _: desk.watch.heartbeat(desk.now_s, desk.now_s),
}


def step(desk: Desk, what: str, much: float) -> None:
    if what == "pass":
        desk.now_s += much
    else:
        DO[what](desk, much)


def ages(desk: Desk, later_s: float = 0.0) -> list[float]:
    """Of the feed, the heartbeat, both tickers and the last entry, where there are any."""
    found = desk.watch.conditions(desk.now, desk.now_s + later_s, {}, {})
    moment, tickers = found.moment, found.tickers.values()
    told = [moment.feed_age_s, moment.heartbeat_age_s, *(facts.seen_age_s for facts in tickers)]
    since_s = [] if moment.since_entry_ms in (None, NEVER) else [moment.since_entry_ms / 1_000]
    return [age_s for age_s in told if age_s is not None] + since_s


@given(STEPS, st.booleans(), st.floats(0.0, 100.0))
def test_ages_are_never_negative_and_grow_with_time(steps, is_ready, later_s):
    desk = Desk(is_ready=is_ready)
    for what, much in steps:
        step(desk, what, much)
    earlier, now, later = (ages(desk, second) for second in (-0.5, 0.0, later_s))

    assert all(age_s >= 0.0 for age_s in earlier + now)
    assert len(now) == len(later)
    assert all(new == pytest.approx(old + later_s, abs=0.002) for old, new in zip(now, later, strict=True))


@given(STEPS, st.floats(30.01, 500.0))
def test_left_alone_nothing_stays_healthy_and_nothing_gets_better(steps, later_s):
    order = [HEALTHY, DEGRADED, DOWN]
    desk = Desk()
    for what, much in steps:
        step(desk, what, much)
    before = [desk.feed(), desk.health("INFY"), desk.health("TCS")]
    desk.now_s += later_s
    after = [desk.feed(), desk.health("INFY"), desk.health("TCS")]

    assert HEALTHY not in after
    assert all(order.index(old) <= order.index(new) for old, new in zip(before, after, strict=True))


@given(STEPS, st.booleans())
def test_no_quote_makes_a_ticker_older(steps, is_ready):
    desk = Desk(is_ready=is_ready)
    for what, much in steps:
        before_s = desk.watch.conditions(desk.now, desk.now_s, {}, {}).tickers["INFY"].seen_age_s
        step(desk, what, much)
        after_s = desk.watch.conditions(desk.now, desk.now_s, {}, {}).tickers["INFY"].seen_age_s

        if before_s is not None and what in ("tick", "rest"):
            assert after_s is not None
            assert after_s <= before_s


def test_a_better_clock_makes_a_younger_stamp_no_older_than_the_one_before():
    desk = Desk(is_ready=False)
    turn_the_clock(desk, -2.0)
    desk.tick(behind_s=3.0)
    desk.date()
    desk.tick(behind_s=2.0)

    assert 1.0 == desk.watch.conditions(desk.now, desk.now_s, {}, {}).tickers["INFY"].seen_age_s


@given(STEPS)
def test_a_healthy_ticker_is_one_whose_stamp_is_young(steps):
    """The watchdog's word and the age never contradict each other, whatever came in which order."""
    desk = Desk()
    for what, much in steps:
        step(desk, what, much)
        facts = desk.watch.conditions(desk.now, desk.now_s, {}, {}).tickers["INFY"]

        assert facts.seen_age_s is not None
        assert (facts.feed is HEALTHY) == (facts.seen_age_s <= LIMITS.ticker_age_s)


@given(STEPS)
def test_no_ticker_is_asked_for_twice_within_ten_seconds(steps):
    desk, asked = Desk(), dict[str, float]()
    for what, much in steps:
        step(desk, what if what != "ask" else "pass", much)
        for name in desk.asks():
            assert desk.now_s - asked.get(name, -1e9) >= ASK_AGAIN_S
            asked[name] = desk.now_s


@given(STEPS)
def test_once_all_is_well_again_entries_are_free_within_fifteen_seconds(steps):
    """Liveness (faults.md, invariant 22): no order of mishaps leaves a watch that stays ill."""
    desk = Desk()
    for what, much in steps:
        step(desk, what, much)
    desk.wall_ahead = timedelta()
    desk.watch.connected(desk.now_s)
    desk.run(15.0)
    desk.rest("INFY")
    desk.watch.funds(Paise(5_000_00), desk.now_s)

    assert desk.blocks() <= {"orders_per_minute"}


def test_the_names_of_gates_here_are_the_table_s():
    assert FED < set(GATE_NAMES)
