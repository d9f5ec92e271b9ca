"""What every test gets: a loopback-only world, a bare environment, a copy of the house to run in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUARD = ROOT / "tests" / "guard"
OURS = (
    "ZERODHA_",
    "KITE_",
    "NSE_",
    "DASHBOARD_",
    "LEDGER_",
    "BROKER_MODE",
    "LOG_LEVEL",
    "TZ",
    "DAILY_",
    "CLOCK_",
)

sys.path.insert(0, str(GUARD))
import sitecustomize  # type: ignore[import-not-found]  # noqa: E402, F401  (holds this process to loopback)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No switch or secret of the developer's machine takes part; children are held to loopback too."""
    for name in [name for name in os.environ if name.startswith((*OURS, "NO_COLOR"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(GUARD))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


class House:
    """A folder with a config.json, in which the scripts run as the user runs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / "config.json", folder)

    def run(self, script: str, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / f"{script}.py"), *args],
            cwd=self.folder, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)
