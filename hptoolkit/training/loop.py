"""`train`: a pure function from (configuration, data, model, seed) to a Result."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from hptoolkit.errors import UserError
from hptoolkit.training import model as networks
from hptoolkit.training import optimizers
from hptoolkit.training.checkpoint import Checkpoint, fingerprint
from hptoolkit.training.config import DataConfig, ModelConfig, TrainingConfig
from hptoolkit.training.data import Array, Split, checked, split
from hptoolkit.training.seeds import Seeds
from hptoolkit.training.trainer import Trainer

Model: TypeAlias = ModelConfig | nn.Module | Callable[[], nn.Module]
Data: TypeAlias = Split | tuple[Array, Array]

# An epoch's mean loss above this many times ln(classes), that of a uniform guess, is divergence.
DIVERGED_LOSS = 3.0
# A run has learned something if its loss is better than that of the classes' frequencies by this
# share, or its accuracy by so many standard deviations.
CHANCE_LOSS, CHANCE_DEVIATIONS = 0.005, 3.0


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

    `diverged`: why the run was ended early, or None. `at_chance`: why it learned nothing, or None.
    `stopped_early`: whether patience ran out. `images_per_second`: training alone, without
    evaluation. `weights`: the state_dict, on the CPU.
    """

    history: tuple[EpochReport, ...]
    validation_accuracy: float
    validation_loss: float
    seconds: float
    images_per_second: float
    diverged: str | None
    stopped_early: bool
    weights: dict[str, Tensor]
    at_chance: str | None = None


def train(
    config: TrainingConfig,
    data: Data,
    *,
    model: Model | None = None,
    seed: int | Seeds = 0,
    device: str | torch.device = "cpu",
    compiled: bool = False,
    checkpoint: Path | None = None,
    report: Callable[[EpochReport], None] = lambda epoch: None,
    resumed: Callable[[EpochReport], None] = lambda epoch: None,
) -> Result:
    """Train `model` on `data` and validate it after every epoch.

    data: a Split, or uint8 images (n, height, width, channels) with integer labels (n,), of which a
        stratified tenth is set aside to validate.
    model: a ModelConfig (default: Page's network, width 64), any module from float images
        (batch, channels, height, width) to logits (a copy of it is trained), or a function that
        makes one, called under the seed.
    compiled: compile the network, with CUDA graphs (CUDA only).
    checkpoint: a file, written after each epoch and its report, deleted when this returns. If an
        interrupted run of the same call left it, this one goes on after its last epoch and returns
        the same to the bit (but for times); any other file is passed over and replaced.
    report: called after each epoch (but the one that diverged); what it raises ends the run.
    resumed: called first, for each epoch that the checkpoint brings back and `report` was told of.

    The same seed, device and thread count give the same result to the bit; the caller's random
    state is left alone. Raises UserError for input that cannot work.
    """
    start = time.perf_counter()
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        trainer = prepare(config, data, model, seed, device, compiled)
        kept = None
        if checkpoint is not None:
            described = model if isinstance(model, ModelConfig) else None
            kept = Checkpoint(checkpoint, fingerprint(trainer, described, _seeds(seed)))
        past = _past(kept, trainer, start)
        for epoch in past.history:
            resumed(epoch)
        diverged = _epochs(trainer, past, kept, report)
        if kept:
            kept.remove()
        history = past.history
        images = len(history) * trainer.steps_per_epoch * config.batch_size
        return Result(
            history=tuple(history),
            validation_accuracy=history[-1].validation_accuracy,
            validation_loss=history[-1].validation_loss,
            seconds=time.perf_counter() - past.start,
            images_per_second=images / past.training_seconds,
            diverged=diverged,
            stopped_early=diverged is None and _out_of_patience(config, history),
            weights=trainer.state(),
            at_chance=_chance(history[-1], trainer.validation_labels()),
        )


@dataclass
class _Past:
    """What a run has behind it. `start`: of all its seconds, on this process's clock."""

    history: list[EpochReport]
    training_seconds: float
    start: float


def _past(kept: Checkpoint | None, trainer: Trainer, start: float) -> _Past:
    """An earlier process's part of the run, if it left a checkpoint."""
    saved = kept.load(trainer) if kept else None
    if saved is None:
        return _Past([], 0.0, start)
    history = [EpochReport(**epoch) for epoch in saved["history"]]
    return _Past(history, saved["training_seconds"], start - saved["seconds"])


