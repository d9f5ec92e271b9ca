"""An index's list comes from the archive, else the site, else the list that was kept; and says which."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from clock import SystemClock
from net import Http
from nse import USER_AGENT, ChangedPageError, Constituents, NseSite, index_name
from outcome import ConfigError, NetworkError
from rulebook.hours import ist_day
from tests.local_exchange import Running, local_exchange

CLOCK = SystemClock()


class Quick(SystemClock):
    """Pauses between tries are not what is tested here."""

    def wait(self, seconds: float) -> None:
        assert seconds < 10


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with local_exchange("--symbols", "60") as running:
        yield running


@pytest.fixture
def running(shared: Running) -> Running:
    shared.heal()
    return shared


@contextmanager
def site(running: Running, cache: Path) -> Iterator[NseSite]:
    with closing(Http(USER_AGENT, Quick(), Random(1))) as http:
        yield NseSite(http, running.ready["nse_url"], running.ready["nse_archives_url"], cache, Quick())


def asked(running: Running, cache: Path, index: str = "NIFTY50") -> tuple[Constituents, list[str]]:
    told: list[str] = []
    with site(running, cache) as nse:
        return nse.constituents(index, told.append), told


def grown_old(cache: Path, days: int) -> None:
    for path in cache.iterdir():
        known = json.loads(path.read_text())
        path.write_text(json.dumps({**known, "day": str(ist_day(CLOCK.now()) - timedelta(days=days))}))


def test_the_archive_is_asked_first(running, tmp_path):
    found, told = asked(running, tmp_path)

    assert ("NIFTY 50", "NSE's archive", 50) == (found.index, found.source, len(found.tickers))
    assert "Financial Services" == found.industries["HDFCBANK"]
    assert [] == told


def test_once_a_day_is_enough(running, tmp_path):
    asked(running, tmp_path)
    running.break_with("nse_down")
    found, told = asked(running, tmp_path)

    assert f"the list kept on {ist_day(CLOCK.now())}" == found.source
    assert [] == told


@pytest.mark.parametrize("fault", ["nse_down", "nse_blocked", "nse_changed"])
def test_where_nse_says_nothing_the_kept_list_serves_and_both_failures_are_told(running, tmp_path, fault):
    whole, _ = asked(running, tmp_path)
    grown_old(tmp_path, 3)
    running.break_with(fault)
    found, told = asked(running, tmp_path)

    assert whole.tickers == found.tickers
    assert f"the list kept on {ist_day(CLOCK.now()) - timedelta(days=3)}" == found.source
    assert 2 == len(told)


def test_without_any_list_that_is_said(running, tmp_path):
    running.break_with("nse_changed")

    with pytest.raises(NetworkError, match=r"no list to be had, and none was kept; .* other columns"):
        asked(running, tmp_path)


def test_a_torn_cache_is_none(running, tmp_path):
    asked(running, tmp_path)
    for path in tmp_path.iterdir():
        path.write_text(path.read_text()[:100])

    found, _ = asked(running, tmp_path)

    assert "NSE's archive" == found.source


def test_what_robots_txt_closes_is_not_asked(running, tmp_path):
    closed = pytest.raises(NetworkError, match=r"closed to programs by NSE's robots\.txt")
    with site(running, tmp_path) as nse, closed:
        nse._from_site("NIFTY 50", ist_day(CLOCK.now()))


def test_the_site_itself_would_be_understood(running, tmp_path):
    class Allowed(NseSite):
        def _require_allowed(self, path: str) -> None:
            """As if robots.txt had said so."""

    with site(running, tmp_path) as nse:
        nse.__class__ = Allowed
        found = nse._from_site("NIFTY 50", ist_day(CLOCK.now()))

    assert asked(running, tmp_path)[0].industries == found.industries


def test_too_few_shares_are_no_index(running, tmp_path):
    with pytest.raises(NetworkError, match="60 shares instead of about 100"):
        asked(running, tmp_path, "NIFTY 100")


@pytest.mark.parametrize("text", ["NIFTY50", "nifty 50", "Nifty-50", "NIFTY 50"])
def test_an_index_has_many_spellings(text):
    assert "NIFTY 50" == index_name(text)


def test_another_index_is_refused_with_the_list():
    with pytest.raises(ConfigError, match="'SENSEX' is not known; one of: NIFTY 50, NIFTY NEXT 50"):
        index_name("SENSEX")


def test_a_symbol_that_is_none_is_a_changed_page():
    from nse import _judged

    with pytest.raises(ChangedPageError, match="'<b>INFY' is no symbol"):
        _judged("NIFTY 50", [("<b>INFY", "IT")], 50, "NSE's archive", ist_day(CLOCK.now()))
