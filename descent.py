"""How do the weights move? One AdamW step down their gradients, clipped as a whole.

torch's own arithmetic without torch's optimizer classes: making one of those imports its compiler, which is
two seconds of every command that teaches.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8  # of the moments; torch's defaults


class Descent:
    """Weights, and what their gradients have been like."""

    def __init__(self, weights: Sequence[nn.Parameter], weight_decay: float, clip: float) -> None:
        self._weights: list[Tensor] = list(weights)
        self._weight_decay, self._clip = weight_decay, clip
        self._means = [torch.zeros_like(weight) for weight in weights]
        self._squares = [torch.zeros_like(weight) for weight in weights]
        self._steps = [torch.zeros(()) for _ in weights]

    def step(self, slopes: Sequence[Tensor], rate: float) -> float:
        """Down these gradients; how long they were, all together, before they were clipped."""
        length = torch.nn.utils.get_total_norm(slopes)
        shrunk = torch.clamp(self._clip / (length + 1e-6), max=1.0)
        with torch.no_grad():
            adamw(
                self._weights, [slope * shrunk for slope in slopes], self._means, self._squares, [],
                self._steps, amsgrad=False, beta1=FIRST, beta2=SECOND, lr=rate,
                weight_decay=self._weight_decay, eps=EPSILON, maximize=False,
            )  # fmt: skip
        return float(length)

    def state(self) -> dict[str, Tensor]:
        return {
            f"{number}/{name}": each
            for name, tensors in self._parts().items()
            for number, each in enumerate(tensors)
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        for name, tensors in self._parts().items():
            for number, each in enumerate(tensors):
                each.copy_(state[f"{number}/{name}"])

    def _parts(self) -> dict[str, list[Tensor]]:
        return {"mean": self._means, "square": self._squares, "step": self._steps}
