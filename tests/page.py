"""A response made by hand so that doubling or halving takes the decisions of Page's table."""

from __future__ import annotations

import math

import optuna

from hptoolkit import Coordinates

COORDINATES = Coordinates("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay")
START = {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.01}
SEARCH_SPACE: dict[str, optuna.distributions.BaseDistribution] = {
    "lr": optuna.distributions.FloatDistribution(1e-5, 100, log=True),
    "momentum": optuna.distributions.FloatDistribution(0.0, 0.99),
    "weight_decay": optuna.distributions.FloatDistribution(1e-6, 1.0, log=True),
}
# (λ, ρ, α) of the table's rows, the start first (D. Page, How to Train Your ResNet 5).
TABLE = [
    (0.001, 0.5, 0.01),
    (0.256, 0.5, 0.01),
    (0.128, 0.75, 0.01),
    (1.024, 0.75, 0.00125),
    (0.512, 0.75, 0.00125),
    (0.256, 0.875, 0.00125),
]


def accuracy(lr: float, momentum: float, weight_decay: float) -> float:
    """A concave quadratic in log2 of the coordinates, with its maximum 94.2 at the last row.

    The mixed terms tilt it so that the best λα/(1−ρ) and the best ρ depend on α, as in the table.
    """
    p = math.log2(lr * weight_decay / (1 - momentum) / 0.00256)
    r = math.log2((1 - momentum) / 0.125)
    a = math.log2(weight_decay / 0.00125)
    return 94.2 - 0.5 * (p * p + r * r + 2 * a * a - 0.7 * p * a - 0.66 * r * a)


def objective(trial: optuna.Trial) -> float:
    return accuracy(
        trial.suggest_float("lr", 1e-5, 100, log=True),
        trial.suggest_float("momentum", 0.0, 0.99),
        trial.suggest_float("weight_decay", 1e-6, 1.0, log=True),
    )
