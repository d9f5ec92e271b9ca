"""What is done in the place of a trader that does not run? The journal is folded, and what is open is closed.

It needs no model, no candles and no stream, and writes to the disk only what it can. Like a trader it holds
the lock, hears the door and the signals, and ends when everything is flat or has its last order.
"""

import logging
from contextlib import ExitStack
from dataclasses import replace

import locks
from cli import Run
from control import DOOR, LOCK, Door, Request, signals
from keeping import Keeping
from kite.inbox import Inbox
from ledger import Follower, identity_of, journal_paths
from outcome import ConfigError, ExitCode
from pace import paced, until_over
from rulebook.hours import ist_day
from session_end import Outcome
from session_events import Flatten, Halt, SessionEvent, Unlock, Why
from trading_wiring import Wiring, leaving, opened_today, wiring

log = logging.getLogger("trade")


def carry_out(run: Run, what: str, text: str) -> Outcome:
    """Where no trader runs. What no journal of today knows of is not ours to close."""
    run = replace(run, clock=paced(run.clock))
    first = Flatten(text, ends=True) if what == "flatten" else Halt(Why.COMMAND, text)
    with locks.held(run.settings.state / LOCK, "trade.py, leaving", run.clock):
        mode = run.args.mode or ("paper" if run.settings.paper_trading else "live")
        if not _has_orders_of_today(run, mode):
            return Outcome(ExitCode.DONE, "no trader runs, and none has traded today", True)
        with wiring(run, mode) as w:
            if not opened_today(w):
                return Outcome(ExitCode.DONE, "no trader runs, and nothing of today is open", True)
            return leave(w, first)


def leave(w: Wiring, first: SessionEvent) -> Outcome:
    """What is open is closed, by what the journal and the broker know alone. Whoever calls holds the lock."""
    inbox = Inbox[SessionEvent]()
    made = leaving(w, inbox)
    with ExitStack() as open_:
        open_.callback(Keeping(made.journal).close)
        open_door(open_, w.run, inbox)
        open_.enter_context(signals(lambda name: inbox.put(Halt(Why.SIGNAL, f"{name} was received"))))
        inbox.put(first)
        return made.end(until_over(made, w.run.clock))


def open_door(open_: ExitStack, run: Run, inbox: Inbox[SessionEvent]) -> None:
    """Without a door one can still halt by the switch or a signal."""
    try:
        door = Door(run.settings.state / DOOR, lambda request: inbox.put(_of_request(request)))
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


def _has_orders_of_today(run: Run, mode: str) -> bool:
    """Asked before the broker is: a halt where nothing was ever traded must not need a login."""
    day, kind = ist_day(run.clock.now()), "paper" if mode == "paper" else "live"
    for path in journal_paths(run.settings.paths.ledger):
        who, orders = identity_of(path), Follower(path).entries(day=day, kinds=("order",))
        if who is not None and who.mode == kind and next(orders, None) is not None:
            return True
    return False
