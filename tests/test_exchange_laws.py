"""Laws that the books keep on any day, good or bad, whatever anybody does."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.account import MIS
from exchange.faults import Fault
from exchange.nouns import Holding, OrderView, RefusalError, Terms
from exchange.orders import FINAL
from rulebook.charges import split
from rulebook.records import OrderType, Paise, Side
from tests.exchange_market import (
    DAY,
    MONDAY,
    RATES,
    Trader,
    at,
    fingerprint,
    random_tape,
    trader,
)

# --- laws -----------------------------------------------------------------------------------------

FAULTS = [
    Fault("partial_fills", 0.2, value=3),
    Fault("cancel_loses_race", 0.3),
    Fault("being_processed", 0.2),
    Fault("modify_refused", 0.3),
    Fault("rejected_later", 0.1, value=500),
    Fault("executed_twice", 0.1),
    Fault("band_reached", 0.3),
    Fault("self_trade", 0.1),
    Fault("gap", after=at("09:15:40"), value=-250, where="FNO"),
    Fault("circuit_lock", after=at("09:15:50"), until=at("09:16:10"), value=1, where="PLAIN"),
    Fault("market_halt", after=at("09:16:30"), until=at("09:16:40")),
    Fault("early_square_off", after=at("09:17:00")),
]


def play(seed: int, *faults: Fault, steps: int = 1, watch: Sequence[str] = ()) -> Trader:
    """A person who does anything, for some minutes, and then the rest of the day; time goes in pieces."""
    luck = Random(seed)
    tapes = {ticker: random_tape(luck, rows=150) for ticker in ("FNO", "PLAIN")}
    pauses = Random(seed + 1)
    terms = Terms(cash=3_000_00, holdings=(Holding("FNO", 40, Paise(95_00)),), orders_per_second=100)
    t = Trader(tapes, *faults, start="09:14:50", seed=seed, terms=terms)
    t.exchange.watch(watch)
    known: list[str] = []
    for _ in range(60):
        whole = timedelta(milliseconds=luck.choice([0, 1, 3, 10, 900, 3_000, 7_000]))
        _in_pieces(t, t.exchange.now + whole, steps, pauses)
        with suppress(RefusalError):
            known += _anything(t, luck, known)
    _in_pieces(t, at("15:40"), steps, pauses)
    return t


def _in_pieces(t: Trader, to: datetime, steps: int, pauses: Random) -> None:
    start = t.exchange.now
    for part in sorted(pauses.random() for _ in range(steps - 1)):
        t.exchange.advance(start + (to - start) * part)
    t.exchange.advance(to)


def _anything(t: Trader, luck: Random, known: Sequence[str]) -> list[str]:
    side, qty = luck.choice(list(Side)), luck.choice([1, 7, 40, 400])
    seen = t.exchange.quote("FNO")
    last = seen.last if seen else 100_00
    price = last + 5 * luck.choice([-40, -4, -1, 0, 1, 4, 40])
    more: dict[str, Any] = {
        "ticker": luck.choice(["FNO", "PLAIN"]),
        "product": luck.choice(["MIS", "MIS", "CNC"]),
    }
    match luck.choice(
        ["limit", "limit", "market", "stop", "slm", "ioc", "hand", "modify", "modify", "cancel"]
    ):
        case "limit":
            return [t.place(side, qty, price, **more)]
        case "ioc":
            return [t.place(side, qty, price, validity="IOC", **more)]
        case "market":
            return [t.place(side, qty, **more)]
        case "hand":
            t.place(side, qty, placed_by_hand=True, **{**more, "protection_milli": 0})
        case "stop":
            trigger = last + side * 5 * luck.choice([1, 2, 10])
            return [t.stop(side, qty, trigger, trigger + side * 5 * luck.choice([0, 1, 20]), **more)]
        case "slm":
            trigger = last + side * 5 * luck.choice([1, 2, 10])
            said: dict[str, Any] = {"order_type": OrderType.SL_M, "trigger": trigger, "protection_milli": 500}
            return [t.place(side, qty, None, **{**more, **said})]
        case "modify" if known:
            kind = luck.choice([None, OrderType.LIMIT, OrderType.MARKET, OrderType.SL])
            said = {
                "order_type": kind,
                "qty": luck.choice([None, 5, 50]),
                "price": luck.choice([None, price]),
            }
            t.modify(luck.choice(known), protection_milli=-1, trigger=luck.choice([None, last]), **said)
        case "cancel" if known:
            t.exchange.cancel(luck.choice(known))
    return []


def check(t: Trader) -> None:
    """Every law that a day's books must keep."""
    truth, orders = t.exchange.truth(), t.exchange.orders()
    trades = truth["trades"]
    assert len(trades) == len({trade["trade_id"] for trade in trades})
    for order in orders:
        own = [trade for trade in trades if trade["order_id"] == order.order_id]
        rows = t.exchange.history(order.order_id)
        assert order.filled == sum(trade["qty"] for trade in own)
        assert order.value == sum(trade["qty"] * trade["price"] for trade in own)
        assert all(row.filled + row.cancelled + row.pending == row.qty and row.pending >= 0 for row in rows)
        assert [row.filled for row in rows] == sorted(row.filled for row in rows)
        moments = [_written(row) for row in rows]
        assert moments == sorted(moments)
        assert [row.status for row in rows if row.status in FINAL] == [rows[-1].status]
        assert order.status != "COMPLETE" or order.filled == order.qty
        assert order.status != "CANCELLED" or order.pending == 0
        _check_prices(rows, own)
    for flow in t.exchange.flows():
        signed = [
            Side[trade["side"]] * trade["qty"]
            for trade in trades
            if (trade["ticker"], trade["product"]) == (flow.ticker, flow.product)
        ]
        assert flow.net == sum(signed)


