"""Muon: momentum, then the nearest semi-orthogonal matrix as the step (Jordan et al. 2024).

Source: K. Jordan, "Muon: an optimizer for hidden layers in neural networks", 2024, and its code.
torch.optim.Muon does the same for matrices only. Here a convolution's filters are one matrix, a row
for each output channel, and the iteration keeps the gradient's precision: most CPUs emulate
bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Five steps with these coefficients bring singular values in [0, 1] to about [0.7, 1.2].
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5


def orthogonalized(matrix: Tensor) -> Tensor:
    """U·Vᵀ of the singular value decomposition, roughly, by a Newton-Schulz iteration.

    The result does not depend on the scale of `matrix` (rows, columns), not all zero.
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrix / matrix.norm().clamp(min=torch.finfo(matrix.dtype).tiny)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """v <- momentum*v + g; w <- (1 - lr*weight_decay)*w - lr*s*orthogonalized(g + momentum*v).

    s = sqrt(max(1, rows/columns)). Parameters of two or more dimensions; the first is the rows.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for w in group["params"]:
                if w.grad is None:
                    continue
                state = self.state[w]
                if not state:
                    state["velocity"] = torch.zeros_like(w)
                v = state["velocity"].mul_(momentum).add_(w.grad)
                matrix = w.grad.add(v, alpha=momentum).flatten(1)
                scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                w.mul_(1 - lr * group["weight_decay"])
                w.add_(orthogonalized(matrix).view(w.shape), alpha=-lr * scale)
        return loss
