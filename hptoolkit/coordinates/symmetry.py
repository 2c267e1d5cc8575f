"""Do the coordinates fit the model? Which weights can be rescaled without changing the loss.

λα/((1−ρ)N) is the coordinate of weights w whose scale does not matter (they are followed by a
normalisation): then training from r·w with λ → r²λ and α → α/r² repeats training from w step by
step. Of other weights, λ/((1−ρ)N) is the better coordinate. A loss is unchanged by w → r·w, r > 0,
if and only if its gradient is orthogonal to w everywhere (Euler, homogeneous of degree 0). All this
holds for tensors that are rescaled together, too: a layer's weight and bias before a LayerNorm.

    coordinates, symmetry = coordinates_for(model, (inputs, targets), "nesterov")
    print(symmetry)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hptoolkit.coordinates import Coordinates, theory
from hptoolkit.coordinates.batch_loss import batch_loss
from hptoolkit.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

# Points at which the gradient is taken, and the slope below which there is none: rounding leaves
# 1e-14 of Page's convolutions, 4e-7 where a normalisation computes in single precision whatever it
# is given (Hugging Face's RMSNorms); 5e-3 is the least of his network's other tensors.
_POINTS = 3
_TOLERANCE = 1e-5
# What normalisations call their ε.
_EPSILONS = ("eps", "epsilon", "variance_epsilon")
# The loss does not depend on a tensor if it changes by less than this share along its gradient.
_NO_EFFECT = 1e-10


@dataclass(frozen=True)
class TensorSymmetry:
    """One parameter tensor.

    Attributes:
        name, parameters: Its name in the model, and how many numbers it holds.
        slope: How fast the loss changes as it is rescaled, next to a change in a random direction
            that is as long; the largest of a few points. NaN if the loss does not depend on it.
        invariant: Whether its scale does not matter, or its and its layer's together; None if it
            does not matter at all (such as a bias followed by batch norm).
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
    model: nn.Module, batch: Any, *, loss: Callable[..., Tensor] | None = None, seed: int = 0
) -> Symmetry:
    """Test for each trainable tensor of a model whether rescaling it leaves the loss unchanged.

    A copy in double precision is evaluated in training mode, with batch norm over the batch, at
    three points near the model's weights: at the weights themselves a symmetry can be accidental
    (a bias of zero has no scale). The ε of normalisations, which breaks the symmetry by
    ε/variance, is made negligible. The model and the global random numbers stay as they are.

    Args:
        model: A torch module.
        batch: What `loss` takes: by default a pair (inputs (n, …), targets (n,) or (n, …)), n ≥ 2,
            or a dict of the arguments of a model that returns its loss.
        loss: A criterion of torch, or the scalar loss of a model on a batch; see `batch_loss`.
        seed: Of the points.

    Raises:
        UserError: The model has no trainable parameter, or the loss is not finite.
    """
    import torch

    twin = copy.deepcopy(model).double().train()
    for module in twin.modules():
        for name in _EPSILONS:
            if isinstance(epsilon := getattr(module, name, None), float):
                setattr(module, name, 1e-20 * epsilon)
    names = [name for name, p in twin.named_parameters() if p.requires_grad]
    weights = [p for p in twin.parameters() if p.requires_grad]
    if not weights:
        raise UserError("The model has no trainable parameter: nothing can be rescaled.")
    generator = torch.Generator().manual_seed(seed)
    # Each tensor by itself, then each layer's together.
    layers = _layers(names, weights)
    sets = [[i] for i in range(len(weights))] + layers
    slopes = [math.nan] * len(sets)
    measure = batch_loss(loss)
    with torch.random.fork_rng():
        for point in _points(weights, generator):
            with torch.no_grad():
                for weight, value in zip(weights, point, strict=True):
                    weight.copy_(value)
            value = measure(twin, _doubled(batch))
            if not math.isfinite(value.item()):
                raise UserError(
                    f"The loss is {value.item()} on the batch given: a finite one is needed to see "
                    "what rescaling does to it. Check the inputs and the model's initial weights."
                )
            gradients = torch.autograd.grad(value, weights, allow_unused=True)
            size = abs(value.item())
            found = [
                _slope([weights[i].detach() for i in each], [gradients[i] for i in each], size)
                for each in sets
            ]
            slopes = [b if math.isnan(a) else max(a, b) for a, b in zip(slopes, found, strict=True)]
    together = {
        i
        for layer, slope in zip(layers, slopes[len(weights) :], strict=True)
        if slope < _TOLERANCE
        for i in layer
    }
    return Symmetry(
        tuple(
            TensorSymmetry(
                name,
                weight.numel(),
                slope,
                None if math.isnan(slope) else slope < _TOLERANCE or i in together,
            )
            for i, (name, weight, slope) in enumerate(zip(names, weights, slopes, strict=False))
        )
    )


def coordinates_for(
    model: nn.Module,
    batch: Any,
    optimizer: str,
    *,
    loss: Callable[..., Tensor] | None = None,
    lr: str = "lr",
    momentum: str | None = theory.USUAL,
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


def _layers(names: Sequence[str], weights: Sequence[Tensor]) -> list[list[int]]:
    """The tensors of each module that has a matrix and others of its own, by their place."""
    layers: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        layers.setdefault(name.rpartition(".")[0], []).append(i)
    return [
        layer
        for layer in layers.values()
        if len(layer) > 1 and any(weights[i].ndim > 1 for i in layer)
    ]


def _slope(weights: Sequence[Tensor], gradients: Sequence[Tensor | None], loss: float) -> float:
    """|⟨w, g⟩| over what it is on average for a random direction as long as w.

    Tensors are taken together, as one; those that the loss does not depend on are left out.
    """
    known = [(w, g) for w, g in zip(weights, gradients, strict=True) if g is not None]
    steepest = math.hypot(*(float(w.norm()) for w, _ in known)) * math.hypot(
        *(float(g.norm()) for _, g in known)
    )
    if steepest <= _NO_EFFECT * loss:
        return math.nan
    along = abs(sum(float((w * g).sum()) for w, g in known))
    return along / steepest * math.sqrt(sum(w.numel() for w, _ in known))


def _doubled(batch: Any) -> Any:
    """A batch with its floating-point tensors in double precision, however they are nested."""
    import torch

    if isinstance(batch, torch.Tensor):
        return batch.double() if batch.is_floating_point() else batch
    if isinstance(batch, tuple | list):
        return tuple(_doubled(part) for part in batch)
    if isinstance(batch, Mapping):
        return {key: _doubled(part) for key, part in batch.items()}
    return batch
