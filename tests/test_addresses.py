"""Tokens and orders go to the broker or to this machine, and nowhere else."""

import pytest

from addresses import DEFAULTS, read_addresses
from outcome import ConfigError

LOCAL = {
    "KITE_API_URL": "http://127.0.0.1:8700",
    "KITE_LOGIN_URL": "http://127.0.0.1:8700/",
    "KITE_WS_URL": "ws://localhost:8700",
}


def test_without_a_word_the_addresses_are_the_real_ones():
    found = read_addresses({})

    assert tuple(DEFAULTS.values()) == (
        found.kite_api, found.kite_login, found.kite_ws, found.nse, found.nse_archives,
    )  # fmt: skip
    assert (None, False) == (found.clock, found.is_local)
    assert "api.kite.trade" == found.broker_host


def test_a_local_exchange_may_have_a_clock():
    found = read_addresses({**LOCAL, "CLOCK_URL": "http://127.0.0.1:8700/clock"})

    assert found.is_local
    assert "http://127.0.0.1:8700/clock" == found.clock
    assert "http://127.0.0.1:8700" == found.kite_login
    assert "127.0.0.1:8700" == found.broker_host


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"KITE_API_URL": "http://api.kite.trade"}, "must begin with https://"),
        ({"KITE_WS_URL": "ws://ws.kite.trade"}, "must begin with wss://"),
        ({"KITE_API_URL": "https://api.kite.trade.evil.example"}, "is not one of"),
        ({"KITE_API_URL": "https://127.0.0.1.evil.example"}, "is not one of"),
        ({"KITE_API_URL": "https://user@api.kite.trade"}, "a scheme, a host and a port only"),
        ({"KITE_API_URL": "https://api.kite.trade?x=1"}, "a scheme, a host and a port only"),
        ({"NSE_URL": "https://nse.example"}, "is not one of"),
        ({"KITE_API_URL": "http://127.0.0.1:1"}, "partly on this machine"),
        ({"KITE_API_URL": "ftp://127.0.0.1:1"}, "must begin with http://"),
        ({"KITE_API_URL": "http://[::1"}, "is not an address"),
        ({"CLOCK_URL": "http://127.0.0.1:1/clock"}, "the real one has real time"),
        ({**LOCAL, "CLOCK_URL": "http://10.0.0.1/clock"}, "not on this machine"),
    ],
)
def test_any_other_address_is_refused(environ, complaint):
    with pytest.raises(ConfigError, match=complaint):
        read_addresses(environ)
