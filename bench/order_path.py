"""How long is an order on its way from the intent to the wire, beyond the disk's own time?

A commit is what the ledger will do: a row into SQLite with a write-ahead log and a full sync. Then the client
asks the limits, spells the request and sends it; a server of a few lines, a process of its own on the same
clock, notes when the head of the request has come. The bar is on the difference of the two p99s of one run.
"""

import multiprocessing
import socket
import sqlite3
import time
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from bench.results import Outcome, most, row
from clock import SystemClock
from kite.client import KiteClient
from kite.connect import transport
from kite.rates import LIMITS, Kind, Limit, Rates
from kite.routes import Transport
from rulebook.order_messages import Place
from rulebook.order_records import Purpose, Terms
from rulebook.records import OrderType, Paise, Side, tag_of

NAME = "order_path"
MODES = ("raw_http", "kite_sdk")
ORDERS, QUICK_ORDERS = 1_000, 300
ANSWER = b'{"status":"success","data":{"order_id":"261120000000001"}}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(ANSWER),
    ANSWER,
)
UNLIMITED = {**LIMITS, Kind.ORDERS: Limit(100_000)}  # the gate is passed, and never closed


async def measure(quick: bool) -> Outcome:
    rows, bars = [], []
    for mode in MODES:
        commits, ways = _timed(mode, QUICK_ORDERS if quick else ORDERS)
        beyond_ms = 1e3 * (_p99(ways) - _p99(commits))
        rows += [
            row(f"{mode}: one durable commit", commits, "ms", scale=1e3),
            row(f"{mode}: intent to the head on the wire", ways, "ms", "the commit in it", scale=1e3),
            row(f"{mode}: p99 beyond the commit's p99", [beyond_ms], "ms"),
        ]
        bars.append(most(f"{mode}: p99 beyond the commit's p99, ms", [beyond_ms], 2))
    return Outcome(NAME, "An order, from intent to wire", rows, bars)


def _timed(mode: str, orders: int) -> tuple[list[float], list[float]]:
    """Seconds of each commit, and of each whole way."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, orders), daemon=True)
    server.start()
    port = ours.recv()
    commits: list[float] = []
    began: list[float] = []
    with TemporaryDirectory() as folder, closing(_ledger(Path(folder))) as ledger:
        clock, rng = SystemClock(), Random(1)
        way: Transport = transport(mode, _At(f"http://127.0.0.1:{port}"), "key", clock, rng)
        client = KiteClient(way, Rates(Path(folder) / "rates", clock, UNLIMITED), clock, rng)
        client.use_token("token")
        for number in range(orders):
            asked = _order(number)
            began.append(time.perf_counter())
            ledger.execute("INSERT INTO events (text) VALUES (?)", (repr(asked),))
            ledger.commit()
            commits.append(time.perf_counter() - began[-1])
            client.place(asked)
        client.close()
    arrived: list[float] = ours.recv()
    server.join()
    return commits, [at - start for at, start in zip(arrived, began, strict=True)]


class _At:
    """Where the broker is."""

    def __init__(self, kite_api: str) -> None:
        self.kite_api = kite_api


def _order(number: int) -> Place:
    terms = Terms(10, OrderType.LIMIT, Paise(150_000), None)
    name = f"client-{number}"
    return Place(name, tag_of(name), "INFY", Side.BUY, terms, Purpose.ENTRY, urgent=False)


def _ledger(folder: Path) -> sqlite3.Connection:
    ledger = sqlite3.connect(folder / "journal.db")
    ledger.execute("PRAGMA journal_mode=WAL")
    ledger.execute("PRAGMA synchronous=FULL")
    ledger.execute("CREATE TABLE events (number INTEGER PRIMARY KEY, text TEXT)")
    return ledger


def _serve(told: Connection, orders: int) -> None:
    """Answer everything alike; when the first byte of each request came, at the end."""
    arrived: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as door:
        told.send(door.getsockname()[1])
        while len(arrived) < orders:
            connection, _ = door.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while head := connection.recv(65_536):
                    arrived.append(time.perf_counter())
                    _read_body(connection, head)
                    connection.sendall(REPLY)
    told.send(arrived)


def _read_body(connection: socket.socket, head: bytes) -> None:
    text, _, body = head.partition(b"\r\n\r\n")
    length = int(text.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100]
