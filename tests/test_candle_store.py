"""Is a broken file of candles refused, in a sentence that names the file, the row and the remedy?"""

import random
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from candle_store import complaint_about, path_of, read_candles
from outcome import DataError
from rulebook.hours import IST
from tests.candles import candles, sessions, write

DAY = sessions(1)


def frame() -> pd.DataFrame:
    return candles("INFY", DAY)


def with_cell(column: str, value: float, row: int = 7) -> pd.DataFrame:
    broken = frame()
    broken.loc[row, column] = value
    return broken


def with_stamps(change) -> pd.DataFrame:
    broken = frame()
    broken["timestamp"] = change(broken["timestamp"])
    return broken


def moved(stamps: pd.Series, row: int, by: pd.Timedelta) -> pd.Series:
    return stamps.where(stamps.index != row, stamps + by)


FIVE_MINUTES = pd.Timedelta(minutes=5)
BROKEN_ROWS = {
    "NaN": (with_cell("high", np.nan), "row 7 .*: a value is missing"),
    "no stamp": (with_stamps(lambda at: at.where(at.index != 7)), "row 7 .*: a value is missing"),
    "negative": (with_cell("low", -1.0), "row 7 .*: a price is absurd"),
    "zero": (with_cell("open", 0.0), "row 7 .*: a price is absurd"),
    "less than a paisa": (with_cell("close", 0.004), "row 7 .*: a price is absurd"),
    "absurd": (with_cell("close", 1e7), "row 7 .*: a price is absurd"),
    "endless": (with_cell("high", np.inf), "row 7 .*: a price is absurd"),
    "high below close": (with_cell("high", 1.0), "row 7 .*: high and low do not enclose"),
    "low above open": (with_cell("low", 9_999.0), "row 7 .*: high and low do not enclose"),
    "negative volume": (with_cell("volume", -1.0), "row 7 .*: a volume is negative"),
    "endless volume": (with_cell("volume", np.inf), "row 7 .*: a volume is negative or endless"),
    "duplicate": (with_stamps(lambda at: moved(at, 7, -FIVE_MINUTES)), "row 7 .*: the stamp does not rise"),
    "unordered": (with_stamps(lambda at: at[::-1].to_numpy()), "row 1 .*: the stamp does not rise"),
    "two in a second": (with_stamps(lambda at: at + pd.Timedelta("1ms")), "row 0 .*: .* no whole minute"),
    "wrong unit": (with_stamps(lambda at: pd.to_datetime(at.astype("int64") // 10**9, utc=True)), "row 0 .*: no year in"),
}  # fmt: skip
BROKEN_COLUMNS = {
    "naive": (with_stamps(lambda at: at.dt.tz_localize(None)), "timestamps without a time zone"),
    "text for a time": (with_stamps(lambda at: at.astype(str)), "timestamps without a time zone"),
    "a column missing": (frame().drop(columns="volume"), "no column volume"),
    "text for a price": (frame().assign(open=frame()["open"].astype(str)), "column open holds no numbers"),
    "filled as text": (frame().assign(filled="False"), "column filled holds something else"),
    "no row": (frame().head(0), "it holds no candle"),
}


@pytest.mark.parametrize("name", [*BROKEN_ROWS, *BROKEN_COLUMNS])
def test_what_is_no_candle_is_refused_with_the_file_and_the_first_row(name, tmp_path):
    broken, sentence = {**BROKEN_ROWS, **BROKEN_COLUMNS}[name]
    path = write(tmp_path, "INFY", broken)

    with pytest.raises(DataError, match=f"{path}: {sentence}.*; .*fetch it again"):
        read_candles(tmp_path, "INFY", "5m")


def test_the_first_offending_row_is_named_with_its_stamp():
    broken = frame()
    broken.loc[[4, 9], "close"] = np.nan

    assert f"row 4 ({broken['timestamp'][4]}): a value is missing" == complaint_about(broken)


def test_sound_candles_come_back_as_they_were_written(tmp_path):
    written = frame()
    write(tmp_path, "INFY", written)

    pd.testing.assert_frame_equal(written, read_candles(tmp_path, "INFY", "5m"))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_stamps_of_any_unit_and_zone_are_the_same_moments(unit, tmp_path):
    in_ist = with_stamps(lambda at: at.dt.as_unit(unit).dt.tz_convert(IST))
    write(tmp_path, "INFY", in_ist)
    found = read_candles(tmp_path, "INFY", "5m")["timestamp"]

    assert list(frame()["timestamp"]) == list(found)
    assert datetime(2024, 12, 2, 3, 45, tzinfo=UTC) == found[0]


def test_a_stamp_that_stands_in_the_index_is_still_a_column(tmp_path):
    path = path_of(tmp_path, "INFY", "5m")
    path.parent.mkdir()
    frame().set_index("timestamp").to_parquet(path)

    assert list(frame()["timestamp"]) == list(read_candles(tmp_path, "INFY", "5m")["timestamp"])


def test_whole_numbers_and_further_columns_are_welcome(tmp_path):
    write(tmp_path, "INFY", frame().astype({"volume": "int64"}).assign(oi=0.0, filled=False))

    assert len(frame()) == len(read_candles(tmp_path, "INFY", "5m"))


def test_a_missing_file_is_named_with_the_command_that_gets_it(tmp_path):
    with pytest.raises(DataError, match=r"M&M/5m.parquet is missing; get it with: .* --symbols M&M history"):
        read_candles(tmp_path, "M&M", "5m")


TORN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "truncated": lambda good: good[: len(good) // 2],
    "its last byte gone": lambda good: good[:-1],
    "a page": lambda _: b"<!DOCTYPE html><html><body>Access denied</body></html>",
    "a page as long as the file": lambda good: b"<html>".ljust(len(good), b" "),
}


@pytest.mark.parametrize("name", TORN)
def test_what_is_no_parquet_file_is_refused(name, tmp_path):
    path = write(tmp_path, "INFY", frame())
    path.write_bytes(TORN[name](path.read_bytes()))

    with pytest.raises(DataError, match=rf"{path} cannot be read \(.*\); .*fetch it again"):
        read_candles(tmp_path, "INFY", "5m")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    path_of(tmp_path, "INFY", "5m").mkdir(parents=True)

    with pytest.raises(DataError, match="cannot be read"):
        read_candles(tmp_path, "INFY", "5m")


def test_whatever_bytes_are_broken_the_answer_is_a_sentence_or_sound_candles(tmp_path):
    path, chance = write(tmp_path, "INFY", frame()), random.Random(0)
    good = path.read_bytes()
    for _ in range(300):
        broken = bytearray(good)
        for _ in range(chance.choice([1, 4, 40])):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        path.write_bytes(broken)
        try:
            found = read_candles(tmp_path, "INFY", "5m")
        except DataError as error:
            assert str(path) in str(error) and "fetch it again" in str(error)
        else:
            assert "" == complaint_about(found)
