"""A PyTorch loop with AdamW: the GP tunes its learning rate and weight decay.

python examples/pytorch_adamw.py
"""

import optuna
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

import hptoolkit as hpt
from hptoolkit.coordinates.symmetry import coordinates_for

TRIALS, EPOCHS = 20, 10

digits = load_digits()  # 1,797 images of 8×8 pixels
inputs, targets = torch.tensor(digits.data / 16.0).float(), torch.tensor(digits.target)
train_x, valid_x, train_y, valid_y = train_test_split(inputs, targets, random_state=0)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU(),
        nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip


def objective(trial: optuna.Trial) -> float:
    """The validation loss."""
    lr = trial.suggest_float("lr", 1e-6, 1.0, log=True)
    weight_decay = trial.suggest_float("weight_decay", 1e-4, 10.0, log=True)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(train_x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(train_x[batch]), train_y[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        return F.cross_entropy(model(valid_x), valid_y).item()


def main() -> optuna.Study:
    # Is λα or λ the coordinate? The network answers: its weights stand before LayerNorms.
    batch = (train_x[:64], train_y[:64])
    coordinates, symmetry = coordinates_for(network(), batch, "adamw", momentum=None)
    print(f"{symmetry}: axes {', '.join(coordinates.axes)}")

    study = optuna.create_study(sampler=hpt.GPSampler(coordinates, seed=0))
    hpt.optimize(study, objective, trials=TRIALS)
    print(f"Best: loss {study.best_value:.3f} at {study.best_params}")
    return study


if __name__ == "__main__":
    main()
