"""What happens when bars are walked event by event, through the rule book itself?

The slow, plain twin of walk.py: a venue of one bar at a time that fills what the book asks for by
fills.py and tells it what came of it. It exists for truth (tests hold walk.py to it, to the paisa) and
as the place to look when a trade needs explaining. The book cannot tell that the venue is simulated.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rulebook.bars import path
from rulebook.book import Book
from rulebook.charges import square_off_fee
from rulebook.events import Answer, BarsClosed, Conditions, DayBegan, Entered, EntryEnded, Left, StopRests
from rulebook.fills import at_market, fillable, stop_price
from rulebook.gates import MAY_NOT_APPLY
from rulebook.position import Position
from rulebook.records import Bar, Decision, Enter, Exit, ExitReason, MoveStop, Paise, Phase, Tick
from rulebook.situation import Moment, TickerFacts
from rulebook.stops import initial, is_hit, is_reached, risk


@dataclass(frozen=True, slots=True)
class Row:
    """One boundary of the base timeframe: the bars that closed, finer ones inside them, the decisions."""

    opened_at: datetime
    bars: Mapping[str, Bar]
    decisions: Mapping[str, Decision]
    finer: Mapping[str, Sequence[Bar]]


def conditions(tickers: Iterable[str]) -> Conditions:
    """A venue of candles: it has no connection, no token and no depth, and says so; all else is well."""
    moment = Moment(
        now=datetime.min.replace(tzinfo=UTC),
        exempt=MAY_NOT_APPLY,
        venue_asked="candles",
        venue_reached="candles",
        is_killed=False,
        is_reconciled=True,
        is_trading_day=True,
        is_calendar_verified=True,
        is_winner_intact=True,
    )
    facts = {
        name: TickerFacts(name=name, bars_needed=0, are_features_finite=True, unknown_orders=0)
        for name in tickers
    }
    return Conditions(moment, facts, {})


class Venue:
    """Fills orders against bars, tells the book, and keeps what has not been filled yet."""

    def __init__(self, book: Book, length_s: int, fine_length_s: int = 60) -> None:
        self.book = book
        self._length_s = length_s
        self._fine_length_s = fine_length_s
        self._entries: dict[str, Enter] = {}
        self._exits: dict[str, Exit] = {}

    def session(self, day: DayBegan, rows: Iterable[Row]) -> None:
        """One day, from its first bar to the square-off."""
        self.book.on(day)
        self.book.on(conditions(self.book.positions))
        ends_at: datetime | None = None
        for row in rows:
            for name, position in self.book.positions.items():
                if position.phase is not Phase.FLAT:
                    self._inside(row, name, position)
            ends_at = row.opened_at + timedelta(seconds=self._length_s)
            for intent in self.book.on(BarsClosed(ends_at, row.bars, row.decisions)):
                self._keep(intent)
        if ends_at is not None and self.book.rules.is_intraday:
            self.close_everything(ends_at, square_off_fee(day.rates))

    def close_everything(self, at: datetime, fee: int) -> None:
        """At each ticker's last price."""
        for name, position in self.book.positions.items():
            if position.phase is Phase.ENTERING:
                self._drop(name)
            elif position.phase is not Phase.FLAT:
                last = Paise(position.last)
                asked = self._exits.pop(name, None)
                intended = asked.intended if asked else last
                self._sell(name, position.left, last, at, ExitReason.SQUARE_OFF, intended, fee)

    def _keep(self, intent: Answer) -> None:
        match intent:
            case Enter():
                self._entries[intent.ticker] = intent
            case Exit():
                self._exits[intent.ticker] = intent

    # --- inside a bar -------------------------------------------------------------------------------

    def _inside(self, row: Row, name: str, position: Position) -> None:
        bar = row.bars.get(name)
        if bar is None or bar.filled:
            if position.phase is Phase.ENTERING:
                self._drop(name)
            return
        if position.phase is Phase.EXITING:
            self._leave(name, position, bar, bar.open, bar.opened_at)
            return
        if position.phase is Phase.ENTERING:
            self._fill_entry(name, position, bar)
        bars = [fine for fine in row.finer.get(name, ()) if not fine.filled]
        for each in bars or [bar]:
            self._through(each, self._fine_length_s if bars else self._length_s, position)

    def _fill_entry(self, name: str, position: Position, bar: Bar) -> None:
        asked, rules, instrument = self._entries.pop(name), self.book.rules, position.instrument
        qty = fillable(asked.qty, bar.volume, rules.volume_share_milli, instrument.lot)
        price = at_market(asked.side, bar.open, rules.fill_cost_bps, instrument.tick)
        stop = initial(asked.side, price, asked.distance, instrument.tick)
        if qty == 0 or risk(asked.side, price, stop) <= 0:
            self._drop(name)
        else:
            self.book.on(Entered(bar.opened_at, name, qty, price * qty))
            self.book.on(StopRests(bar.opened_at, name, Paise(stop)))

    def _drop(self, name: str) -> None:
        self._entries.pop(name, None)
        self.book.on(EntryEnded(name))

    def _through(self, bar: Bar, length_s: int, position: Position) -> None:
        """The path of a bar, until the position is gone or on its way out."""
        for point, tick in enumerate(self._path(bar, length_s, position)):
            if position.phase is not Phase.PROTECTED:
                return
            if is_hit(position.sign, position.resting, tick.price):
                price = stop_price(position.sign, position.resting, tick.price, point == 0)
                stop = Paise(position.resting)
                self._part(bar, position, Paise(price), tick.at, ExitReason.STOP, stop)
                continue
            for intent in self.book.on(tick):
                self._at_once(intent, bar, position, tick)

    def _path(self, bar: Bar, length_s: int, position: Position) -> Iterator[Tick]:
        """The bar's four points; on its way to the better extreme the price passes the target."""
        for point, tick in enumerate(path(bar, length_s, position.sign)):
            if point == 2 and is_reached(position.sign, position.goal, tick.price):
                yield Tick(tick.ticker, tick.at, Paise(position.goal))
            else:
                yield tick

    def _at_once(self, intent: Answer, bar: Bar, position: Position, tick: Tick) -> None:
        match intent:
            case MoveStop():
                self.book.on(StopRests(tick.at, tick.ticker, intent.stop))
            case Exit():
                self._exits[tick.ticker] = intent
                self._leave(tick.ticker, position, bar, tick.price, tick.at)

    # --- leaving --------------------------------------------------------------------------------------

    def _leave(self, name: str, position: Position, bar: Bar, price: Paise, at: datetime) -> None:
        asked = self._exits[name]
        self._part(bar, position, price, at, asked.reason, asked.intended)

    def _part(
        self, bar: Bar, position: Position, price: Paise, at: datetime, reason: ExitReason, intended: Paise
    ) -> None:
        """What this bar can take; the rest is asked for again at the next bar's open."""
        name, share = bar.ticker, self.book.rules.volume_share_milli
        qty = fillable(position.left, bar.volume, share, position.instrument.lot)
        self._exits[name] = Exit(at, name, reason, intended)
        self._sell(name, qty, price, at, reason, intended)
        if position.phase is Phase.FLAT:
            del self._exits[name]

    def _sell(
        self,
        name: str,
        qty: int,
        price: Paise,
        at: datetime,
        reason: ExitReason,
        intended: Paise,
        fee: int = 0,
    ) -> None:
        position = self.book.positions[name]
        paid = at_market(-position.sign, price, self.book.rules.fill_cost_bps, position.instrument.tick)
        self.book.on(Left(at, name, qty, paid * qty, price, reason, intended, fee))
