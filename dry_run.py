"""Would a live session trade now, and if not, why? Every gate once, with the real broker, and no order.

Theory of operation
-------------------
A session is put together as for live trading and runs for some seconds: the stream, the order book, money,
leverages, today's candles, the journal of the account folded. It differs in three things. Its client only
reads, whatever asks it (looking.py). It writes nothing and takes no lock, so it can be used beside a running
trader, of whom the gate `no_second_instance` then tells. And its mind decides nothing: each ticker is put
before the gates twice, as if the winner had said BUY and SELL with full confidence.

    trading_day, session_window      reported, not judged
    outside of continuous trading    prices and what follows from them: reported, not judged
    every other gate                 judged; one that blocks is exit code 3

Gates of a ticker keep that ticker out and nobody else: they are told, and block when no ticker is left that
may be entered on either side. It ends as soon as nothing is left to wait for, and PATIENCE_S after it began
at the latest, with some more for candles, of which the broker gives three a second.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from random import SystemRandom

import dry_run_report as report
import halts
from cli import Answer, Run
from facts import read_tariff
from kite.client import KiteClient
from kite.feed import Feed, News
from kite.inbox import Inbox
from kite.ticker import Ticker
from looking import past_of_today, reader, reads_only
from notes import Notes
from order_desk import Desk
from outcome import DataError, ExitCode
from pace import paced, pool_on, rate_of, streaming, until_over
from rulebook.book import Book
from rulebook.events import DayBegan, LossTold
from rulebook.gates import Verdict
from rulebook.records import Action, Decision
from session import Session
from session_end import Outcome
from session_events import SessionEvent
from session_parts import Parts
from session_start import Past
from so_far import SoFar, nothing, so_far
from trading_wiring import FACTS, STREAM_MODES, Wiring, limits_of, warm_book, wiring
from watch import DRY_RUN, Watch
from workers import Workers

PATIENCE_S = 10.0  # for first ticks, books, money, leverages
CANDLES_PER_S = 3.0
NOWHERE = "nowhere"
BOTH = (Decision(Action.BUY, 1.0), Decision(Action.SELL, 1.0))
# What is not known yet may be known a moment later, and so may these change, which fail with a value.
MAY_COME = frozenset({"feed", "ticker_feed", "reconciled", "token"})
STAYS = frozenset({"winner", "daily_loss"})  # not known, and for good
ENOUGH = Outcome(ExitCode.DONE, "everything was asked", is_flat=True)


def dry_run(run: Run) -> Answer:
    """`--dry-run`: one pass."""
    with wiring(replace(run, clock=paced(run.clock)), DRY_RUN) as w:
        client, whys = reader(w), report.Whys()
        if not w.shares:
            raise DataError("none of the tickers of config.json is traded today: python fetch.py index")
        made = _looking(w, client, whys)
        with streaming(made.ticker, w.run.clock):
            made.workers.leverages()
            until_over(made, w.run.clock)
        found, now = made.session.verdicts(), w.run.clock.now()
        where = report.Where(now, w.at.addresses.broker_host, w.user, _is_trading(w))
        return report.answer(found, where, whys)


# --- the session ------------------------------------------------------------------------------------------


class Glance(Session):
    """A session that is over when nothing is left to wait for."""

    def __init__(self, parts: Parts, mind: SoFar, patience_s: float, is_trading: bool) -> None:
        super().__init__(parts)
        self._known = mind
        self._patience_s = patience_s
        self._is_trading = is_trading
        self._until_s = 0.0

    def begin(self) -> None:
        super().begin()
        self._until_s = self._parts.desk.monotonic() + self._patience_s

    def look(self) -> None:
        super().look()
        now_s = self._parts.desk.monotonic()
        is_late = now_s >= self._until_s
        if is_late or (self._is_due("glance", now_s, self._parts.pace_s) and self._has_all()):
            self.outcome = ENOUGH
        else:
            self.outcome = None  # whether it is over for today does not matter

    def verdicts(self) -> report.Verdicts:
        """Every gate's, of every ticker, on both sides."""
        for name, is_finite in self._known.is_finite().items():
            self._parts.watch.features(name, is_finite, self._known.bars_needed)
        found: dict[str, dict[Action, tuple[Verdict, ...]]] = {
            name: {} for name in self._parts.book.positions
        }
        for said in BOTH:
            self.refresh(dict.fromkeys(found, said), {})
            for name, by_side in found.items():
                by_side[said.action] = self._parts.book.judge(self._parts.desk.now(), name, said)
        return found

    def _say_state(self, now: datetime) -> None:
        """Nobody is told: the report says more."""
        self._state, _ = self._state_now(now)

    def _has_all(self) -> bool:
        if self.state is None:  # asleep: books or candles are still to come
            return False
        return not any(self._may_come(verdict) for verdict in _all(self.verdicts()))

    def _may_come(self, verdict: Verdict) -> bool:
        is_open = verdict.value is None or verdict.name in MAY_COME
        is_judged = report.is_judged(verdict.name, self._is_trading)
        return not verdict.passed and is_open and is_judged and verdict.name not in STAYS