def _epochs(
    trainer: Trainer,
    past: _Past,
    kept: Checkpoint | None,
    report: Callable[[EpochReport], None],
) -> str | None:
    """Train until the last epoch, the end of patience or divergence; why it diverged, or None."""
    config, history = trainer.config, past.history
    while len(history) < config.epochs and not _out_of_patience(config, history):
        start = time.perf_counter()
        train_loss = trainer.epoch(len(history)).item()
        past.training_seconds += time.perf_counter() - start
        history.append(_report(trainer, len(history) + 1, train_loss, start))
        if diverged := _divergence(history[-1], trainer.classes):
            return diverged
        report(history[-1])
        if kept:
            progress = {
                "history": [asdict(epoch) for epoch in history],
                "training_seconds": past.training_seconds,
                "seconds": time.perf_counter() - past.start,
            }
            kept.save(trainer, progress)
    return None


def prepare(
    config: TrainingConfig,
    data: Data,
    model: Model | None,
    seed: int | Seeds,
    device: torch.device,
    compiled: bool = False,
) -> Trainer:
    """Everything up to the first step. Seeds torch's global generator. Raises UserError."""
    parts = data if isinstance(data, Split) else _split_pair(data)
    if config.batch_size > len(parts.train):
        raise UserError(
            f"batch_size {config.batch_size} is more than the {len(parts.train)} training images: "
            f"take a smaller batch, or more data"
        )
    optimizers.warn_if_stochastic(config, len(parts.train))
    seeds = _seeds(seed)
    torch.manual_seed(seeds.init)
    trainer = Trainer(config, parts, _network(model, parts), seeds, device, compiled)
    torch.manual_seed(seeds.augment)
    return trainer


def _seeds(seed: int | Seeds) -> Seeds:
    return seed if isinstance(seed, Seeds) else Seeds.same(seed)


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


def _report(trainer: Trainer, epoch: int, train_loss: float, start: float) -> EpochReport:
    validation_loss, validation_accuracy = trainer.evaluate()
    gradient_norm, weight_norm = trainer.norms()
    group = trainer.optimizer.param_groups[0]
    return EpochReport(
        epoch=epoch,
        train_loss=train_loss,
        validation_loss=validation_loss,
        validation_accuracy=validation_accuracy,
        lr=group["lr"],
        momentum=optimizers.momentum_of(group),
        gradient_norm=gradient_norm,
        weight_norm=weight_norm,
        seconds=time.perf_counter() - start,
    )


def _divergence(epoch: EpochReport, classes: int) -> str | None:
    limit = DIVERGED_LOSS * math.log(classes)
    if not math.isfinite(epoch.train_loss):
        return f"training loss {epoch.train_loss} in epoch {epoch.epoch}"
    if epoch.train_loss > limit:
        return (
            f"training loss {epoch.train_loss:.3g} in epoch {epoch.epoch}, more than "
            f"{limit:.3g} ({DIVERGED_LOSS:g} times that of a uniform guess)"
        )
    return None


def _chance(epoch: EpochReport, labels: Tensor) -> str | None:
    """Whether a run knows no more than how frequent each class is; None if it does.

    Who always answers the frequencies has their entropy as loss and the largest one as accuracy.
    Neither must be better: the accuracy by more than its binomial noise, the loss by more than
    `CHANCE_LOSS` of itself. labels: int64 (n,), those of the validation images.
    """
    shares = np.bincount(labels.numpy()) / len(labels)
    shares = shares[shares > 0]
    entropy, largest = float(-(shares * np.log(shares)).sum()), float(shares.max())
    noise = math.sqrt(largest * (1 - largest) / len(labels))
    if epoch.validation_loss < (1 - CHANCE_LOSS) * entropy:
        return None
    if epoch.validation_accuracy > largest + CHANCE_DEVIATIONS * noise:
        return None
    return (
        f"at chance: validation loss {epoch.validation_loss:.3g} and accuracy "
        f"{epoch.validation_accuracy:.1%}, where the classes' frequencies alone give "
        f"{entropy:.3g} and {largest:.1%}"
    )


def _out_of_patience(config: TrainingConfig, history: Sequence[EpochReport]) -> bool:
    """Whether the last `patience` epochs brought nothing better than what came before them."""
    if config.patience is None or len(history) <= config.patience:
        return False
    if config.patience_metric == "validation_accuracy":
        values = [epoch.validation_accuracy for epoch in history]
    else:
        values = [-epoch.validation_loss for epoch in history]
    return max(values[-config.patience :]) <= max(values[: -config.patience])
