"""A page of candles is read by columns or row by row, and nobody can tell which: same rows, same refusals."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kite import books

PLAIN = ["2026-11-20T09:15:00+0530", 1500, 1510.5, 1499.95, 1505.1, 1000]
ODD_TIMES = ["2026-11-20 09:15:00", "2026-11-20T09:15:00", "2026-11-20T09:15:00+05:30", "2026-02-30T09:15:00+0530",
             "2026-11-20T24:15:00+0530", "2026-W47-5T09:15:00+0530", "1999-11-20T09:15:00+0530", "", None, 7,
             "2026-11-20T09:15:00+0530,2026-11-20T09:16:00+0530", "2026-11-20T09:15:00+0530\n",
             "2026-11-20T09:15:00+0000", "\u0662026-11-20T09:15:00+0530"]  # fmt: skip
ODD_PRICES = [0, 0.0, -0.0, -1.5, 0.01, 0.005, 100.12, 100.119, 1e7, 1e7 + 0.01, 1e300, float("inf"), 10**400, True,
              "1500", "1500.05", "x", None, [], 99999.99]  # fmt: skip
ODD_VOLUMES = [0, -1, 1.0, 1.5, 10**11, 10**11 + 1, True, "7", None]

changed = st.one_of(
    st.tuples(st.just(0), st.sampled_from(ODD_TIMES)),
    st.tuples(st.integers(1, 4), st.sampled_from(ODD_PRICES) | st.floats(0, 2e7).map(lambda x: round(x, 2))),
    st.tuples(st.just(5), st.sampled_from(ODD_VOLUMES)),
)


def one_by_one(rows: list[Any]) -> Any:
    try:
        return tuple(map(books._candle, rows))
    except books.BookError as error:
        return str(error)


def as_a_page(rows: list[Any]) -> Any:
    try:
        return books.candles({"candles": rows})
    except books.BookError as error:
        return str(error)


@given(st.lists(st.lists(changed, max_size=2), max_size=4))
def test_a_page_is_what_its_rows_are_one_by_one(changes):
    rows = [list(PLAIN) for _ in changes]
    for row, values in zip(rows, changes, strict=True):
        for place, value in values:
            row[place] = value

    assert one_by_one(rows) == as_a_page(rows)


@pytest.mark.parametrize("row", [PLAIN[:5], [*PLAIN, 77], {}, None, "abcdef", [PLAIN] * 6, []])
def test_a_row_of_another_shape_is_judged_the_same(row):
    assert one_by_one([PLAIN, row]) == as_a_page([PLAIN, row])
    assert one_by_one([row]) == as_a_page([row])


def test_a_usual_page_is_read_by_columns():
    assert books._plain_candles([PLAIN, PLAIN]) == tuple(map(books._candle, [PLAIN, PLAIN]))
