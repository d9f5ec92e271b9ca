"""What was ordered, filled and held? Three parquet files for pandas, made from the journal.

The journal is the truth and these are views of it: each row follows from its entries alone, so a file that is
missing, damaged or of another journal is made anew, and the result is the same. Parquet cannot be added to
safely, so a file is replaced whole. With its rows each file notes the entry up to which it is made and what
has to be remembered from there on; a crash between the journal and a file, or between two files, is made up
for at the next start. Prices are rupees in float here, as in every file that is meant for others.
"""

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol

from files import write_atomically
from ledger import Entry
from ledger_facts import Marked
from rulebook.order_records import Order, Record, Status

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION: Final = 1
PRODUCT: Final = "MIS"
KINDS: Final = ("order", "mark")  # all that is asked of a journal here
LAG_MOST: Final = 5_000  # entries that a file may be behind its note; they are read again at a start

_TYPES: Final = {
    "ts": "ts",
    "qty": "int64",
    "price": "float64",
    "avg_price": "float64",
    "unrealized_pnl": "float64",
}  # and text, where nothing is said
log = logging.getLogger("ledger")

Cells = tuple[Any, ...]


class Journal(Protocol):
    """ledger.Journal, or a ledger.Follower."""

    def entries(
        self, after: int = 0, day: date | None = None, kinds: Collection[str] = ()
    ) -> Iterator[Entry]: ...


class Views:
    """orders.parquet, fills.parquet and positions.parquet of one folder. One thread uses it."""

    def __init__(self, folder: Path) -> None:
        self._views = tuple(_View(folder / f"{rows.name}.parquet", rows) for rows in _all_rows())

    @property
    def after(self) -> int:
        """From which entry on there is something to be told."""
        return min(view.noted.seq for view in self._views)

    def catch_up(self, journal: Journal) -> int:
        """At a start: what the files lack, or all of it. How many rows were added."""
        for view in self._views:
            view.refuse_other(journal)
        return self.update(journal.entries(self.after, kinds=KINDS))

    def update(self, entries: Iterable[Entry]) -> int:
        """Told again, an entry changes nothing. Raises files.WriteError; then the next update writes it."""
        added = 0
        for entry in entries:
            for view in self._views:
                added += view.take(entry)
        for view in self._views:
            view.keep()
        return added

    def rebuild(self, entries: Iterable[Entry]) -> int:
        """From nothing but these."""
        for view in self._views:
            view.forget()
        return self.update(entries)


# --- which rows an entry makes --------------------------------------------------------------------------


class _Rows(Protocol):
    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]

    def of(self, entry: Entry) -> Iterator[Cells]:
        """In the order of the columns."""

    def remembered(self) -> Any:
        """What the rows to come depend on, for JSON."""

    def remember(self, told: Any, table: "pa.Table") -> None:
        """As it was when that file was written."""


class _OrderRows:
    """One each time that an order's state, its filled quantity or its terms change.

    Ended orders are forgotten when another day begins, or the note would grow for ever. That is a rule about
    entries and not about processes, so whoever begins anew makes the same rows.
    """

    name: ClassVar[str] = "orders"
    columns: ClassVar[tuple[str, ...]] = (
        "ts", "client_id", "side", "ticker", "qty", "order_id", "status", "price", "product", "order_type",
    )  # fmt: skip

    def __init__(self) -> None:
        self._day = ""
        self._seen: dict[str, list[Any]] = {}

    def of(self, entry: Entry) -> Iterator[Cells]:
        record = entry.fact
        if not isinstance(record, Record):
            return
        self._begin(entry.at.date().isoformat())
        for order in record.orders:
            told = _told_of(order)
            if self._seen.get(order.client_id) != told:
                self._seen[order.client_id] = told
                yield _order_cells(record.at, order)

    def remembered(self) -> Any:
        return [self._day, self._seen]

    def remember(self, told: Any, table: "pa.Table") -> None:  # noqa: ARG002  (what is filled stands in no column)
        self._day, self._seen = told

    def _begin(self, day: str) -> None:
        if day > self._day:
            self._day = day
            self._seen = {name: told for name, told in self._seen.items() if told[0] < Status.COMPLETE}


class _FillRows:
    """One for each fill, however often it is told. Brokers count fills within a day, orders across days."""

    name: ClassVar[str] = "fills"
    columns: ClassVar[tuple[str, ...]] = ("ts", "order_id", "fill_id", "ticker", "qty", "price")

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    def of(self, entry: Entry) -> Iterator[Cells]:
        record = entry.fact
        fills = [f for order in record.orders for f in order.fills] if isinstance(record, Record) else []
        for fill in fills:
            name = (fill.order_id, fill.fill_id)
            if name not in self._seen:
                self._seen.add(name)
                yield (fill.at, *name, fill.ticker, fill.qty, fill.price / 100)

    def remembered(self) -> Any:
        return None

    def remember(self, told: Any, table: "pa.Table") -> None:  # noqa: ARG002  (the file holds it all)
        ids = (table.column(name).to_pylist() for name in ("order_id", "fill_id"))
        self._seen = set(zip(*ids, strict=True))


