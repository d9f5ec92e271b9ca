"""The local exchange as a process, for tests: started, asked over its sockets, stopped."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

from kiteconnect import KiteConnect

from tests.conftest import ROOT

ANSWER_S = 30.0


class Running:
    """A started exchange: its ready line, its control address, a logged-in client of the broker's own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process = process
        line = process.stdout.readline()
        assert line, f"the exchange did not start: {process.wait(ANSWER_S)}"
        self.ready: dict[str, str] = json.loads(line)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = Request(f"{self.ready['control_url']}/{path}", data, method=method)
        with urlopen(asked, timeout=ANSWER_S) as answer:
            return json.load(answer)

    def pass_seconds(self, seconds: float) -> None:
        self.control("POST", "advance", {"seconds": seconds})

    def until(self, moment: str) -> None:
        self.control("POST", "advance", {"to": moment})

    def break_with(self, name: str, **more: Any) -> None:
        self.control("POST", "faults", [{"name": name, **more}])

    def heal(self) -> None:
        self.control("DELETE", "faults")

    def truth(self) -> Any:
        return self.control("GET", "truth")

    def logged_in(self) -> KiteConnect:
        kite = KiteConnect(self.ready["api_key"], root=self.ready["kite_api_url"])
        session = kite.generate_session(self.ready["request_token"], self.ready["api_secret"])
        kite.set_access_token(session["access_token"])
        return kite


@contextmanager
def local_exchange(*flags: str, speed: str = "max", start: str = "2026-11-20T09:20") -> Iterator[Running]:
    """With nobody following, a lock-step clock moves only when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-m", "exchange", "serve", "--port", "0", "--speed", speed, "--start", start, *flags],
        cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Running(process)
    finally:
        process.terminate()
        assert process.wait(ANSWER_S) == 0
        assert process.stdout is not None
        process.stdout.close()
