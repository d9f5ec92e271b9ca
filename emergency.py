"""What do halt, flatten and unlock do from another terminal? Ask the running trader, else act in its place.

A halt is first written where every start looks, so that no trader that a supervisor brings back trades again.
Then the running trader is asked, as the single writer of its journal. Only one that does not answer is
fenced, and what was asked is carried out in its place (stand_in.py). Nothing heavy is imported before the
trader has been asked: a command has half a second until the last order is on its way.
"""

import logging

import fence
import halts
import locks
from cli import Answer, Run
from control import DOOR, LOCK, ask
from outcome import ExitCode, RefusedError
from rulebook.hours import ist_day

log = logging.getLogger("trade")


def halt(run: Run) -> Answer:
    """`--fn halt`: no entries, flat, and no more today."""
    text, state = "trade.py --fn halt", run.settings.state
    now = run.clock.now()
    trouble = halts.halt(state, ist_day(now), text, now)
    if trouble:
        log.critical("%s", trouble)
    return _carried_out(run, "halt", text)


def flatten(run: Run) -> Answer:
    """`--fn flatten`: close what is open; a running trader goes on."""
    return _carried_out(run, "flatten", "trade.py --fn flatten")


def unlock(run: Run) -> Answer:
    """`--fn unlock`: end a halt or a lost day. A running trader refuses: it is about to end by itself."""
    state, lock = run.settings.state, run.settings.state / LOCK
    if locks.holder(lock) is not None:
        answer = ask(state / DOOR, "unlock", "trade.py --fn unlock")
        raise RefusedError(answer or "a trader runs and does not answer; halt it first")
    with locks.held(lock, "trade.py --fn unlock", run.clock):
        from ledger_desk import write_unlocked

        left = halts.unlock(state)
        write_unlocked(run, "trade.py --fn unlock")
    if left:
        return Answer({"unlocked": False}, f"not unlocked: {left}", ExitCode.FAILED)
    return Answer({"unlocked": True}, "unlocked: the next start trades again")


def _carried_out(run: Run, what: str, text: str) -> Answer:
    state, codes = run.settings.state, list[ExitCode]()

    def in_its_place(_: str) -> str:
        from stand_in import carry_out

        outcome = carry_out(run, what, text)
        codes.append(ExitCode.DONE if outcome.is_flat else outcome.code)
        return outcome.sentence

    said = fence.carried_out(
        what,
        lambda each: ask(state / DOOR, each, text),
        lambda: locks.holder(state / LOCK),
        lambda holder: fence.fenced(holder, state / LOCK),
        in_its_place,
    )
    code = codes[-1] if codes else ExitCode.DONE
    return Answer({"asked": what, "answer": said}, f"{what}: {said}", code)
