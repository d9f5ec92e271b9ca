"""What does each task of trade.py do? The session and its loop, the one-shot views, and how a run ends.

The session itself is session.py's; here is the thin shell: one thread, one queue, and what must be opened
before and closed after.
"""

import logging
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import first_live
import halts
from cli import Answer, Run
from control import signals
from dry_run import dry_run
from keeping import Keeping
from kite.inbox import Inbox
from outcome import RefusedError
from pace import paced, streaming, until_over
from rulebook.hours import IST, ist_day
from session_end import Outcome
from session_events import Halt, SessionEvent, Why
from stand_in import leave, open_door
from trading_wiring import Wiring, opened_today, running, wiring
from watch import DRY_RUN

log = logging.getLogger("trade")


def mode_of(run: Run) -> str:
    """A flag beats the configuration."""
    return run.args.mode or ("paper" if run.settings.paper_trading else "live")


def session(run: Run) -> Answer:
    """`--fn loop`: the whole day."""
    mode = mode_of(run)
    if mode == DRY_RUN:
        return dry_run(run)
    run = replace(run, clock=paced(run.clock))
    with wiring(run, mode) as w:
        if not w.day.is_open:
            return Answer({"day": str(w.day.day)}, f"{w.day.day} is no trading day: {w.day.label}")
        if w.day.hard_end is None or run.clock.now() >= w.day.hard_end:
            return Answer({"day": str(w.day.day)}, f"the session of {w.day.day} is over for today")
        halted = _why_not(run)
        found = _traded(w) if halted is None else _left(w, halted)
        data = {"outcome": found.sentence, "is_flat": found.is_flat, "mode": mode}
        return Answer(data, found.sentence, found.code)


def _traded(w: Wiring) -> Outcome:
    """Whoever halts is heard from the first moment on: until the session runs, the inbox keeps the word."""
    inbox, state = Inbox[SessionEvent](), w.run.settings.state
    _complain(halts.prepare(state))
    with ExitStack() as open_:
        open_door(open_, w.run, inbox)
        switch = halts.SwitchWatch(state, w.day.day, lambda text: inbox.put(Halt(Why.SWITCH, text)))
        open_.callback(switch.close)
        open_.enter_context(signals(lambda name: inbox.put(Halt(Why.SIGNAL, f"{name} was received"))))
        if w.mode == "live":
            first_live.confirmed(
                state, w.at.addresses.broker_host, w.user, w.run.args.confirm_live, w.run.clock
            )
        w.require_fresh_candles()
        w.require_worthy_winner()
        _say_where(w)
        made = running(w, inbox)
        open_.callback(Keeping(made.journal).close)
        open_.enter_context(streaming(made.ticker, w.run.clock))
        made.workers.leverages()
        return made.end(until_over(made, w.run.clock))


def _why_not(run: Run) -> str | None:
    """A halted or lost day stays so for every start, until somebody unlocks it."""
    state, today = run.settings.state, ist_day(run.clock.now())
    return halts.why_halted(state, today) or halts.why_locked(state, today)


def _left(w: Wiring, halted: str) -> Outcome:
    """A halt that a crash cut short is brought to its end; otherwise nothing is started."""
    if not opened_today(w):
        raise RefusedError(halted)
    log.critical("halted, and not flat: %s", halted)
    return leave(w, Halt(Why.COMMAND, halted))


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
