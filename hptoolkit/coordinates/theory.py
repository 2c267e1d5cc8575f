"""What stays the same: the invariant coordinates of each optimizer, with their sources.

For weights w whose scale does not matter to the loss (they are followed by a normalisation), the
gradient at r·w is 1/r times that at w. Training from r·w then repeats training from w, step by
step, if the learning rate λ and the weight decay α are changed so that updates grow by r too:

    family           update                      λ becomes   α becomes   held        source
    sgd              λ(g + αw), momentum ρ       r²λ         α/r²        λα/(1−ρ)    Page, part 5
    adaptive + L2    λ·(g + αw)/size of it       rλ          α/r²        λ²α         [1] section 3
    decoupled decay  λ·(g/size of g) + λαw       rλ          α/r         λα          [1], AdamW [2]
    LARS             λ‖w‖·(g + αw)/‖g + αw‖      λ           α/r²        λ           [3]
    LAMB             λ‖w‖·(m + αw)/‖m + αw‖      λ           α/r         λ           [6]

The product with 1/(1−ρ) is the total step that one gradient causes; an adaptive step does not grow
with its running average's length, so there λ is not divided by it. Batch size N: the gradient
noise of SGD is held by λ/N (linear scaling rule [4]), that of an adaptive step by λ/√N [5] with the
decay of an epoch, λα/N, held too; LARS follows the former, LAMB the latter. Both hold below the
critical batch size only.

[1] T. van Laarhoven, L2 regularization versus batch and weight normalization, 2017.
[2] I. Loshchilov, F. Hutter, Decoupled weight decay regularization, 2019.
[3] Y. You, I. Gitman, B. Ginsburg, Large batch training of convolutional networks, 2017.
[4] P. Goyal et al., Accurate, large minibatch SGD, 2017.
[5] S. Malladi et al., On the SDEs and scaling rules for adaptive gradient algorithms, 2022.
[6] Y. You et al., Large batch optimization for deep learning, 2020; m is Adam's step without λ.
[7] V. Gupta, T. Koren, Y. Singer, Shampoo, 2018.
[8] K. Jordan, Muon, 2024.
[9] J. Nocedal, S. Wright, Numerical optimization, 2006, section 7.2.

For weights that no normalisation follows (the last layer, batch norm's own) all of it is a rule of
thumb, and so is dividing by 1−ρ: one gradient's steps add up to λ/(1−ρ), in time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Literal

from hptoolkit.errors import UserError, nearest

Family = Literal["sgd", "adaptive", "decoupled", "lars", "lamb"]

# The powers of r by which λ and α are changed: the table above.
_POWERS: dict[Family, tuple[int, int]] = {
    "sgd": (2, -2),
    "adaptive": (1, -2),
    "decoupled": (1, -1),
    "lars": (0, -2),
    "lamb": (0, -1),
}


@dataclass(frozen=True)
class Facts:
    """What is known of an optimizer without running it.

    Attributes:
        family: Its row of the table; None where the symmetry is not exact.
        hyperparameters: The training's fields that it reads, besides the schedule's.
        source: Where the symmetry follows from.
        eps_power: The power of r by which ε, added to the gradient's size, is changed too.
        vectors: Numbers that it keeps for each weight; see `state_floats` for the exceptions.
    """

    family: Family | None
    hyperparameters: tuple[str, ...]
    source: str
    eps_power: int = 0
    vectors: int = 0

    @property
    def scaling(self) -> dict[str, int]:
        """The power of r by which each hyperparameter is changed, of those that are."""
        if self.family is None:
            return {}
        lr, weight_decay = _POWERS[self.family]
        powers = {"lr": lr, "weight_decay": weight_decay, "eps": self.eps_power}
        return {name: power for name, power in powers.items() if power}


_SGD, _MOMENTUM = ("lr", "weight_decay"), ("lr", "momentum", "weight_decay")
_BETAS = ("lr", "momentum", "beta2", "eps", "weight_decay")
FACTS: dict[str, Facts] = {
    "sgd": Facts("sgd", _SGD, "van Laarhoven 2017, section 2"),
    "momentum": Facts("sgd", _MOMENTUM, "van Laarhoven 2017, section 2", vectors=1),
    "nesterov": Facts("sgd", _MOMENTUM, "van Laarhoven 2017, section 2", vectors=1),
    "adagrad": Facts(
        "adaptive", ("lr", "eps", "weight_decay"), "as Adam, van Laarhoven 2017", -1, vectors=1
    ),
    "rmsprop": Facts(
        "adaptive",
        ("lr", "beta2", "eps", "weight_decay"),
        "van Laarhoven 2017, section 3",
        -1,
        vectors=1,
    ),
    "adam": Facts("adaptive", _BETAS, "van Laarhoven 2017, section 3", -1, vectors=2),
    "adamw": Facts(
        "decoupled", _BETAS, "van Laarhoven 2017, Loshchilov & Hutter 2019", -1, vectors=2
    ),
    "lbfgs": Facts(
        None,
        ("lr", "history", "iterations"),
        "Nocedal & Wright 2006: steps are free of scale but for each run's first",
    ),
    "shampoo": Facts(
        "adaptive",
        ("lr", "precondition_every", "eps", "weight_decay"),
        "Gupta et al. 2018: the step is free of the gradient's scale; eps is added to its square",
        eps_power=-2,
    ),
    "lars": Facts(
        "lars",
        ("lr", "momentum", "trust_coefficient", "weight_decay"),
        "You et al. 2017: steps are in proportion to the weights",
        vectors=1,
    ),
    "lamb": Facts(
        "lamb",
        _BETAS,
        "You et al. 2020: steps are in proportion to the weights; exact for eps = 0",
        vectors=2,
    ),
    "muon": Facts(
        "decoupled",
        ("lr", "momentum", "weight_decay", "muon_rest", "muon_rest_lr"),
        "Jordan 2024: the step has no scale; for the parameters that Muon itself trains",
    ),
}

# Those that theory gives coordinates for.
OPTIMIZERS: dict[str, Family] = {n: facts.family for n, facts in FACTS.items() if facts.family}

# Of `momentum`: see `usual_momentum`.
USUAL = "the usual"


def usual_momentum(optimizer: str) -> str | None:
    """The name "momentum" where it lengthens the step, so that studies search it; None elsewhere.

    Raises UserError for an unknown optimizer.
    """
    return "momentum" if _family(optimizer) in ("sgd", "lars") else None


def expressions(
    optimizer: str,
    *,
    normalized: bool,
    lr: str,
    momentum: str | None,
    weight_decay: str | None,
    batch_size: str | None,
    decoupled: bool = False,
) -> tuple[str, ...]:
    """The axes for an optimizer: the sensitive one first, then the nearly flat ones.

    A parameter given as None is not searched: it is a constant, which shifts a logarithmic axis
    and changes nothing else. `decoupled`: whether weights decay by λα a step whatever the
    optimizer. Raises UserError for an unknown optimizer.
    """
    family = _family(optimizer)
    if decoupled and family == "adaptive":
        family = "decoupled"
    accumulates = family in ("sgd", "lars")
    decays = normalized and weight_decay is not None and family not in ("lars", "lamb")

    numerator, denominator = [lr], []
    if decays:
        rate = f"{lr}**2" if family == "adaptive" else lr
        numerator = [rate, str(weight_decay)]
    # A decoupled decay is no part of the gradient, and does not accumulate with it.
    if momentum is not None and accumulates and not (decoupled and decays):
        denominator.append(f"(1-{momentum})")
    if batch_size is not None:
        held_by_root = not accumulates and not decays
        denominator.append(f"{batch_size}**0.5" if held_by_root else batch_size)

    axes = [_quotient(numerator, denominator)]
    if momentum is not None:
        axes.append(f"1-{momentum}")
    if weight_decay is not None:
        decay_grows = batch_size is not None and family == "decoupled"
        axes.append(f"{weight_decay}/{batch_size}**0.5" if decay_grows else weight_decay)
    if batch_size is not None:
        axes.append(batch_size)
    return tuple(axes)


def push(optimizer: str, *, lr: str = "lr", momentum: str | None = "momentum") -> str:
    """The total step that one gradient causes, as a monomial: λ/(1−ρ), or λ where it is bounded.

    Raises UserError for an unknown optimizer.
    """
    accumulates = _family(optimizer) in ("sgd", "lars")
    return f"{lr}/(1-{momentum})" if accumulates and momentum is not None else lr


def horizon(
    optimizer: str,
    *,
    lr: str = "lr",
    momentum: str | None = "momentum",
    weight_decay: str = "weight_decay",
    decoupled: bool = False,
) -> str | None:
    """How often a run's weights are forgotten by decay, H, as a monomial with the run's `steps`.

    T·λα/(1−ρ) for SGD, T·λα for decoupled decay, T·(λ²α)^⅔ for L2 in an adaptive optimizer: the
    gradient of weights w of irrelevant scale is as 1/‖w‖, so that they are forgotten by λα‖w‖ a
    step, and steps as long as λ balance that where ‖w‖³ ∝ λ/α. None for LARS and LAMB, whose steps
    follow the weights.

    Args:
        optimizer: Its name.
        lr, momentum, weight_decay: The study's names; None for an optimizer without momentum.
        decoupled: Whether weights decay by λα a step whatever the optimizer.

    Raises:
        UserError: The optimizer is unknown.
    """
    family = _family(optimizer)
    if family in ("lars", "lamb"):
        return None
    if decoupled or family == "decoupled":
        return f"{lr}*{weight_decay}*steps"
    if family == "adaptive":
        return f"{lr}**(4/3)*{weight_decay}**(2/3)*steps"
    below = "" if momentum is None else f"/(1-{momentum})"
    return f"{lr}*{weight_decay}*steps{below}"


def _family(optimizer: str) -> Family:
    if optimizer not in OPTIMIZERS:
        raise UserError(f"Unknown optimizer {optimizer!r}: {nearest(optimizer, OPTIMIZERS)}.")
    return OPTIMIZERS[optimizer]


def _quotient(numerator: list[str], denominator: list[str]) -> str:
    product = "*".join(numerator)
    if not denominator:
        return product
    below = "*".join(denominator)
    return f"{product}/{below}" if len(denominator) == 1 else f"{product}/({below})"


def effective_step(
    optimizer: str, *, lr: float, momentum: float, weight_decay: float, decoupled: bool = False
) -> float | None:
    """The held product of the table at the values that a moment of training has.

    For SGD it is λα/(1−ρ), the share by which weights decay a step, which in equilibrium sets how
    far a step turns them. A schedule moves it with λ and ρ.

    Args:
        optimizer: Its name.
        lr, momentum: Of the moment; `momentum` 0 where the optimizer has none.
        weight_decay: α, which no schedule moves.
        decoupled: Whether weights decay by λα a step whatever the optimizer; LARS and LAMB then
            keep their own.

    Returns:
        None for an optimizer that the table lacks (L-BFGS).
    """
    family = OPTIMIZERS.get(optimizer)
    if family is None:
        return None
    if decoupled and family in ("sgd", "adaptive"):
        family = "decoupled"
    held = {
        "sgd": lr * weight_decay / (1 - momentum),
        "adaptive": lr**2 * weight_decay,
        "decoupled": lr * weight_decay,
        "lars": lr / (1 - momentum),
        "lamb": lr,
    }
    return held[family]


def state_floats(
    optimizer: str,
    shapes: Iterable[tuple[int, ...]],
    *,
    momentum: float = 0.9,
    history: int = 10,
    muon_rest: str = "sgd",
) -> int:
    """How many numbers an optimizer keeps for parameters of these shapes, once it is running.

    A velocity is kept only where the momentum is not 0. L-BFGS: after `history` steps, with the
    three vectors it holds besides. Muon with SGD or AdamW (`muon_rest`) for the vectors and the
    last matrix.
    """
    shapes = [tuple(shape) for shape in shapes]
    sizes = [prod(shape) for shape in shapes]
    total = sum(sizes)
    if optimizer == "lbfgs":
        return (2 * history + 3) * total
    if optimizer == "shampoo":
        return 2 * sum(size * size for shape in shapes for size in shape) + total
    if optimizer == "muon":
        matrices = [size for size, shape in zip(sizes, shapes, strict=True) if len(shape) > 1]
        of_muon = sum(matrices[:-1])
        rest = total - of_muon
        return of_muon + (2 * rest if muon_rest == "adamw" else rest * (momentum > 0))
    facts = FACTS[optimizer]
    is_velocity = facts.vectors == 1 and "momentum" in facts.hyperparameters
    return 0 if is_velocity and momentum == 0 else facts.vectors * total
