"""`train`: a pure function from (configuration, data, model, seed) to a Result."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hptoolkit.errors import UserError
from hptoolkit.training import augment, optimizers, schedules
from hptoolkit.training import model as networks
from hptoolkit.training.config import DataConfig, ModelConfig, TrainingConfig
from hptoolkit.training.data import Array, Split, checked, split
from hptoolkit.training.seeds import Seeds

Model: TypeAlias = ModelConfig | nn.Module | Callable[[], nn.Module]
Data: TypeAlias = Split | tuple[Array, Array]

EVALUATION_BATCH = 512
# An epoch's mean loss above this many times ln(classes), that of a uniform guess, is divergence.
DIVERGED_LOSS = 3.0


@dataclass(frozen=True)
class EpochReport:
    """One epoch, counted from 1. Losses are means an image; `seconds` include the evaluation.

    `lr`, `momentum` and `gradient_norm` are those of the epoch's last step; `weight_norm` is that
    of all parameters after it.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    lr: float
    momentum: float
    gradient_norm: float
    weight_norm: float
    seconds: float


@dataclass(frozen=True)
class Result:
    """The run as it ended: figures of the last epoch, never of the best.

    `diverged`: why the run was ended early, or None. `images_per_second`: training alone, without
    evaluation. `weights`: the state_dict, on the CPU.
    """

    history: tuple[EpochReport, ...]
    validation_accuracy: float
    validation_loss: float
    seconds: float
    images_per_second: float
    diverged: str | None
    weights: dict[str, Tensor]


def train(
    config: TrainingConfig,
    data: Data,
    *,
    model: Model | None = None,
    seed: int | Seeds = 0,
    device: str | torch.device = "cpu",
    report: Callable[[EpochReport], None] = lambda epoch: None,
) -> Result:
    """Train `model` on `data` and validate it after every epoch.

    data: a Split, or uint8 images (n, height, width, channels) with integer labels (n,), of which a
        stratified fifth is set aside to validate.
    model: a ModelConfig (default: Page's network, width 64), any module from float images
        (batch, channels, height, width) to logits (a copy of it is trained), or a function that
        makes one, called under the seed.
    report: called after each epoch (but the one that diverged); what it raises ends the run.

    The same seed, device and thread count give the same result to the bit; the caller's random
    state is left alone. Raises UserError for input that cannot work.
    """
    device = torch.device(device)
    data = data if isinstance(data, Split) else _split_pair(data)
    seeds = seed if isinstance(seed, Seeds) else Seeds.same(seed)
    if config.batch_size > len(data.train):
        raise UserError(
            f"batch_size {config.batch_size} is more than the {len(data.train)} training images: "
            f"take a smaller batch, or more data"
        )
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seeds.init)
        network = _network(model, data).to(device).to(memory_format=torch.channels_last)
        return _Run(config, data, network, seeds, device).run(report)


def _split_pair(pair: tuple[Array, Array]) -> Split:
    images, labels = (np.asarray(array) for array in pair)
    arrays = {"train_images": images, "train_labels": labels}
    same_as_test = {"test_images": images[:1], "test_labels": labels[:1]}
    return split(checked("own data", arrays | same_as_test, "data"), DataConfig())


def _network(model: Model | None, data: Split) -> nn.Module:
    if isinstance(model, nn.Module):
        return copy.deepcopy(model)
    if model is None or isinstance(model, ModelConfig):
        return networks.build(model or ModelConfig(), data.image_shape, data.classes)
    return model()


