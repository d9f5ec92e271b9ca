"""How fast is the local exchange? Its start, orders over REST, ticks over the stream, a session in process.

It runs as a process of its own, as for its users, and this one is its only client. Rates of virtual time
are high, so that neither the broker's caps nor the pace of a market is what limits the figure.
"""

import asyncio
import http.client
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from functools import partial

from websockets.asyncio.client import ClientConnection, connect

from bench import machine
from bench.results import Outcome, least, most, row
from bench.turns import ROOT
from exchange.faults import Faults
from exchange.synthetic import SyntheticMarket
from exchange.venue import Exchange
from facts import read_calendar, read_tariff
from kite.texts import mode_text, subscribe_text
from kite.wire import Mode
from rulebook.hours import IST
from tests.local_exchange import local_exchange

NAME = "exchange"
SYMBOLS, SEED = 50, 1
TURNS, QUICK_TURNS = 7, 3
ORDERS, ORDERS_SPEED = 800, "400"  # of one turn; the day's cap is 5,000 and the second's ten
TICKS_S, TICKS_SPEED = 3.0, "3000"  # more than can be sent
OPENS, CLOSES = (datetime(2026, 11, 20, *clock, tzinfo=IST) for clock in ((9, 14), (15, 31)))
ORDER = (
    "exchange=NSE&tradingsymbol=INFY&transaction_type=BUY&quantity=1&product=MIS&validity=DAY"
    "&order_type=LIMIT&price={price}"
)


async def measure(quick: bool) -> Outcome:
    turns = range(QUICK_TURNS if quick else TURNS)
    starts = [_start_s() for _ in turns]
    orders = [_order_seconds() for _ in turns]
    rates = [len(times) / sum(times) for times in orders]
    slowest = [1_000 * sorted(times)[len(times) * 99 // 100] for times in orders]
    streams = [await _stream() for _ in turns]
    packets = [packets_per_cpu_s for packets_per_cpu_s, _ in streams]
    silences = [silence_s for _, silence_s in streams]
    sessions = [_session() for _ in range(1 if quick else 3)]
    session_s = [seconds for seconds, _ in sessions]
    history_s = [_history_s()]
    rows = [
        row("command to ready line, 50 symbols", starts, "s"),
        row("orders over REST, one client", rates, "requests/s", "place and cancel by turns"),
        row("the slowest of a hundred of them", slowest, "ms"),
        row(
            "full packets to one client",
            packets,
            "packets/s",
            "over the socket, the market's making included",
        ),
        row("longest silence on a second socket meanwhile", silences, "s", "nothing subscribed: heartbeats"),
        row("in process: 375 minutes of 50 tickers", session_s, "s"),
        row("quotes that changed in that session", [float(ticks) for _, ticks in sessions], "quotes"),
        row("two years of minutes of 50 tickers", history_s, "s", "made once, on every core; then read"),
    ]
    bars = [
        most("command to ready line, s", starts, 2),
        least("orders over REST, requests/s", rates, 800),
        most("the slowest of a hundred, ms", slowest, 10),
        least("full packets to one client, per second of one core", packets, 20_000),
        most("heartbeats meanwhile, longest silence in s", silences, 1),
        most("in process: 375 minutes of 50 tickers, s", session_s, 20),
        most("two years of minutes of 50 tickers, s", history_s, 40),
    ]
    return Outcome(NAME, "The local exchange", rows, bars)


def _start_s() -> float:
    began = time.perf_counter()
    with local_exchange("--symbols", str(SYMBOLS)):
        return time.perf_counter() - began


def _order_seconds() -> list[float]:
    with local_exchange("--symbols", str(SYMBOLS), speed=ORDERS_SPEED) as running:
        kite = running.logged_in()
        order = ORDER.format(price=kite.quote("NSE:INFY")["NSE:INFY"]["lower_circuit_limit"])
        port = int(running.ready["kite_api_url"].rpartition(":")[2])
        client = http.client.HTTPConnection("127.0.0.1", port)
        head = {
            "Authorization": f"token {running.ready['api_key']}:{kite.access_token}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        times: list[float] = []
        path = ""
        for _ in range(ORDERS):
            began = time.perf_counter()
            if path:
                client.request("DELETE", path, headers=head)
            else:
                client.request("POST", "/orders/regular", order, head)
            answer = client.getresponse()
            body = answer.read()
            times.append(time.perf_counter() - began)
            assert answer.status == 200, body
            path = "" if path else "/orders/regular/" + body.partition(b'"order_id":"')[2][:15].decode()
        client.close()
    return times


async def _stream() -> tuple[float, float]:
    """Packets for each second of its processor, and the longest silence in s on a socket beside them."""
    with local_exchange("--symbols", str(SYMBOLS), start="2026-11-20T09:30") as running:
        kite = running.logged_in()
        tokens = [int(row["instrument_token"]) for row in kite.instruments("NSE")][:SYMBOLS]
        ready = running.ready
        url = f"{ready['kite_ws_url']}/?api_key={ready['api_key']}&access_token={kite.access_token}"
        join = partial(connect, url, proxy=None, compression=None, ping_interval=None)
        async with join() as stream, join() as beside:
            await stream.send(subscribe_text(tokens))
            await stream.send(mode_text(Mode.FULL, tokens))
            await stream.recv()
            await asyncio.to_thread(running.control, "POST", "speed", {"speed": TICKS_SPEED})
            used_s = machine.cpu_s(running.process.pid)
            packets, silence_s = await asyncio.gather(_packets(stream), _longest_silence_s(beside))
            return packets / (machine.cpu_s(running.process.pid) - used_s), silence_s


async def _packets(stream: ClientConnection) -> int:
    """Counted by their head; no packet is read."""
    count, began_s = 0, time.perf_counter()
    while time.perf_counter() - began_s < TICKS_S:
        message = await stream.recv()
        if isinstance(message, bytes) and len(message) > 1:
            count += int.from_bytes(message[:2])
    return count


async def _longest_silence_s(stream: ClientConnection) -> float:
    longest_s, began_s = 0.0, time.perf_counter()
    last_s = began_s
    while last_s - began_s < TICKS_S:
        await stream.recv()
        longest_s, last_s = max(longest_s, time.perf_counter() - last_s), time.perf_counter()
    return longest_s


class _Listener:
    """Counts, as cheaply as one can listen."""

    def __init__(self) -> None:
        self.ticks = 0

    def ticked(self, ticker: str) -> None:  # noqa: ARG002  the listener's signature
        self.ticks += 1

    def order_updated(self, order: object, status: str) -> None:
        """There are no orders."""


def _session() -> tuple[float, int]:
    """A whole session of the synthetic market, its making included."""
    began = time.perf_counter()
    calendar, tariff = read_calendar(ROOT / "config"), read_tariff(ROOT / "config")
    market = SyntheticMarket(SEED, calendar, SYMBOLS)
    exchange = Exchange(market, calendar, tariff, OPENS, SEED, Faults(SEED))
    listener = _Listener()
    exchange.listen(listener)
    exchange.watch(exchange.listings)
    exchange.advance(CLOSES)
    return time.perf_counter() - began, listener.ticks


def _history_s() -> float:
    """As a user would have it made, by a command."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "exchange", "history", "--cache", folder, "--symbols", str(SYMBOLS)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began
