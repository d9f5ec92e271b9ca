"""Sessions on paper over real sockets: the local exchange gives the quotes, and never hears of an order."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from broker import ZerodhaClient
from clock import Clock
from followed_clock import FollowedClock
from kite.connect import transport
from kite.feed import Feed, Ticked
from kite.inbox import Inbox
from kite.rates import Rates
from kite.ticker import Ticker
from kite.wire import FullPacket
from paper import PaperClient
from paper_quotes import QuoteRefused, of_stream
from rulebook.charges import order_charges, square_off_fee
from rulebook.records import OrderType, Side
from tests.local_exchange import ANSWER_S, Running, local_exchange
from tests.paper_tables import CAPITAL, MODES, RATES, At, Kept, limit, market, paper_terms, place

pytestmark = pytest.mark.long

INFY = 408065


@dataclass
class Seat:
    """Who sits before the exchange: its clock, a login, and a folder."""

    running: Running
    clock: FollowedClock
    token: str
    folder: Path

    @contextmanager
    def client(
        self, mode: str, told: list[QuoteRefused] | None = None, clock: Clock | None = None
    ) -> Iterator[PaperClient]:
        """As trade.py makes one: the transport of the mode, and nothing else of the broker."""
        now, ready = clock or self.clock, self.running.ready
        way = transport(mode, At(ready["kite_api_url"]), ready["api_key"], now, Random(7))
        way.use_token(self.token)
        rates, path = Rates(self.folder, now), self.folder / "paper.json"
        tell = None if told is None else told.append
        terms = paper_terms(leverage=5)
        with closing(PaperClient(way, rates, now, Random(7), terms, path, tell=tell)) as client:
            yield client

    def is_untouched(self) -> bool:
        """By the exchange's own truth."""
        truth = self.running.truth()
        return [truth["orders"], truth["trades"], truth["flows"]] == [[], [], []]


@contextmanager
def seated(running: Running, folder: Path) -> Iterator[Seat]:
    kite = running.logged_in()
    kite.reqsession.close()
    with closing(FollowedClock(running.ready["clock_url"])) as clock:
        yield Seat(running, clock, str(kite.access_token), folder)


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Seat]:
    with local_exchange("--symbols", "5") as running, seated(running, tmp_path) as seat:
        yield seat


@pytest.mark.parametrize("mode", MODES)
def test_a_whole_trade_happens_on_paper_and_the_exchange_never_hears_of_it(seat, mode):
    told: list[QuoteRefused] = []
    with seat.client(mode, told) as client:
        trader = ZerodhaClient(client, seat.clock, Kept(), 50.0)
        entry = trader.order_status(trader.place_order("INFY", "BUY", 20, "INFY-BUY-1"))
        (held,) = trader.open_positions().to_dict("records")

        assert ("COMPLETE", 20, 20) == (entry["status"], entry["filled_qty"], held["qty"])

        stop = trader.place_stop_loss("INFY", "SELL", 20, entry["avg_price"] * 0.98, "INFY-SELL-1")
        trader.modify_order(stop, stop_price=entry["avg_price"] * 0.985)
        seat.clock.wait(1)
        trader.quotes(["INFY"])
        trader.exit_position("INFY", 20, "INFY-EXIT-1")
        seat.clock.wait(1)
        trader.quotes(["INFY"])

        assert ("COMPLETE", 20) == tuple(trader.order_status(stop)[name] for name in ("status", "filled_qty"))
        assert trader.open_positions().empty

        (bought, sold) = client.orders()
        charges = sum(order_charges(row.side, row.value, RATES) for row in (bought, sold))

        assert CAPITAL + sold.value - bought.value - charges == client.cash()
        assert ({}, []) == (client.refused_quotes, told)
    assert seat.is_untouched()


def test_paper_pays_prices_that_the_exchange_showed_and_takes_no_more_than_it_offered(seat):
    with seat.client("raw_http") as client:
        quote = client.quotes(["INFY"])["INFY"]
        best, second = quote.asks[:2]
        worst = f"{second.price / 100:.2f}"
        qty = best.qty + second.qty
        if qty * second.price > 4 * CAPITAL:
            qty = 4 * CAPITAL // second.price
        client.place(place("INFY", Side.BUY, limit(qty, worst), "1"))
        client.place(place("INFY", Side.BUY, limit(1, worst), "2"))
        paid = [(fill.price, fill.qty) for fill in client.books().trades]

        assert [(best.price, min(best.qty, qty))] == paid[:1]
        assert sum(size for _, size in paid) <= best.qty + second.qty
        assert {price for price, _ in paid} <= {best.price, second.price}
    assert seat.is_untouched()


class Ahead:
    """The exchange's clock, as a machine reads it whose own is a minute ahead."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.monotonic = clock.monotonic
        self.wait = clock.wait

    def now(self) -> datetime:
        return self._clock.now() + timedelta(minutes=1)


def test_quotes_that_are_a_minute_old_by_our_clock_fill_nothing(seat):
    told: list[QuoteRefused] = []
    with seat.client("raw_http", told, Ahead(seat.clock)) as client:
        client.quotes(["INFY"])
        order = client.place(place("INFY", Side.BUY, market(1), "1"))

        assert ["its stamp is too old"] == [str(one.doubt) for one in told]
        assert [(order, "OPEN", 0)] == [(row.order_id, row.status, row.filled) for row in client.orders()]


def test_the_stream_fills_an_order_that_waits(seat):
    with seat.client("raw_http") as client:
        order = client.place(place("INFY", Side.SELL, market(5), "1"))
        names = {share.token: ticker for ticker, share in client.master().shares.items()}
        packet = _packet(seat)

        assert client.quoted(of_stream(names[packet.token], packet))
        assert [(order, "COMPLETE", 5)] == [(row.order_id, row.status, row.filled) for row in client.orders()]
        assert [packet.bids[0].price] == [fill.price for fill in client.books().trades]
    assert seat.is_untouched()


def _packet(seat: Seat) -> FullPacket:
    """The first one of INFY."""
    ready, inbox = seat.running.ready, Inbox[Any]()
    ticker = Ticker(
        ready["kite_ws_url"], ready["api_key"], lambda: seat.token, Feed(), seat.clock, Random(1), inbox
    )
    ticker.want([INFY])
    ticker.start()
    try:
        while (news := inbox.take(ANSWER_S)) is not None:
            if isinstance(news, Ticked) and isinstance(news.packet, FullPacket):
                return news.packet
    finally:
        ticker.stop()
    raise AssertionError("no packet came")


def test_a_forgotten_position_is_squared_off_on_paper_at_the_broker_s_time(tmp_path):
    ten_past_three = local_exchange("--symbols", "5", start="2026-11-20T15:10")
    with ten_past_three as running, seated(running, tmp_path) as seat, seat.client("raw_http") as client:
        client.quotes(["INFY"])
        client.place(place("INFY", Side.BUY, market(10), "1"))
        seat.clock.wait(120)
        client.quotes(["INFY"])
        (bought, sold) = client.orders()
        charges = sum(order_charges(row.side, row.value, RATES) for row in (bought, sold))

        assert (10, 10, None, OrderType.MARKET) == (bought.filled, sold.filled, sold.tag, sold.order_type)
        assert datetime(2026, 11, 20, 9, 42, tzinfo=UTC) <= client.books().trades[-1].at
        assert CAPITAL + sold.value - bought.value - charges - square_off_fee(RATES) == client.cash()
        assert seat.is_untouched()
