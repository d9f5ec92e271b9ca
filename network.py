"""What is the network, and what does it answer? A Dueling DQN over the histories of a whole market.

Theory of operation
-------------------
For each timeframe one encoder, shared by the tickers: a 1x1 convolution from F features to C channels, then
D residual blocks (depthwise causal convolution with dilation 1, 2 ... D, pointwise convolution, SiLU, layer
norm, add), then the mean and the maximum over the last L bars. The timeframes' 2C numbers side by side go
through an MLP to M; that is a ticker's embedding. The market's is the mean and the maximum over the tickers;
from it a gate of 2M is computed, by which each ticker's embedding, taken twice, is multiplied. A dueling head
makes Q of BUY, SELL and HOLD of it. Sizes follow from the lookbacks and F alone (`sizes.Shape`).

Each decision encodes its own L bars, zeros before them. Pooling over time forgets when something happened, so
each channel's maximum is taken of what it says less its age at the channel's own fixed rate (`slopes`: from
one that lets only the newest bar speak to one that reaches back over some tens of them). Without them the
network earned nothing on unseen days of a planted market, with them four fifths of what is there to be earned
(docs/decisions.md); Shape.is_recent switches them off, which is the text to the letter.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from block import Block
from sizes import ACTIONS, Encoding, Shape

STEEPEST, SLOPES = 8.0, 6  # a bar of age costs 8, 4 ... 1/4: from the newest bar alone to some tens of them


# --- layers -----------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """One timeframe's history to 2C numbers."""

    slopes: Tensor

    def __init__(self, encoding: Encoding, is_recent: bool) -> None:
        super().__init__()
        self.entry = nn.Linear(encoding.features, encoding.channels)
        self.blocks = nn.ModuleList(
            Block(encoding.channels, encoding.kernel, reach) for reach in range(1, encoding.blocks + 1)
        )
        rates = STEEPEST / 2.0 ** torch.arange(encoding.channels).remainder(SLOPES)
        self.register_buffer("slopes", rates if is_recent else torch.zeros_like(rates), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """N x L x S x F to N x S x 2C."""
        found = torch.addmm(self.entry.bias[:, None], self.entry.weight, x.flatten(0, 2).T)
        found = found.view(-1, *x.shape[:3])  # C x N x L x S, as block.py has it
        for block in self.blocks:
            found = block(found)
        age = torch.arange(1 - x.shape[1], 1, device=x.device)
        highest = (found + (self.slopes[:, None] * age)[:, None, :, None]).amax(2)
        return torch.cat([found.mean(2), highest]).permute(1, 2, 0)


class DuelingDoubleDQN(nn.Module):
    """Q of every action, for every ticker of a market."""

    center: Tensor
    scale: Tensor
    asked: Tensor  # how, as validation found it: margin, temperature, what HOLD is raised by

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        m, z = shape.hidden, shape.fused
        self.encoders = nn.ModuleList(Encoder(encoding, shape.is_recent) for encoding in shape.encodings)
        self.fusion = nn.Sequential(nn.Linear(z, m), nn.SiLU(), nn.Linear(m, m), nn.SiLU())
        self.gate = nn.Linear(2 * m, 2 * m)
        self.value = nn.Sequential(nn.Linear(2 * m, m), nn.SiLU(), nn.Linear(m, 1))
        self.advantage = nn.Sequential(nn.Linear(2 * m, m), nn.SiLU(), nn.Linear(m, ACTIONS))
        for name, start in (("center", 0.0), ("scale", 1.0)):
            self.register_buffer(name, torch.full((len(self.encoders), shape.features), start))
        self.register_buffer("asked", torch.tensor([0.0, 1.0, 0.0]))

    def forward(
        self, windows: Sequence[Tensor], is_there: Tensor | None = None, kept: Tensor | None = None
    ) -> Tensor:
        """B x L x S x F of each timeframe, as memory has them, to B x S x ACTIONS.

        `is_there`, B x S: who is not has no part in the market. `kept`, B x S x fused: what of the pooled
        vector is left in while it is taught, already divided by its chance.
        """
        pooled = torch.cat(
            [
                encoder((x - self.center[number]) * self.scale[number])
                for number, (encoder, x) in enumerate(zip(self.encoders, windows, strict=True))
            ],
            dim=-1,
        )
        own = self.fusion(pooled if kept is None else pooled * kept)
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
