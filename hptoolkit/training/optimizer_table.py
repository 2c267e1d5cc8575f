"""What is known of each optimizer without running it: its fields, its scale symmetry, its memory.

The symmetry. Let the loss be unchanged when weights w become r*w, r > 0: they are followed by a
normalisation, so the gradient at r*w is 1/r times that at w. Then training from r*w with each
hyperparameter times r**(its exponent in `scaling`) gives exactly r times the weights of training
from w, at every step. Products whose exponents cancel are the invariants that a search should keep.
For weights that are not normalised (the last layer, batch norm's own) all of it is a rule of thumb,
and so is dividing by 1 - momentum: one gradient's steps add up to lr/(1 - momentum), in time.

[1] T. van Laarhoven, L2 regularization versus batch and weight normalization, 2017.
[2] I. Loshchilov, F. Hutter, Decoupled weight decay regularization, 2019.
[3] Y. You, I. Gitman, B. Ginsburg, Large batch training of convolutional networks, 2017.
[4] Y. You et al., Large batch optimization for deep learning (LAMB, algorithm 2), 2020.
[5] V. Gupta, T. Koren, Y. Singer, Shampoo, 2018.
[6] K. Jordan, Muon, 2024.
[7] J. Nocedal, S. Wright, Numerical optimization, 2006, section 7.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from hptoolkit.training.config import Optimizer, TrainingConfig


@dataclass(frozen=True)
class OptimizerFacts:
    """`hyperparameters`: the fields of TrainingConfig that it reads, besides the schedule's.

    `scaling`: exponents of r (see above), empty where the symmetry is not exact. `source`: where
    the symmetry follows from.
    """

    hyperparameters: tuple[str, ...]
    source: str
    scaling: Mapping[str, int] = field(default_factory=dict)

    @property
    def invariant(self) -> str:
        """The product of lr and weight_decay that the symmetry leaves alone."""
        lr, decay = self.scaling.get("lr", 0), self.scaling.get("weight_decay", 0)
        if lr == 0:
            return "lr"
        return "lr*weight_decay" if lr == -decay else f"lr**{-decay}*weight_decay"


_SGD_SCALING = {"lr": 2, "weight_decay": -2}
_ADAPTIVE_SCALING = {"lr": 1, "weight_decay": -2, "eps": -1}
_BETAS = ("lr", "momentum", "beta2", "eps", "weight_decay")
OPTIMIZER_TABLE: dict[Optimizer, OptimizerFacts] = {
    "sgd": OptimizerFacts(("lr", "weight_decay"), "[1] section 2", _SGD_SCALING),
    "momentum": OptimizerFacts(("lr", "momentum", "weight_decay"), "[1] section 2", _SGD_SCALING),
    "nesterov": OptimizerFacts(("lr", "momentum", "weight_decay"), "[1] section 2", _SGD_SCALING),
    "adagrad": OptimizerFacts(("lr", "eps", "weight_decay"), "as Adam, [1]", _ADAPTIVE_SCALING),
    "rmsprop": OptimizerFacts(
        ("lr", "beta2", "eps", "weight_decay"), "[1] section 3", _ADAPTIVE_SCALING
    ),
    "adam": OptimizerFacts(_BETAS, "[1] section 3", _ADAPTIVE_SCALING),
    "adamw": OptimizerFacts(_BETAS, "[1], [2]", {"lr": 1, "weight_decay": -1, "eps": -1}),
    "lbfgs": OptimizerFacts(
        ("lr", "history", "iterations"), "[7]: steps are free of scale but for each run's first"
    ),
    "shampoo": OptimizerFacts(
        ("lr", "precondition_every", "eps", "weight_decay"),
        "[5]: the step has the gradient's scale to the power 0; eps is added to its square",
        {"lr": 1, "weight_decay": -2, "eps": -2},
    ),
    "lars": OptimizerFacts(
        ("lr", "momentum", "trust_coefficient", "weight_decay"),
        "[3]: steps are in proportion to the weights",
        {"weight_decay": -2},
    ),
    "lamb": OptimizerFacts(
        _BETAS,
        "[4]: steps are in proportion to the weights; exact for eps = 0",
        {"weight_decay": -1},
    ),
    "muon": OptimizerFacts(
        ("lr", "momentum", "weight_decay", "muon_rest", "muon_rest_lr"),
        "[6]: the step has no scale; for the parameters that Muon itself trains",
        {"lr": 1, "weight_decay": -1},
    ),
}


def state_floats(config: TrainingConfig, shapes: Iterable[tuple[int, ...]]) -> int:
    """How many numbers an optimizer keeps for parameters of these shapes, once it is running.

    L-BFGS: after `history` steps, with the three vectors it holds besides. Muon with SGD or AdamW
    for the vectors and the last matrix.
    """
    shapes = [tuple(shape) for shape in shapes]
    sizes = [prod(shape) for shape in shapes]
    total = sum(sizes)
    velocity = total if config.momentum > 0 else 0
    if config.optimizer == "shampoo":
        return 2 * sum(size * size for shape in shapes for size in shape) + total
    if config.optimizer == "muon":
        matrices = [size for size, shape in zip(sizes, shapes, strict=True) if len(shape) > 1]
        of_muon = sum(matrices[:-1])
        rest = total - of_muon
        return of_muon + (2 * rest if config.muon_rest == "adamw" else rest * (velocity > 0))
    return {
        "sgd": 0,
        "momentum": velocity,
        "nesterov": velocity,
        "lars": velocity,
        "adagrad": total,
        "rmsprop": total,
        "adam": 2 * total,
        "adamw": 2 * total,
        "lamb": 2 * total,
        "lbfgs": (2 * config.history + 3) * total,
    }[config.optimizer]
