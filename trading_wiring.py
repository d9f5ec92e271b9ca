"""How is a session put together? Settings, broker, candles, model and journal become one Session.

Everything that can be found wrong before the first request is: the configuration, the day, the winner, the
candles on disk. Nothing is traded here and nothing is decided; the threads that this file starts end with it.
"""

import hashlib
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from functools import cached_property
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING

import halts
from cli import VERSION, Run
from clock import SystemClock
from connection import Connection, connected
from facts import read_calendar, read_tariff, require_years
from files import write_atomically
from kite.client import KiteClient
from kite.connect import transport
from kite.day_list import sync
from kite.feed import Feed, News
from kite.inbox import Inbox
from kite.instruments import Master, Share
from kite.rates import Rates
from kite.ticker import Ticker
from kite.wire import Mode
from ledger import Identity, Journal, journal_folder
from ledger_desk import ledger_key
from ledger_facts import SessionBegan, SessionEnded
from live_bars import LiveBars
from live_features import LiveFeatures
from mind import WinnersMind
from notes import Notes
from order_desk import Desk
from outcome import DataError, ExitCode, RefusedError
from pace import pool_on
from paper import PaperClient
from paper_account import PaperTerms
from rulebook.bars import MINUTES
from rulebook.book import Book
from rulebook.events import DayBegan
from rulebook.hours import IST, NoWindow, SymbolClass, ist_day
from rulebook.records import Paise
from rulebook.situation import Limits
from session import Session
from session_end import Outcome
from session_events import SessionEvent
from session_mind import Mind, StillMind
from session_parts import Parts
from session_start import Past, frames_before, history_hash, past_of, past_rows, warm
from sessions_grid import Grid
from study import lookbacks, recipes
from trading_day import TradingDay, trading_day
from watch import Watch, exempt_of, least_reward_of
from workers import Workers

if TYPE_CHECKING:
    import pandas as pd

    from ml import InferenceEngine
    from winner import Winner

FACTS = Path(__file__).resolve().parent / "config"
WARM_BARS = 400  # after which an average range has forgotten where it began
MAX_LOSS_R = "3.0"
MIS_LEVERAGE = 5.0  # what the broker gives most shares in MIS
VENUES = {"live": "the broker", "paper": "paper", "dry-run": "paper"}
STREAM_MODES = {"ltp": Mode.LTP, "quote": Mode.QUOTE, "full": Mode.FULL}

log = logging.getLogger("trade")


