"""Somebody's working folder with its scripts pointed at a local exchange: log in, fetch, look at the files."""

import json
import os
import subprocess
import sys
from pathlib import Path

from exchange.__main__ import ENVIRONMENT
from tests.brokers import request_token
from tests.conftest import ROOT, House
from tests.local_exchange import Running


class Desk(House):
    """A house whose scripts are pointed at the exchange."""

    def __init__(self, folder: Path, running: Running, mode: str) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self.running = running
        self.environ = {name: running.ready[key] for name, key in ENVIRONMENT.items()}
        config = json.loads((folder / "config.json").read_text())
        days = {"5m": "2026-11-02", "15m": "2026-10-12"}
        config |= {"timeframes": ["5m", "15m"], "from_dates": days, "holdout": {"last_sessions": 3}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / ".env").write_text(f"# mine\nBROKER_MODE={mode}\n")
        (folder / ".env").chmod(0o600)

    @property
    def raw(self) -> Path:
        return self.folder / "data" / "raw"

    def fetch(self, *args: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "fetch.py"), *args], cwd=self.folder, env=self.everything(), input=typed,
            capture_output=True, text=True, timeout=900,
        )  # fmt: skip

    def everything(self) -> dict[str, str]:
        """The canary token of the suite would beat the one of .env."""
        inherited = {name: value for name, value in os.environ.items() if name != "ZERODHA_ACCESS_TOKEN"}
        return inherited | self.environ

    def log_in(self) -> None:
        done = self.fetch("--fn", "login", typed=request_token(self.running) + "\n")
        assert done.returncode == 0, done.stderr