class _Run:
    """The state of one run: network, optimizer and the images on their device."""

    def __init__(
        self,
        config: TrainingConfig,
        data: Split,
        network: nn.Module,
        seeds: Seeds,
        device: torch.device,
    ) -> None:
        self.config, self.network, self.classes = config, network, data.classes
        self.images = augment.to_device(data.train, device)
        self.validation = augment.to_device(data.validation, device)
        self.norm = augment.normalization(self.images)
        self.augmentation = augment.augmentation(config, self.images)
        self.optimizer = optimizers.build(config, network.parameters())
        self.schedule = schedules.build(config.schedule)
        self.order = torch.Generator(device).manual_seed(seeds.order)
        self.augment = torch.Generator(device).manual_seed(seeds.augment)
        self.steps_per_epoch = len(self.images) // config.batch_size

    def run(self, report: Callable[[EpochReport], None]) -> Result:
        start, training_seconds = time.perf_counter(), 0.0
        history: list[EpochReport] = []
        diverged = None
        while len(history) < self.config.epochs and diverged is None:
            epoch_start = time.perf_counter()
            train_loss = self._train_epoch(len(history)).item()
            training_seconds += time.perf_counter() - epoch_start
            history.append(self._report(len(history) + 1, train_loss, epoch_start))
            diverged = self._divergence(history[-1])
            if diverged is None:
                report(history[-1])
        images = len(history) * self.steps_per_epoch * self.config.batch_size
        return Result(
            history=tuple(history),
            validation_accuracy=history[-1].validation_accuracy,
            validation_loss=history[-1].validation_loss,
            seconds=time.perf_counter() - start,
            images_per_second=images / training_seconds,
            diverged=diverged,
            weights={k: v.detach().cpu() for k, v in self.network.state_dict().items()},
        )

    def _train_epoch(self, epoch: int) -> Tensor:
        """One pass in random order, the last short batch dropped. The mean loss, on the device.

        Nothing here waits for the device.
        """
        self.network.train()
        size, steps = self.config.batch_size, self.steps_per_epoch
        order = torch.randperm(len(self.images), generator=self.order, device=self.order.device)
        order = self.images.rows[order]
        total = torch.zeros((), device=order.device)
        for step in range(steps):
            self._set_learning_rate((epoch * steps + step + 0.5) / (self.config.epochs * steps))
            total += self._step(order[step * size : (step + 1) * size])
        return total / steps

    def _step(self, chosen: Tensor) -> Tensor:
        batch = augment.augmented_batch(
            self.images, self.norm, chosen, self.augmentation, self.augment
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.network(batch), self.images.labels[chosen])
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss.detach()

    def _set_learning_rate(self, progress: float) -> None:
        """The schedule at the middle of the step, so that no step is taken at a rate of 0."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * self.schedule(progress)

    @torch.no_grad()
    def _evaluate(self) -> tuple[float, float]:
        """Mean loss and accuracy on the validation images."""
        self.network.eval()
        device = self.validation.pixels.device
        loss, correct = torch.zeros((), device=device), torch.zeros((), device=device)
        for chosen in torch.split(self.validation.rows, EVALUATION_BATCH):
            logits = self.network(augment.plain_batch(self.validation, self.norm, chosen))
            labels = self.validation.labels[chosen]
            loss += F.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(1) == labels).sum()
        n = len(self.validation)
        return loss.item() / n, correct.item() / n

    def _report(self, epoch: int, train_loss: float, start: float) -> EpochReport:
        validation_loss, validation_accuracy = self._evaluate()
        group = self.optimizer.param_groups[0]
        parameters = list(self.network.parameters())
        gradients = [p.grad for p in parameters if p.grad is not None]
        return EpochReport(
            epoch=epoch,
            train_loss=train_loss,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            lr=group["lr"],
            momentum=group.get("momentum", 0.0),
            gradient_norm=_norm(gradients),
            weight_norm=_norm(parameters),
            seconds=time.perf_counter() - start,
        )

    def _divergence(self, epoch: EpochReport) -> str | None:
        limit = DIVERGED_LOSS * math.log(self.classes)
        if not math.isfinite(epoch.train_loss):
            return f"training loss {epoch.train_loss} in epoch {epoch.epoch}"
        if epoch.train_loss > limit:
            return (
                f"training loss {epoch.train_loss:.3g} in epoch {epoch.epoch}, more than "
                f"{limit:.3g} ({DIVERGED_LOSS:g} times that of a uniform guess)"
            )
        return None


@torch.no_grad()
def _norm(tensors: list[Tensor] | list[nn.Parameter]) -> float:
    return float(torch.linalg.vector_norm(torch.stack([tensor.norm() for tensor in tensors])))