@dataclass
class Wiring:
    """One run's pieces, each made when it is first needed."""

    run: Run
    mode: str
    held: ExitStack = field(default_factory=ExitStack)

    # --- the day ---

    @cached_property
    def grid(self) -> Grid:
        return Grid(read_calendar(FACTS), str(self.run.settings.base_timeframe))

    @cached_property
    def day(self) -> TradingDay:
        settings, today = self.run.settings, ist_day(self.run.clock.now())
        require_years(self.grid.calendar, today, today)
        hard_end = self.run.args.end or settings.hard_trading_end
        return trading_day(self.grid, today, settings.safe_trading_start, settings.safe_trading_end, hard_end)

    # --- the broker ---

    @cached_property
    def at(self) -> Connection:
        at = connected(self.run)
        self.held.enter_context(closing(at.client))
        return at

    @cached_property
    def user(self) -> str:
        """Also the proof that the token lives."""
        return self.at.client.user_id()

    @cached_property
    def identity(self) -> Identity:
        return Identity("live" if self.mode == "live" else "paper", self.at.addresses.broker_host, self.user)

    @cached_property
    def journal(self) -> Journal:
        folder = journal_folder(self.run.settings.paths.ledger, self.identity)
        return self.held.enter_context(Journal(folder, self.identity, ledger_key(self.run), self.run.clock))

    @cached_property
    def master(self) -> Master:
        path = self.at.folder / "instruments.csv"
        return sync(path, self.at.client.lists, self.run.clock, _kept)

    @cached_property
    def shares(self) -> dict[str, Share]:
        """Those of the configuration that are traded today."""
        wanted = self.run.settings.tickers
        if not wanted:
            raise DataError("config.json has no tickers; get them with: python fetch.py index")
        gone = [name for name in wanted if name not in self.master.shares]
        if gone:
            log.warning("not traded at NSE today, and left out: %s", ", ".join(gone))
        return {name: self.master.shares[name] for name in sorted(wanted) if name not in gone}

    def add_shares(self, tickers: Iterable[str]) -> None:
        """Also these, where the exchange knows them."""
        known = self.master.shares
        self.shares = {**self.shares, **{name: known[name] for name in tickers if name in known}}

    @cached_property
    def client(self) -> KiteClient:
        """Whose orders are the broker's own, or of paper: that one is unable to send any."""
        if self.mode == "live":
            return self.at.client
        run, settings = self.run, self.run.settings
        environment, token = self.at.environment, self.token()
        way = transport(
            environment.text("BROKER_MODE"), self.at.addresses, self.at.api_key, SystemClock(), SystemRandom()
        )
        way.use_token(token)
        trades = settings.max_concurrent_trades + 1  # one more: charges and slippage must not use it up
        capital = Paise(round(100 * settings.capital_per_ticker * trades))
        leverage_milli = round(1_000 * max(settings.leverage, MIS_LEVERAGE))
        terms = PaperTerms(capital, leverage_milli, self.grid.calendar, read_tariff(FACTS))
        path = journal_folder(settings.paths.ledger, self.identity) / "account.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        rates = Rates(self.at.folder / "rates", run.clock)
        return PaperClient(
            way, rates, run.clock, SystemRandom(), terms, path, lambda: self.master,
            lambda refused: log.warning("%s", refused),
        )  # fmt: skip

    def token(self) -> str | None:
        """As `.env` has it now."""
        found = self.run.environment("ZERODHA_ACCESS_TOKEN").secret("ZERODHA_ACCESS_TOKEN")
        return found.reveal() if found else None

    # --- candles and the model ---

    @cached_property
    def winner(self) -> "tuple[InferenceEngine, Winner]":
        from ml import load_winner

        return load_winner(self.run.settings.paths.winner, self.run.settings, list(self.shares))

    @cached_property
    def frames(self) -> "dict[str, dict[str, pd.DataFrame]]":
        """Candles on disk of the days before today, by timeframe and ticker."""
        names = sorted((str(name) for name in self.run.settings.timeframes), key=MINUTES.__getitem__)
        return frames_before(self.run.settings.paths.raw, self.shares, names, self.day.day)

    def require_fresh_candles(self) -> None:
        """DataError unless they reach to the end of the last session before today."""
        last = self.grid.calendar.previous_session(self.day.day)
        base = self.frames[self.grid.timeframe]
        newest = max((frame["timestamp"].max() for frame in base.values() if len(frame)), default=None)
        if newest is None or newest.timestamp() < int(self.grid.of(last)[-1]):
            ends = "nowhere" if newest is None else f"on {newest.tz_convert(IST):%Y-%m-%d at %H:%M}"
            raise DataError(
                f"the candles on disk end {ends}, the last session was {last}: python fetch.py history impute"
            )

    def require_worthy_winner(self) -> None:
        """RefusedError where it has earned too little to trade live; what is open is tended all the same."""
        least = least_reward_of(self.mode, self.run.settings.winner_min_avg_reward)
        try:
            earned = self.winner[1].avg_reward
        except DataError as error:
            raise RefusedError(str(error)) from error
        if least is not None and earned < least and not opened_today(self):
            raise RefusedError(
                f"the winner earned {earned:.4g} R a trade on the holdout; live trading asks for {least:g} R:"
                " train a better one (python train.py), or rehearse with --paper"
            )

    # --- words ---

    @cached_property
    def settings_hash(self) -> str:
        return hashlib.sha256(self.run.config_path.read_bytes()).hexdigest()[:16]

    def max_loss_r(self) -> float:
        """Of a day; live asks for it, elsewhere it is 3 where nobody has said."""
        said = self.run.environment("DAILY_MAX_LOSS_R")
        if self.mode == "live":
            said.required("DAILY_MAX_LOSS_R")
        return float(said.text("DAILY_MAX_LOSS_R") or MAX_LOSS_R)


