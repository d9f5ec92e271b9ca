"""How old is each price, for which ticker must a quote be asked, and what time is it at the broker?

Theory of operation
-------------------
A price is as old as the exchange's stamp on it when it arrives, and grows older on the monotonic clock. Only
a stamp that moves on makes a ticker younger: a frozen price that comes again and again, or the cached tick of
a new subscription, does not (faults.md W3, W6; kite.md 5.2). The wall clock takes no part in an age once the
broker's time is known, so setting it moves none (P6).

A ticker that is silent for 30 s is DEGRADED, and a REST quote is asked for: at once, then every ASK_AGAIN_S.
    a younger stamp           HEALTHY, its age counted from that stamp
    the same stamp            DEGRADED: the market is quiet, or the broker's own copy is frozen; nothing tells
                              the two apart, and to stay out of a share without one change of its book for
                              half a minute costs nothing. It is not DOWN: what was asked for has come.
    a failure, or no answer   DOWN (trading.md, Gates: "then a REST quote is asked before it is DOWN")

The broker's time is kept as seconds ahead of the monotonic clock, so that a step of our wall clock shows at
the next look, without new evidence. Two witnesses: the Date header, and ticks. A tick is a witness only when
its stamp is the newest of all tickers' and moved on over this connection, for a quiet ticker's packet may
lag; of nine witnesses the median counts, for one may be corrupt (W5). Pure: no clock, no request.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median

from paper_quotes import AHEAD_MOST, Quote
from rulebook.records import Instrument, Paise
from rulebook.situation import Health

ASK_AGAIN_S = 10.0  # for a ticker that stays silent; an answer that takes longer will not come
ASKS_APART_S = 1.0  # the broker's limit on quotes (kite.md 2); one call takes all tickers that are due
DATES_KEPT = 5  # heartbeats; a Date is cut to whole seconds, so the least cut of some is nearest to the truth
TICKS_KEPT = 9


class BrokerTime:
    """What its Date headers and its ticks say about the time. Seconds of the epoch."""

    def __init__(self) -> None:
        self._by_dates: deque[float] = deque(maxlen=DATES_KEPT)  # its time less the monotonic clock's
        self._by_ticks: deque[float] = deque(maxlen=TICKS_KEPT)

    def dated(self, told_s: float, now_s: float) -> None:
        self._by_dates.append(told_s - now_s)

    def stamped(self, stamp_s: float, now_s: float) -> None:
        self._by_ticks.append(stamp_s - now_s)

    def reconnected(self) -> None:
        self._by_ticks.clear()

    def told_s(self, now: datetime, now_s: float) -> float:
        """The best that is known; ours where nothing is."""
        known = self._ahead_s()
        return known[0] + now_s if known else now.timestamp()

    def drift_s(self, now: datetime, now_s: float) -> float | None:
        """Ours less the broker's, by the witness that is further off; None: nobody has said."""
        return max((now.timestamp() - ahead_s - now_s for ahead_s in self._ahead_s()), key=abs, default=None)

    def _ahead_s(self) -> list[float]:
        found = [max(self._by_dates)] if self._by_dates else []
        return [*found, median(self._by_ticks)] if self._by_ticks else found


@dataclass(slots=True)
class Seen:
    """One ticker."""

    instrument: Instrument  # with the circuit limits that were last told
    quote: Quote | None = None  # the newest
    true_s: float | None = None  # when the newest stamp was now
    is_streaming: bool = False  # something came over this connection
    asked_s: float | None = None
    owed_s: float | None = None  # of the oldest question without an answer
    has_failed: bool = False  # what was asked for; until an answer comes, or the stream brings one

    def age_s(self, now_s: float) -> float | None:
        return None if self.true_s is None else max(0.0, now_s - self.true_s)

    def is_silent(self, now_s: float, patience_s: float) -> bool:
        age_s = self.age_s(now_s)
        return age_s is None or age_s > patience_s

    def is_unanswered(self, now_s: float) -> bool:
        return self.has_failed or (self.owed_s is not None and now_s - self.owed_s > ASK_AGAIN_S)

    def is_due(self, now_s: float, patience_s: float) -> bool:
        """Only REST tells the circuit limits, so who has none is asked for, too."""
        if self.asked_s is not None and now_s - self.asked_s < ASK_AGAIN_S:
            return False
        return self.instrument.upper_circuit is None or self.is_silent(now_s, patience_s)

    def is_older(self, at: datetime, volume: int) -> bool:
        """Than what is known: stamps are whole seconds, within one the volume tells (W4)."""
        known = self.quote
        if known is None or known.at is None or at > known.at:
            return False
        return at < known.at or volume < known.volume


