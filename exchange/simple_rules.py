"""What would a simple rule have earned from a planted edge, before costs? Three rules of a few observables.

They know nothing that is hidden: five-minute closes and volumes of the day so far, and the leader's. Each
waits for its sign at the close of a bar, takes a position there and holds it for as long as the shortest
drift and a bar. A market in which an edge is off, or planted without its drift, pays them nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from exchange.edges import BARS_BEFORE, DRIFT_BARS_LEAST, Name
from exchange.listings import Profile, known, leader_of
from exchange.stylised import Floats, Panel

HOLD = DRIFT_BARS_LEAST + 1
FIRST_BAR = 2 * BARS_BEFORE
SHOCK_MOVE = 2.0  # of a bar's usual size at that time, in standard deviations
SHOCK_VOLUME = 2.5
QUIET = 0.75
FAR = 0.55  # of a session's standard deviation, as the edge has it

Signs = NDArray[np.int64]


def earned(panel: Panel, name: Name) -> Floats:
    """Basis points of each trade, in no order that matters."""
    signs = _SIGNS[name](panel)
    gains = []
    for day, stock, bar in np.argwhere(signs != 0).tolist():
        after = panel.returns[day, stock, bar + 1 : bar + 1 + HOLD]
        if bar >= FIRST_BAR and len(after) == HOLD:
            gains.append(signs[day, stock, bar] * after.sum() * 10_000)
    return np.array(gains)


def _after_quiet(panel: Panel) -> Signs:
    """Go with a jump on volume that came out of calm bars."""
    size = np.abs(_scaled(panel))
    before = np.full(size.shape, np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(size, BARS_BEFORE, axis=2)
    before[:, :, BARS_BEFORE:] = windows[:, :, :-1].mean(axis=3)
    is_calm = before < QUIET * size.mean(axis=(0, 2), keepdims=True)
    signs: Signs = _shocks(panel) * is_calm
    return signs


def _back_to_average(panel: Panel) -> Signs:
    """Go against a price that has left the day's average price far behind."""
    path = np.cumsum(panel.returns, axis=2)
    middle = path - panel.returns / 2
    average = np.cumsum(middle * panel.volumes, axis=2) / np.cumsum(panel.volumes, axis=2)
    usual = np.array([[_profile(ticker).volatility_bp] for ticker in panel.tickers]) / 10_000
    away = path - average
    return (-np.sign(away) * (np.abs(away) > FAR * usual)).astype(np.int64)


def _after_the_leader(panel: Panel) -> Signs:
    """Go with the leader of the industry when it jumps."""
    signs, shocks = np.zeros(panel.returns.shape, np.int64), _shocks(panel)
    for follower, leader in _led(panel.tickers).items():
        signs[:, follower] = shocks[:, leader]
    return signs


_SIGNS: Mapping[Name, Callable[[Panel], Signs]] = {
    Name.MOMENTUM: _after_quiet,
    Name.VWAP: _back_to_average,
    Name.LEAD_LAG: _after_the_leader,
}


def _led(tickers: Sequence[str]) -> dict[int, int]:
    """Which stock of the panel follows which."""
    found = {}
    for number, ticker in enumerate(tickers):
        leader = leader_of(_profile(ticker)).ticker
        if leader != ticker and leader in tickers:
            found[number] = tickers.index(leader)
    return found


def _profile(ticker: str) -> Profile:
    profile = known(ticker)
    assert profile is not None, f"{ticker} is no stock of the table"
    return profile


def _shocks(panel: Panel) -> Signs:
    """Bars that move far on much volume, by their direction."""
    scaled, volumes = _scaled(panel), panel.volumes
    usual = scaled.std(axis=(0, 2), keepdims=True)
    busy = volumes / volumes.mean(axis=0, keepdims=True)
    is_shock = (np.abs(scaled) > SHOCK_MOVE * usual) & (busy > SHOCK_VOLUME)
    signs: Signs = (np.sign(scaled) * is_shock).astype(np.int64)
    return signs


def _scaled(panel: Panel) -> Floats:
    """Returns without the time of day."""
    scaled: Floats = panel.returns / np.abs(panel.returns).mean(axis=(0, 1))
    return scaled
