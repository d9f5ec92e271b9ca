"""Where does a protective stop sit? book.py and walk.py ask; orders.py and the venue act on it.

Theory of operation
-------------------
The stop's distance is fixed at the decision, in whole ticks, and never again: it is what makes the
initial risk R a number that the trade can be judged by. The stop itself is the average fill less (for
a short: plus) that distance. From then on the trail follows the best price since entry at
`trail_milli` thousandths of the risk, and only ever tightens. `risk` is per share, |entry - stop|, so
entry + MFE - r x risk is simply best - r x risk.

An average fill, and a fraction of a risk, can lie between two ticks. A stop is then rounded to the
safer side, which is away from the market: it cannot be hit by the rounding, and the real risk, which
is what sizes R, lies between the distance and the distance plus one tick.

Every function here is plain integers in, plain integers out (paise; `sign` is +1 for a long, -1 for a
short), because fast.py compiles these very functions. One formula serves both sides. Knows no clock,
no venue, no float.
"""

MOVE_TICKS_LEAST = 2
MOVE_RISK_MILLI_LEAST = 100  # a tenth of R: modifications are counted by the broker
MOVE_INTERVAL_S = 5
MOVES_MOST = 20  # of the broker's 25; the rest is the exit's
DISTANCE_TICKS_LEAST = 2


def half_up(price: int, tick: int) -> int:
    """The nearest price of the tick grid."""
    return (2 * price + tick) // (2 * tick) * tick


def away(sign: int, price: int, tick: int) -> int:
    """The next price of the grid away from the market: down for a long's stop, up for a short's."""
    return sign * (sign * price // tick) * tick


def distance(atr_milli: int, atr_times_milli: int, cost: int, cost_times_milli: int, tick: int) -> int:
    """The largest of a multiple of ATR(14), a multiple of the round trip's cost a share, and two ticks.

    `atr_milli` is in thousandths of a paisa; the result is in whole ticks, rounded up.
    """
    by_range = -(-atr_milli * atr_times_milli // 1_000_000)
    by_cost = -(-cost * cost_times_milli // 1_000)
    wanted = max(by_range, by_cost, DISTANCE_TICKS_LEAST * tick)
    return -(-wanted // tick) * tick


def initial(sign: int, fill: int, gap: int, tick: int) -> int:
    """Where the first stop goes: the average fill less or plus the distance, never a price of zero."""
    return max(tick, away(sign, fill - sign * gap, tick))


def risk(sign: int, fill: int, stop: int) -> int:
    """What a share loses when the initial stop is hit exactly."""
    return sign * (fill - stop)


def better(sign: int, price: int, other: int) -> int:
    """The one that is further in our direction."""
    return max(price, other) if sign > 0 else min(price, other)


def worse(sign: int, price: int, other: int) -> int:
    """The one that is further against us."""
    return min(price, other) if sign > 0 else max(price, other)


def trailed(sign: int, trail: int, best: int, risk: int, trail_milli: int, tick: int) -> int:
    """A trail only ever tightens; a `trail_milli` of 0 is no trailing."""
    if trail_milli == 0:
        return trail
    behind = -(-risk * trail_milli // 1_000)  # a fraction of a paisa counts as a whole one: away, too
    wanted = away(sign, best - sign * behind, tick)
    return better(sign, trail, wanted)


def is_worth_moving(sign: int, resting: int, trail: int, risk: int, tick: int) -> bool:
    """Whether the resting stop is behind by at least two ticks and a tenth of R."""
    behind = sign * (trail - resting)
    return behind >= MOVE_TICKS_LEAST * tick and 1_000 * behind >= MOVE_RISK_MILLI_LEAST * risk


def may_move(moves: int, seconds_since: int) -> bool:
    """Whether the broker's count of modifications and the pace leave room for one more."""
    return moves < MOVES_MOST and seconds_since >= MOVE_INTERVAL_S


def is_hit(sign: int, stop: int, price: int) -> bool:
    """Touching is enough: the exchange triggers at the price itself."""
    return sign * (price - stop) <= 0


def is_crossed(sign: int, trail: int, price: int) -> bool:
    """Whether the price is beyond the trail, which a resting stop may not have reached yet."""
    return sign * (price - trail) < 0


def target(sign: int, fill: int, risk: int, target_milli: int, tick: int) -> int:
    """The take-profit in R, nearest tick; 0 where there is none (`target_milli` is 0, or it is no price)."""
    if target_milli <= 0:
        return 0
    exactly = 1_000 * fill + sign * risk * target_milli  # rounded once, not to the paisa first
    # Half a tick goes towards the entry: half up would treat a long and a short differently.
    return max(0, -sign * half_up(-sign * exactly, 1_000 * tick) // 1_000)


def is_reached(sign: int, goal: int, price: int) -> bool:
    """Whether there is a target and the price has come to it."""
    return goal > 0 and sign * (price - goal) >= 0
