"""What is traded today: read strictly, found by what people write, and downloaded once a day."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from files import WriteError, write_atomically
from kite.day_list import Lists, list_day, read, sync
from kite.errors import CorruptError
from kite.instruments import COLUMNS, Master, MasterError, UnknownTickerError, read_master
from outcome import ExitCode
from rulebook.hours import IST, SymbolClass
from tests.brokers import MODES, Seat, seated
from tests.local_exchange import local_exchange
from tests.test_rates import VirtualClock

DAY = date(2026, 11, 20)
NSE = """\
256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE
260105,1016,NIFTY BANK,NIFTY BANK,0,,0,0,0,EQ,INDICES,NSE
408065,1594,INFY,INFOSYS,0,,0,0.1,1,EQ,NSE,NSE
4267265,16669,BAJAJ-AUTO,BAJAJ AUTO,0,,0,0.5,1,EQ,NSE,NSE
519937,2031,M&M,MAHINDRA & MAHINDRA,0,,0,0.1,1,EQ,NSE,NSE
2674433,10447,MCDOWELL-N,UNITED SPIRITS,0,,0,0.1,1,EQ,NSE,NSE
121345,474,3MINDIA,3M INDIA,0,,0,5,1,EQ,NSE,NSE
500001,1953,CHEAP,CHEAP INDUSTRIES,0,,0,0.01,1,EQ,NSE,NSE
600001,2343,WATCHED-BE,WATCHED WORKS,0,,0,0.05,1,EQ,NSE,NSE
600257,2344,LOAN-N1,LOAN 9.1%,0,,0,0.01,1,EQ,NSE,NSE
600513,2345,SMALL-SM,SMALL COMPANY,0,,0,0.05,500,EQ,NSE,NSE
"""
NFO = """\
12345602,48225,INFY26NOVFUT,INFY,0,2026-11-24,0,0.1,400,FUT,NFO-FUT,NFO
12345858,48226,INFY26DECFUT,INFY,0,2026-12-29,0,0.1,400,FUT,NFO-FUT,NFO
12346114,48227,BAJAJ-AUTO26NOVFUT,BAJAJ-AUTO,0,2026-11-24,0,0.5,75,FUT,NFO-FUT,NFO
12346370,48228,NIFTY26NOVFUT,NIFTY,0,2026-11-24,0,0.1,65,FUT,NFO-FUT,NFO
12346626,48229,INFY26NOV1600CE,INFY,0,2026-11-24,1600,0.05,400,CE,NFO-OPT,NFO
12346882,48230,M&M26OCTFUT,M&M,0,2026-10-27,0,0.1,200,FUT,NFO-FUT,NFO
"""
HEAD = ",".join(COLUMNS) + "\n"


def master(nse: str = NSE, nfo: str = NFO, day: date = DAY) -> Master:
    return read_master(day, HEAD + nse, HEAD + nfo)


# --- a ticker and what it means today ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ticker", "symbol"),
    [
        ("INFY", "INFY"), ("infy", "INFY"), (" Infy ", "INFY"), ("NSE:INFY", "INFY"), ("INFY-EQ", "INFY"),
        ("INFY.NS", "INFY"), ("nse:infy-eq", "INFY"), ("BAJAJ-AUTO", "BAJAJ-AUTO"), ("BAJAJ-AUTO.NS", "BAJAJ-AUTO"),
        ("BAJAJ-AUTO-EQ", "BAJAJ-AUTO"), ("M&M.NS", "M&M"), ("MCDOWELL-N", "MCDOWELL-N"), ("3mindia", "3MINDIA"),
    ],
)  # fmt: skip
def test_a_share_is_found_by_the_spellings_that_people_use(ticker, symbol):
    assert symbol == master().share(ticker).instrument.ticker


@pytest.mark.parametrize(
    ("ticker", "token", "tick", "lot", "symbol_class"),
    [
        ("INFY", 408065, 10, 1, SymbolClass.FNO),
        ("BAJAJ-AUTO", 4267265, 50, 1, SymbolClass.FNO),
        ("M&M", 519937, 10, 1, SymbolClass.OTHER),  # its last future has run out
        ("3MINDIA", 121345, 500, 1, SymbolClass.OTHER),
        ("CHEAP", 500001, 1, 1, SymbolClass.OTHER),
    ],
)
def test_token_tick_lot_and_class_are_those_of_the_day(ticker, token, tick, lot, symbol_class):
    share = master().share(ticker)
    order = share.instrument

    assert (token, tick, lot, symbol_class) == (share.token, order.tick, order.lot, order.symbol_class)


@pytest.mark.parametrize(
    ("ticker", "sentence"),
    [
        ("NIFTY 50", "is an index: it is shown and cannot be traded; name a share"),
        ("nifty50", "is an index"),
        ("NSE:NIFTY BANK", "is an index"),
        ("NIFTY", "is an index"),  # as its futures name it
        ("WATCHED", "is traded as WATCHED-BE today, without intraday margin; leave it out"),
        ("WATCHED-BE", "is traded as WATCHED-BE today"),
        ("LOAN-N1", "without intraday margin"),
        ("SMALL", "is traded as SMALL-SM"),
        ("TATAMOTORS", "is not in the list of 2026-11-20"),
        ("INFY26NOVFUT", "is not in the list"),
        ("BSE:INFY", "is not in the list"),
        ("", "is not in the list"),
    ],
)
def test_what_may_not_be_traded_is_refused_in_a_sentence_that_says_why(ticker, sentence):
    with pytest.raises(UnknownTickerError, match=sentence) as refused:
        master().share(ticker)

    assert ExitCode.DATA == refused.value.exit_code


@pytest.mark.parametrize(
    ("day", "contract"),
    [
        (DAY, "INFY26NOVFUT"),
        (date(2026, 11, 24), "INFY26NOVFUT"),  # its last day
        (date(2026, 11, 25), "INFY26DECFUT"),
        (date(2026, 12, 29), "INFY26DECFUT"),
    ],
)
def test_a_future_is_the_contract_that_runs_out_next(day, contract):
    assert contract == master(day=day).current_future("infy").symbol


@pytest.mark.parametrize("underlying", ["M&M", "3MINDIA", "NOBODY"])
def test_without_a_live_contract_there_is_no_future(underlying):
    with pytest.raises(UnknownTickerError, match="no live future in the list of 2026-11-20"):
        master().current_future(underlying)


def test_a_token_that_moved_is_looked_up_by_its_symbol_again():
    """A change of series gives a share another token, and its old one may come back as somebody else's."""
    moved = NSE.replace("408065,1594,INFY", "999937,3906,INFY").replace(
        "500001,1953,CHEAP", "408065,1594,CHEAP"
    )

    assert (999937, 408065) == tuple(master(moved).share(ticker).token for ticker in ("INFY", "CHEAP"))


