"""The built-in objective: raw parameters in, the metric of a trained network out."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from hptoolkit.attributes import (
    AT_CHANCE,
    DATA,
    HISTORY,
    IMAGES_PER_SECOND,
    PRUNED_REASON,
    SEED,
    WEIGHTS_LOST,
    read,
)
from hptoolkit.config.definition import StudyDefinition
from hptoolkit.coordinates.theory import effective_step, state_floats
from hptoolkit.errors import StorageError, UserError
from hptoolkit.execution import best_weights
from hptoolkit.training import EpochReport, ModelConfig, Result, Seeds, TrainingConfig, train
from hptoolkit.training import model as networks
from hptoolkit.training.augment import check_augmentation
from hptoolkit.training.checkpoint import remove
from hptoolkit.training.classifier import pack
from hptoolkit.training.data import Split
from hptoolkit.training.device import memory_of
from hptoolkit.training.fingerprint import digest


def check_fits(definition: StudyDefinition, data: Split, device: torch.device) -> None:
    """Raise UserError for what a study may ask for and cannot be done with its data and machine.

    That is a batch larger than the training split, a crop or cutout as large as the images, images
    too small for the network, a network too large for the memory.
    """
    batch = _largest(definition, "batch_size", definition.training.batch_size)
    if batch > len(data.train):
        raise UserError(
            f"The batch of {batch} images is larger than the training split of "
            f"{len(data.train)} ({definition.data.name}): take a smaller batch_size or more data."
        )
    augmented = {
        name: _largest(definition, name, getattr(definition.training, name))
        for name in ("crop_padding", "cutout")
    }
    check_augmentation(definition.training.model_copy(update=augmented), data.image_shape[:2])
    width = _largest(definition, "width", definition.model.width)
    with torch.device("meta"):  # nothing is allocated
        model = definition.model.model_copy(update={"width": width})
        network = networks.build(model, data.image_shape, data.classes)
    shapes = [tuple(parameter.shape) for parameter in network.parameters()]
    numbers = 2 * sum(map(math.prod, shapes)) + _state(definition.training, shapes)
    memory = memory_of(device)
    if memory is not None and 4 * numbers > memory:
        raise UserError(
            f"A network of width {width} takes {4 * numbers / 2**30:.3g} GiB to train, and the "
            f"{device.type} has {memory / 2**30:.3g} GiB of memory: take a smaller width."
        )


def _state(training: TrainingConfig, shapes: list[tuple[int, ...]]) -> int:
    """The numbers that the optimizer keeps."""
    return state_floats(
        training.optimizer,
        shapes,
        momentum=training.momentum,
        history=training.history,
        muon_rest=training.muon_rest,
    )


def _largest(definition: StudyDefinition, name: str, otherwise: int) -> int:
    """The largest value that a study may give a whole number."""
    searched = definition.search_space.get(name)
    if searched is None:
        return otherwise
    return max(int(value) for value in (searched.choices or (searched.high or 0,)))


def suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """Ask for a parameter from its distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    low, high, step = distribution.low, distribution.high, distribution.step  # type: ignore[attr-defined]
    log = distribution.log  # type: ignore[attr-defined]
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, low, high, step=step, log=log)
    return trial.suggest_float(name, low, high, step=step, log=log)


