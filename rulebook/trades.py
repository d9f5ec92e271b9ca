"""What did a closed trade earn, in rupees and in what it risked? R, MAE(R), %MFE, IS, adherence.

The formulas are functions of plain numbers, written once for both sides by the side's sign, so that
fast.py can compile the very same ones; ClosedTrade is the record that people and programs read.
Everything is net of charges and slippage. Money is integer paise; ratios are floats. Values are sums
(price x quantity), because an average of several fills need not be a whole number of paise.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag
from itertools import pairwise

from rulebook.records import ExitReason, Paise, Side


class Followed(IntFlag):
    """The eight rules of plan adherence, one bit each."""

    ENTRY_SIGNAL = 1
    SIZE_AS_COMPUTED = 2
    STOP_PLACED = 4
    TRAIL_UPDATED = 8
    NO_REVENGE = 16
    NO_OVERRIDE = 32
    EXIT_BY_RULE = 64
    LOG_COMPLETE = 128


RULES = len(Followed)
ALL_FOLLOWED = ~Followed(0)


def gross_paise(sign: int, entry_value: int, exit_value: int) -> int:
    """What the prices alone gave; values are price x quantity."""
    return sign * (exit_value - entry_value)


def risk_paise(sign: int, entry_value: int, stop: int, qty: int) -> int:
    """What was lost had the initial stop been hit exactly: |entry - stop| x quantity."""
    return sign * (entry_value - stop * qty)


def r_multiple(net: int, risk: int) -> float:
    """Realised net P&L over initial risk."""
    return net / risk


def mae_r(sign: int, entry_value: int, worst: int, qty: int, risk: int) -> float:
    """How far the price went against us, in R; never negative."""
    return max(0, sign * (entry_value - worst * qty)) / risk


def mfe_r(sign: int, entry_value: int, best: int, qty: int, risk: int) -> float:
    """How far it went for us, in R; never negative."""
    return max(0, sign * (best * qty - entry_value)) / risk


def percent_mfe(net: int, sign: int, entry_value: int, best: int, qty: int) -> float:
    """The share of the best price that was kept, in percent; 0 where the price never went our way."""
    offered = sign * (best * qty - entry_value)
    return 100.0 * net / offered if offered > 0 else 0.0


def shortfall_percent(sign: int, decision: int, intended_exit: int, qty: int, net: int, risk: int) -> float:
    """Implementation shortfall: what was planned at no cost less what was realised, in percent of risk."""
    planned = sign * (intended_exit - decision) * qty
    return 100.0 * (planned - net) / risk


def followed(reason: ExitReason, is_stop_placed: bool = True, is_trail_updated: bool = True) -> Followed:
    """What was kept of the eight rules. The other five hold by construction: an entry exists only as the
    book's own answer to a signal, of the size that it computed, after every gate, the cooldown's among
    them; and a trade exists only as records."""
    kept = ALL_FOLLOWED
    if not is_stop_placed:
        kept &= ~Followed.STOP_PLACED
    if not is_trail_updated:
        kept &= ~Followed.TRAIL_UPDATED
    if reason in (ExitReason.EXTERNAL, ExitReason.SQUARE_OFF):
        kept &= ~Followed.EXIT_BY_RULE
    return kept


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """One trade from decision to flat."""

    ticker: str
    side: Side
    qty: int
    decided_at: datetime
    decision_price: Paise
    entered_at: datetime
    entry_value: int
    initial_stop: Paise
    exited_at: datetime
    exit_value: int
    intended_exit: Paise  # the price at which the exit was decided: the stop, the target or the last price
    reason: ExitReason
    worst: Paise
    best: Paise
    charges: int
    followed: Followed = ALL_FOLLOWED
    stop_path: tuple[tuple[datetime, Paise], ...] = ()

    def __post_init__(self) -> None:
        if self.qty <= 0 or self.risk <= 0:
            raise ValueError(
                f"{self.ticker} {self.entered_at}: a trade of {self.qty} shares, risk {self.risk}"
            )

    @property
    def net(self) -> int:
        return gross_paise(self.side, self.entry_value, self.exit_value) - self.charges

    @property
    def risk(self) -> int:
        return risk_paise(self.side, self.entry_value, self.initial_stop, self.qty)

    @property
    def r(self) -> float:
        return r_multiple(self.net, self.risk)

    @property
    def mae_r(self) -> float:
        return mae_r(self.side, self.entry_value, self.worst, self.qty, self.risk)

    @property
    def mfe_r(self) -> float:
        return mfe_r(self.side, self.entry_value, self.best, self.qty, self.risk)

    @property
    def percent_mfe(self) -> float:
        return percent_mfe(self.net, self.side, self.entry_value, self.best, self.qty)

    @property
    def shortfall_percent(self) -> float:
        return shortfall_percent(
            self.side, self.decision_price, self.intended_exit, self.qty, self.net, self.risk
        )

    @property
    def adherence_percent(self) -> float:
        return 100.0 * self.followed.bit_count() / RULES


def step_nets(sign: int, entry_value: int, marks: list[int], qty: int, net: int) -> list[int]:
    """The trade's net spread over its steps: each step's change of value, what is left on the last.

    `marks` are the prices at the end of each step. Costs fall on the last step, so the sum is exactly net.
    """
    values = [sign * (mark * qty - entry_value) for mark in marks[:-1]] + [net]
    return [now - before for before, now in pairwise([0, *values])]


def step_rewards(sign: int, entry_value: int, marks: list[int], qty: int, net: int, risk: int) -> list[float]:
    """The same in R. The paise add up exactly; of floats nothing more can be asked than their rounding."""
    return [r_multiple(step, risk) for step in step_nets(sign, entry_value, marks, qty, net)]
