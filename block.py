"""How is one residual block of the encoder computed, forwards and backwards, on whatever device there is?

Depthwise taps, pointwise mixing, SiLU, norm, add. Channel first: C x N x L x S, where N decisions look at L
bars of S tickers, so that a bar before is S places before and all of it is one run of memory. On a CPU taps
and norm are kernels.py; elsewhere they are torch's own. `is_compiled` of a test makes them comparable.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import fast
import kernels


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Parts of the work go side by side, so that torch has no need to cut it once more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Block(nn.Module):
    """`reach`: how many bars back one tap is from the next."""

    def __init__(self, channels: int, kernel: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        bound = kernel**-0.5  # torch's own start for such a convolution
        self.taps = nn.Parameter(torch.empty(channels, kernel).uniform_(-bound, bound))
        self.offset = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))
        self.pointwise = nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, is_compiled: bool | None = None) -> Tensor:
        if is_compiled is None:
            is_compiled = x.device.type == "cpu"
        if not is_compiled:
            return self._plain(x)
        tapped: Tensor = _Taps.apply(x, self.taps, self.offset, self.reach)  # type: ignore[no-untyped-call]
        mixed = torch.addmm(self.pointwise.bias[:, None], self.pointwise.weight, tapped.flatten(1))
        mixed = functional.silu(mixed)
        found: Tensor = _AddNormed.apply(x, mixed, self.norm.weight, self.norm.bias)  # type: ignore[no-untyped-call]
        return found

    def _plain(self, x: Tensor) -> Tensor:
        """In torch's words: a row for each decision and ticker, channel, bar."""
        channels, count, bars, tickers = x.shape
        rows = x.permute(1, 3, 0, 2).reshape(count * tickers, channels, bars)
        before = (self.taps.shape[1] - 1) * self.reach
        tapped = functional.conv1d(
            functional.pad(rows, (before, 0)), self.taps[:, None], self.offset, dilation=self.reach,
            groups=channels,
        )  # fmt: skip
        normed = self.norm(functional.silu(self.pointwise(tapped.transpose(1, 2)))).transpose(1, 2)
        found: Tensor = (rows + normed).reshape(count, tickers, channels, bars)
        return found.permute(2, 0, 3, 1)


class _Taps(torch.autograd.Function):
    """A causal depthwise convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, offset: Tensor, reach: int) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.reach = reach
        y = torch.empty_like(x).copy_(offset.detach()[:, None, None, None])
        fast.compiled(kernels.taps)(_runs(x), _array(weight), reach * x.shape[3], False, _runs(y))
        return y

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        slope = slopes[0].contiguous()
        unit = ctx.reach * x.shape[3]
        of_x, of_weight = torch.zeros_like(slope), torch.empty_like(weight)
        fast.compiled(kernels.taps)(_runs(slope), _array(weight), unit, True, _runs(of_x))
        fast.compiled(kernels.tap_slopes)(_runs(x), _runs(slope), unit, _array(of_weight))
        return of_x, of_weight, slope.sum((1, 2, 3)), None


class _AddNormed(torch.autograd.Function):
    """x plus h, normed over the channels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        h, y = h.contiguous(), torch.empty_like(x)
        mean, inverse = torch.empty(2, h.shape[1]).unbind()
        fast.compiled(kernels.add_normed)(
            _array(x.flatten(1)), _array(h), _array(gain), _array(shift), _array(mean), _array(inverse),
            _array(y.flatten(1)),
        )  # fmt: skip
        ctx.save_for_backward(h, gain, mean, inverse)
        return y

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        h, gain, mean, inverse = ctx.saved_tensors
        slope = slopes[0].contiguous()
        of_h, of_gain, of_shift = torch.empty_like(h), torch.zeros_like(gain), torch.zeros_like(gain)
        fast.compiled(kernels.norm_slopes)(
            _array(h), _array(slope.flatten(1)), _array(gain), _array(mean), _array(inverse),
            _array(torch.empty(2, h.shape[1])), _array(of_h), _array(of_gain), _array(of_shift),
        )  # fmt: skip
        return slope, of_h, of_gain, of_shift


def _runs(x: Tensor) -> Any:
    """Channel, decision, and the bars of all tickers in one run."""
    return _array(x.flatten(2))


def _array(x: Tensor) -> Any:
    return x.detach().numpy()
