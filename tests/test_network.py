"""The network: its sizes by the formulas, and what a decision may depend on."""

from math import ceil, sqrt
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from network import STEEPEST, DuelingDoubleDQN, Encoder  # noqa: E402
from sizes import ACTIONS, Encoding, Shape  # noqa: E402

pytestmark = pytest.mark.torch
SMALL = Shape(5, {"5m": 16, "15m": 8})
TICKERS = 3


@pytest.fixture
def network():
    torch.manual_seed(1)
    return DuelingDoubleDQN(SMALL).eval()


def windows(count: int = 4) -> list[Any]:
    torch.manual_seed(2)
    return [torch.randn(count, each.lookback, TICKERS, SMALL.features) for each in SMALL.encodings]


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
@pytest.mark.parametrize("features", [1, 18, 29])
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


# --- recency --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_recent", [True, False])
def test_the_maximum_of_a_channel_loses_height_with_age_and_does_not_to_the_letter(is_recent):
    torch.manual_seed(1)
    encoding = SMALL.encodings[0]
    encoder = Encoder(encoding, is_recent)
    x = torch.randn(2, encoding.lookback, TICKERS, SMALL.features)
    trunk = encoder.entry(x).permute(3, 0, 1, 2)
    for block in encoder.blocks:
        trunk = block(trunk)
    aged = [
        trunk[c] - (STEEPEST / 2 ** (c % 6)) * is_recent * torch.arange(15, -1, -1).view(1, 16, 1)
        for c in range(encoding.channels)
    ]
    expected = torch.stack([x.mean(1) for x in trunk] + [x.amax(1) for x in aged], dim=-1)

    assert torch.allclose(expected, encoder(x), atol=1e-5)


def test_a_bar_before_the_window_is_nothing_and_not_the_first_bar_again(network):
    """Zeros stand before it: a window that is constant is not the same at all its places."""
    flat = [torch.ones(1, each.lookback, TICKERS, SMALL.features) for each in SMALL.encodings]
    trunk = network.encoders[0].entry(flat[0]).permute(3, 0, 1, 2)
    out = network.encoders[0].blocks[0](trunk)

    assert torch.allclose(out[:, :, -1], out[:, :, -2], atol=1e-6)
    assert not torch.allclose(out[:, :, 0], out[:, :, -1], atol=1e-3)


# --- the market -----------------------------------------------------------------------------------------


def test_tickers_in_another_order_get_their_own_answers(network):
    order = [2, 0, 1]
    seen = windows()

    assert torch.allclose(network(seen)[:, order], network([x[:, :, order] for x in seen]), atol=1e-6)


def test_a_ticker_depends_on_the_market_around_it_and_not_on_who_is_not_there(network):
    seen, others = windows(), windows()
    for x in others:
        x[:, :, 2] += 3
    absent = torch.tensor([True, True, False]).expand(4, TICKERS)

    assert not torch.isclose(network(seen)[:, :2], network(others)[:, :2]).all()
    assert torch.allclose(network(seen, absent)[:, :2], network(others, absent)[:, :2])
    assert torch.allclose(network(seen, absent)[:, :2], network([x[:, :, :2] for x in seen]), atol=1e-6)


def test_a_market_of_nobody_is_no_error(network):
    nobody = torch.zeros(4, TICKERS, dtype=torch.bool)

    assert torch.isfinite(network(windows(), nobody)).all()
    assert (4, TICKERS, ACTIONS) == network(windows()).shape


def test_every_weight_is_taught():
    network = DuelingDoubleDQN(SMALL)
    torch.autograd.backward(network(windows()).square().sum())

    assert [] == [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]


def test_what_is_left_out_of_the_pooled_vector_is_not_missed_by_who_is_asked(network):
    nothing = torch.zeros(4, TICKERS, SMALL.fused)
    other = [x + 1 for x in windows()]

    assert torch.allclose(network(windows(), None, nothing), network(other, None, nothing))
    assert torch.allclose(network(windows()), network(windows(), None, torch.ones_like(nothing)))
