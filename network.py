"""What is the network, and what does it answer? A Dueling DQN over the histories of a whole market.

Theory of operation
-------------------
For each timeframe one encoder, shared by the tickers: a 1x1 convolution from F features to C channels, then
D residual blocks (depthwise causal convolution with dilation 1, 2 ... D, pointwise convolution, SiLU, layer
norm, add), then the mean and the maximum over the last L bars. The timeframes' 2C numbers side by side go
through an MLP to M; that is a ticker's embedding. The market's is the mean and the maximum over the tickers;
from it a gate of 2M is computed, by which each ticker's embedding, taken twice, is multiplied. A dueling head
makes Q of BUY, SELL and HOLD of it. Sizes follow from the lookbacks and F alone (`Shape`).

Two forms of the same weights:

    forward    the text to the letter: each decision encodes its own L bars, zeros before them.
    along      the encoder runs once over a stretch of bars and every bar's last L outputs are pooled, so
               that a bar's outputs may know what came before its window: a halo of `Encoding.halo` bars
               is read before the first decision. Far less work for a day of decisions, a slightly
               different function. What was taught in one form has to be asked in that form.

In the sequence form a bar's place in its window reaches the maximum as a ramp (`slopes`), because pooling
forgets when something happened: each channel loses height with age at its own fixed rate. On a planted market
slow rates earned a quarter of what a hand rule does and these three quarters, in as many steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, isqrt, sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIONS = 3  # BUY, SELL, HOLD
BUY, SELL, HOLD = range(ACTIONS)
STEEPEST, SLOPES = 8.0, 6  # a bar of age costs 8, 4 ... 1/4: from the newest bar alone to some tens of them


# --- sizes ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encoding:
    """The sizes of one timeframe's encoder."""

    timeframe: str
    features: int
    lookback: int

    @property
    def channels(self) -> int:
        return ceil(sqrt(self.lookback * self.features))

    @property
    def kernel(self) -> int:
        return 2 * isqrt(self.lookback) + 1

    @property
    def blocks(self) -> int:
        """The fewest whose field reaches over the lookback."""
        count = 1
        while self._field(count) < self.lookback:
            count += 1
        return count

    @property
    def halo(self) -> int:
        """Bars before a decision's own that a sequence needs."""
        return self._field(self.blocks) - 1 + self.lookback - 1

    @property
    def text(self) -> str:
        convolved = f"{self.blocks} blocks of kernel {self.kernel}"
        return f"{self.features} -> {self.channels} channels, {convolved}, pooled over {self.lookback}"

    def _field(self, blocks: int) -> int:
        return 1 + (self.kernel - 1) * blocks * (blocks + 1) // 2

    @property
    def parameters(self) -> int:
        block = self.channels * (self.kernel + 1) + self.channels * (self.channels + 1) + 2 * self.channels
        return (self.features + 1) * self.channels + self.blocks * block

    @property
    def multiply_adds(self) -> int:
        """Of one window."""
        a_bar = self.features * self.channels + self.blocks * self.channels * (self.kernel + self.channels)
        return self.lookback * a_bar


@dataclass(frozen=True, slots=True)
class Shape:
    """Everything that the weights' sizes depend on."""

    features: int
    lookbacks: Mapping[str, int]  # the base timeframe first

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        return tuple(Encoding(name, self.features, bars) for name, bars in self.lookbacks.items())

    @property
    def fused(self) -> int:
        return sum(2 * each.channels for each in self.encodings)

    @property
    def hidden(self) -> int:
        return ceil(sqrt(self.fused))

    def layers(self) -> list["Layer"]:
        """Row by row, of one ticker's decision."""
        m, z = self.hidden, self.fused
        return [
            *(Layer(f"encoder {each.timeframe}", each.text, each.parameters, each.multiply_adds)
              for each in self.encodings),
            _dense("fusion", z, m, m),
            _dense("gate", 2 * m, 2 * m),
            _dense("value", 2 * m, m, 1),
            _dense("advantage", 2 * m, m, ACTIONS),
        ]  # fmt: skip

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers())

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers())


class Layer(NamedTuple):
    """A row of the table that `--fn build_model` prints."""

    name: str
    sizes: str
    parameters: int
    multiply_adds: int


def _dense(name: str, *sizes: int) -> Layer:
    steps = list(pairwise(sizes))
    return Layer(
        name,
        " -> ".join(map(str, sizes)),
        sum((wide + 1) * to for wide, to in steps),
        sum(wide * to for wide, to in steps),
    )


# --- layers -----------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Depthwise, pointwise, SiLU, norm, add; time is the last dimension."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, dilation=dilation, groups=channels)
        self.pointwise = nn.Conv1d(channels, channels, 1)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Of the bars that see a whole kernel: the first ones are used up."""
        mixed = functional.silu(self.pointwise(self.depthwise(x)))
        normed = self.norm(mixed.transpose(1, 2)).transpose(1, 2)
        found: Tensor = x[..., x.shape[-1] - normed.shape[-1] :] + normed
        return found

    @property
    def reach(self) -> int:
        return int(self.depthwise.dilation[0] * (self.depthwise.kernel_size[0] - 1))


class Encoder(nn.Module):
    """One timeframe's history to 2C numbers."""

    slopes: Tensor

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.encoding = encoding
        self.entry = nn.Conv1d(encoding.features, encoding.channels, 1)
        self.blocks = nn.ModuleList(
            Block(encoding.channels, encoding.kernel, dilation) for dilation in range(1, encoding.blocks + 1)
        )
        rates = STEEPEST / 2.0 ** torch.arange(encoding.channels).remainder(SLOPES)
        self.register_buffer("slopes", rates, persistent=False)

    def window(self, x: Tensor) -> Tensor:
        """N x F x L to N x 2C, nothing but zeros before the window."""
        x = self.entry(x)
        for block in self.blocks:
            assert isinstance(block, Block)
            x = block(functional.pad(x, (block.reach, 0)))
        return torch.cat([x.mean(-1), x.amax(-1)], dim=-1)

    def sequence(self, x: Tensor) -> Tensor:
        """N x F x (halo + T) to N x 2C x T."""
        x = self.entry(x)
        for block in self.blocks:
            x = block(x)
        bars = torch.arange(x.shape[-1], device=x.device)
        ramp = self.slopes[:, None] * bars
        highest = _highest(x + ramp, self.encoding.lookback) - ramp[:, self.encoding.lookback - 1 :]
        return torch.cat([_mean(x, self.encoding.lookback), highest], dim=1)


