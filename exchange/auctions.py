"""At which price is an auction matched, and what do our orders get in it?

rulebook.auction matches; this file brings the others. The crowd is a ladder around an anchor, as much
bought as sold at every step, so that without us the price is the anchor: the first price of the tape in
the pre-open auction, the market's own official close in the closing one. Thus the market's history and
the venue's auction agree, and a large order of ours still moves its own price.

Not confirmed: how deep such auctions are. A twentieth of the day's volume is taken for the closing one
and the first row's volume for the opening one, at least a hundred shares a step.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from exchange.strips import Strip
from rulebook.auction import Bid, Uncrossed, band, uncross
from rulebook.records import Paise, Side
from rulebook.stops import half_up

REFERENCE_S = 15 * 60  # the closing auction's reference: the last 15 minutes of continuous trading
CLOSE_S = 30 * 60  # the close of a stock without a closing auction: the last 30
STEPS = 10
STEP_BPS = 5
SHARE_OF_THE_DAY = 20
STEP_SHARES_LEAST = 100


class Print(NamedTuple):
    """What the closing auction made public."""

    at_us: int
    price: Paise
    qty: int


class Called(NamedTuple):
    """An auction's price, what everybody traded, and what each of our orders got."""

    price: Paise
    qty: int
    filled: tuple[int, ...]


def average_price(strip: Strip, ends_s: int, length_s: int, tick: Paise) -> Paise | None:
    """The volume-weighted average before that second, on the tick; None where nothing was ever traded.

    Where nothing traded within the window it is the last price (rule of the exchange's close).
    """
    last = strip.row_at(ends_s - 1)
    if last < 0:
        return None
    before = strip.row_at(ends_s - length_s - 1)
    shares = strip.volumes[last] - (strip.volumes[before] if before >= 0 else 0)
    turnover = strip.turnovers[last] - (strip.turnovers[before] if before >= 0 else 0)
    price = turnover // shares if shares > 0 else strip.lasts[last]
    return Paise(max(tick, half_up(price, tick)))


def within_band(price: int, reference: Paise, tick: Paise) -> Paise:
    """The nearest price on the tick that the closing auction takes."""
    lowest, highest = band(reference)
    return Paise(min(max(price, -(-lowest // tick) * tick), highest // tick * tick))


def call(
    own: Sequence[Bid], anchor: Paise, reference: Paise, tick: Paise, shares: int, luck: Random
) -> Called:
    """Match our orders with the crowd; ours come first among equals of one price."""
    crowd = _crowd(anchor, tick, shares, luck)
    kept = [Bid(bid.side, bid.qty, within_band(bid.limit or anchor, reference, tick)) for bid in crowd]
    everybody = [*own, *kept]
    found: Uncrossed = uncross(everybody, reference)
    price = found.price if found.price is not None else anchor
    bought = sum(qty for bid, qty in zip(everybody, found.filled, strict=True) if bid.side is Side.BUY)
    return Called(price, bought, found.filled[: len(own)])


def _crowd(anchor: Paise, tick: Paise, shares: int, luck: Random) -> list[Bid]:
    """Buyers above and below the anchor, sellers in the mirror."""
    step = max(tick, half_up(anchor * STEP_BPS // 10_000, tick))
    crowd: list[Bid] = []
    for n in range(STEPS + 1):
        qty = max(STEP_SHARES_LEAST, shares * luck.randint(50, 150) // (100 * (STEPS + 1)))
        for side in Side:
            better = anchor + side * n * step
            worse = anchor - side * n * step
            crowd += [Bid(side, qty, Paise(max(tick, better)))]
            crowd += [Bid(side, qty, Paise(max(tick, worse)))] if n else []
    return crowd
