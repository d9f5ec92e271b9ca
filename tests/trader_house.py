"""A trader's folder, ready for a session: logged in, candles fetched, a winner put in force."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import torch

import checkpoint
import winner
from features import NAMES
from network import DuelingDoubleDQN
from policy import Calibration, Manner
from sizes import Shape
from tests.conftest import ROOT
from tests.desk import Desk
from tests.local_exchange import Running

LOOKBACKS = {"5m": 32, "15m": 16}
EAGER, IDLE = -9.0, 9.0  # margins: every bar is a trade, or none


class TraderHouse(Desk):
    """One mode of the broker; few tickers, so that its candles are there in seconds."""

    def __init__(
        self, folder: Path, running: Running, mode: str = "raw_http", tickers: str = "INFY,TCS"
    ) -> None:
        super().__init__(folder, running, mode)
        self.configure(tickers=tickers.split(","), lookbacks=LOOKBACKS)

    def configure(self, **changes: object) -> None:
        path = self.folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def prepare(self, margin: float = EAGER, avg_reward: float = 0.2) -> "TraderHouse":
        self.log_in()
        done = self.fetch("history", "impute")
        assert done.returncode == 0, done.stderr
        self.promote(margin, avg_reward)
        return self

    def promote(self, margin: float = EAGER, avg_reward: float = 0.2) -> None:
        """A network of nobody's teaching; what matters is that it is whole, and what it is asked by."""
        torch.manual_seed(7)
        shape = Shape(len(NAMES[2]), LOOKBACKS)
        network = DuelingDoubleDQN(shape)
        manner = Manner(margin, Calibration())
        manner.give_to(network)
        card = checkpoint.Card(
            feature_version=2, features=shape.features, lookbacks=LOOKBACKS, settings_hash="s", rules_hash="r",
            first_day=date(2026, 10, 1), last_day=date(2026, 11, 1), data_hashes={}, seeds=(7,), steps=1,
            made_at=datetime(2026, 11, 1, tzinfo=UTC), margin=margin,
        )  # fmt: skip
        folder = self.folder / "models" / "winner"
        folder.mkdir(parents=True, exist_ok=True)
        whole = checkpoint.write(folder / winner.MODEL, checkpoint.pack(network.state_dict()), card)
        told = {"avg_reward": avg_reward, "evaluated_at": "2026-11-01T00:00:00+00:00", "steps": 1}
        (folder / winner.METRICS).write_text(json.dumps(told | {"model_hash": whole.model_hash}))

    def trade(self, *args: str, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "trade.py"), *args], cwd=self.folder, env=self.everything(),
            capture_output=True, text=True, timeout=timeout_s,
        )  # fmt: skip

    def start(self, *args: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, str(ROOT / "trade.py"), *args], cwd=self.folder, env=self.everything(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.environ}