@pytest.mark.parametrize(
    ("nse", "complaint"),
    [
        ("", "holds no share: ask for it again after 08:30"),
        ("408065,1594,INFY\n", "line 2"),
        ("x,1594,INFY,INFOSYS,0,,0,0.1,1,EQ,NSE,NSE\n", "line 2"),
        (NSE + "0,1,ZERO,ZERO,0,,0,0.1,1,EQ,NSE,NSE\n", "line 13"),
        (NSE + "5,1,LOT,LOT,0,,0,0.1,-1,EQ,NSE,NSE\n", "line 13"),
        (NSE + "5,1,DATE,DATE,0,2026-13-40,0,0.1,1,EQ,NSE,NSE\n", "line 13"),
        (NSE + "5,1,,NAMELESS,0,,0,0.1,1,EQ,NSE,NSE\n", "line 13"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_with_the_line(nse, complaint):
    with pytest.raises(MasterError, match=complaint):
        master(nse)


def test_other_columns_are_refused():
    with pytest.raises(MasterError, match="other columns"):
        read_master(DAY, "token,symbol\n", HEAD)


# --- once a day ----------------------------------------------------------------------------------------


class Desk:
    """Counts downloads."""

    def __init__(self, nse: str = NSE) -> None:
        self.lists = Lists(HEAD + nse, HEAD + NFO)
        self.downloads = 0

    def __call__(self) -> Lists:
        self.downloads += 1
        return self.lists


def at(hour: int, minute: int, day: int = 20) -> VirtualClock:
    clock = VirtualClock()
    clock.s += (datetime(2026, 11, day, hour, minute, tzinfo=IST) - clock.now()).total_seconds()
    return clock


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 11, 20, 8, 30, tzinfo=IST), DAY),
        (datetime(2026, 11, 20, 8, 29, 59, tzinfo=IST), date(2026, 11, 19)),
        (datetime(2026, 11, 20, 23, 59, tzinfo=IST), DAY),
        (datetime(2026, 11, 21, 0, 1, tzinfo=IST), DAY),
        (datetime(2026, 11, 20, 3, 0, tzinfo=UTC), DAY),
    ],
)
def test_the_list_of_a_day_is_out_at_half_past_eight_in_india(now, day):
    assert day == list_day(now)


