"""The market at each bar: who is there, and which coarser bar had closed."""

import numpy as np
import pytest

from outcome import DataError
from panel import NONE_YET, panel
from processed import Columns

OPENING_S = 1_700_000_100  # a multiple of five minutes


def columns(minutes: list[int], offset: float = 0.0) -> Columns:
    stamps = np.array([OPENING_S + 60 * minute for minute in minutes], np.int64)
    values = np.stack([np.array(minutes, np.float32) + offset, np.ones(len(minutes), np.float32)], axis=1)
    return Columns(stamps, values.astype(np.float32))


def test_a_row_for_each_bar_that_any_ticker_has_and_zeros_where_one_has_none():
    found = panel({"5m": {"B": columns([0, 5, 15]), "A": columns([5, 10, 15], 100)}}, {"5m": 300})

    assert ("A", "B") == found.tickers
    assert [[False, True], [True, True], [True, False], [True, True]] == found.is_there.tolist()
    assert [0, 105, 110, 115] == found.features[0][:, 0, 0].tolist()
    assert [0, 5, 0, 15] == found.features[0][:, 1, 0].tolist()
    assert [0, 1, 2, 3] == found.last[0].tolist()


def test_a_coarser_bar_is_known_once_it_has_closed_and_not_a_minute_before():
    fine = {"A": columns([0, 5, 10, 15, 20, 25, 30])}
    coarse = {"A": columns([0, 15])}
    found = panel({"5m": fine, "15m": coarse}, {"5m": 300, "15m": 900})

    assert [NONE_YET, NONE_YET, 0, 0, 0, 1, 1] == found.last[1].tolist()


@pytest.mark.parametrize(("halos", "first"), [((0, 0), 2), ((1, 0), 2), ((4, 0), 4), ((0, 1), 5)])
def test_the_first_decision_has_its_halo_of_every_timeframe_behind_it(halos, first):
    fine = {"A": columns([0, 5, 10, 15, 20, 25, 30])}
    found = panel({"5m": fine, "15m": {"A": columns([0, 15])}}, {"5m": 300, "15m": 900})

    assert first == found.first_whole(halos)


def test_too_short_a_history_has_no_first_decision():
    found = panel({"5m": {"A": columns([0, 5])}}, {"5m": 300})

    assert len(found.opened_s) == found.first_whole([2])


def test_a_feature_that_is_no_number_is_refused_and_named():
    broken = columns([0, 5])
    broken.values[1, 1] = np.nan

    with pytest.raises(DataError, match="A 5m: 1 rows of features"):
        panel({"5m": {"A": broken}}, {"5m": 300})