def _all(found: report.Verdicts) -> Iterator[Verdict]:
    return (verdict for by_side in found.values() for verdicts in by_side.values() for verdict in verdicts)


# --- how it is put together -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Looking:
    """A glance and what carries it."""

    session: Glance
    inbox: Inbox[SessionEvent]
    ticker: Ticker
    workers: Workers
    pace_s: float


def _looking(w: Wiring, client: KiteClient, whys: report.Whys) -> Looking:
    run, settings, inbox = w.run, w.run.settings, Inbox[SessionEvent]()
    past = past_of_today(w, "live")
    opened_at = min((session.opens_at for session in w.day.sessions.values()), default=run.clock.now())
    workers = Workers(
        client, inbox, run.clock, {name: share.token for name, share in w.shares.items()},
        w.grid.timeframe, opened_at, w.token, pool_on(run.clock),
    )  # fmt: skip
    w.held.callback(workers.close)
    desk = Desk(past.machine(), client, lambda _: None, reads_only(workers.submit), run.clock)
    instruments = {name: share.instrument for name, share in w.shares.items()}
    limits, rules = limits_of(w), settings.rules(w.max_loss_r())
    watch = Watch(instruments, rules, limits, run.clock.monotonic())
    mind, book = _mind(w, whys), _book(w, Book(rules, limits, instruments))
    _tell_what_is_known(w, watch, book, past, whys)
    feed = Feed(STREAM_MODES[settings.market_data.mode])
    feed.want([share.token for share in w.shares.values()])
    stream: Inbox[News] = inbox  # type: ignore[assignment]
    ticker = Ticker(w.at.addresses.kite_ws, w.at.api_key, w.token, feed, run.clock, SystemRandom(), stream)
    parts = Parts(
        book, desk, watch, w.day, mind, Notes(lambda _, *__: 0, run.clock.now), workers, past,
        {share.token: name for name, share in w.shares.items()}, ticker.silence_s, None,
        lambda: secrets.token_hex(4), settings.max_slippage_bps, "", _unheard, _unheard,
        run.args.loop_ms / 1_000,
    )  # fmt: skip
    return Looking(Glance(parts, mind, _patience_s(w), _is_trading(w)), inbox, ticker, workers, parts.pace_s)


def _unheard(_: str) -> None:
    """What halts or is lost here is nobody's day."""


def _mind(w: Wiring, whys: report.Whys) -> SoFar:
    """Without candles nothing is warm; with stale ones a session would not begin."""
    try:
        found = so_far(w)
    except DataError as error:
        whys.data = str(error)
        return nothing(w)
    try:
        w.require_fresh_candles()
    except DataError as error:
        whys.data = str(error)
    return found


def _book(w: Wiring, book: Book) -> Book:
    """With its past, where there is one on disk."""
    try:
        return warm_book(w, book)
    except DataError:  # said by then
        book.on(DayBegan(w.day.windows, read_tariff(FACTS).rates_on(w.day.day)))
        return book


def _tell_what_is_known(w: Wiring, watch: Watch, book: Book, past: Past, whys: report.Whys) -> None:
    """Facts that no event brings, and in whys what their gates cannot know."""
    state, trader = w.run.settings.state, w.at.trader()
    halted, lost = halts.why_halted(state, w.day.day), halts.why_locked(state, w.day.day)
    watch.calendar(w.day.is_open, w.day.label, w.day.is_verified)
    watch.instance(trader is None)
    watch.venue(NOWHERE, NOWHERE)
    watch.token(True)  # the user's id was just asked for by it
    watch.killed(halted is not None or bool(past.halted))
    if lost is not None:
        book.on(LossTold())
    whys.gates |= {"no_second_instance": trader, "kill_switch": halted or past.halted, "daily_loss": lost}
    try:
        _, winner = w.winner
    except DataError as error:
        watch.winner(False, None)
        whys.gates["winner"] = str(error)
    else:
        watch.winner(True, winner.avg_reward)


def _is_trading(w: Wiring) -> bool:
    """Whether prices move now: the exchange trades continuously."""
    now = w.run.clock.now()
    return any(session.opens_at <= now < session.closes_at for session in w.day.sessions.values())


def _patience_s(w: Wiring) -> float:
    """By the clock that is followed; one that runs faster than life leaves our machine the same time."""
    has_candles = w.day.over_by(w.run.clock.now()) is not None
    candles_s = len(w.shares) / CANDLES_PER_S if has_candles else 0.0
    return (PATIENCE_S + candles_s) * max(1.0, rate_of(w.run.clock))