def _kept(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)


@contextmanager
def wiring(run: Run, mode: str) -> Iterator[Wiring]:
    found = Wiring(run, mode)
    with found.held:
        yield found


# --- the session ------------------------------------------------------------------------------------------


@dataclass
class Running:
    """A session and what carries it."""

    session: Session
    inbox: Inbox[SessionEvent]
    ticker: Ticker
    workers: Workers
    journal: Journal
    notes: Notes
    pace_s: float

    def end(self, outcome: Outcome) -> Outcome:
        """The last word in the journal; a session that could not be written down did not end well."""
        self.notes.add(SessionEnded(outcome.sentence, int(outcome.code), outcome.is_flat))
        if self.notes.flush():
            return outcome
        sentence = f"{outcome.sentence}; the journal lacks its end: {self.notes.trouble}"
        return replace(outcome, code=outcome.code or ExitCode.FAILED, sentence=sentence)


def running(w: Wiring, inbox: Inbox[SessionEvent]) -> Running:
    """A session that trades: with the winner, and the candles that it looks at."""
    engine, winner = w.winner
    past = _past(w)
    watch = _watch(w)
    watch.winner(True, winner.avg_reward)
    book = warm_book(w, _book(w))
    return _running(w, inbox, past, watch, book, _mind(w, engine, winner), winner.card.model_hash)


def errand(w: Wiring, inbox: Inbox[SessionEvent], mind: Mind, made: Callable[[Parts], Session]) -> Running:
    """A session for one wish of a script's: with the candles and the winner's record, not with its word."""
    _, winner = w.winner
    past, watch = _past(w), _watch(w)
    watch.winner(True, winner.avg_reward)
    return _running(w, inbox, past, watch, warm_book(w, _book(w)), mind, "", made)


def leaving(w: Wiring, inbox: Inbox[SessionEvent], made: Callable[[Parts], Session] = Session) -> Running:
    """A session that only leaves: without a model, without candles, also of shares not traded any more."""
    past, rates = _past(w), read_tariff(FACTS).rates_on(w.day.day)
    w.add_shares(past.machine().units)
    book = _book(w)
    book.on(DayBegan(w.day.windows, rates))
    return _running(w, inbox, past, _watch(w), book, StillMind(), "", made)


def opened_today(w: Wiring) -> list[str]:
    """What the journal of today has not seen closed."""
    return _past(w).machine().open_tickers


def _running(
    w: Wiring, inbox: Inbox[SessionEvent], past: Past, watch: Watch, book: Book, mind: Mind, model_hash: str,
    made: Callable[[Parts], Session] = Session,
) -> Running:  # fmt: skip
    """Everything but the loop, which starts the stream."""
    run, settings, state = w.run, w.run.settings, w.run.settings.state
    opened_at = min((session.opens_at for session in w.day.sessions.values()), default=run.clock.now())
    tokens = {name: share.token for name, share in w.shares.items()}
    workers = Workers(
        w.client, inbox, run.clock, tokens, w.grid.timeframe, opened_at, w.token, pool_on(run.clock)
    )
    w.held.callback(workers.close)
    notes = Notes(w.journal.write, run.clock.now)
    desk = Desk(past.machine(), w.client, notes.record, workers.submit, run.clock)
    feed = Feed(STREAM_MODES[settings.market_data.mode])
    feed.want(tokens.values())
    stream: Inbox[News] = inbox  # type: ignore[assignment]
    ticker = Ticker(w.at.addresses.kite_ws, w.at.api_key, w.token, feed, run.clock, SystemRandom(), stream)
    session = made(
        Parts(
            book, desk, watch, w.day, mind, notes, workers, past,
            {token: name for name, token in tokens.items()}, ticker.silence_s,
            w.client.quoted if isinstance(w.client, PaperClient) else None,
            lambda: secrets.token_hex(4), settings.max_slippage_bps, model_hash,
            lambda text: _complain(halts.halt(state, w.day.day, text, run.clock.now())),
            lambda text: _complain(halts.lock_for_loss(state, w.day.day, text, run.clock.now())),
            run.args.loop_ms / 1_000,
        )
    )  # fmt: skip
    notes.add(
        SessionBegan(
            w.mode, w.at.addresses.broker_host, w.user, VERSION, w.settings_hash, model_hash, os.getpid(),
            bool(past.records), tuple(w.shares), history_hash(w.frames) if model_hash else "",
        )
    )  # fmt: skip
    return Running(session, inbox, ticker, workers, w.journal, notes, run.args.loop_ms / 1_000)


