"""The broker's own JavaScript client, unmodified, through a whole session at the local exchange.

It is a judge of ours that we did not write: other hands, another language. It needs node and what
`make javascript` fetches; where they are missing the test says so and is skipped.
"""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.local_exchange import local_exchange

pytestmark = pytest.mark.long

FOLDER = ROOT / "tests" / "javascript"


@pytest.fixture(scope="module")
def told() -> Any:
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules" / "kiteconnect").is_dir():
        pytest.skip("needs node, npm and `make javascript`")
    with local_exchange("--symbols", "5") as running:
        ran = subprocess.run(
            [node, FOLDER / "session.js", json.dumps(running.ready)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert 0 == ran.returncode, ran.stderr
        return {**json.loads(ran.stdout), "ready": running.ready}


def test_it_logs_in_and_reads_the_market(told):
    assert told["ready"]["user_id"] == told["user_id"]
    assert 360 == told["candles"]  # its closing auction has begun at 15:15
    assert told["quote"] > 0


def test_its_ticker_reads_our_ticks(told):
    tick = told["tick"]

    assert (408065, "full") == (tick["instrument_token"], tick["mode"])
    assert told["quote"] == tick["last_price"]
    assert 5 == len(tick["depth"]["buy"])


def test_it_trails_its_stop_and_turns_it_into_the_exit(told):
    assert 0.5 == round(told["trailed"], 2)
    assert ["COMPLETE", "COMPLETE"] == told["statuses"]
    assert {"TRIGGER PENDING", "MODIFIED", "COMPLETE"} <= set(told["history"])


def test_the_books_of_its_day_add_up_to_the_paisa(told):
    flow_paise = sum(
        (1 if trade["transaction_type"] == "SELL" else -1)
        * trade["quantity"]
        * round(100 * trade["average_price"])
        for trade in told["trades"]
    )
    (position,) = told["net"]

    assert (0, flow_paise) == (position["quantity"], round(100 * position["pnl"]))
    assert flow_paise == round(100 * told["cash"]) - 1_000_000_00
