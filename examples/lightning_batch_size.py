"""Lightning: a module's learning rate, momentum and weight decay, and the loader's batch size.

pip install lightning
python examples/lightning_batch_size.py
"""

from __future__ import annotations

import lightning
import optuna
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split

import hptoolkit as hpt

TRIALS, EPOCHS = 15, 3

digits = load_digits()
images = torch.tensor(digits.images / 16.0).float()[:, None]
data = TensorDataset(images, torch.tensor(digits.target))
train, valid = random_split(data, [0.8, 0.2], torch.Generator().manual_seed(0))


class Digits(lightning.LightningModule):
    def __init__(self, **sgd: float) -> None:
        super().__init__()
        self.sgd = sgd
        self.network = nn.Sequential(
            nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(16 * 9, 10),
        )  # fmt: skip

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return F.cross_entropy(self.network(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        self.log("loss", F.cross_entropy(self.network(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), **self.sgd)


def objective(trial: optuna.Trial) -> float:
    """The validation loss."""
    lightning.seed_everything(0, verbose=False)
    module = Digits(
        lr=trial.suggest_float("lr", 1e-4, 10.0, log=True),
        momentum=trial.suggest_float("momentum", 0.0, 0.99),
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1.0, log=True),
    )
    size = trial.suggest_int("batch_size", 16, 256, log=True)
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=EPOCHS, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader(train, size, shuffle=True), DataLoader(valid, 512))
    return float(trainer.callback_metrics["loss"])


def main() -> optuna.Study:
    coordinates = hpt.Coordinates.for_optimizer("sgd", batch_size="batch_size")  # λα/((1−ρ)N), …
    study = optuna.create_study(sampler=hpt.GPSampler(coordinates, seed=0))
    hpt.optimize(study, objective, trials=TRIALS)
    print(f"Best: loss {study.best_value:.3f} at {study.best_params}")
    return study


if __name__ == "__main__":
    main()
