"""What does the market do in a simulated run? One ticker's seconds, drawn for a named situation.

A row a second while the run trades, one in ten seconds afterwards, until the session is over. Locks and
halts are disasters of the exchange and lie over these tapes; gaps are in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random

from exchange.nouns import Depth, Listing
from rulebook.fills import Level
from rulebook.hours import SymbolClass
from rulebook.records import Paise
from tests.exchange_market import CLOSE, DAY, TICK, TableMarket

SITUATIONS = ("calm", "trending", "gapping", "lock", "halt", "thin", "choppy", "squared_off")
LISTINGS = tuple(
    Listing(name, f"Stock {name}", token, TICK, symbol_class=SymbolClass.FNO)
    for token, name in enumerate(("ANT", "BEE"), 1)
)
LOWEST, HIGHEST = 91_00, 109_00  # the tapes keep off the circuit, which is 90 to 110
CONTINUOUS_ENDS_S = 15 * 3600 + 15 * 60
_DENSE_S = 480
_SPARSE_STEP_S = 10


@dataclass(slots=True)
class Seconds:
    """A Tape: columns, and depth made when it is asked for."""

    seconds: list[int]
    lasts: list[int]
    traded: list[int]
    spread_ticks: int
    level_qty: int
    highs: list[int] = field(default_factory=list)
    lows: list[int] = field(default_factory=list)
    volumes: list[int] = field(default_factory=list)
    turnovers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.highs = list(accumulate(self.lasts, max))
        self.lows = list(accumulate(self.lasts, min))
        self.volumes = list(accumulate(self.traded))
        turned = [price * qty for price, qty in zip(self.lasts, self.traded, strict=True)]
        self.turnovers = list(accumulate(turned))

    def depth(self, row: int) -> Depth:
        """Five levels a side; thinner and thicker by turns, so that an order meets another book each time."""
        last, tick, qty = self.lasts[row], int(TICK), 1 + self.level_qty * (1 + row % 3) // 2
        bids = [Level(Paise(last - tick * n), qty * (n + 1)) for n in range(5)]
        asks = [Level(Paise(last + tick * (self.spread_ticks + n)), qty * (n + 1)) for n in range(5)]
        return Depth(tuple(bids), tuple(asks))


def market(seed: int, situation: str, start_s: int) -> TableMarket:
    """Both tickers, each with its own stream."""
    tapes = {
        listing.ticker: seconds_of(Random(f"{seed}:tape:{listing.ticker}"), situation, start_s)
        for listing in LISTINGS
    }
    return TableMarket(tapes, DAY, LISTINGS)  # type: ignore[arg-type]  # a Tape, though not a typed table


def seconds_of(luck: Random, situation: str, start_s: int) -> Seconds:
    dense = list(range(start_s - 5, start_s + _DENSE_S))
    seconds = dense + list(range(start_s + _DENSE_S, CONTINUOUS_ENDS_S, _SPARSE_STEP_S))
    steps = _steps(luck, situation, len(seconds))
    lasts = _walked(steps)
    is_thin = situation == "thin"
    shares = (0, 0, 1, 5, 20) if is_thin else (0, 10, 100, 500, 2_000)
    traded = luck.choices(shares, k=len(seconds))
    return Seconds(
        seconds, lasts, traded, luck.choice((1, 1, 2, 4)), luck.choice((1, 3, 8) if is_thin else (50, 400))
    )


def _steps(luck: Random, situation: str, count: int) -> list[int]:
    """In ticks."""
    match situation:
        case "trending":
            sign = luck.choice((1, -1))
            return [sign * step for step in luck.choices((-1, 0, 0, 1, 1, 2), k=count)]
        case "gapping":
            moves = luck.choices((-2, -1, 0, 0, 1, 2), k=count)
            return [luck.choice((-1, 1)) * luck.randint(10, 80) if luck.random() < 0.01 else m for m in moves]
        case "choppy":
            return luck.choices((-6, -3, -1, 0, 1, 3, 6), k=count)
    return luck.choices((-1, 0, 0, 0, 1), k=count)


def _walked(steps: Sequence[int]) -> list[int]:
    """Prices that turn back at the edges."""
    found, last, sign = [], int(CLOSE), 1
    for step in steps:
        moved = last + sign * step * int(TICK)
        if not LOWEST <= moved <= HIGHEST:
            sign = -sign
            moved = last + sign * step * int(TICK)
        last = min(HIGHEST, max(LOWEST, moved))
        found.append(last)
    return found
