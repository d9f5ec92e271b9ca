"""What do we do about this event? The rule book: facts in, intents out, the same for everyone who asks.

Theory of operation
-------------------
The book holds what it knows about each ticker (a Position), the day and the account, and it is told
facts only: a day began, a tick was seen, bars closed with what a strategy said about them, an entry
filled, a stop rests, shares left. It answers intents (Enter, MoveStop, Exit) and Considered records
with every gate's verdict. It never asks who carries an intent out, and reads no clock: time is in the
events. The decisions themselves are functions of plain numbers in rules.py, stops.py and gates.py.

position.py has the phases of a position and which may follow which.

Between bar closes a tick advances the extremes and the trail. A price beyond the resting stop is the
broker's to fill; only if the stop is still untriggered two seconds later is it turned into an exit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from rulebook import proposal
from rulebook import rules as say
from rulebook.bars import next_atr, true_range
from rulebook.earnings import Earnings
from rulebook.events import (
    Answer,
    BarsClosed,
    Conditions,
    Considered,
    DayBegan,
    Entered,
    EntryEnded,
    Event,
    Left,
    LossTold,
    Marked,
    Recalled,
    Resumed,
    StopRests,
    Strayed,
    TradeTold,
)
from rulebook.gates import Verdict, evaluate, leaving, passed
from rulebook.hours import Window
from rulebook.position import IllegalStepError, Position
from rulebook.proposal import open_value
from rulebook.records import (
    Bar,
    Decision,
    Enter,
    Exit,
    ExitReason,
    Instrument,
    Intent,
    MoveStop,
    Paise,
    Phase,
    Side,
    Tick,
)
from rulebook.rules import Rules
from rulebook.situation import Limits, ProposedOrder, Situation
from rulebook.stops import (
    better,
    half_up,
    initial,
    is_crossed,
    is_hit,
    is_reached,
    is_worth_moving,
    may_move,
    risk,
    target,
    trailed,
    worse,
)
from rulebook.trades import ClosedTrade, followed

TRIGGER_PATIENCE = timedelta(seconds=2)


class Book:
    """The rule book of one account."""

    def __init__(self, rules: Rules, limits: Limits, instruments: Mapping[str, Instrument]) -> None:
        self.rules = rules
        self.limits = limits
        self.positions = {name: Position(instruments[name]) for name in sorted(instruments)}
        self.closed: list[ClosedTrade] = []
        self.earnings = Earnings()
        self._day: DayBegan | None = None
        self._conditions: Conditions | None = None

    def on(self, event: Event) -> tuple[Answer, ...]:
        """Take a fact in, answer what to do about it."""
        match event:
            case Tick():
                return tuple(self._on_tick(event))
            case BarsClosed():
                return tuple(self._on_bars(event))
            case Marked():
                return tuple(self._on_marked(event))
            case DayBegan():
                self._begin_day(event)
            case Conditions():
                self._conditions = event
            case LossTold():
                self.earnings.is_locked = True
            case Strayed():
                risked = next((t.risk for t in reversed(self.closed) if t.ticker == event.ticker), 0)
                self.earnings.lose(event.bought, event.sold, risked)
            case _:
                self._learn(event)
        return ()

    def _learn(self, event: Event) -> None:
        """A fact about one position."""
        match event:
            case Entered():
                self._on_entered(event)
            case EntryEnded():
                self._on_entry_ended(event)
            case StopRests():
                self._on_stop_rests(event)
            case Left():
                self._on_left(event)
            case TradeTold():
                self._on_trade_told(event.trade)
            case Resumed():
                self._on_resumed(event)
            case Recalled():
                self._on_recalled(event)

    @property
    def is_locked(self) -> bool:
        return self.earnings.is_locked

    @property
    def active(self) -> int:
        """Open, opening and unknown: all of it is exposure."""
        return sum(position.phase is not Phase.FLAT for position in self.positions.values())

    # --- facts about a position ---------------------------------------------------------------------

    def _on_entered(self, event: Entered) -> None:
        p = self.positions[event.ticker]
        if event.qty == p.qty and p.phase in (Phase.PROTECTED, Phase.EXITING):
            p.entry_value = event.value  # of the same shares, to the paisa now
            return
        if event.qty < p.qty and p.phase is Phase.PROTECTED:
            raise IllegalStepError(f"{event.ticker}: an entry of {event.qty} after one of {p.qty} shares")
        if p.phase is not Phase.EXITING:  # shares that come while we leave are left as well
            p.step(Phase.PROTECTED)
        p.qty, p.entry_value = event.qty, event.value
        p.entered_at = p.entered_at or event.at
        price, tick = half_up(event.value, event.qty) // event.qty, p.instrument.tick
        p.best = p.worst = price
        p.stop = p.resting = initial(p.sign, price, p.gap, tick)
        p.risk = risk(p.sign, price, p.stop)
        p.trail = trailed(p.sign, p.stop, price, p.risk, self.rules.trail_milli, tick)
        p.goal = target(p.sign, price, p.risk, self.rules.target_milli, tick)

    def _on_entry_ended(self, event: EntryEnded) -> None:
        p = self.positions[event.ticker]
        if p.phase is Phase.ENTERING:
            p.step(Phase.FLAT)

    def _on_stop_rests(self, event: StopRests) -> None:
        p = self.positions[event.ticker]
        if p.phase is Phase.PROTECTED:
            p.resting = event.stop
            p.stop_path.append((event.at, event.stop))

    def _on_left(self, event: Left) -> None:
        p = self.positions[event.ticker]
        if event.qty > p.left or p.phase not in (Phase.PROTECTED, Phase.EXITING):
            raise IllegalStepError(f"{event.ticker}: {event.qty} shares left of {p.left} that are ours")
        p.best, p.worst = better(p.sign, p.best, event.price), worse(p.sign, p.worst, event.price)
        p.gone += event.qty
        p.exit_value += event.value
        p.fees += event.fee
        p.step(Phase.EXITING if p.left else Phase.FLAT)
        if p.left == 0:
            self._close(p, event)

    def _close(self, p: Position, event: Left) -> None:
        assert p.decided_at is not None and p.entered_at is not None
        charges = self.earnings.paid(p.sign, p.entry_value) + self.earnings.paid(-p.sign, p.exit_value)
        trade = ClosedTrade(
            ticker=event.ticker,
            side=Side(p.sign),
            qty=p.qty,
            decided_at=p.decided_at,
            decision_price=Paise(p.decision),
            entered_at=p.entered_at,
            entry_value=p.entry_value,
            initial_stop=Paise(p.stop),
            exited_at=event.at,
            exit_value=p.exit_value,
            intended_exit=event.intended,
            reason=event.reason,
            worst=Paise(p.worst),
            best=Paise(p.best),
            charges=charges + p.fees,
            followed=followed(event.reason, bool(p.stop_path), p.asked in (0, p.resting)),
            stop_path=tuple(p.stop_path),
        )
        self._count(p, trade)
        p.qty = p.gone = p.exit_value = p.fees = 0
        p.entered_at = p.beyond_since = p.moved_at = None
        p.moves = p.asked = 0
        p.stop_path = []

    def _count(self, p: Position, trade: ClosedTrade) -> None:
        self.closed.append(trade)
        self.earnings.add(trade)
        if trade.reason in (ExitReason.STOP, ExitReason.TRAIL):
            p.bars_since_stop_out = -1  # the close of this bar counts it to 0

    # --- what happened before this book -------------------------------------------------------------

    def _on_trade_told(self, trade: ClosedTrade) -> None:
        self.earnings.entries += 1
        self._count(self.positions[trade.ticker], trade)

    def _on_resumed(self, event: Resumed) -> None:
        self._begin_trade(event.ticker, event.side, event.qty, event.distance, event.decided_at)
        self.positions[event.ticker].decision = event.decision_price

    def _on_recalled(self, event: Recalled) -> None:
        p = self.positions[event.ticker]
        p.best, p.worst = better(p.sign, p.best, event.best), worse(p.sign, p.worst, event.worst)
        p.trail = trailed(p.sign, p.trail, p.best, p.risk, self.rules.trail_milli, p.instrument.tick)

    # --- a tick -------------------------------------------------------------------------------------

    def _on_tick(self, tick: Tick) -> Iterator[Intent]:
        p = self.positions[tick.ticker]
        if p.phase is not Phase.PROTECTED:
            return
        if is_hit(p.sign, p.resting, tick.price):
            yield from self._wait_for_the_stop(p, tick)
            return
        p.beyond_since = None
        p.best, p.worst = better(p.sign, p.best, tick.price), worse(p.sign, p.worst, tick.price)
        p.trail = trailed(p.sign, p.trail, p.best, p.risk, self.rules.trail_milli, p.instrument.tick)
        reason = self._reason_to_leave(p, tick)
        if reason is not None:
            yield self._exit(p, tick.at, reason, tick.price)
        elif self._wants_to_move(p, tick.at):
            p.moves += p.trail != p.asked
            p.asked, p.moved_at = p.trail, tick.at
            yield MoveStop(tick.at, tick.ticker, Paise(p.trail))

    def _wait_for_the_stop(self, p: Position, tick: Tick) -> Iterator[Intent]:
        """The broker's stop is being hit; one that does not trigger is no protection."""
        p.beyond_since = p.beyond_since or tick.at
        if tick.at - p.beyond_since >= TRIGGER_PATIENCE:
            yield self._exit(p, tick.at, ExitReason.STOP, Paise(p.resting))

    def _reason_to_leave(self, p: Position, tick: Tick) -> ExitReason | None:
        if is_crossed(p.sign, p.trail, tick.price):
            return ExitReason.TRAIL
        if is_reached(p.sign, p.goal, tick.price):
            return ExitReason.TARGET
        window = self._window(p)
        if self.rules.is_intraday and (window is None or tick.at >= window.safe_end):
            return ExitReason.CLOCK
        return None

    def _wants_to_move(self, p: Position, at: datetime) -> bool:
        if not is_worth_moving(p.sign, p.resting, p.trail, p.risk, p.instrument.tick):
            return False
        since_s = 10**6 if p.moved_at is None else int((at - p.moved_at).total_seconds())
        return may_move(p.moves, since_s)

    def _exit(self, p: Position, at: datetime, reason: ExitReason, intended: Paise) -> Exit:
        p.step(Phase.EXITING)
        return Exit(at, p.instrument.ticker, reason, intended)

    # --- a bar's close --------------------------------------------------------------------------------

    def _begin_day(self, event: DayBegan) -> None:
        self._day = event
        self.earnings = Earnings(event.rates)
        for p in self.positions.values():
            p.last_today = 0

    def _on_bars(self, event: BarsClosed) -> Iterator[Answer]:
        for name, p in self.positions.items():
            p.bars_since_stop_out += 1
            bar = event.bars.get(name)
            if bar is not None and not bar.filled:
                p.atr_milli = next_atr(p.atr_milli, p.bars_seen, true_range(bar.high, bar.low, p.last_today))
                p.bars_seen += 1
                p.last = p.last_today = bar.close
        self.earnings.judge(self.positions.values(), {}, self.rules)
        for name, p in self.positions.items():
            if p.phase is Phase.PROTECTED:
                yield from self._send_away(event, name, p)
        yield from self._contest(event)

    def _on_marked(self, event: Marked) -> Iterator[Exit]:
        self.earnings.judge(self.positions.values(), event.prices, self.rules)
        for name, p in self.positions.items():
            if self.is_locked and p.phase is Phase.PROTECTED:
                yield self._exit(p, event.at, ExitReason.LOSS_LOCK, event.prices.get(name, Paise(p.last)))

    def _traded(self, event: BarsClosed, name: str) -> Bar | None:
        bar = event.bars.get(name)
        return None if bar is None or bar.filled else bar

    def _send_away(self, event: BarsClosed, name: str, p: Position) -> Iterator[Exit]:
        window = self._window(p)
        is_late = self.rules.is_intraday and (window is None or event.at >= window.safe_end)
        is_early = self.rules.is_intraday and window is not None and event.at < window.start
        reason = say.CLOCK if is_late else say.STAY
        if self._traded(event, name) is not None and not is_early:
            said = event.decisions.get(name)
            action = said.action.sign if said else 0
            reason = say.exit_at_close(p.sign, action, p.last, p.trail, is_late)
        if self.is_locked:
            reason = say.LOSS_LOCK
        if reason != say.STAY:
            yield self._exit(p, event.at, ExitReason(reason), Paise(p.last))

    def _contest(self, event: BarsClosed) -> Iterator[Answer]:
        """The max-confidence ticker, or with the contest switched off each that takes part.

        Who cannot be entered at all leaves it; that is asked of the best first, until one stays.
        """
        told = ((name, said) for name in self.positions if (said := event.decisions.get(name)) is not None)
        waiting = {name: said for name, said in told if self._takes_part(event, name, said)}
        while waiting:
            name = self._preferred(waiting)
            verdicts = self.judge(event.at, name, waiting.pop(name))
            if not leaving(verdicts):
                yield from self._enter(event, name, verdicts)
                if self.rules.one_entry_a_bar:
                    return

    def _preferred(self, waiting: Mapping[str, Decision]) -> str:
        best, best_sure, is_best_free = "", -1.0, False
        for name, said in waiting.items():
            is_free = self.positions[name].phase is Phase.FLAT
            if not best or say.prefers(said.confidence, is_free, best_sure, is_best_free):
                best, best_sure, is_best_free = name, said.confidence, is_free
            if not self.rules.one_entry_a_bar:
                break
        return best

    def _takes_part(self, event: BarsClosed, name: str, said: Decision) -> bool:
        if not say.takes_part(said.action.sign, said.confidence, self.rules) or self.is_locked:
            return False
        return self._traded(event, name) is not None

    def _enter(self, event: BarsClosed, name: str, verdicts: tuple[Verdict, ...]) -> Iterator[Answer]:
        p, said = self.positions[name], event.decisions[name]
        entered = p.phase is Phase.FLAT and passed(verdicts)
        yield Considered(event.at, name, said, verdicts, entered)
        if not entered:
            return
        assert self._day is not None
        order = proposal.order(ProposedOrder(), p, said, self.rules, self._day)
        assert order.side is not None and order.qty is not None and order.distance is not None
        self._begin_trade(name, order.side, order.qty, order.distance, event.at)
        yield Enter(event.at, name, order.side, order.qty, Paise(p.last), order.distance)

    def _begin_trade(self, name: str, side: Side, qty: int, distance: Paise, decided_at: datetime) -> None:
        p = self.positions[name]
        p.step(Phase.ENTERING)
        p.sign, p.gap = int(side), distance
        p.qty, p.wanted = 0, qty
        p.decided_at, p.decision = decided_at, p.last
        self.earnings.entries += 1

    def judge(self, at: datetime, name: str, said: Decision, is_child: bool = False) -> tuple[Verdict, ...]:
        """Every gate's verdict on entering this ticker now; a child goes on with an entry that is counted."""
        assert self._conditions is not None and self._day is not None, "they come before the first bar"
        p, others = self.positions[name], [p for n, p in self.positions.items() if n != name or not is_child]
        moment = replace(
            self._conditions.moment,
            now=at,
            is_locked=self.is_locked,
            day_milli_r=self.earnings.milli_r,
            day_net=self.earnings.net,
            active_trades=self.active - is_child,
            trades_today=self.earnings.entries - is_child,
            open_value=open_value(others),
        )
        known = self._conditions
        order = proposal.order(known.orders.get(name, ProposedOrder()), p, said, self.rules, self._day)
        facts = proposal.facts(known.tickers[name], p, said, self._day)
        return evaluate(Situation(self.rules, self.limits, moment, facts, order))

    def _window(self, p: Position) -> Window | None:
        assert self._day is not None, "a day has begun before anything else"
        window = self._day.windows[p.instrument.symbol_class]
        return window if isinstance(window, Window) else None
