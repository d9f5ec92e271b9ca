"""The call auction: one price, most shares, fair turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulebook.auction import Bid, Uncrossed, band, is_taken, uncross
from rulebook.records import Paise, Side

B, S = Side.BUY, Side.SELL
REFERENCE = Paise(10_000)


def bid(side: Side, qty: int, limit: int | None = None) -> Bid:
    return Bid(side, qty, None if limit is None else Paise(limit))


@pytest.mark.parametrize(
    ("orders", "price", "filled"),
    [
        ([], None, ()),
        ([bid(B, 10, 10_010)], None, (0,)),
        ([bid(B, 10, 9_990), bid(S, 10, 10_010)], None, (0, 0)),
        ([bid(B, 10, 10_010), bid(S, 10, 9_990)], 10_000, (10, 10)),  # nearest to the reference
        ([bid(B, 10, 10_050), bid(S, 10, 10_020)], 10_020, (10, 10)),
        ([bid(B, 30, 10_050), bid(S, 10, 10_020), bid(S, 10, 10_040)], 10_040, (20, 10, 10)),  # most shares
        (
            [bid(B, 10, 10_050), bid(B, 10), bid(S, 10, 9_990)],
            10_000,
            (0, 10, 10),
        ),  # market before limit
        (
            [bid(B, 10, 10_010), bid(B, 10, 10_020), bid(S, 15, 10_000)],
            10_000,
            (5, 10, 15),
        ),  # better before worse
        (
            [bid(B, 10, 10_010), bid(B, 10, 10_010), bid(S, 15, 10_000)],
            10_000,
            (10, 5, 15),
        ),  # earlier before later
        ([bid(B, 10), bid(S, 10)], 10_000, (10, 10)),
        ([bid(B, 10, 10_301), bid(S, 10)], None, (0, 0)),  # outside the band
        ([bid(B, 10, 10_300), bid(S, 10)], 10_000, (10, 10)),
    ],
)
def test_the_auction_matches_as_the_rules_say(orders, price, filled):
    assert Uncrossed(None if price is None else Paise(price), filled) == uncross(orders, REFERENCE)


def test_the_band_is_three_percent_and_its_edges_are_inside():
    assert (9_700, 10_300) == band(REFERENCE)
    assert [True, True, False, False] == [
        is_taken(bid(B, 1, limit), REFERENCE) for limit in (9_700, 10_300, 9_699, 10_301)
    ]


orders = st.lists(
    st.builds(
        Bid, st.sampled_from(Side), st.integers(1, 50), st.none() | st.integers(9_650, 10_350).map(Paise)
    ),
    max_size=12,
)


@given(orders)
def test_bought_equals_sold_nobody_pays_more_than_his_limit_and_nobody_is_passed_over(found):
    done = uncross(found, REFERENCE)
    sums = {
        side: sum(q for order, q in zip(found, done.filled, strict=True) if order.side is side)
        for side in Side
    }

    assert sums[B] == sums[S]
    for order, qty in zip(found, done.filled, strict=True):
        assert 0 <= qty <= order.qty
        assert qty == 0 or order.limit is None or order.side * (order.limit - (done.price or 0)) >= 0
    shorts = [o for o, q in zip(found, done.filled, strict=True) if q < o.qty and o.limit is None]
    assert not (
        done.price is not None
        and shorts
        and any(
            q
            for o, q in zip(found, done.filled, strict=True)
            if o.side is shorts[0].side and o.limit is not None
        )
    )


@given(orders)
def test_the_mirror_law_holds_for_the_auction(found):
    mirrored = [
        Bid(o.side.opposite, o.qty, None if o.limit is None else Paise(20_000 - o.limit)) for o in found
    ]
    done, turned = uncross(found, REFERENCE), uncross(mirrored, REFERENCE)

    assert sum(done.filled) == sum(turned.filled)