def test_a_second_start_on_a_day_downloads_nothing(tmp_path):
    desk, path = Desk(), tmp_path / "instruments.csv"
    first = sync(path, desk, at(9, 0), write_atomically)
    again = sync(path, desk, at(15, 0), write_atomically)

    assert (1, first) == (desk.downloads, again)
    assert [path] == list(tmp_path.iterdir())

    sync(path, desk, at(15, 0), write_atomically, force=True)

    assert 2 == desk.downloads


@pytest.mark.parametrize(
    ("then", "downloads"), [((8, 0, 20), 1), ((8, 31, 20), 2), ((8, 0, 21), 2), ((9, 0, 23), 2)]
)
def test_a_list_of_the_night_or_of_another_day_is_not_used(tmp_path, then, downloads):
    desk = Desk()
    sync(tmp_path / "list", desk, at(7, 30), write_atomically)
    found = sync(tmp_path / "list", desk, at(*then), write_atomically)

    assert (downloads, list_day(at(*then).now())) == (desk.downloads, found.day)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda text: text[: len(text) // 2],
        lambda text: text[:-1],
        lambda text: text + b"x",
        lambda text: text.replace(b"408065", b"408066"),
        lambda text: text.replace(b"2026-11-20", b"2026-11-21"),
        lambda text: text.partition(b"\n")[2],
        lambda text: b"[1]\n" + text.partition(b"\n")[2],
        lambda _: b'{"day": "2026-11-20"}\n',
        lambda text: b"\xff\xfe" + text,
    ],
)
def test_a_spoilt_file_is_not_used_and_is_replaced(tmp_path, spoil):
    desk, path = Desk(), tmp_path / "list"
    sync(path, desk, at(9, 0), write_atomically)
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))

    assert read(path, DAY) is None
    assert 408065 == sync(path, desk, at(9, 0), write_atomically).share("INFY").token
    assert (2, whole) == (desk.downloads, path.read_bytes())


def test_a_broken_list_of_the_broker_is_kept_nowhere(tmp_path):
    with pytest.raises(CorruptError, match="holds no share"):
        sync(tmp_path / "list", Desk(""), at(9, 0), write_atomically)

    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_takes_nothing_is_said(tmp_path):
    with pytest.raises(WriteError, match="no such folder"):
        sync(tmp_path / "gone" / "list", Desk(), at(9, 0), write_atomically)


# --- against the exchange ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seat(tmp_path_factory) -> Iterator[Seat]:
    morning = "2026-11-20T08:20"
    with (
        local_exchange("--symbols", "60", start=morning) as running,
        seated(running, tmp_path_factory.mktemp("rates")) as seat,
    ):
        yield seat


def test_both_modes_read_one_list_and_a_new_day_s_is_fetched_at_half_past_eight(seat, tmp_path):
    path: Path = tmp_path / "list"
    traders = [
        seat.trader(client, load=lambda client=client: sync(path, client.lists, seat.clock, write_atomically))
        for client in map(seat.client, MODES)
    ]

    assert [date(2026, 11, 19)] * 2 == [trader.master.day for trader in traders]

    seat.clock.wait(700)
    first, second = (trader.master for trader in traders)

    assert [DAY] * 2 == [first.day, second.day]
    assert first == second
    assert {SymbolClass.FNO, SymbolClass.OTHER} == {s.instrument.symbol_class for s in first.shares.values()}
    assert SymbolClass.FNO is first.share("INFY").instrument.symbol_class
    assert (10, 500) == tuple(first.share(name).instrument.tick for name in ("INFY", "3MINDIA"))
    assert first.current_future("INFY").symbol.endswith("FUT")
    with pytest.raises(UnknownTickerError, match="is an index"):
        first.share("NIFTY 50")