def _check_prices(rows: Sequence[OrderView], own: Sequence[dict[str, Any]]) -> None:
    """Never beyond the limit that held, nor a stop before its trigger was touched or passed by a shock."""
    for trade in own:
        before = [row for row in rows if _written(row).isoformat() <= trade["at"]]
        limits = [row.price for row in before if row.price]
        side = Side[trade["side"]]
        if limits:
            said = [row.price for row in before if row.filled < max(row.filled for row in before)] or limits
            assert any(side * (trade["price"] - price) <= 0 for price in said)


def _written(row: OrderView) -> datetime:
    assert row.updated_at is not None
    return row.updated_at


def check_stops(t: Trader) -> None:
    """Without faults: a stop that fired had its trigger touched by a row since it came."""
    for order in t.exchange.orders():
        rows = t.exchange.history(order.order_id)
        words = [row.status for row in rows]
        if order.order_type is not OrderType.SL or order.filled == 0 or "MODIFIED" in words:
            continue
        made = t.market.tape(order.request.ticker, DAY)
        came = next(_written(row) for row in rows if row.status == "TRIGGER PENDING")
        fired = next(_written(row) for row in rows if row.status == "OPEN")
        came_s, fired_s = ((moment - at("00:00")).total_seconds() for moment in (came, fired))
        first = max(row for row, second in enumerate(made.seconds) if second <= came_s)
        seen = [made.lasts[row] for row in range(first, len(made.lasts)) if made.seconds[row] <= fired_s]
        assert any(order.request.side * (last - order.trigger) >= 0 for last in seen)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_on_any_day_the_books_keep_every_law(seed):
    t = play(seed)

    check(t)
    check_stops(t)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sets(st.sampled_from(FAULTS)))
def test_on_any_bad_day_too(seed, faults):
    faults = sorted(faults, key=FAULTS.index)

    check(play(seed, *faults))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sets(st.sampled_from(FAULTS)), st.integers(2, 9))
def test_the_same_day_comes_out_in_one_step_of_time_and_in_many_watched_or_not(seed, faults, steps):
    faults = sorted(faults, key=FAULTS.index)

    once, again = play(seed, *faults), play(seed, *faults, steps=steps, watch=("FNO", "PLAIN"))

    assert fingerprint(once.exchange) == fingerprint(again.exchange)


def test_another_seed_makes_another_day():
    assert len({fingerprint(play(seed).exchange) for seed in range(4)}) == 4


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_overnight_the_money_follows_from_the_trades_to_the_paisa(seed):
    t = play(seed)
    trades = t.exchange.truth()["trades"]
    executed: dict[str, tuple[Side, int]] = {}
    fees = set()
    for trade in trades:
        side, value = executed.get(trade["order_id"], (Side[trade["side"]], 0))
        executed[trade["order_id"]] = (side, value + trade["qty"] * trade["price"])
    for order in t.exchange.orders():
        if order.request.placed_by_broker and order.filled:
            fees.add(order.order_id)
    charges = split(executed.values(), RATES, len(fees)).total
    assert charges == t.exchange.charges_of_day().total
    opening = t.exchange.funds().opening

    t.till("09:00", MONDAY)

    booked = t.exchange.truth()["settlements"]
    out = booked[0]["closed_out"] if booked else 0
    moved = sum(-side * value for side, value in executed.values())
    assert opening + moved - charges - out == t.exchange.funds().opening
    assert ([], [], []) == (t.exchange.orders(), t.exchange.trades(), t.exchange.flows())


def test_after_the_square_off_nothing_intraday_is_left_where_the_book_is_deep():
    """The random tapes end early, so here is one with depth at the hour."""
    t = trader()
    t.buy(100, 100_05)
    t.sell(50, 99_95, ticker="PLAIN")

    t.till("15:35")

    assert [0, 0] == [flow.net for flow in t.exchange.flows() if flow.product == MIS]
