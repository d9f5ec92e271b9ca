"""What does each task of trade.py do? The session and its loop, the one-shot views, and how a run ends.

The session itself is session.py's; here is the thin shell: one thread, one queue, and what must be opened
before and closed after.
"""

import logging
from contextlib import ExitStack
from typing import Any

import halts
from cli import Answer, Run
from clock import Clock
from control import Door, Request, signals
from kite.inbox import Inbox
from outcome import ConfigError, RefusedError
from rulebook.hours import IST, ist_day
from session_end import Outcome
from session_events import Flatten, Halt, SessionEvent, Unlock, Why
from trading_wiring import Running, Wiring, running, wiring

DOOR = "trade.sock"
TAKE_MOST_S = 0.25  # of this machine, between looks

log = logging.getLogger("trade")


def mode_of(run: Run) -> str:
    """A flag beats the configuration."""
    return run.args.mode or ("paper" if run.settings.paper_trading else "live")


def session(run: Run) -> Answer:
    """`--fn loop`: the whole day."""
    mode = mode_of(run)
    with wiring(run, mode) as w:
        if not w.day.is_open:
            return Answer({"day": str(w.day.day)}, f"{w.day.day} is no trading day: {w.day.label}")
        if w.day.hard_end is None or run.clock.now() >= w.day.hard_end:
            return Answer({"day": str(w.day.day)}, f"the session of {w.day.day} is over for today")
        _require_free(run)
        w.require_fresh_candles()
        _say_where(w)
        found = _traded(w)
        data = {"outcome": found.sentence, "is_flat": found.is_flat, "mode": mode}
        return Answer(data, found.sentence, found.code)


def _traded(w: Wiring) -> Outcome:
    made = running(w)
    state, inbox = w.run.settings.state, made.inbox
    _complain(halts.prepare(state))
    with ExitStack() as open_:
        _open_door(open_, w, inbox)
        switch = halts.SwitchWatch(state, w.day.day, lambda text: inbox.put(Halt(Why.SWITCH, text)))
        open_.callback(switch.close)
        open_.enter_context(signals(lambda name: inbox.put(Halt(Why.SIGNAL, f"{name} was received"))))
        made.ticker.start()
        open_.callback(made.ticker.stop)
        made.workers.leverages()
        outcome = until_over(made, w.run.clock)
        made.end(outcome)
    return outcome


def until_over(made: Running, clock: Clock) -> Outcome:
    """The loop: whatever comes, and a look at the time."""
    session, inbox = made.session, made.inbox
    session.begin()
    while session.outcome is None:
        event = inbox.take(min(TAKE_MOST_S, made.pace_s / max(1.0, rate_of(clock))))
        if event is not None:
            session.on(event)
        session.look()
    return session.outcome


def rate_of(clock: Clock) -> float:
    """How fast the time runs that is followed; 1 for this machine's own."""
    return float(getattr(clock, "rate", 1.0))


def _open_door(open_: ExitStack, w: Wiring, inbox: Inbox[SessionEvent]) -> None:
    """Without a door one can still halt by the switch or a signal."""
    try:
        door = Door(w.run.settings.state / DOOR, lambda request: inbox.put(_of_request(request)))
    except ConfigError as error:
        log.error("%s; halt by .killswitch or by a signal instead", error)
        return
    open_.callback(door.close)


def _of_request(request: Request) -> SessionEvent:
    """What another terminal asks for, as the session hears it."""
    match request.ask:
        case "halt":
            return Halt(Why.COMMAND, request.why or "trade.py --fn halt", request.taken)
        case "flatten":
            return Flatten(request.why or "trade.py --fn flatten", request.taken)
        case _:
            return Unlock(request.why, request.taken)


def _require_free(run: Run) -> None:
    """A halted or lost day stays so for every start, until somebody unlocks it."""
    state, today = run.settings.state, ist_day(run.clock.now())
    why = halts.why_halted(state, today) or halts.why_locked(state, today)
    if why is not None:
        raise RefusedError(f"{why}; unlock with: python trade.py --fn unlock")


def _say_where(w: Wiring) -> None:
    """The banner: mode, host and user."""
    log.info(
        "%s session of %s at %s as %s, %d tickers, exits from %s",
        w.mode.upper(), w.day.day, w.at.addresses.broker_host, w.user, len(w.shares),
        max(window.safe_end for window in w.day.open_windows()).astimezone(IST).strftime("%H:%M:%S"),
    )  # fmt: skip
    for sentence in w.day.pulled():
        log.info("%s", sentence)


def _complain(trouble: str | None) -> None:
    if trouble:
        log.error("%s", trouble)


def show_winner(run: Run) -> Answer:
    """`--fn load_winner`."""
    from ml import load_winner

    _, found = load_winner(run.settings.paths.winner, run.settings, run.settings.tickers)
    data: dict[str, Any] = {"version": found.version, "metrics": dict(found.metrics)}
    text = f"winner {found.version or 'by hand'}: mean net R {found.avg_reward:.4f}, {found.card.model_hash}"
    return Answer(data, text)
