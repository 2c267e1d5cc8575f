"""Do the coordinates fit the model? Which weights can be rescaled without changing the loss.

λα/((1−ρ)N) is the coordinate of weights w whose scale does not matter (they are followed by a
normalisation): then training from r·w with λ → r²λ and α → α/r² repeats training from w step by
step. Of other weights, λ/((1−ρ)N) is the better coordinate. A loss is unchanged by w → r·w, r > 0,
if and only if its gradient is orthogonal to w everywhere (Euler, homogeneous of degree 0).

    coordinates, symmetry = coordinates_for(model, (inputs, targets), "nesterov")
    print(symmetry)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    Loss = Callable[[nn.Module, Any], Tensor]

# Points at which the gradient is taken, and the slope below which there is none: rounding leaves
# 1e-14 of Page's convolutions, 5e-3 is the least of his network's other tensors.
_POINTS = 3
_TOLERANCE = 1e-6
# The loss does not depend on a tensor if it changes by less than this share along its gradient.
_NO_EFFECT = 1e-10


@dataclass(frozen=True)
class TensorSymmetry:
    """One parameter tensor.

    Attributes:
        name, parameters: Its name in the model, and how many numbers it holds.
        slope: How fast the loss changes as it is rescaled, next to a change in a random direction
            that is as long; the largest of a few points. NaN if the loss does not depend on it.
        invariant: Whether its scale does not matter; None if it does not matter at all (such as a
            bias followed by batch norm).
    """

    name: str
    parameters: int
    slope: float
    invariant: bool | None


@dataclass(frozen=True)
class Symmetry:
    """The tensors of a model."""

    tensors: tuple[TensorSymmetry, ...]

    @property
    def share(self) -> float:
        """The share of scale-invariant weights among those that matter, by their number."""
        matter = sum(t.parameters for t in self.tensors if t.invariant is not None)
        return sum(t.parameters for t in self.tensors if t.invariant) / matter if matter else 0.0

    @property
    def normalized(self) -> bool:
        """Whether most weights are scale-invariant, so that weight decay multiplies the rate."""
        return self.share >= 0.5

    def __str__(self) -> str:
        return f"the scale of {self.share:.1%} of the weights does not matter"


def scale_invariance(
    model: nn.Module, batch: Any, *, loss: Loss | None = None, seed: int = 0
) -> Symmetry:
    """Test for each trainable tensor of a model whether rescaling it leaves the loss unchanged.

    A copy in double precision is evaluated in training mode, with batch norm over the batch, at
    three points near the model's weights: at the weights themselves a symmetry can be accidental
    (a bias of zero has no scale). The ε of normalisations, which breaks the symmetry by
    ε/variance, is made negligible. The model and the global random numbers stay as they are.

    Args:
        model: A torch module.
        batch: What `loss` takes: by default a pair (inputs (n, …), targets (n,) or (n, …)), n ≥ 2.
        loss: Scalar loss of a model on a batch; by default the cross entropy of the model's
            outputs if the targets are integers, the mean squared error if not.
        seed: Of the points.

    Raises:
        UserError: The model has no trainable parameter, or the loss is not finite.
    """
    import torch

    twin = copy.deepcopy(model).double().train()
    for module in twin.modules():
        if isinstance(getattr(module, "eps", None), float):
            module.eps = 1e-20 * module.eps  # type: ignore[operator, assignment]
    names = [name for name, p in twin.named_parameters() if p.requires_grad]
    weights = [p for p in twin.parameters() if p.requires_grad]
    if not weights:
        raise UserError("The model has no trainable parameter: nothing can be rescaled.")
    generator = torch.Generator().manual_seed(seed)
    slopes = [math.nan] * len(weights)
    with torch.random.fork_rng():
        for point in _points(weights, generator):
            with torch.no_grad():
                for weight, value in zip(weights, point, strict=True):
                    weight.copy_(value)
            value = (loss or _default_loss)(twin, _doubled(batch))
            if not math.isfinite(value.item()):
                raise UserError(
                    f"The loss is {value.item()} on the batch given: a finite one is needed to see "
                    "what rescaling does to it. Check the inputs and the model's initial weights."
                )
            gradients = torch.autograd.grad(value, weights, allow_unused=True)
            size = abs(value.item())
            found = [_slope(w.detach(), g, size) for w, g in zip(weights, gradients, strict=True)]
            slopes = [b if math.isnan(a) else max(a, b) for a, b in zip(slopes, found, strict=True)]
    return Symmetry(
        tuple(
            TensorSymmetry(
                name, w.numel(), slope, None if math.isnan(slope) else slope < _TOLERANCE
            )
            for name, w, slope in zip(names, weights, slopes, strict=True)
        )
    )


def coordinates_for(
    model: nn.Module,
    batch: Any,
    optimizer: str,
    *,
    loss: Loss | None = None,
    lr: str = "lr",
    momentum: str | None = "momentum",
    weight_decay: str | None = "weight_decay",
    batch_size: str | None = None,
) -> tuple[Coordinates, Symmetry]:
    """The coordinates for a model and an optimizer, and the symmetry that decided on them.

    Where most weights are scale-invariant the first one is that of λα/((1−ρ)N) (for SGD; see
    `Coordinates.for_optimizer`), else that of λ/((1−ρ)N).

    Args:
        model, batch, loss: See `scale_invariance`.
        optimizer, lr, momentum, weight_decay, batch_size: See `Coordinates.for_optimizer`.
    """
    symmetry = scale_invariance(model, batch, loss=loss)
    coordinates = Coordinates.for_optimizer(
        optimizer,
        normalized=symmetry.normalized,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        batch_size=batch_size,
    )
    return coordinates, symmetry


def _points(weights: Sequence[Tensor], generator: Any) -> list[list[Tensor]]:
    """Points near the weights: each tensor moved by a tenth of its size, then rescaled."""
    import torch

    def near(weight: Tensor) -> Tensor:
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        scale = 2 ** (2 * torch.rand((), generator=generator, dtype=torch.float64) - 1)
        size = weight.detach().square().mean().sqrt().item() or 1.0
        moved: Tensor = (weight.detach() + 0.1 * size * noise.to(weight.device)) * scale.item()
        return moved

    return [[near(weight) for weight in weights] for _ in range(_POINTS)]


def _slope(weight: Tensor, gradient: Tensor | None, loss: float) -> float:
    """|⟨w, g⟩| over what it is on average for a random direction as long as w."""
    if gradient is None:
        return math.nan
    steepest = float(weight.norm() * gradient.norm())
    if steepest <= _NO_EFFECT * loss:
        return math.nan
    along = abs(float((weight * gradient).sum()))
    return along / steepest * math.sqrt(weight.numel())


def _default_loss(model: nn.Module, batch: Any) -> Tensor:
    from torch.nn import functional as F

    inputs, targets = batch
    outputs = model(inputs)
    if targets.is_floating_point():
        return F.mse_loss(outputs, targets)
    return F.cross_entropy(outputs, targets)


def _doubled(batch: Any) -> Any:
    """A batch with its floating-point tensors in double precision, however they are nested."""
    import torch

    if isinstance(batch, torch.Tensor):
        return batch.double() if batch.is_floating_point() else batch
    if isinstance(batch, tuple | list):
        return tuple(_doubled(part) for part in batch)
    if isinstance(batch, dict):
        return {key: _doubled(part) for key, part in batch.items()}
    return batch