def _mean(x: Tensor, length: int) -> Tensor:
    """Of every `length` neighbours in the last dimension."""
    return functional.avg_pool1d(x, length, stride=1)


def _highest(x: Tensor, length: int) -> Tensor:
    """Likewise; by doubling, in log2(length) passes."""
    reach = 1
    while 2 * reach <= length:
        x = torch.maximum(x[..., reach:], x[..., :-reach])
        reach *= 2
    rest = length - reach
    return torch.maximum(x[..., rest:], x[..., :-rest]) if rest else x


class PooledDropout(nn.Module):
    """Leaves out means more often than maxima: means of long histories tell one day from another, and a
    network that can do that learns days by heart."""

    rates: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("rates", torch.zeros(shape.fused), persistent=False)

    def set(self, means: float, maxima: float) -> None:
        parts = [[means] * each.channels + [maxima] * each.channels for each in self.shape.encodings]
        self.rates = torch.tensor([rate for part in parts for rate in part])

    def forward(self, pooled: Tensor) -> Tensor:
        if not self.training or not self.rates.any():
            return pooled
        stays = torch.rand_like(pooled) >= self.rates
        return pooled * stays / (1 - self.rates)


class DuelingDoubleDQN(nn.Module):
    """Q of every action, for every ticker of a market."""

    center: Tensor
    scale: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        m, z = shape.hidden, shape.fused
        self.encoders = nn.ModuleList(Encoder(encoding) for encoding in shape.encodings)
        self.dropout = PooledDropout(shape)
        self.fusion = nn.Sequential(nn.Linear(z, m), nn.SiLU(), nn.Linear(m, m), nn.SiLU())
        self.gate = nn.Linear(2 * m, 2 * m)
        self.value = nn.Sequential(nn.Linear(2 * m, m), nn.SiLU(), nn.Linear(m, 1))
        self.advantage = nn.Sequential(nn.Linear(2 * m, m), nn.SiLU(), nn.Linear(m, ACTIONS))
        for name, start in (("center", 0.0), ("scale", 1.0)):
            self.register_buffer(name, torch.full((len(self.encoders), shape.features), start))

    def forward(self, windows: Sequence[Tensor], is_there: Tensor | None = None) -> Tensor:
        """B x S x L x F of each timeframe to B x S x ACTIONS; the text to the letter."""
        pooled = []
        for number, (encoder, x) in enumerate(zip(self.encoders, windows, strict=True)):
            assert isinstance(encoder, Encoder)
            x = self._scaled(number, x)
            found = encoder.window(x.flatten(0, 1).transpose(1, 2))
            pooled.append(found.reshape(*x.shape[:2], -1))
        return self._answer(torch.cat(pooled, dim=-1), is_there)

    def along(
        self, histories: Sequence[Tensor], places: Sequence[Tensor], is_there: Tensor | None = None
    ) -> Tensor:
        """B x S x (halo + T') x F of each timeframe to B x T x S x ACTIONS.

        `places[i]`, B x T: which of the T' bars of timeframe i is the last closed one at each decision.
        """
        pooled = []
        for number, (encoder, x, place) in enumerate(zip(self.encoders, histories, places, strict=True)):
            assert isinstance(encoder, Encoder)
            x = self._scaled(number, x)
            found = encoder.sequence(x.flatten(0, 1).transpose(1, 2))
            found = found.reshape(*x.shape[:2], *found.shape[1:])  # B S 2C T'
            picked = place[:, None, None, :].expand(-1, found.shape[1], found.shape[2], -1)
            pooled.append(found.gather(3, picked).permute(0, 3, 1, 2))
        return self._answer(torch.cat(pooled, dim=-1), is_there)

    def _scaled(self, number: int, x: Tensor) -> Tensor:
        return (x - self.center[number]) * self.scale[number]

    def _answer(self, pooled: Tensor, is_there: Tensor | None) -> Tensor:
        """... x S x Z to ... x S x ACTIONS; who is not there has no part in the market."""
        own = self.fusion(self.dropout(pooled))
        market = _over_tickers(own, is_there)
        gated = torch.cat([own, own], dim=-1) * torch.sigmoid(self.gate(market)).unsqueeze(-2)
        advantage = self.advantage(gated)
        found: Tensor = self.value(gated) + advantage - advantage.mean(dim=-1, keepdim=True)
        return found


def _over_tickers(own: Tensor, is_there: Tensor | None) -> Tensor:
    if is_there is None:
        return torch.cat([own.mean(-2), own.amax(-2)], dim=-1)
    there = is_there.unsqueeze(-1)
    count = there.sum(-2).clamp(min=1)
    mean = (own * there).sum(-2) / count
    highest = own.masked_fill(~there, -torch.inf).amax(-2).masked_fill(~there.any(-2), 0.0)
    return torch.cat([mean, highest], dim=-1)
