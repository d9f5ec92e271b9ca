"""The network: its sizes by the formulas, what a decision may depend on, and its two forms."""

from math import ceil, sqrt
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from network import ACTIONS, STEEPEST, DuelingDoubleDQN, Encoding, Shape  # noqa: E402

pytestmark = pytest.mark.torch
SMALL = Shape(5, {"5m": 16, "15m": 8})
T, TICKERS = 6, 3


@pytest.fixture
def network():
    torch.manual_seed(1)
    return DuelingDoubleDQN(SMALL).eval()


def histories(bars: tuple[int, int] = (T, T)) -> list[Any]:
    torch.manual_seed(2)
    return [
        torch.randn(2, TICKERS, each.halo + n, SMALL.features)
        for each, n in zip(SMALL.encodings, bars, strict=True)
    ]


def places() -> list[Any]:
    return [torch.arange(T).expand(2, T) for _ in SMALL.encodings]


# --- sizes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lookback", "features", "channels", "kernel", "blocks"),
    [
        (256, 22, 76, 33, 4),  # performance.md D
        (128, 22, 54, 23, 3),
        (64, 22, 38, 17, 3),  # the feasibility study
        (32, 22, 27, 11, 3),
        (8, 18, 12, 5, 2),
    ],
)
def test_an_encoder_has_the_sizes_of_the_text(lookback, features, channels, kernel, blocks):
    encoding = Encoding("5m", features, lookback)

    assert (channels, kernel, blocks) == (encoding.channels, encoding.kernel, encoding.blocks)


def test_the_configured_network_has_57659_parameters_and_10_67_million_multiply_adds():
    shape = Shape(22, {"5m": 256, "15m": 128})

    assert 57_659 == shape.parameters
    assert 10_666_673 == shape.multiply_adds


@pytest.mark.parametrize("lookbacks", [{"5m": 16}, {"5m": 64, "15m": 32}, {"1m": 40, "5m": 20, "1h": 8}])
@pytest.mark.parametrize("features", [1, 18, 27])
def test_the_layer_table_counts_the_weights_that_are_there(lookbacks, features):
    shape = Shape(features, lookbacks)
    weights = sum(p.numel() for p in DuelingDoubleDQN(shape).parameters())

    assert weights == shape.parameters
    assert shape.hidden == ceil(sqrt(sum(2 * each.channels for each in shape.encodings)))


@pytest.mark.parametrize("lookback", range(8, 300, 7))
def test_the_blocks_reach_over_the_lookback_and_one_fewer_would_not(lookback):
    encoding = Encoding("5m", 5, lookback)
    reach = [1 + (encoding.kernel - 1) * n * (n + 1) // 2 for n in range(encoding.blocks + 1)]

    assert reach[-2] < lookback <= reach[-1]


# --- what a decision may know ---------------------------------------------------------------------------


def test_each_decision_knows_its_own_bars_and_those_before_and_none_after(network):
    before = histories()
    after = [x.clone() for x in before]
    for x in after:
        x[:, :, -2:] += 10  # the bars of the last two decisions
    old, new = network.along(before, places()), network.along(after, places())

    assert torch.equal(old[:, : T - 2], new[:, : T - 2])
    assert not torch.isclose(old[:, T - 2 :], new[:, T - 2 :]).any()


def test_a_decision_reads_its_halo_and_nothing_before_it(network):
    longer = histories((T + 3, T + 3))
    shorter = [x[:, :, 3:] for x in longer]
    moved = [place + 3 for place in places()]

    assert torch.allclose(network.along(longer, moved), network.along(shorter, places()), atol=1e-6)


def test_a_coarser_bar_is_read_where_it_is_said_to_be_the_last_closed_one(network):
    fine, coarse = histories((T, T))
    third = torch.arange(T).expand(2, T) // 3
    every = torch.arange(T).expand(2, T)
    alike = network.along([fine, coarse], [every, third])
    one = network.along([fine, coarse], [every, torch.zeros_like(every)])

    assert torch.equal(alike[:, :3], one[:, :3])
    assert not torch.isclose(alike[:, 3:], one[:, 3:]).any()


def test_the_maximum_of_a_channel_loses_height_with_age(network):
    encoder = network.encoders[0]
    encoding = encoder.encoding
    torch.manual_seed(3)
    x = torch.randn(1, SMALL.features, encoding.halo + T)
    trunk = encoder.entry(x)
    for block in encoder.blocks:
        trunk = block(trunk)
    pooled = encoder.sequence(x)[0, encoding.channels :]
    age = torch.arange(encoding.lookback - 1, -1, -1)
    expected = torch.stack(
        [(trunk[0, :, t : t + encoding.lookback] - encoder.slopes[:, None] * age).amax(-1) for t in range(T)],
        dim=-1,
    )

    assert torch.allclose(expected, pooled, atol=1e-4)
    assert STEEPEST == encoder.slopes.max()


# --- the market -----------------------------------------------------------------------------------------


def test_tickers_in_another_order_get_their_own_answers(network):
    order = [2, 0, 1]
    windows = [torch.randn(4, TICKERS, each.lookback, SMALL.features) for each in SMALL.encodings]

    assert torch.allclose(network(windows)[:, order], network([x[:, order] for x in windows]), atol=1e-6)


def test_a_ticker_depends_on_the_market_around_it_and_not_on_who_is_not_there(network):
    windows = [torch.randn(4, TICKERS, each.lookback, SMALL.features) for each in SMALL.encodings]
    others = [x.clone() for x in windows]
    for x in others:
        x[:, 2] += 3
    absent = torch.tensor([True, True, False]).expand(4, TICKERS)

    assert not torch.isclose(network(windows)[:, :2], network(others)[:, :2]).all()
    assert torch.allclose(network(windows, absent)[:, :2], network(others, absent)[:, :2])
    assert torch.allclose(network(windows, absent)[:, :2], network([x[:, :2] for x in windows]), atol=1e-6)


def test_a_market_of_nobody_is_no_error(network):
    windows = [torch.zeros(1, TICKERS, each.lookback, SMALL.features) for each in SMALL.encodings]
    nobody = torch.zeros(1, TICKERS, dtype=torch.bool)

    assert torch.isfinite(network(windows, nobody)).all()


def test_both_forms_answer_for_every_ticker_and_action(network):
    windows = [torch.randn(4, TICKERS, each.lookback, SMALL.features) for each in SMALL.encodings]

    assert (4, TICKERS, ACTIONS) == network(windows).shape
    assert (2, T, TICKERS, ACTIONS) == network.along(histories(), places()).shape


@pytest.mark.parametrize("form", ["along", "forward"])
def test_every_weight_is_taught_in_both_forms(form):
    network = DuelingDoubleDQN(SMALL)
    if form == "along":
        found = network.along(histories(), places())
    else:
        found = network([torch.randn(4, TICKERS, each.lookback, SMALL.features) for each in SMALL.encodings])
    torch.autograd.backward(found.square().sum())

    assert [] == [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]


def test_what_is_pooled_is_left_out_at_its_own_rate_and_not_when_it_counts(network):
    network.dropout.set(means=0.9, maxima=0.1)
    channels = SMALL.encodings[0].channels
    ones = torch.ones(20_000, SMALL.fused)
    asked = network.dropout(ones)
    taught = network.train().dropout(ones)

    assert torch.equal(ones, asked)
    assert pytest.approx(0.1, abs=0.01) == (taught[:, :channels] > 0).float().mean().item()
    assert pytest.approx(0.9, abs=0.01) == (taught[:, channels : 2 * channels] > 0).float().mean().item()
    assert pytest.approx(1, abs=0.03) == taught.mean().item()