def _past(w: Wiring) -> Past:
    return past_of(entry.fact for entry in w.journal.entries(day=w.day.day))


def _book(w: Wiring) -> Book:
    instruments = {name: share.instrument for name, share in w.shares.items()}
    return Book(w.run.settings.rules(w.max_loss_r()), limits_of(w), instruments)


def _watch(w: Wiring) -> Watch:
    instruments = {name: share.instrument for name, share in w.shares.items()}
    rules = w.run.settings.rules(w.max_loss_r())
    watch = Watch(instruments, rules, limits_of(w), w.run.clock.monotonic(), exempt_of(w.mode))
    _tell_what_is_known(w, watch)
    return watch


def warm_book(w: Wiring, book: Book) -> Book:
    """Ranges and closes of the past, then today's hours and charges."""
    rates = read_tariff(FACTS).rates_on(w.day.day)
    days = past_rows(w.frames[w.grid.timeframe], w.grid, _midnight(w.day.day), WARM_BARS)
    closed = {each: NoWindow("it is over") for each in SymbolClass}
    warm(book, ((DayBegan(closed, rates), rows) for rows in days.values()))
    book.on(DayBegan(w.day.windows, rates))
    return book


def _mind(w: Wiring, engine: "InferenceEngine", winner: "Winner") -> WinnersMind:
    made = recipes(w.run.settings)
    features = LiveFeatures(w.shares, made, lookbacks(w.run.settings))
    features.begin(w.frames)
    grids = [recipe.grid for recipe in made.values()]
    bars = LiveBars(w.shares, grids, w.day.day, w.run.clock.now())
    newest = max(str(frame["timestamp"].max()) for frame in w.frames[w.grid.timeframe].values() if len(frame))
    stamps = {"candles until": newest, "winner": winner.version or "put there by hand"}
    return WinnersMind(engine, bars, features, w.grid.timeframe, stamps)


def _tell_what_is_known(w: Wiring, watch: Watch) -> None:
    """Facts that no event brings."""
    watch.calendar(w.day.is_open, w.day.label, w.day.is_verified)
    watch.instance(True)  # the lock of trade.py is held
    watch.venue(VENUES[w.mode], "paper" if isinstance(w.client, PaperClient) else "the broker")
    watch.token(True)  # the user's id was just asked for by it


def limits_of(w: Wiring) -> Limits:
    settings, risk = w.run.settings, w.run.settings.risk
    return Limits(
        max_slippage_bps=settings.max_slippage_bps,
        order_min_interval_ms=settings.order_min_interval_ms,
        max_orders_per_minute=settings.max_orders_per_minute,
        winner_min_avg_reward=least_reward_of(w.mode, settings.winner_min_avg_reward),
        max_spread_bps=risk.max_spread_bps,
        min_depth_multiple=risk.min_depth_multiple,
        price_band_atr=risk.price_band_atr,
    )


def _complain(trouble: str | None) -> None:
    if trouble:
        log.critical("%s", trouble)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), IST)
