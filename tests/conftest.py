"""What every test gets: a loopback-only world, a bare environment, a copy of the house to run in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
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

# Every test runs with these secrets in its environment; none may end up in anything that is written.
CANARIES = {
    name: f"canary{number}9f3e7a1c5b8d" for number, name in enumerate(
        ("ZERODHA_API_KEY", "ZERODHA_API_SECRET", "ZERODHA_ACCESS_TOKEN", "DASHBOARD_AUTH_TOKEN", "LEDGER_HMAC_KEY")
    )
}  # fmt: skip


@pytest.fixture(autouse=True, scope="session")
def no_secret_is_written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end, look into every file that the whole suite has left behind."""
    yield
    base = tmp_path_factory.getbasetemp()
    files = [path for path in base.rglob("*") if path.is_file() and not path.is_symlink()]
    leaks = [
        path for path in files if any(canary.encode() in path.read_bytes() for canary in CANARIES.values())
    ]

    assert [] == leaks


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No switch or secret of the developer's machine takes part; children are held to loopback too."""
    for name in [name for name in os.environ if name.startswith((*OURS, "NO_COLOR"))]:
        monkeypatch.delenv(name)
    for name, canary in CANARIES.items():
        monkeypatch.setenv(name, canary)
    monkeypatch.setenv("PYTHONPATH", str(GUARD))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


class House:
    """A folder with a config.json, in which the scripts run as the user runs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / "config.json", folder)

    def run(self, script: str, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, str(ROOT / f"{script}.py"), *args],
            cwd=self.folder, env={**os.environ, **environ}, capture_output=True, text=True, timeout=110,
        )  # fmt: skip
        assert not any(canary in done.stdout + done.stderr for canary in CANARIES.values())
        return done


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)
