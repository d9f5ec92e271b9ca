"""How fast are ticks read and sent, beside the broker's own client and a copy of the same bytes?

A frame of fifty full packets, the suite's ordinary sight. What is compared is not alike and is said so: the
peer makes nested dicts with datetimes and looks at no price; `columns` turns the bytes into arrays by field
and looks at none either; `decode_frame` makes records and looks at all. The last row is the local
exchange's: quotes that have all changed, made into frames for one client.
"""

import time
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.metadata import version
from statistics import median

from bench.results import Outcome, least, most, row
from exchange.faults import Faults
from exchange.nouns import Depth, Listing, Quote
from exchange.stream import Stream
from kite.columns import Columns, columns
from kite.texts import mode_text, subscribe_text
from kite.wire import DepthRow, FullPacket, Mode, decode_frame, encode_frame
from rulebook.fills import Level
from rulebook.hours import IST
from rulebook.records import Paise

NAME = "ticks"
PACKETS, PRICE, AT_S = 50, 157_370, 1_700_000_000
TURNS, QUICK_TURNS = 15, 5
BATCH_S = 0.02  # of each program in each turn
STEPS = 200  # of the exchange: so many times all tickers change

Work = Callable[[], object]


async def measure(quick: bool) -> Outcome:
    frame = encode_frame([_packet(number) for number in range(PACKETS)])
    works = _works(frame)
    counts = {name: _count(work) for name, work in works.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    rates: list[float] = []
    for _ in range(QUICK_TURNS if quick else TURNS):
        for name, work in works.items():
            times[name].append(_seconds(work, counts[name]))
        rates.append(_sent_a_second())
    peer, copy = times["kiteconnect's parser"], times["a copy of the bytes"]
    gains = [theirs / ours for theirs, ours in zip(peer, times["columns"], strict=True)]
    costs = [ours / limit for ours, limit in zip(times["columns"], copy, strict=True)]
    rows = [row(name, values, "us a frame", NOTES[name], 1e6) for name, values in times.items()]
    rows += [
        row("kiteconnect's parser / columns", gains, "times"),
        row("columns / a copy of the bytes", costs, "times"),
        row("exchange to one client", rates, "full packets/s", "quote to bytes; no socket"),
    ]
    bars = [
        least("columns, times faster than kiteconnect's parser", gains, 150),
        most("columns, times a copy of the bytes", costs, 11),
        most("encode_frame, us a packet", [1e6 * median(times["encode_frame"]) / PACKETS], 10),
        least("exchange to one client, full packets/s", rates, 20_000),
    ]
    title = f"Ticks: a frame of {PACKETS} full packets, {len(frame):,} bytes"
    return Outcome(
        NAME, title, rows, bars, versions={name: version(name) for name in ("kiteconnect", "numpy")}
    )


NOTES = {
    "kiteconnect's parser": "nested dicts, naive datetimes, a change in percent; no check of a price",
    "a copy of the bytes": "into a buffer that is there",
    "columns": "arrays by field; lengths and segments checked, prices not",
    "columns and their sound": "every price looked at as well",
    "decode_frame": "records in paise; every price looked at",
    "encode_frame": "records to bytes, depth included",
}


def _works(frame: bytes) -> dict[str, Work]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kiteconnect import KiteTicker

    peer, buffer, packets = KiteTicker("key", "token"), bytearray(frame), decode_frame(frame).packets
    _agree(peer._parse_binary(frame), _columns(frame))

    def copy() -> None:
        buffer[:] = frame

    return {
        "kiteconnect's parser": lambda: peer._parse_binary(frame),
        "a copy of the bytes": copy,
        "columns": lambda: columns(frame),
        "columns and their sound": lambda: _columns(frame).sound(),
        "decode_frame": lambda: decode_frame(frame),
        "encode_frame": lambda: encode_frame(packets),
    }


def _columns(frame: bytes) -> Columns:
    table = columns(frame)
    assert table is not None
    return table


def _agree(theirs: list[dict[str, object]], ours: Columns) -> None:
    """Before anything is timed, on a number from the front and the last of the depth."""
    assert [tick["last_price"] for tick in theirs] == (ours["last"] / 100).tolist()
    deepest = [tick["depth"]["sell"][-1]["orders"] for tick in theirs]  # type: ignore[index]
    assert deepest == ours["ask_orders"][-1].tolist()
    assert ours.sound().all()


def _packet(number: int) -> FullPacket:
    day = (PRICE - 50, PRICE + 99, PRICE - 120, PRICE - 10)
    bids, asks = (
        tuple(DepthRow(100 + n, PRICE + sign * 5 * n, 3 + n) for n in range(1, 6)) for sign in (-1, 1)
    )
    share = ((1_000 + number) * 256 + 1, PRICE + number, 10, PRICE, 123_456, 1_000, 1_100, *day)
    return FullPacket._make((*share, AT_S, 0, 0, 0, AT_S + 1, bids, asks))


# --- timing ----------------------------------------------------------------------


def _count(work: Work) -> int:
    """How often it runs in a batch."""
    work()
    return max(3, int(BATCH_S / _seconds(work, 3)))


def _seconds(work: Work, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - began) / count


# --- the exchange's side ----------------------------------------------------------------------


def _sent_a_second() -> float:
    """Every ticker's quote changes, a frame goes out; quotes are made before the clock starts."""
    listings = {one.token: one for one in (Listing(f"T{n}", "", 1_000 + n, Paise(5)) for n in range(PACKETS))}
    tickers = [listing.ticker for listing in listings.values()]
    now = datetime(2026, 11, 20, 9, 30, tzinfo=IST)
    first = [_quote(ticker, now) for ticker in tickers]
    steps = [{q.ticker: q._replace(last=Paise(PRICE + step % 90)) for q in first} for step in range(STEPS)]
    shown = dict(steps[0])
    stream = Stream(listings, shown.get, Faults(0), interval=timedelta())
    stream.received(subscribe_text(listings), now)
    stream.received(mode_text(Mode.FULL, listings), now)
    stream.due(now)
    began = time.perf_counter()
    for step in steps:
        shown.update(step)
        for ticker in tickers:
            stream.ticked(ticker)
        (frame,) = stream.due(now)
    seconds = time.perf_counter() - began
    assert isinstance(frame, bytes) and len(decode_frame(frame).packets) == PACKETS
    return STEPS * PACKETS / seconds


def _quote(ticker: str, at: datetime) -> Quote:
    bids, asks = (tuple(Level(Paise(PRICE + sign * 5 * n), 100 + n) for n in range(1, 6)) for sign in (-1, 1))
    return Quote(
        ticker, at, Paise(PRICE), 10, at, Paise(PRICE), 123_456, 1_000, 1_100,
        open=Paise(PRICE - 50), high=Paise(PRICE + 99), low=Paise(PRICE - 120), close=Paise(PRICE - 10),
        lower_circuit=Paise(PRICE // 2), upper_circuit=Paise(2 * PRICE), depth=Depth(bids, asks),
    )  # fmt: skip
