"""Lightning: a module's learning rate and weight decay, and its loader's batch size.

pip install lightning
python examples/lightning_batch_size.py
"""

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
    def __init__(self, lr: float, weight_decay: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        norm = nn.BatchNorm2d(16)
        features = nn.Sequential(nn.Conv2d(1, 16, 3, bias=False), norm, nn.ReLU(), nn.MaxPool2d(2))
        self.network = nn.Sequential(features, nn.Flatten(), nn.Linear(16 * 9, 10))

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return F.cross_entropy(self.network(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        self.log("loss", F.cross_entropy(self.network(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), momentum=0.9, **self.hparams)


def objective(trial: optuna.Trial) -> float:
    lightning.seed_everything(0, verbose=False)
    lr = trial.suggest_float("lr", 1e-4, 10.0, log=True)
    module = Digits(lr, trial.suggest_float("weight_decay", 1e-6, 1.0, log=True))
    size = trial.suggest_int("batch_size", 16, 256, log=True)
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "logger"), False)
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=EPOCHS, enable_checkpointing=False, **quiet
    )
    trainer.fit(module, DataLoader(train, size, shuffle=True), DataLoader(valid, 512))
    return float(trainer.callback_metrics["loss"])


def main() -> optuna.Study:
    # λα/N, α and N; the momentum is not searched.
    coordinates = hpt.Coordinates.for_optimizer("sgd", momentum=None, batch_size="batch_size")
    study = optuna.create_study(sampler=hpt.GPSampler(coordinates, seed=0))
    hpt.optimize(study, objective, trials=TRIALS)
    print(f"Best: loss {study.best_value:.3f} at {study.best_params}")
    return study


if __name__ == "__main__":
    main()