class _PositionRows:
    """One for each position at each mark, and one of nothing when it is no longer among them."""

    name: ClassVar[str] = "positions"
    columns: ClassVar[tuple[str, ...]] = ("ts", "ticker", "qty", "avg_price", "unrealized_pnl")

    def __init__(self) -> None:
        self._open: list[str] = []

    def of(self, entry: Entry) -> Iterator[Cells]:
        marked = entry.fact
        if not isinstance(marked, Marked):
            return
        tickers = [mark.ticker for mark in marked.positions]
        for mark in marked.positions:
            yield entry.at, mark.ticker, mark.qty, mark.avg_price, mark.unrealized / 100
        for ticker in self._open:
            if ticker not in tickers:
                yield entry.at, ticker, 0, 0.0, 0.0
        self._open = [mark.ticker for mark in marked.positions if mark.qty]

    def remembered(self) -> Any:
        return self._open

    def remember(self, told: Any, table: "pa.Table") -> None:  # noqa: ARG002  (the note holds it all)
        self._open = told


def _all_rows() -> tuple[_Rows, ...]:
    return _OrderRows(), _FillRows(), _PositionRows()


def _told_of(order: Order) -> list[Any]:
    """Of plain numbers and texts, as JSON gives them back."""
    terms = order.terms
    kind = terms.order_type.value
    return [int(order.status), order.filled, terms.qty, terms.price, terms.trigger, kind, order.order_id]


def _order_cells(at: datetime, order: Order) -> Cells:
    terms = order.terms
    price = terms.trigger if terms.is_stop else terms.price  # a stop is where it is triggered
    rupees = None if price is None else price / 100
    return (
        at, order.client_id, order.side.name, order.ticker, terms.qty, order.order_id, order.status.name,
        rupees, PRODUCT, terms.order_type.value,
    )  # fmt: skip


# --- one file -------------------------------------------------------------------------------------------


class _Noted(NamedTuple):
    """The newest entry that a file knows. Its moment tells it from that number in another journal."""

    seq: int
    at: datetime | None


_NOTHING: Final = _Noted(0, None)


@dataclass(frozen=True, slots=True)
class _Found:
    table: "pa.Table"
    noted: _Noted
    told: Any


class _View:
    def __init__(self, path: Path, rows: _Rows) -> None:
        self._path = path
        self._rows = rows
        self._new: list[Cells] = []
        found = _read(path, rows.columns)
        self.noted = found.noted if found else _NOTHING
        self._written: _Noted | None = found.noted if found else None  # as the file says; None: there is none
        self._table = found.table if found else _table(rows.columns, ())
        if found:
            rows.remember(found.told, found.table)

    def refuse_other(self, journal: Journal) -> None:
        """What was made from another journal, or from one that a backup has replaced, is made anew."""
        if self.noted == _NOTHING:
            return
        entry = next(journal.entries(self.noted.seq - 1), None)
        if entry is None or _Noted(entry.seq, entry.at) != self.noted:
            log.warning("%s: it was made from another journal than this; it is made anew", self._path)
            self.forget()

    def take(self, entry: Entry) -> int:
        if entry.seq <= self.noted.seq:
            return 0
        cells = list(self._rows.of(entry))
        self._new += cells
        self.noted = _Noted(entry.seq, entry.at)
        return len(cells)

    def keep(self) -> None:
        """Written where there is something new, and now and then for the note alone."""
        if self._written is not None and not self._new and self.noted.seq - self._written.seq < LAG_MOST:
            return
        import pyarrow as pa

        if self._new:
            self._table = pa.concat_tables([self._table, _table(self._rows.columns, self._new)])
            self._table = self._table.combine_chunks()
            self._new = []
            self._written = None
        write_atomically(self._path, _bytes(self._table, self.noted, self._rows.remembered()))
        self._written = self.noted

    def forget(self) -> None:
        self._rows = type(self._rows)()
        self._new = []
        self._table = _table(self._rows.columns, ())
        self.noted, self._written = _NOTHING, None


def _schema(columns: Sequence[str]) -> "pa.Schema":
    import pyarrow as pa

    types = {
        "ts": pa.timestamp("ns", tz="UTC"),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "": pa.string(),
    }
    return pa.schema([(name, types[_TYPES.get(name, "")]) for name in columns])


def _table(columns: Sequence[str], cells: Sequence[Cells]) -> "pa.Table":
    import pyarrow as pa

    schema = _schema(columns)
    told = zip(*cells, strict=True) if cells else [()] * len(columns)
    arrays = [pa.array(list(column), field.type) for column, field in zip(told, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _bytes(table: "pa.Table", noted: _Noted, told: Any) -> bytes:
    import pyarrow.parquet as pq

    note = {
        "schema_version": SCHEMA_VERSION,
        "seq": noted.seq,
        "at": noted.at and noted.at.isoformat(),
        "told": told,
    }
    about = {"schema_version": str(SCHEMA_VERSION), "ledger": json.dumps(note)}
    file = BytesIO()
    pq.write_table(table.replace_schema_metadata(about), file)
    return file.getvalue()


def _read(path: Path, columns: Sequence[str]) -> _Found | None:
    """None for what has to be made from the beginning."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        note = json.loads((table.schema.metadata or {})[b"ledger"])
        noted = _Noted(note["seq"], note["at"] and datetime.fromisoformat(note["at"]))
        if note["schema_version"] != SCHEMA_VERSION or not table.schema.equals(_schema(columns)):
            raise ValueError("it is of another version")
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException, ValueError, LookupError, TypeError) as error:
        log.warning("%s: %s; it is made anew from the journal", path, str(error).partition("\n")[0])
        return None
    return _Found(table.replace_schema_metadata(None), noted, note["told"])
