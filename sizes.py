"""How large is the network? Every size of it, from the lookbacks and the number of features alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, isqrt, sqrt
from typing import NamedTuple

ACTIONS = 3  # BUY, SELL, HOLD
BUY, SELL, HOLD = range(ACTIONS)


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
    is_recent: bool = True

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
