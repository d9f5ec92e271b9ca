"""What is known now of everything that the gates ask for? Told what happens, it answers Conditions.

Theory of operation
-------------------
The book knows its positions, the day and the account; the gates also ask for what lies outside: the
connection, the broker, each ticker's price. Whoever runs the session tells the Watch of all that as it
happens, and before bars are judged asks it for Conditions. What was never told is None, and None never passes
a gate. Everything that gives permission has to be said; nothing is assumed to be well.

Time is handed in: `now_s` of the monotonic clock for every age and deadline, `now` of the wall clock because
that one is itself on trial (faults.md P6). Prices, silence and the broker's time are watch_facts.py's.

The feed as a whole is HEALTHY while the connection was heard within 5 s and some ticker's stamp moved on over
this connection within 30 s: heartbeats alone are a frozen feed, though REST quotes keep every ticker young
(W2). Otherwise it is DEGRADED, and DOWN when REST fails as well. Where nothing is traded nothing moves, so an
alarm about it is for the hours of continuous trading. Pure: no clock, thread, socket or file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from paper_quotes import Quote
from rulebook.events import Conditions
from rulebook.fills import expected_price
from rulebook.pricing import entry_terms, reference_price
from rulebook.records import Instrument, Paise, Side
from rulebook.rules import Rules, size
from rulebook.situation import NEVER, Health, Limits, Moment, ProposedOrder, TickerFacts
from watch_facts import Prices

MINUTE_S = 60.0
LIVE, PAPER, DRY_RUN = "live", "paper", "dry-run"


def exempt_of(mode: str) -> frozenset[str]:
    """Gates that do not apply in that mode: none, in each of the three.

    On paper only the filling of orders is simulated (trading.md, Modes). Quotes, and with them the feed, the
    token, the clocks, spread, depth and circuits, are the broker's; margin is the paper account's. The books
    on paper are no read of the broker, so there the heartbeat is another authenticated one (the profile).
    """
    if mode not in (LIVE, PAPER, DRY_RUN):
        raise ValueError(f"{mode!r} is no mode: {LIVE}, {PAPER} or {DRY_RUN}")
    return frozenset()


def least_reward_of(mode: str, least: float) -> float | None:
    """On paper a model is needed, and what it has earned is reported: Limits.winner_min_avg_reward."""
    exempt_of(mode)
    return None if mode == PAPER else least


class Watch:
    """One session's. Only the thread that owns it calls it."""

    def __init__(
        self, instruments: Mapping[str, Instrument], rules: Rules, limits: Limits, began_s: float,
        exempt: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self._rules = rules
        self._limits = limits
        self._began_s = began_s
        self._prices = Prices(instruments.values(), limits.ticker_age_s)
        self._moment = Moment(now=datetime.min.replace(tzinfo=UTC), exempt=exempt)
        self._tickers = {name: TickerFacts(name=name) for name in instruments}
        self._leverage_milli: dict[tuple[str, Side], int] = {}
        self._entries_s: list[float] = []
        self._is_connected = False
        self._heard_s: float | None = None
        self._heartbeat_s: float | None = None

    def begin(self, now_s: float) -> None:
        """What took time before it was asked for anything was no silence of the broker."""
        self._began_s = now_s

    # --- told: the market ---

    def quoted(self, quote: Quote, now: datetime, now_s: float, *, is_rest: bool = False) -> None:
        """From the stream, or the answer of a REST call; only that tells circuit limits."""
        self._prices.quoted(quote, now, now_s, is_rest)

    def asked_failed(self, tickers: Iterable[str], now_s: float) -> None:
        """The REST quotes of these did not come, or the answer lacks them."""
        self._prices.failed(tickers, now_s)

    def connected(self, now_s: float) -> None:
        """The stream is up, and has to show again that it moves."""
        self._is_connected, self._heard_s = True, now_s
        self._prices.reconnected()

    def disconnected(self, now_s: float) -> None:
        self.heard(None, now_s)

    def heard(self, silence_s: float | None, now_s: float) -> None:
        """At each look what the feed says of itself (Ticker.silence_s). It counts the heartbeats, which never
        come as far as the session's queue. None: there is no connection."""
        if silence_s is None:
            self._is_connected = False
        else:
            self._heard_s = now_s - max(0.0, silence_s)

    # --- told: the broker and the account ---

    def heartbeat(self, began_s: float, now_s: float) -> None:
        """A whole authenticated read; it tells of the moment at which it began."""
        assert began_s <= now_s, "a read ends after it begins"
        self._heartbeat_s = began_s if self._heartbeat_s is None else max(began_s, self._heartbeat_s)

    def dated(self, offset_s: float, now: datetime, now_s: float) -> None:
        """Our clock, as it stood at `now`, less the Date header of an answer."""
        self._prices.time.dated(now.timestamp() - offset_s, now_s)

    def token(self, is_valid: bool | None) -> None:
        self._moment = replace(self._moment, is_token_valid=is_valid)

    def funds(self, cash: Paise, began_s: float) -> None:
        """What is free, as of a read that began then. After an entry it must be read again."""
        if not self._entries_s or began_s >= max(self._entries_s):
            self._moment = replace(self._moment, margin_available=cash)

    def margin(self, ticker: str, side: Side, leverage_milli: int) -> None:
        """How many times its margin the broker lets one trade today; 0 is unknown."""
        self._leverage_milli[ticker, side] = leverage_milli

    def entry_sent(self, now_s: float) -> None:
        """Also of those that the journal has from before a restart, at the second at which they were sent."""
        self._entries_s.append(now_s)
        self._moment = replace(self._moment, margin_available=None)

    # --- told: the session ---

    def reconciled(self, is_reconciled: bool | None) -> None:
        self._moment = replace(self._moment, is_reconciled=is_reconciled)

    def killed(self, is_killed: bool) -> None:
        """Once set it stays: a switch that flickers, or is deleted, has been seen (faults.md H3)."""
        self._moment = replace(self._moment, is_killed=is_killed or self._moment.is_killed is True)

    def unlocked(self) -> None:
        """By a person, and in so many words."""
        self._moment = replace(self._moment, is_killed=False)

    def winner(self, is_intact: bool | None, reward: float | None) -> None:
        self._moment = replace(self._moment, is_winner_intact=is_intact, winner_reward=reward)

    def calendar(self, is_trading_day: bool | None, label: str, is_verified: bool | None) -> None:
        self._moment = replace(
            self._moment, is_trading_day=is_trading_day, day_label=label, is_calendar_verified=is_verified
        )

    def instance(self, is_only: bool | None) -> None:
        self._moment = replace(self._moment, is_only_instance=is_only)

    def venue(self, asked: str, reached: str | None) -> None:
        self._moment = replace(self._moment, venue_asked=asked, venue_reached=reached)

    def features(self, ticker: str, is_finite: bool | None, bars_needed: int | None) -> None:
        facts = replace(self._tickers[ticker], are_features_finite=is_finite, bars_needed=bars_needed)
        self._tickers[ticker] = facts

    def unknown_orders(self, ticker: str, orders: int | None) -> None:
        """How many of its orders have an UNKNOWN outcome; the machine of orders knows."""
        self._tickers[ticker] = replace(self._tickers[ticker], unknown_orders=orders)

    # --- asked ---

    def conditions(
        self, now: datetime, now_s: float, wanted: Mapping[str, Side | None], closes: Mapping[str, Paise]
    ) -> Conditions:
        """`wanted`: the side of each decision; `closes`: of the bars that the book is told next, or its last
        ones. With them the orders get the size that the book will give them."""
        sides = {name: side for name, side in wanted.items() if side is not None and name in closes}
        return Conditions(
            self._moment_of(now, now_s),
            {name: self._facts(name, now_s) for name in self._tickers},
            {name: self._order(name, side, closes[name]) for name, side in sides.items()},
        )

    def health(self, ticker: str, now_s: float) -> Health:
        return self._prices.health(ticker, now_s)

    def feed_state(self, now_s: float) -> Health:
        """Of the connection, all tickers together."""
        if self._is_heard(now_s):
            moved_s = self._prices.moved_s
            is_moving = moved_s is not None and now_s - moved_s <= self._limits.ticker_age_s
            return Health.HEALTHY if is_moving else Health.DEGRADED
        failed_s, answered_s = self._prices.failed_s, self._prices.answered_s
        alive_s = [second for second in (answered_s, self._heard_s) if second is not None]
        has_failed = failed_s is not None and all(failed_s > second for second in alive_s)
        return Health.DOWN if has_failed else Health.DEGRADED

    def asks(self, now_s: float) -> tuple[str, ...]:
        """For which tickers a REST quote is to be asked for now, in one call; they count as asked for.

        While the connection is ill a ticker is asked for after as many seconds as the connection is given.
        """
        is_well = self.feed_state(now_s) is Health.HEALTHY
        return self._prices.due(now_s, self._limits.ticker_age_s if is_well else self._limits.feed_age_s)

    def drift_s(self, now: datetime, now_s: float) -> float | None:
        """Ours less the broker's."""
        return self._prices.time.drift_s(now, now_s)

    def is_heartbeat_lost(self, now_s: float) -> bool:
        """Then nothing is entered, all is flattened, and the session halts."""
        last_s = self._began_s if self._heartbeat_s is None else max(self._began_s, self._heartbeat_s)
        return now_s - last_s > self._limits.heartbeat_s

    def quote(self, ticker: str) -> Quote | None:
        """The newest that was believed."""
        return self._prices.seen(ticker).quote

    def instrument(self, ticker: str) -> Instrument:
        """With the circuit limits of the newest REST quote."""
        return self._prices.seen(ticker).instrument

    # --- how it is put together ---

    def _is_heard(self, now_s: float) -> bool:
        age_s = _since(self._heard_s, now_s)
        return self._is_connected and age_s is not None and age_s <= self._limits.feed_age_s

    def _moment_of(self, now: datetime, now_s: float) -> Moment:
        last_s = max(self._entries_s, default=None)
        since_ms = NEVER if last_s is None else int(1_000 * max(0.0, now_s - last_s))
        return replace(
            self._moment,
            now=now,
            feed=self.feed_state(now_s),
            feed_age_s=_since(self._heard_s, now_s),
            heartbeat_age_s=_since(self._heartbeat_s, now_s),
            clock_drift_s=self.drift_s(now, now_s),
            since_entry_ms=since_ms,
            entries_last_minute=sum(sent_s > now_s - MINUTE_S for sent_s in self._entries_s),
        )

    def _facts(self, ticker: str, now_s: float) -> TickerFacts:
        seen = self._prices.seen(ticker)
        bids, asks = (seen.quote.bids, seen.quote.asks) if seen.quote else ((), ())
        return replace(
            self._tickers[ticker],
            instrument=seen.instrument,
            feed=self.health(ticker, now_s),
            seen_age_s=seen.age_s(now_s),
            bid=bids[0].price if bids else None,
            ask=asks[0].price if asks else None,
        )

    def _order(self, ticker: str, side: Side, close: Paise) -> ProposedOrder:
        """As the book sizes it, against the quote that is known."""
        seen = self._prices.seen(ticker)
        qty = size(close, seen.instrument.lot, self._rules)
        if seen.quote is None or qty == 0:
            return ProposedOrder()
        last, bids, asks = seen.quote.last, seen.quote.bids, seen.quote.asks
        opposite = asks if side is Side.BUY else bids
        most_bps, tick = self._limits.max_slippage_bps, seen.instrument.tick
        terms = entry_terms(side, qty, last, bids, asks, most_bps, tick)
        pays = expected_price(side, qty, opposite) if terms.price is None else terms.price
        reference = reference_price(last, bids, asks)
        return ProposedOrder(
            reference=reference,
            pays=pays,
            depth_qty=sum(level.qty for level in opposite),
            margin_needed=self._margin(ticker, side, qty * max(reference, pays or reference)),
        )

    def _margin(self, ticker: str, side: Side, value: int) -> int | None:
        leverage_milli = self._leverage_milli.get((ticker, side), 0)
        return -(-1_000 * value // leverage_milli) if leverage_milli > 0 else None


def _since(then_s: float | None, now_s: float) -> float | None:
    return None if then_s is None else max(0.0, now_s - then_s)
