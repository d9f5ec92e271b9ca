"""A trader's folder, ready for a session: logged in, candles fetched, a winner put in force."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from kiteconnect import KiteConnect

import checkpoint
import first_live
import winner
from clock import SystemClock
from env_file import put_value
from features import NAMES
from ledger import Entry, Follower, journal_paths
from sizes import Shape
from tests.brokers import request_token
from tests.conftest import ROOT
from tests.desk import Desk
from tests.local_exchange import Running

USER = "LX0001"  # of the local exchange
LOOKBACKS = {"5m": 32, "15m": 16}
MINUTES = {"1m": 32, "5m": 16}
EAGER, IDLE = -9.0, 9.0  # margins: every bar is a trade, or none
ENDS = ("COMPLETE", "CANCELLED", "REJECTED")
MACHINE = SystemClock()
BARE_MOST_S = 3.0  # of shares, without a stop (faults.md 5, 1)
LOOK_S, PATIENCE_S = 0.05, 60.0  # of this machine


class TraderHouse(Desk):
    """One mode of the broker; few tickers, so that its candles are there in seconds."""

    lookbacks: Mapping[str, int] = LOOKBACKS

    def __init__(
        self, folder: Path, running: Running, mode: str = "raw_http", tickers: str = "INFY,TCS"
    ) -> None:
        super().__init__(folder, running, mode)
        self.configure(tickers=tickers.split(","), lookbacks=self.lookbacks)

    def configure(self, **changes: object) -> None:
        path = self.folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def go_live(self, max_loss_r: float = 3.0) -> "TraderHouse":
        """From now on without a mode flag it is live; the first start needs --confirm-live."""
        self.configure(paper_trading=False)
        with (self.folder / ".env").open("a") as env:
            env.write(f"DAILY_MAX_LOSS_R={max_loss_r}\n")
        return self

    def prepare(self, margin: float = EAGER, avg_reward: float = 0.2) -> "TraderHouse":
        self.log_in()
        done = self.fetch("history", "impute")
        assert done.returncode == 0, done.stderr
        self.promote(margin, avg_reward)
        self.confirm_live()
        return self

    def confirm_live(self) -> None:
        """As if a person had said so at the first live start."""
        host = urlsplit(self.running.ready["kite_api_url"]).netloc
        path = self.folder / "data" / "state" / first_live.NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({f"{USER} at {host}": "2026-11-01T09:00:00+05:30"}))

    def promote(self, margin: float = EAGER, avg_reward: float = 0.2, seed: int = 7) -> None:
        """A network of nobody's teaching; what matters is that it is whole, and what it is asked by."""
        import torch

        from network import DuelingDoubleDQN
        from policy import Calibration, Manner

        torch.manual_seed(seed)
        shape = Shape(len(NAMES[2]), self.lookbacks)
        network = DuelingDoubleDQN(shape)
        manner = Manner(margin, Calibration())
        manner.give_to(network)
        card = checkpoint.Card(
            feature_version=2, features=shape.features, lookbacks=self.lookbacks, settings_hash="s", rules_hash="r",
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


class MinuteHouse(TraderHouse):
    """Bars of one minute, so that a session of five of them is over in seconds; the same rules."""

    lookbacks: Mapping[str, int] = MINUTES

    def prepare(self, margin: float = EAGER, avg_reward: float = 0.2) -> "MinuteHouse":
        days = {"1m": "2026-11-17", "5m": "2026-11-02"}
        self.configure(timeframes=["1m", "5m"], from_dates=days)
        super().prepare(margin, avg_reward)
        return self

    def copied(self, folder: Path) -> "MinuteHouse":
        """The same trader once more: candles and winner as they are, journal and state as on the first day."""
        made = MinuteHouse.__new__(MinuteHouse)
        made.folder, made.running, made.environ = folder, self.running, self.environ
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        made.take_token()
        return made

    def take_token(self) -> None:
        """What a login does, without its process; the token that was in use dies."""
        ready = self.running.ready
        kite = KiteConnect(ready["api_key"], root=ready["kite_api_url"])
        found = kite.generate_session(request_token(self.running), ready["api_secret"])
        put_value(self.env_file, "ZERODHA_ACCESS_TOKEN", found["access_token"])

    @property
    def env_file(self) -> Path:
        return self.folder / ".env"

    @property
    def state(self) -> Path:
        return self.folder / "data" / "state"

    def entries(self, *kinds: str) -> list[Entry]:
        """Of all of its journals; while a session writes them, too."""
        paths = journal_paths(self.folder / "data" / "ledger")
        return [entry for path in paths for entry in Follower(path).entries(kinds=kinds)]

    def facts(self, *kinds: str) -> list[Any]:
        return [entry.fact for entry in self.entries(*kinds)]

    def in_minutes(self, minutes: float) -> str:
        """For --end."""
        return (now_at(self.running) + timedelta(minutes=minutes)).strftime("%H:%M:%S")


class Trader:
    """A session that runs: the process, what it has said so far, and its journal meanwhile."""

    def __init__(self, house: MinuteHouse, *args: str, before: Callable[[], None] | None = None) -> None:
        self.house = house
        self._files = [(house.folder / f"{name}.txt").open("w+") for name in ("out", "err")]
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "trade.py"), *args], cwd=house.folder, env=house.everything(),
            stdout=self._files[0], stderr=self._files[1], preexec_fn=before,
        )  # fmt: skip

    def until(self, is_there: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
        """What it answers first that counts; the session must live until then."""
        over_s = MACHINE.monotonic() + patience_s
        while not (found := is_there()):
            assert MACHINE.monotonic() < over_s, f"waited {patience_s} s in vain:\n{self.said()}"
            assert self.process.poll() is None, f"ended with {self.process.poll()}:\n{self.said()}"
            MACHINE.wait(LOOK_S)
        return found

    def until_said(self, kind: str, count: int = 1) -> Any:
        """That many facts of a kind in the journal; the newest of them."""
        return self.until(lambda: self.house.facts(kind)[count - 1 :])[-1]

    def until_open(self) -> dict[str, Any]:
        """A position of ours at the broker whose stop rests: the stop."""
        running = self.house.running
        return cast("dict[str, Any]", self.until(lambda: open_(running) and stops(running))[0])

    def until_over(self, patience_s: float = PATIENCE_S) -> int:
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {patience_s} s:\n{self.said()}") from None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def said(self) -> str:
        """stdout, then stderr."""
        return "".join(Path(file.name).read_text() for file in self._files)

    def close(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.kill()
        for file in self._files:
            file.close()


@contextmanager
def trading(house: MinuteHouse, *args: str, before: Callable[[], None] | None = None) -> Iterator[Trader]:
    trader = Trader(house, *args, before=before)
    try:
        yield trader
    finally:
        trader.close()


# --- the exchange's truth ---------------------------------------------------------------------------------


def now_at(running: Running) -> datetime:
    return datetime.fromisoformat(running.control("GET", "state")["now"])


def ours(running: Running, since: datetime | None = None) -> list[dict[str, Any]]:
    """Orders that came over the wire with a tag of ours, oldest first."""
    found = [order for order in running.truth()["orders"] if order["by"] == "api" and order["tag"]]
    return [order for order in found if since is None or asked_at(order) >= since]


def entries(running: Running, since: datetime) -> list[dict[str, Any]]:
    """Orders of ours that opened something: the first of each pair, for there is one trade at a time."""
    held: dict[str, int] = {}
    found = []
    for order in ours(running, since):
        sign = 1 if order["side"] == "BUY" else -1
        if held.get(order["ticker"], 0) == 0 and order["filled"]:
            found.append(order)
        held[order["ticker"]] = held.get(order["ticker"], 0) + sign * order["filled"]
    return found


def asked_at(order: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(order["rows"][0][0])


def working(running: Running) -> list[dict[str, Any]]:
    return [order for order in ours(running) if order["status"] not in ENDS]


def stops(running: Running) -> list[dict[str, Any]]:
    return [order for order in working(running) if order["status"] == "TRIGGER PENDING"]


def open_(running: Running) -> dict[str, int]:
    """Shares by ticker, whoever traded them; flat ones are left out."""
    flows = running.truth()["flows"]
    return {name: bought - sold for name, _, bought, _, sold, _ in flows if bought != sold}


def by_hand(running: Running, **what: Any) -> None:
    """As the account's owner does it in the broker's app."""
    running.control("POST", "hand", what)


def cleared(running: Running) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """What was left open and working; it is no more, so that one failure does not become many."""
    left, waiting = open_(running), working(running)
    for order in waiting:
        by_hand(running, do="cancel", order_id=order["order_id"])
    for ticker, qty in left.items():
        by_hand(running, do="place", ticker=ticker, side="SELL" if qty > 0 else "BUY", qty=abs(qty))
    return left, waiting


def bare_s(running: Running, since: datetime) -> float:
    """The longest time for which shares that our orders brought had no closing order of ours beside them."""
    truth, mine = running.truth(), {order["order_id"]: order for order in ours(running, since)}
    happened = [(row[0], order, row) for order in mine.values() for row in order["rows"]]
    happened += [(trade["at"], trade, None) for trade in truth["trades"] if trade["order_id"] in mine]
    longest, over = 0.0, truth["now"]
    for ticker in {order["ticker"] for order in mine.values()}:
        net, rests, bare_at = 0, dict[str, tuple[int, int]](), None
        theirs = sorted((each for each in happened if each[1]["ticker"] == ticker), key=itemgetter(0))
        for at, each in groupby([*theirs, (over, None, None)], key=itemgetter(0)):
            for _, what, row in each:
                sign = 0 if what is None else 1 if what["side"] == "BUY" else -1
                if what is not None and row is None:
                    net += sign * what["qty"]
                elif what is not None and row[1] in {"TRIGGER PENDING", "OPEN", *ENDS}:
                    rests[what["order_id"]] = (sign, 0 if row[1] in ENDS else row[3] - row[2])
            covered = sum(qty for sign, qty in rests.values() if sign * net < 0)
            if bare_at is not None:
                longest = max(longest, _seconds(bare_at, at))
            bare_at = at if covered < abs(net) else None
    return longest


def _seconds(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()
