"""Which names of learning does other code know? The network, replays, the trainer, asking a taught network.

Each stands on a part with its own question: network.py, replay.py, learner.py, policy.py, study.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from learner import Trainer
from network import DuelingDoubleDQN
from policy import manner_of
from replay import Place, ReplayMemory, Transition
from sizes import BUY, HOLD, SELL, Shape

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from settings import Settings
    from winner import Winner

ACTIONS = {BUY: "BUY", SELL: "SELL", HOLD: "HOLD"}
__all__ = [
    "DuelingDoubleDQN",
    "InferenceEngine",
    "Place",
    "ReplayMemory",
    "Trainer",
    "Transition",
    "load_winner",
    "make_features",
]


class InferenceEngine:
    """A taught network that is asked about one moment of the market."""

    def __init__(self, network: DuelingDoubleDQN, tickers: Sequence[str]) -> None:
        self.network, self.tickers = network.eval(), tuple(tickers)
        self.manner = manner_of(network)

    @property
    def lookbacks(self) -> Mapping[str, int]:
        return self.network.shape.lookbacks

    def decide(
        self, windows: Mapping[str, "np.ndarray[Any, Any]"], is_there: "np.ndarray[Any, Any]"
    ) -> dict[str, tuple[str, float]]:
        """An action and its confidence for each ticker that is there; by timeframe bar x ticker x feature."""
        return self.said(self.q(windows, is_there), is_there)

    def said(
        self, q: "np.ndarray[Any, Any]", is_there: "np.ndarray[Any, Any]"
    ) -> dict[str, tuple[str, float]]:
        """What those values come to."""
        sure = self.manner.calibration.probabilities(q)
        found = {}
        for s, ticker in enumerate(self.tickers):
            if is_there[s]:
                side = int(q[s, :HOLD].argmax())
                action = side if q[s, side] - q[s, HOLD] > self.manner.margin else HOLD
                found[ticker] = (ACTIONS[action], float(sure[s, action]))
        return found

    def q(
        self, windows: Mapping[str, "np.ndarray[Any, Any]"], is_there: "np.ndarray[Any, Any]"
    ) -> "np.ndarray[Any, Any]":
        """Ticker x action, net R."""
        seen = [torch.from_numpy(windows[name]).unsqueeze(0) for name in self.lookbacks]
        for name, x in zip(self.lookbacks, seen, strict=True):
            if not torch.isfinite(x).all():
                raise ValueError(f"features of {name} are no numbers")
        with torch.no_grad():
            found: np.ndarray[Any, Any] = (
                self.network(seen, torch.from_numpy(is_there).unsqueeze(0))[0].double().numpy()
            )
        return found


def load_winner(
    path: Path, settings: "Settings", tickers: Sequence[str]
) -> tuple["InferenceEngine", "Winner"]:
    """The promoted model, ready to be asked about these tickers; DataError says what is wrong."""
    import checkpoint
    import winner
    from features import NAMES
    from study import lookbacks

    found, version = winner.load(path), settings.feature_version
    shape = Shape(len(NAMES[version]), lookbacks(settings))
    checkpoint.require(found.stored, version, shape.features, shape.lookbacks)
    network = DuelingDoubleDQN(shape)
    network.load_state_dict(checkpoint.unpack(found.stored))
    return InferenceEngine(network, sorted(tickers)), found


def make_features(
    raw_data: Mapping[str, Mapping[str, "pd.DataFrame"]], cfg: Mapping[str, Any]
) -> dict[str, dict[str, "np.ndarray[Any, Any]"]]:
    """Rows of features by ticker and timeframe, of candles by ticker and timeframe; all tickers together,
    because the market's columns are made of all of them."""
    from processed import columns_of
    from settings import settings_of
    from study import recipes

    found: dict[str, dict[str, np.ndarray[Any, Any]]] = {ticker: {} for ticker in raw_data}
    for name, recipe in recipes(settings_of(cfg)).items():
        frames = {ticker: frames[name] for ticker, frames in raw_data.items() if name in frames}
        for ticker, columns in columns_of(frames, recipe).items() if frames else ():
            found[ticker][name] = columns.values
    return found