class Objective:
    """Trains the definition's network at a trial's parameters, reports each epoch, and prunes.

    A trial's seed is the study's, plus how often its parameters were run before: points are
    compared under the same initialisation, order and augmentation, and a repeat is a new draw.

    Args:
        definition: What to train and search.
        data: The split to train and validate on.
        device: Where to train.
        on_epoch: Called after each epoch with the trial and its report; for a trial that goes on
            from a checkpoint, first for the epochs it has behind it.
        checkpoints: The folder of checkpoints, from which a trial that was put back goes on; None:
            it starts anew.
        keep_weights: Whether to keep the weights of the best trial so far, see `best_weights`.
    """

    def __init__(
        self,
        definition: StudyDefinition,
        data: Split,
        device: torch.device,
        on_epoch: Callable[[Trial, EpochReport], None] = lambda trial, epoch: None,
        checkpoints: Path | None = None,
        *,
        keep_weights: bool = False,
    ) -> None:
        self.definition = definition
        self.data = data
        self.device = device
        self.on_epoch = on_epoch
        self.checkpoints = checkpoints
        self.keep_weights = keep_weights

    @cached_property
    def read(self) -> dict[str, Any]:
        """What is trained and judged on, and a digest of it; kept with each trial."""
        name, subsets = self.definition.data.name, (self.data.train, self.data.validation)
        train, validation = ({"images": len(s), "digest": digest(s)} for s in subsets)
        shape = list(self.data.image_shape)
        return {"name": name, "image_shape": shape, "training": train, "validation": validation}

    def __call__(self, trial: Trial) -> float:
        """The metric after the last epoch. Raises TrialPruned for a pruned or diverged run."""
        params = {n: suggest(trial, n, d) for n, d in self.definition.distributions.items()}
        model, training = self.definition.configure(params)
        seed = self._seed(trial)
        trial.set_user_attr(SEED, seed)
        trial.set_user_attr(DATA, self.read)
        result = self._train(trial, model, training, seed)
        value = float(getattr(result, self.definition.metric.name))
        if result.diverged is None and not math.isfinite(value):
            reason = f"{self.definition.metric.name} is {value}"
        else:
            reason = result.diverged or ""
        if reason:
            trial.set_user_attr(PRUNED_REASON, f"diverged: {reason}")
            raise optuna.TrialPruned(reason)
        if result.at_chance:  # a result all the same: a search may have to climb from there
            trial.set_user_attr(AT_CHANCE, result.at_chance)
        trial.set_user_attr(IMAGES_PER_SECOND, round(result.images_per_second, 1))
        if self.keep_weights:
            self._keep(trial, value, result, model, training)
        return value

    def _keep(
        self,
        trial: Trial,
        value: float,
        result: Result,
        model: ModelConfig,
        training: TrainingConfig,
    ) -> None:
        def packed() -> dict[str, Any]:
            return pack(result.weights, model, self.data, flip_tta=training.flip_tta)

        try:
            best_weights.keep(trial.study, trial, value, packed)
        except OSError as error:  # the result is good without its weights
            trial.set_user_attr(WEIGHTS_LOST, str(error))

    def _train(
        self, trial: Trial, model: ModelConfig, training: TrainingConfig, seed: int
    ) -> Result:
        """The training, its epochs reported and kept with the trial. Raises TrialPruned."""
        history: list[dict[str, float]] = []
        reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values

        def resumed(epoch: EpochReport) -> None:
            history.append(_finite({**dataclasses.asdict(epoch), **_realised(training, epoch)}))
            self.on_epoch(trial, epoch)

        def report(epoch: EpochReport) -> None:
            resumed(epoch)
            if epoch.epoch not in reported:  # Optuna keeps the first value, and warns of another
                trial.report(getattr(epoch, self.definition.metric.name), epoch.epoch)
            let_go_on = epoch.epoch < max(reported, default=0)
            if epoch.epoch < training.epochs and not let_go_on and trial.should_prune():
                reason = f"{self.definition.pruner} pruner after epoch {epoch.epoch}"
                trial.set_user_attr(PRUNED_REASON, reason)
                raise optuna.TrialPruned(reason)

        checkpoint = None
        if self.checkpoints:
            checkpoint = checkpoint_file(self.checkpoints, trial.study.study_name, trial.number)
            _remove_leftovers(checkpoint.parent, trial.study.get_trials(deepcopy=False))
        try:
            return train(
                training,
                self.data,
                model=model,
                seed=Seeds.same(0).vary(self.definition.vary, seed),
                device=self.device,
                checkpoint=checkpoint,
                report=report,
                resumed=resumed,
            )
        except StorageError:  # the trial has not ended: it goes on when the storage is back
            raise
        except Exception:  # pruned or failed; an interrupted trial will be put back and go on
            if checkpoint:
                remove(checkpoint)
            raise
        finally:
            trial.set_user_attr(HISTORY, history)

    def _seed(self, trial: Trial) -> int:
        kept = read(trial.user_attrs, SEED, int)
        if kept is not None:  # a trial that was put back keeps its seed
            return kept
        earlier = trial.study.get_trials(deepcopy=False)
        return self.definition.seed + sum(_is_repeat(t, trial) for t in earlier)


def checkpoint_file(folder: Path, study_name: str, number: int) -> Path:
    """Where a trial keeps its checkpoint: the same for every process that runs it."""
    safe = re.sub(r"[^\w.-]", "_", study_name)[:80]
    digest = hashlib.sha256(study_name.encode()).hexdigest()[:8]
    return folder / f"{safe}-{digest}" / f"{number}.pt"


def _remove_leftovers(folder: Path, trials: list[FrozenTrial]) -> None:
    """Delete checkpoints of trials that have ended: given up since their workers had gone."""
    ended = {trial.number for trial in trials if trial.state.is_finished()}
    for file in folder.glob("*.pt"):
        if file.stem.isdecimal() and int(file.stem) in ended:
            remove(file)


def _is_repeat(earlier: FrozenTrial, trial: Trial) -> bool:
    judged = earlier.state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return judged and earlier.number < trial.number and earlier.params == trial.params


def _realised(training: TrainingConfig, epoch: EpochReport) -> dict[str, float]:
    """The effective step at the end of an epoch, where the optimizer has one."""
    step = effective_step(
        training.optimizer,
        lr=epoch.lr,
        momentum=epoch.momentum,
        weight_decay=training.weight_decay,
        decoupled=training.decoupled_decay,
    )
    return {} if step is None else {"effective_step": step}


def _finite(epoch: dict[str, float]) -> dict[str, float]:
    """JSON has no infinity: a value that is not finite is left out."""
    return {name: value for name, value in epoch.items() if math.isfinite(value)}
