"""The learning-rate range test on somebody's own model, data and optimizer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from hptoolkit.coordinates.batch_loss import batch_loss
from hptoolkit.errors import UserError, nearest
from hptoolkit.training import TrainingConfig
from hptoolkit.training.config import Optimizer as Names
from hptoolkit.training.lr_range import RAMP_SEED, RangeTest, Step, measure
from hptoolkit.training.optimizers import AnyOptimizer, build

Parameters = Iterable[nn.Parameter]


def range_test(
    model: nn.Module,
    data: Any,
    *,
    loss: Callable[..., Tensor] | None = None,
    optimizer: str | Callable[[Parameters], Optimizer] = "momentum",
    batch_size: int = 64,
    lowest: float = 1e-7,
    highest: float = 100.0,
    steps: int = 200,
    factor: float = 10.0,
    ramps: int = 5,
    seed: int = 0,
    device: str | torch.device | None = None,
) -> RangeTest:
    """Train a copy of a model while the learning rate rises, and suggest bounds for it.

        test = hpt.range_test(model, loader, optimizer=lambda p: torch.optim.AdamW(p))
        test.suggestion.high  # a peak to begin at
        print(test)

    A ramp ends early when the loss explodes. Neither the model nor the random numbers change.

    Args:
        model: Any module.
        data: A DataLoader, or anything else that yields batches each time it is gone through; or
            tensors: (inputs (n, …), targets (n, …)), or a dict of them, in random batches.
        loss: A criterion of torch, or a function of the model and a batch; see `batch_loss`.
        optimizer: From parameters an optimizer, whose groups keep the ratios of their rates; or a
            name, one of hptoolkit's, with its defaults (ρ = 0.9, α = 5e-4).
        batch_size: Of tensors; a DataLoader has its own.
        lowest, highest, steps: The rates: how far, in how many steps.
        factor: The upper bound suggested over the lower one.
        ramps: How many; those after the first are short, see `training.lr_range`.
        seed: Of the batches, and of what is random in the model; each ramp has its own.
        device: Where to train; None: where the model is.

    Returns:
        The suggestion, with the loss at each rate.

    Raises:
        UserError: Bad input, or a loss that explodes at once or falls nowhere.
    """
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}: 1 or more is needed.")
    first = next(model.parameters(), None)
    if first is None:
        raise UserError("The model has no parameter: nothing to train.")
    place = torch.device(device) if device is not None else first.device
    own_loss = batch_loss(loss)

    def begin(ramp: int) -> Step:
        torch.manual_seed(seed + RAMP_SEED * ramp)
        twin = copy.deepcopy(model).to(place).train()
        made = _optimizer(optimizer, twin)
        peaks = [float(group["lr"]) for group in made.param_groups]
        if max(peaks) <= 0:
            raise UserError("The optimizer's learning rate is 0: give it one, such as 1.")
        batches = _batches(data, batch_size)

        def gradient(batch: Any) -> Tensor:
            made.zero_grad()
            value = own_loss(twin, batch)
            torch.autograd.backward(value)
            return value.detach()

        def step(lr: float) -> Tensor:
            for group, peak in zip(made.param_groups, peaks, strict=True):
                group["lr"] = lr * peak / max(peaks)
            batch = _moved(next(batches), place)
            if isinstance(made, LBFGS):  # several looks at the batch
                told: Tensor = made.step(lambda: gradient(batch))  # type: ignore[no-untyped-call]
                return torch.as_tensor(told).detach()
            value = gradient(batch)
            made.step()
            return value

        return step

    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        return measure(
            begin, lowest=lowest, highest=highest, steps=steps, factor=factor, ramps=ramps
        )


def _optimizer(
    optimizer: str | Callable[[Parameters], Optimizer], model: nn.Module
) -> AnyOptimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if callable(optimizer):
        made = optimizer(parameters)
        if not isinstance(made, Optimizer):
            raise UserError(
                f"optimizer returned a {type(made).__name__}: a function from parameters to a "
                "torch optimizer is needed, such as lambda p: torch.optim.AdamW(p)."
            )
        return made
    try:
        config = TrainingConfig.model_validate({"optimizer": optimizer, "lr": 1.0})
    except ValidationError:
        raise UserError(
            f"Unknown optimizer {optimizer!r}: {nearest(optimizer, get_args(Names))}."
        ) from None
    return build(config, model)


def _batches(data: Any, size: int) -> Iterator[Any]:
    """Batches without an end. Raises UserError if there is none."""
    while True:
        empty = True
        for batch in _epoch(data, size):
            empty = False
            yield batch
        if empty:
            raise UserError(
                "The data give no batch: a DataLoader is needed, or tensors. (A generator can be "
                "gone through only once: give a list of its batches.)"
            )


def _epoch(data: Any, size: int) -> Iterator[Any]:
    """The batches of data, once."""
    fields = data if isinstance(data, Mapping) else dict(enumerate(data)) if _are(data) else None
    if fields is None:
        yield from data
        return
    lengths = {len(tensor) for tensor in fields.values()}
    if len(lengths) != 1:
        raise UserError(f"The tensors are of different lengths: {sorted(lengths)}.")
    for chosen in torch.split(torch.randperm(lengths.pop()), size):
        part = {name: tensor[chosen] for name, tensor in fields.items()}
        yield part if isinstance(data, Mapping) else tuple(part.values())


def _are(data: Any) -> bool:
    """Whether data are inputs and targets, rather than batches."""
    return isinstance(data, tuple) and all(isinstance(part, Tensor) for part in data)


def _moved(batch: Any, device: torch.device) -> Any:
    """A batch with its tensors on a device, however they are nested."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, tuple | list):
        return type(batch)(_moved(part, device) for part in batch)
    if isinstance(batch, Mapping):
        return {key: _moved(part, device) for key, part in batch.items()}
    return batch