class Prices:
    """All tickers of one session."""

    def __init__(self, instruments: Iterable[Instrument], ticker_age_s: float) -> None:
        self.time = BrokerTime()
        self.moved_s: float | None = None  # when the newest stamp that moved on over this connection was now
        self.answered_s: float | None = None
        self.failed_s: float | None = None
        self.refused = 0  # quotes without a price, or stamped in the future
        self._seen = {each.ticker: Seen(each) for each in instruments}
        self._ticker_age_s = ticker_age_s
        self._newest_s: float | None = None  # stamp of this connection, all tickers together
        self._asked_s: float | None = None

    # --- told ---

    def quoted(self, quote: Quote, now: datetime, now_s: float, is_rest: bool) -> None:
        """Of a ticker that nobody trades nothing is kept."""
        seen = self._seen.get(quote.ticker)
        if seen is None:
            return
        if is_rest:
            self._answered(seen, quote, now_s)
        if quote.at is None or quote.last <= 0:
            self._refuse(seen, is_rest)
            return
        told_s, stamp_s = self.time.told_s(now, now_s), quote.at.timestamp()
        is_ahead = stamp_s - told_s > AHEAD_MOST.total_seconds()
        was_streaming = seen.is_streaming
        if not is_rest:
            self._witness(seen, stamp_s, now_s, is_ahead)
        if is_ahead:
            self._refuse(seen, is_rest)
        elif not seen.is_older(quote.at, quote.volume):
            self._take(seen, quote, now_s - max(0.0, told_s - stamp_s), was_streaming and not is_rest)

    def failed(self, tickers: Iterable[str], now_s: float) -> None:
        """No quote came for these: the request failed, or the broker's answer has them not."""
        self.failed_s = now_s
        for ticker in tickers:
            self._seen[ticker].has_failed = True

    def reconnected(self) -> None:
        """What comes first over a connection is cached, and proves nothing."""
        self.moved_s = self._newest_s = None
        self.time.reconnected()
        for seen in self._seen.values():
            seen.is_streaming = False

    # --- asked ---

    def seen(self, ticker: str) -> Seen:
        return self._seen[ticker]

    def health(self, ticker: str, now_s: float) -> Health:
        seen = self._seen[ticker]
        if not seen.is_silent(now_s, self._ticker_age_s):
            return Health.HEALTHY
        return Health.DOWN if seen.is_unanswered(now_s) else Health.DEGRADED

    def due(self, now_s: float, patience_s: float) -> tuple[str, ...]:
        """Which to ask for now; they count as asked for."""
        if self._asked_s is not None and now_s - self._asked_s < ASKS_APART_S:
            return ()
        found = tuple(name for name, seen in self._seen.items() if seen.is_due(now_s, patience_s))
        for seen in map(self._seen.__getitem__, found):
            seen.asked_s = now_s
            seen.owed_s = now_s if seen.owed_s is None else seen.owed_s
        self._asked_s = now_s if found else self._asked_s
        return found

    # --- one quote ---

    def _answered(self, seen: Seen, quote: Quote, now_s: float) -> None:
        self.answered_s = now_s
        seen.owed_s, seen.has_failed = None, False
        if quote.has_circuit:
            lower, upper = Paise(quote.lower_circuit), Paise(quote.upper_circuit)
            seen.instrument = replace(seen.instrument, lower_circuit=lower, upper_circuit=upper)

    def _refuse(self, seen: Seen, is_rest: bool) -> None:
        """An answer that proves nothing is none."""
        self.refused += 1
        seen.has_failed = seen.has_failed or is_rest

    def _witness(self, seen: Seen, stamp_s: float, now_s: float, is_ahead: bool) -> None:
        """A stamp ahead of all that is known is heard, too: if all are, it is our clock that is behind."""
        was_streaming, seen.is_streaming = seen.is_streaming, True
        is_newest = self._newest_s is None or stamp_s > self._newest_s
        if is_newest and not is_ahead:
            self._newest_s = stamp_s
        if was_streaming and is_newest:
            self.time.stamped(stamp_s, now_s)

    def _take(self, seen: Seen, quote: Quote, true_s: float, is_proof: bool) -> None:
        """`is_proof`: of a stream that moves, if the stamp has moved on."""
        assert quote.at is not None
        has_moved = seen.quote is None or seen.quote.at is None or quote.at > seen.quote.at
        seen.quote = quote
        if has_moved:
            seen.true_s = _later(seen.true_s, true_s)
            seen.owed_s, seen.has_failed = None, False
        if has_moved and is_proof:
            self.moved_s = _later(self.moved_s, true_s)


def _later(known_s: float | None, second: float) -> float:
    return second if known_s is None else max(known_s, second)
