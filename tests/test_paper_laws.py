"""Laws of the paper account over random sessions: orders of every kind over quotes of every kind, killed at will."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kite.errors import RejectedError
from paper_account import Account, PaperOrder, PaperTerms, Word
from paper_book import PaperBook
from paper_file import load, save
from paper_quotes import Quote
from rulebook.charges import order_charges, square_off_fee
from rulebook.fills import Level, fillable
from rulebook.order_messages import Cancel, Modify
from rulebook.order_records import Terms
from rulebook.records import OrderType, Paise, Side
from tests.paper_tables import DAY, INFY, MONDAY, RATES, at, paper_terms, place

T = TypeVar("T")
TERMS = paper_terms(leverage=5)
SEEDS = st.integers(0, 2**32)
FEW = settings(max_examples=25, deadline=None)  # each example is a session of many orders
MIDDLE = 100_00


@dataclass
class Seen:
    """What the market has offered so far, as an oracle of its own counts it."""

    quote: Quote
    traded: int


class Session:
    """A trader with dice, and a market with dice. `sign` -1 is the same session in the mirror."""

    def __init__(self, seed: int, sign: int = 1, terms: PaperTerms = TERMS) -> None:
        self.luck = Random(seed)
        self.sign = sign
        self.terms = terms
        self.now = at("10:00:00")
        self.account = Account(DAY, terms.capital)
        self.last, self.volume, self.names = 0, 1_000, 0
        self.seen: list[Seen] = []
        self.first_fill_of: list[int] = []  # by quote: how many fills there were before it
        self.limits: dict[str, set[int]] = defaultdict(set)

    def price(self, ticks: int) -> Paise:
        """So many ticks above the middle, below it in the mirror."""
        return Paise(MIDDLE + self.sign * 5 * ticks)

    def side(self, sign: int) -> Side:
        return Side(sign * self.sign)

    def step(self) -> None:
        luck = self.luck
        self.now += timedelta(seconds=luck.choice((0, 1, 1, 2, 5)))
        live = [order.order_id for order in self.account.live()]
        what = luck.random()
        if what < 0.5 or not self.seen:
            self.look()
        elif what < 0.8 or not live:
            self.ask()
        else:
            self.change(luck.choice(live), what < 0.95)
        for order in self.account.orders.values():
            if order.limit is not None:
                self.limits[order.order_id].add(order.limit)

    def look(self) -> None:
        luck = self.luck
        self.last = max(-200, min(200, self.last + luck.choice((-30, -3, -1, 0, 0, 1, 3, 30))))
        traded = luck.choice((0, 0, 10, 100, 3_000))
        self.volume += traded
        below, above = (
            [luck.choice((1, 20, 300)) for _ in range(luck.choice((0, 1, 3, 5)))] for _ in range(2)
        )
        gap = luck.choice((1, 1, 2, 4))
        sides = {
            -1: tuple(Level(self.price(self.last - gap - n), qty) for n, qty in enumerate(below)),
            1: tuple(Level(self.price(self.last + gap + n), qty) for n, qty in enumerate(above)),
        }
        quote = Quote(
            "INFY", self.now.replace(microsecond=0), self.price(self.last), self.volume,
            sides[-self.sign], sides[self.sign],
        )  # fmt: skip
        self.seen.append(Seen(quote, traded if self.seen else 0))
        self.first_fill_of.append(len(self.account.fills))
        self.show(quote)

    def show(self, quote: Quote) -> None:
        assert self.do(lambda book: book.see(quote, INFY)) is None

    def ask(self) -> None:
        self.names += 1
        sign = self.luck.choice((-1, 1))
        asked = place("INFY", self.side(sign), self.terms_of(sign), f"{self.names}")
        self.try_to(lambda book: book.place(asked, INFY))

    def change(self, order_id: str, is_modify: bool) -> None:
        order = self.account.orders[order_id]
        if is_modify:
            asked = Modify("ref", "id", order_id, "INFY", self.terms_of(order.side * self.sign))
            self.try_to(lambda book: book.modify(asked))
        else:
            self.try_to(lambda book: book.cancel(Cancel("ref", "id", order_id, "INFY")))

    def terms_of(self, sign: int) -> Terms:
        luck = self.luck
        kind, qty = luck.choice(tuple(OrderType)), luck.choice((1, 50, 200, 900))
        price = self.price(self.last + sign * luck.choice((-3, -1, 0, 1, 2, 30)))
        trigger = self.price(self.last + sign * luck.choice((1, 2, 5)))
        beyond = self.price(self.last + sign * 30)
        match kind:
            case OrderType.MARKET:
                return Terms(qty, kind)
            case OrderType.LIMIT:
                return Terms(qty, kind, price)
            case OrderType.SL:
                return Terms(qty, kind, beyond, trigger)
            case OrderType.SL_M:
                return Terms(qty, kind, None, trigger)

    def try_to(self, work: Callable[[PaperBook], object]) -> None:
        try:
            self.do(work)
        except RejectedError:
            self.luck.random()

    def do(self, work: Callable[[PaperBook], T]) -> T:
        book = PaperBook(self.account.copy(), self.terms, self.now)
        book.catch_up()
        answer = work(book)
        self.account = book.account
        return answer


def played(seed: int, steps: int = 80, sign: int = 1) -> Session:
    session = Session(seed, sign)
    for _ in range(steps):
        session.step()
    return session


def cash_by_hand(account: Account, opening: int) -> int:
    flow = sum(-fill.side * fill.qty * fill.price for fill in account.fills)
    values: Counter[str] = Counter()
    for fill in account.fills:
        values[fill.order_id] += fill.qty * fill.price
    charges = sum(order_charges(account.orders[name].side, value, RATES) for name, value in values.items())
    fees = sum(account.orders[name].tag is None for name in values) * square_off_fee(RATES)
    return opening + flow - charges - fees


@FEW
@given(SEEDS)
def test_no_order_is_filled_beyond_its_limit_its_quantity_or_twice(seed):
    session = played(seed)
    account = session.account
    got: Counter[str] = Counter()
    for fill in account.fills:
        got[fill.order_id] += fill.qty

        assert any(fill.side * (fill.price - limit) <= 0 for limit in session.limits[fill.order_id])

    assert len({fill.fill_id for fill in account.fills}) == len(account.fills)
    for order in account.orders.values():
        assert got[order.order_id] == order.filled <= order.qty
        assert (order.word is Word.COMPLETE) == (order.left == 0)
        assert order.value == sum(f.qty * f.price for f in account.fills if f.order_id == order.order_id)


@FEW
@given(SEEDS)
def test_no_quote_gives_more_than_its_depth_and_our_share_of_what_traded(seed):
    session = played(seed)
    for number, seen in enumerate(session.seen):
        first = session.first_fill_of[number]
        last = (*session.first_fill_of, len(session.account.fills))[number + 1]
        fills = session.account.fills[first:last]
        share = fillable(seen.traded, seen.traded, TERMS.share_milli, 1)
        for side, levels in ((Side.BUY, seen.quote.asks), (Side.SELL, seen.quote.bids)):
            bought = [fill for fill in fills if fill.side is side]
            for fill in bought:
                worse = sum(f.qty for f in bought if side * (f.price - fill.price) <= 0)
                offered = sum(at_.qty for at_ in levels if side * (at_.price - fill.price) <= 0)

                assert worse <= offered + share


@FEW
@given(SEEDS)
def test_a_level_that_stands_still_is_sold_once_however_often_it_is_seen(seed):
    session = played(seed, steps=30)
    for seen_again in range(10):
        session.now += timedelta(seconds=1)
        quote = replace(session.seen[-1].quote, at=session.now.replace(microsecond=0))
        session.show(quote)
        if seen_again == 0:
            after_first = session.account.fills

    assert after_first == session.account.fills


@FEW
@given(SEEDS)
def test_positions_are_the_sum_of_fills_and_cash_adds_up_to_the_paisa(seed):
    account = played(seed).account
    net = sum(fill.side * fill.qty for fill in account.fills)
    held = account.held("INFY")

    assert net == account.net("INFY") == held.net
    assert cash_by_hand(account, TERMS.capital) == account.cash(RATES)
    assert held.realised - held.cost == sum(-f.side * f.qty * f.price for f in account.fills)
    assert (held.cost == 0) == (net == 0)


@FEW
@given(SEEDS)
def test_what_is_blocked_never_grows_beyond_the_money_but_by_losses(seed):
    session = Session(seed)
    for _ in range(60):
        before = session.account.free(TERMS)
        orders = dict(session.account.orders)
        session.step()
        placed = session.account.orders.keys() - orders.keys()
        if placed and session.account.fills == []:
            assert min(0, before) <= session.account.free(TERMS)


@FEW
@given(SEEDS)
def test_long_and_short_are_mirrors(seed):
    """Prices mirrored around the middle; without market protection, whose percentage has no mirror."""
    up, down = _limits_only(seed, 1), _limits_only(seed, -1)

    assert [(f.order_id, f.qty, f.price - MIDDLE, f.side) for f in up.account.fills] == [
        (f.order_id, f.qty, MIDDLE - f.price, -f.side) for f in down.account.fills
    ]
    assert [_shape(order) for order in up.account.orders.values()] == [
        _shape(order) for order in down.account.orders.values()
    ]


def _limits_only(seed: int, sign: int) -> Session:
    class Limits(Session):
        def terms_of(self, sign: int) -> Terms:
            while True:
                terms = super().terms_of(sign)
                if terms.order_type in (OrderType.LIMIT, OrderType.SL):
                    return terms

    # With money without end, for a short blocks another price than a long.
    session = Limits(seed, sign, paper_terms(capital=Paise(10**12)))
    for _ in range(60):
        session.step()
    return session


def _shape(order: PaperOrder) -> tuple[object, ...]:
    return order.order_id, order.qty, order.filled, order.word, order.order_type, order.modifications


@FEW
@given(SEEDS, st.integers(1, 60))
def test_a_process_that_is_killed_anywhere_goes_on_as_if_it_had_not_been(seed, killed_after):
    """Every step is on the disk before it is answered, so the file is the state; quotes alone are forgotten."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "paper.json"
        whole, killed = Session(seed), Session(seed)
        for step in range(60):
            whole.step()
            killed.step()
            if step == killed_after:
                save(killed.account, path)
                found = load(path)
                assert found is not None
                found.markets = {**killed.account.markets, **found.markets}
                killed.account = found

    assert whole.account.orders == killed.account.orders
    assert whole.account.fills == killed.account.fills
    assert whole.account.free(TERMS) == killed.account.free(TERMS)
    assert whole.account.positions() == killed.account.positions()


@FEW
@given(SEEDS)
def test_every_day_ends_flat_and_opens_with_what_the_last_one_left(seed):
    session = played(seed)
    session.now = at("15:15:00")
    session.do(PaperBook.catch_up)
    account = session.account
    left = cash_by_hand(account, TERMS.capital)

    assert 0 == account.net("INFY")
    assert [] == account.live()
    assert left == account.free(TERMS)

    session.now = at("09:15:00", MONDAY)
    session.do(PaperBook.catch_up)

    assert (MONDAY, left, left) == (session.account.day, session.account.opening, session.account.free(TERMS))


@pytest.mark.parametrize("seed", range(3))
def test_the_same_dice_are_the_same_session(seed):
    assert played(seed).account == played(seed).account


def test_the_dice_reach_every_end_and_every_kind_of_order():
    sessions = [played(seed) for seed in range(40)]
    orders = [order for session in sessions for order in session.account.orders.values()]

    assert set(Word) == {order.word for order in orders}
    assert set(OrderType) == {order.order_type for order in orders} | {OrderType.MARKET}
    assert any(0 < order.filled < order.qty for order in orders)
    assert any(order.has_fired for order in orders)
