"""The first live start of an account: said by a flag, kept for it alone, and refused where nobody says so."""

import pytest

from clock import SystemClock
from first_live import NAME, confirmed
from outcome import RefusedError

CLOCK = SystemClock()
HOST, USER = "api.kite.trade", "AB1234"


def test_nobody_at_a_terminal_and_no_flag_is_a_refusal_with_both_ways_out(tmp_path):
    with pytest.raises(RefusedError, match="type LIVE at a terminal, or start it once with --confirm-live"):
        confirmed(tmp_path, HOST, USER, False, CLOCK)

    assert [] == list(tmp_path.iterdir())


def test_what_was_said_once_is_not_asked_again(tmp_path):
    confirmed(tmp_path, HOST, USER, True, CLOCK)
    confirmed(tmp_path, HOST, USER, False, CLOCK)

    assert 0o600 == (tmp_path / NAME).stat().st_mode & 0o777


@pytest.mark.parametrize(("host", "user"), [("127.0.0.1:5000", USER), (HOST, "CD5678")])
def test_another_account_is_asked_for_itself(tmp_path, host, user):
    confirmed(tmp_path, HOST, USER, True, CLOCK)
    with pytest.raises(RefusedError):
        confirmed(tmp_path, host, user, False, CLOCK)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_damaged_file_confirms_nothing(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(RefusedError):
        confirmed(tmp_path, HOST, USER, False, CLOCK)
