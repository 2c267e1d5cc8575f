"""Tune any function of a trial with one command: everything but the training comes along.

    python -m hptoolkit.study --objective examples/own_objective.py:objective \
        --coordinates "lr*weight_decay/(1-momentum),1-momentum,weight_decay" \
        --set start.lr=0.001 --set start.momentum=0.5 --set start.weight_decay=0.01 \
        --set metric.direction=minimize

Or in your own script, with the three lines at the end of this file.
"""

from __future__ import annotations

import optuna
import torch
from torch import nn
from torch.nn import functional as F

import hptoolkit as hpt


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Two interleaved spirals, 1000 points of two numbers each, with their arm."""
    generator = torch.Generator().manual_seed(0)
    turn = 3.0 * torch.rand(1000, generator=generator).sqrt()
    arm = torch.randint(0, 2, (1000,), generator=generator)
    angle = 2.0 * turn + torch.pi * arm
    points = turn[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    return points + 0.1 * torch.randn(1000, 2, generator=generator), arm


def objective(trial: optuna.Trial) -> float:
    """The loss on held-out points of a small network with batch norm.

    A loss tells apart what an accuracy on 200 points cannot: far off, that is mostly noise.
    """
    lr = trial.suggest_float("lr", 1e-5, 100.0, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.99)
    weight_decay = trial.suggest_float("weight_decay", 1e-6, 1.0, log=True)

    points, arms = data()
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Linear(64, 2),
    )  # fmt: skip
    optimizer = torch.optim.SGD(
        model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=200)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(model(points[:800]), arms[:800]).backward()
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        return F.cross_entropy(model(points[800:]), arms[800:]).item()


if __name__ == "__main__":
    coordinates = hpt.Coordinates("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay")
    start = {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.01}
    sampler = hpt.CoordinateDescentSampler(coordinates, start=start)
    study = optuna.create_study(sampler=sampler, direction="minimize")
    study.optimize(objective)
    print(f"{len(study.trials)} runs, best loss {study.best_value:.4f} at {study.best_params}")
