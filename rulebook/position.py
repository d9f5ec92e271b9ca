"""What is known about one ticker's position, and which phase may follow which?

    FLAT      -> ENTERING                    an Enter was answered
    ENTERING  -> PROTECTED, FLAT             shares came; or none and none will come
    PROTECTED -> PROTECTED, EXITING, FLAT    more shares; an Exit was answered; the stop sold all
    EXITING   -> EXITING, FLAT, STUCK        part of it is gone; all of it; the square-off is two minutes away
    any       -> UNKNOWN                     the broker's answer is missing: exposure, and no entry
    UNKNOWN   -> any but UNKNOWN             it was settled
    STUCK     -> STUCK, FLAT                 one limit order stands; it was filled, or the broker squared off

Any other step raises IllegalStepError and changes nothing. book.py is the only writer.
"""

from dataclasses import dataclass, field
from datetime import datetime

from rulebook.records import Instrument, Paise, Phase


class IllegalStepError(AssertionError):
    """A fact that cannot follow what the book knows; nothing was changed."""


# From each phase; UNKNOWN hides what lies beneath it, so anything may come out of it.
STEPS: dict[Phase, frozenset[Phase]] = {
    Phase.FLAT: frozenset({Phase.ENTERING, Phase.UNKNOWN}),
    Phase.ENTERING: frozenset({Phase.PROTECTED, Phase.FLAT, Phase.UNKNOWN}),
    Phase.PROTECTED: frozenset({Phase.PROTECTED, Phase.EXITING, Phase.FLAT, Phase.UNKNOWN}),
    Phase.EXITING: frozenset({Phase.EXITING, Phase.FLAT, Phase.UNKNOWN, Phase.STUCK}),
    Phase.UNKNOWN: frozenset(Phase) - {Phase.UNKNOWN},
    Phase.STUCK: frozenset({Phase.STUCK, Phase.FLAT}),
}


@dataclass(slots=True)
class Position:
    """One ticker's life; of an instrument that is FLAT only the first lines mean anything."""

    instrument: Instrument
    phase: Phase = Phase.FLAT
    last: int = 0
    last_today: int = 0  # 0 until the session's first bar
    atr_milli: int = 0
    bars_seen: int = 0
    bars_since_stop_out: int = 10**6
    sign: int = 0
    qty: int = 0
    wanted: int = 0
    gap: int = 0
    decided_at: datetime | None = None
    decision: int = 0
    entered_at: datetime | None = None
    entry_value: int = 0
    stop: int = 0
    risk: int = 0
    trail: int = 0
    resting: int = 0
    goal: int = 0
    best: int = 0
    worst: int = 0
    moves: int = 0
    moved_at: datetime | None = None
    asked: int = 0  # the stop that was last asked for; not yet resting there, it is asked for again
    beyond_since: datetime | None = None
    gone: int = 0
    exit_value: int = 0
    fees: int = 0
    stop_path: list[tuple[datetime, Paise]] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.qty - self.gone

    def step(self, phase: Phase) -> None:
        if phase not in STEPS[self.phase]:
            raise IllegalStepError(f"{self.instrument.ticker}: {self.phase} cannot become {phase}")
        self.phase = phase
