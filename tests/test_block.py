"""The compiled block against torch's own words for it: answers and slopes, whatever the sizes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from block import Block, one_thread_each  # noqa: E402

pytestmark = pytest.mark.torch


def both(channels: int, kernel: int, reach: int, shape: tuple[int, int, int]):
    """For compiled and plain: the answer and the slope in everything."""
    torch.manual_seed(channels * kernel + reach)
    block, x = Block(channels, kernel, reach), torch.randn(channels, *shape)
    pull = torch.randn_like(x)
    torch.nn.init.normal_(block.norm.weight)
    for is_compiled in (True, False):
        x = x.detach().requires_grad_()
        y = block(x, is_compiled)
        yield [y, *torch.autograd.grad((y * pull).sum(), [x, *block.parameters()])]


@given(
    channels=st.integers(2, 9), kernel=st.integers(1, 19), reach=st.integers(1, 4), decisions=st.integers(1, 3),
    bars=st.integers(1, 40), tickers=st.integers(1, 4),
)  # fmt: skip
@settings(max_examples=60, deadline=None)  # of one channel the norm is always 0, and so is every slope
def test_compiled_it_answers_and_learns_what_torch_does(channels, kernel, reach, decisions, bars, tickers):
    compiled, plain = both(channels, kernel, reach, (decisions, bars, tickers))
    names = ["y", "x", "taps", "offset", "weight", "bias", "gain", "shift"]

    assert [] == [
        name
        for name, a, b in zip(names, compiled, plain, strict=True)
        if not torch.allclose(a, b, rtol=1e-3, atol=1e-3 * max(1.0, b.abs().max().item()))
    ]


def test_a_bar_changes_no_bar_before_it():
    torch.manual_seed(1)
    block, x = Block(4, 5, 2), torch.randn(4, 2, 12, 3)
    other = x.clone()
    other[:, :, 7:] += 1

    assert torch.equal(block(x)[:, :, :7], block(other)[:, :, :7])
    assert not torch.isclose(block(x)[:, :, 7:], block(other)[:, :, 7:]).any()


def test_threads_are_given_back_even_if_the_work_fails():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError), one_thread_each():
            assert 1 == torch.get_num_threads()
            raise ZeroDivisionError
        assert 2 == torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
