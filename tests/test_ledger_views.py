"""Orders, fills and positions as files: the contract's columns, each row once, and the same however one gets there."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from files import WriteError
from ledger import NAME, Entry, Follower
from ledger_facts import Fact, HaltSaid, Mark, Marked, encode
from ledger_views import LAG_MOST, Views
from rulebook.order_records import Order, Purpose, Record, Status, Terms
from rulebook.records import Fill, OrderType, Paise, Side
from tests.journal_tables import MOMENT, journal

CONTRACT = {
    "orders": ["ts", "client_id", "side", "ticker", "qty", "order_id", "status", "price", "product", "order_type"],
    "fills": ["ts", "order_id", "fill_id", "ticker", "qty", "price"],
    "positions": ["ts", "ticker", "qty", "avg_price", "unrealized_pnl"],
}  # fmt: skip
ENTRY = Order(
    "INFY-BUY-1", "tag", "INFY", Side.BUY, Purpose.ENTRY, 1, Terms(10, OrderType.LIMIT, Paise(150_005)),
    MOMENT, MOMENT, MOMENT,
)  # fmt: skip
STOP = replace(
    ENTRY, client_id="INFY-SELL-2", side=Side.SELL, purpose=Purpose.STOP,
    terms=Terms(10, OrderType.SL, Paise(148_000), Paise(149_000)),
)  # fmt: skip


def fill(number: int, qty: int = 5, order_id: str = "1", price: int = 150_000) -> Fill:
    return Fill(order_id, f"f{number}", "INFY", Side.BUY, qty, Paise(price), MOMENT)


def changed(*orders: Order, at: datetime = MOMENT) -> Record:
    return Record(at, "told", orders=orders)


def mark(ticker: str = "INFY", qty: int = 10, unrealized: int = 12_345) -> Mark:
    return Mark(ticker, qty, 1500.05, Paise(150_000), unrealized, Paise(150_000), Paise(150_000), None, None)


def entries(facts: Sequence[Fact], first: int = 1, at: datetime = MOMENT) -> list[Entry]:
    return [Entry(seq, at, *encode(fact)) for seq, fact in enumerate(facts, first)]


def frame(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"{name}.parquet")


def rows(folder: Path, name: str, *columns: str) -> list[tuple[Any, ...]]:
    return list(frame(folder, name)[list(columns)].itertuples(index=False, name=None))


def everything(folder: Path) -> list[tuple[Any, Any]]:
    """What the files hold and note."""
    tables = [pq.read_table(folder / f"{name}.parquet") for name in CONTRACT]
    return [(table.to_pydict(), table.schema.metadata) for table in tables]


def tables(folder: Path) -> list[Any]:
    return [table for table, _ in everything(folder)]


# --- the contract ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTRACT)
def test_a_missing_file_is_made_at_a_start_with_the_contract_s_columns(tmp_path, name):
    Views(tmp_path).catch_up(Follower(tmp_path / NAME))
    found = frame(tmp_path, name)

    assert CONTRACT[name] == list(found.columns)
    assert "datetime64[ns, UTC]" == str(found["ts"].dtype)
    assert "int64" == str(found["qty"].dtype)
    assert {"float64"} == {
        str(found[c].dtype) for c in ("price", "avg_price", "unrealized_pnl") if c in found
    }
    assert b"1" == pq.read_schema(tmp_path / f"{name}.parquet").metadata[b"schema_version"]
    assert 0o600 == (tmp_path / f"{name}.parquet").stat().st_mode & 0o777


def test_the_types_are_the_same_when_there_are_rows(tmp_path):
    views = Views(tmp_path)
    views.update([])
    before = {name: frame(tmp_path, name).dtypes.to_dict() for name in CONTRACT}
    views.update(entries([changed(replace(ENTRY, fills=(fill(1),))), Marked((mark(),))]))

    assert before == {name: frame(tmp_path, name).dtypes.to_dict() for name in CONTRACT}
    assert [1, 1, 1] == [len(frame(tmp_path, name)) for name in CONTRACT]


# --- orders ---------------------------------------------------------------------------------------------


def test_an_order_has_a_row_for_each_change_that_a_trader_would_see(tmp_path):
    accepted = replace(ENTRY, status=Status.WORKING, order_id="1")
    lives = [
        ENTRY,
        accepted,
        replace(accepted, news_at=MOMENT + timedelta(seconds=1), requests=1),  # nothing that a trader sees
        replace(accepted, terms=replace(accepted.terms, price=Paise(150_010))),
        replace(accepted, status=Status.PARTLY, filled=5, fills=(fill(1),)),
        replace(accepted, status=Status.PARTLY, filled=7, fills=(fill(1), fill(2, 2))),
        replace(accepted, status=Status.COMPLETE, filled=10, fills=(fill(1), fill(2, 2), fill(3, 3))),
    ]
    Views(tmp_path).update(entries([changed(life) for life in lives]))

    assert [
        ("RECORDED", None, 1500.05), ("WORKING", "1", 1500.05), ("WORKING", "1", 1500.1), ("PARTLY", "1", 1500.05),
        ("PARTLY", "1", 1500.05), ("COMPLETE", "1", 1500.05),
    ] == [(status, None if pd.isna(order) else order, price) for status, order, price in rows(tmp_path, "orders", "status", "order_id", "price")]  # fmt: skip


def test_a_stop_stands_where_it_is_triggered_and_a_market_order_nowhere(tmp_path):
    at_market = replace(ENTRY, client_id="x", terms=Terms(10, OrderType.MARKET))
    Views(tmp_path).update(entries([changed(STOP, at_market)]))
    first, second = rows(tmp_path, "orders", "ts", "side", "qty", "product", "order_type", "price")

    assert (pd.Timestamp(MOMENT).tz_convert("UTC"), "SELL", 10, "MIS", "SL", 1490.0) == first
    assert ("BUY", 10, "MIS", "MARKET") == second[1:5]
    assert pd.isna(second[5])


def test_an_ended_order_is_forgotten_on_another_day_and_a_resting_one_is_not(tmp_path):
    ended = replace(ENTRY, status=Status.COMPLETE)
    views = Views(tmp_path)
    views.update(entries([changed(ended, STOP), changed(ended, STOP)]))
    views.update(entries([changed(ended, STOP)], 3, MOMENT + timedelta(days=1)))

    assert ["INFY-BUY-1", "INFY-SELL-2", "INFY-BUY-1"] == [
        name for (name,) in rows(tmp_path, "orders", "client_id")
    ]


# --- fills and positions --------------------------------------------------------------------------------


def test_a_fill_is_one_row_however_often_it_is_told(tmp_path):
    both = replace(ENTRY, fills=(fill(1), fill(2)))
    other = replace(STOP, fills=(fill(1, order_id="2", price=149_005),))  # a number of another order
    Views(tmp_path).update(
        entries([changed(replace(ENTRY, fills=(fill(1),))), changed(both), changed(both, other)])
    )

    assert [("1", "f1", 5, 1500.0), ("1", "f2", 5, 1500.0), ("2", "f1", 5, 1490.05)] == rows(tmp_path, "fills", "order_id", "fill_id", "qty", "price")  # fmt: skip


def test_a_position_that_is_no_longer_marked_is_flat_and_said_once(tmp_path):
    marks = [Marked((mark(), mark("TCS", -3, -50))), Marked((mark("TCS", -3, 0),)), Marked(()), Marked(())]
    Views(tmp_path).update(entries(marks))

    assert [
        ("INFY", 10, 1500.05, 123.45), ("TCS", -3, 1500.05, -0.5), ("TCS", -3, 1500.05, 0.0), ("INFY", 0, 0.0, 0.0),
        ("TCS", 0, 0.0, 0.0),
    ] == rows(tmp_path, "positions", "ticker", "qty", "avg_price", "unrealized_pnl")  # fmt: skip


# --- the same, however one gets there -------------------------------------------------------------------


@st.composite
def days(draw: st.DrawFn) -> list[Entry]:
    """Entries of a few orders and positions over two days; other kinds among them."""
    made: list[Entry] = []
    for seq in range(1, draw(st.integers(2, 12))):
        order = replace(
            draw(st.sampled_from([ENTRY, STOP])),
            status=draw(st.sampled_from([Status.WORKING, Status.COMPLETE, Status.ABSENT])),
            order_id=draw(st.sampled_from([None, "1"])),
            filled=draw(st.integers(0, 2)),
            fills=tuple(fill(n) for n in draw(st.sets(st.integers(1, 4)))),
        )
        marked = Marked(tuple(mark(name) for name in draw(st.sets(st.sampled_from(["INFY", "TCS"])))))
        facts: list[Fact] = [changed(order), changed(order, order), marked, HaltSaid("")]
        made += entries([draw(st.sampled_from(facts))], seq, MOMENT + timedelta(days=seq > 6))
    return made


@settings(max_examples=25, deadline=None)
@given(days(), st.data())
def test_in_pieces_with_restarts_and_repeats_the_files_are_as_if_made_at_once(told, data):
    cut = data.draw(st.integers(0, len(told)))
    back = data.draw(st.integers(0, cut))
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        Views(Path(one)).update(told)
        views = Views(Path(other))
        views.update(told[:cut])
        if data.draw(st.booleans()):
            views = Views(Path(other))
        views.update(told[back:])
        in_pieces = tables(Path(other))
        views.rebuild(told)

        assert tables(Path(one)) == in_pieces
        assert everything(Path(one)) == everything(Path(other))


@settings(max_examples=25, deadline=None)
@given(days(), st.integers(0, 12))
def test_rows_are_only_ever_added(told, cut):
    with TemporaryDirectory() as folder:
        views = Views(Path(folder))
        views.update(told[:cut])
        before = {name: frame(Path(folder), name) for name in CONTRACT}
        views.update(told)

        for name, rows_before in before.items():
            after = frame(Path(folder), name).head(len(rows_before))
            pd.testing.assert_frame_equal(rows_before, after, check_dtype=False)


# --- starts ---------------------------------------------------------------------------------------------


@pytest.fixture
def told(tmp_path):
    """A journal, and its views as they are before its last two entries."""
    with journal(tmp_path) as book:
        views = Views(tmp_path)
        book.write(MOMENT, changed(replace(ENTRY, fills=(fill(1),))), Marked((mark(),)))
        views.catch_up(book)
        book.write(MOMENT, changed(STOP, replace(ENTRY, fills=(fill(1), fill(2)))), Marked(()), HaltSaid(""))
    return Follower(tmp_path / NAME)


def counts(folder: Path) -> list[int]:
    return [len(frame(folder, name)) for name in CONTRACT]


def test_a_crash_between_the_journal_and_the_files_is_made_up_for(tmp_path, told):
    views = Views(tmp_path)

    assert [1, 1, 1] == counts(tmp_path)
    assert 3 == views.catch_up(told)
    assert [2, 2, 2] == counts(tmp_path)
    assert 0 == Views(tmp_path).catch_up(told)


def test_a_crash_between_two_files_is_made_up_for(tmp_path, told):
    shutil.copy(tmp_path / "fills.parquet", tmp_path / "before")
    Views(tmp_path).catch_up(told)
    whole = everything(tmp_path)
    shutil.move(tmp_path / "before", tmp_path / "fills.parquet")

    assert 1 == Views(tmp_path).catch_up(told)
    assert whole == everything(tmp_path)


@pytest.mark.parametrize("damage", ["gone", "torn", "empty", "foreign", "another version"])
def test_a_file_that_cannot_be_used_is_made_anew(tmp_path, told, damage):
    Views(tmp_path).catch_up(told)
    whole = everything(tmp_path)
    path = tmp_path / "orders.parquet"
    match damage:
        case "gone":
            path.unlink()
        case "torn":
            path.write_bytes(path.read_bytes()[:-20])
        case "empty":
            path.write_bytes(b"")
        case "foreign":
            pd.DataFrame({"a": [1]}).to_parquet(path)
        case _:
            table = pq.read_table(path)
            note = table.schema.metadata[b"ledger"].replace(b'"schema_version": 1', b'"schema_version": 9')
            pq.write_table(table.replace_schema_metadata({b"ledger": note}), path)
    Views(tmp_path).catch_up(told)

    assert whole[1:] == everything(tmp_path)[1:]
    assert whole[0][0] == tables(tmp_path)[0]
    assert b"1" == pq.read_schema(path).metadata[b"schema_version"]


def test_files_of_another_journal_are_made_anew(tmp_path, told):
    Views(tmp_path).catch_up(told)
    with journal(tmp_path / "other") as book:
        book.write(MOMENT + timedelta(hours=1), *[HaltSaid("")] * 9, changed(STOP))
        Views(tmp_path).catch_up(book)

    assert [1, 0, 0] == counts(tmp_path)


def test_a_folder_that_refuses_loses_no_row(tmp_path):
    views = Views(tmp_path)
    views.update(entries([changed(ENTRY)]))
    (tmp_path / "orders.parquet").unlink()
    (tmp_path / "orders.parquet").mkdir()
    with pytest.raises(WriteError):
        views.update(entries([changed(STOP)], 2))
    (tmp_path / "orders.parquet").rmdir()
    views.update([])

    assert [2, 0, 0] == counts(tmp_path)


def test_a_long_quiet_stretch_is_noted_now_and_then(tmp_path):
    views = Views(tmp_path)
    views.update([])
    views.update(entries([HaltSaid("")] * (LAG_MOST - 1)))
    quiet = Views(tmp_path).after
    views.update(entries([HaltSaid("")], LAG_MOST))

    assert (0, LAG_MOST) == (quiet, Views(tmp_path).after)
