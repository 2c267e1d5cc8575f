"""Optimizers, built from the configuration: torch's, three of pytorch-optimizer's, and Muon."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hptoolkit.errors import UserError
from hptoolkit.training.config import TrainingConfig
from hptoolkit.training.muon import Muon


class Together:
    """Several optimizers over disjoint parameters, stepped as one."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for optimizer, own in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)


AnyOptimizer = torch.optim.Optimizer | Together


def build(config: TrainingConfig, network: nn.Module) -> AnyOptimizer:
    """The optimizer that `config` names, over the parameters of `network` that take gradients.

    Every parameter group keeps its peak learning rate under "peak_lr". Raises UserError for Muon on
    a network without matrices to orthogonalise.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    if not parameters:
        raise UserError("the network has no parameter that takes a gradient: nothing to train")
    decay = 0.0 if config.decoupled_decay else config.weight_decay
    if config.optimizer == "muon":
        optimizer: AnyOptimizer = _muon(config, network, decay)
    else:
        optimizer = _BUILDERS[config.optimizer](config, parameters, decay)
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    if config.decoupled_decay and config.weight_decay:
        for each in optimizer.optimizers if isinstance(optimizer, Together) else [optimizer]:
            _decay_before_each_step(each, config.weight_decay)
    return optimizer


# Momentum for the moment: with 0 itself torch would keep the old velocity for later, and a group
# that has none for good ("sgd") could not be told from it.
_NONE_NOW = 1e-30


def momentum_of(group: dict[str, Any]) -> float:
    """The momentum of a parameter group, 0 where there is none."""
    momentum = float(group["betas"][0] if "betas" in group else group.get("momentum", 0.0))
    return 0.0 if momentum == _NONE_NOW else momentum


def set_momentum(group: dict[str, Any], momentum: float) -> None:
    """Change the momentum of a parameter group, if it has one."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    elif group.get("momentum"):
        group["momentum"] = momentum or _NONE_NOW


def warn_if_stochastic(config: TrainingConfig, n_train: int) -> None:
    """Warn that L-BFGS expects the same loss at each evaluation, which random batches deny it."""
    augmented = config.flip or config.crop_padding or config.cutout
    if config.optimizer == "lbfgs" and (config.batch_size < n_train or augmented):
        warnings.warn(
            "L-BFGS models the curvature of one loss, but these batches are random: take "
            f"batch_size {n_train} without augmentation, or another optimizer",
            stacklevel=4,
        )


def _sgd(config: TrainingConfig, parameters: list[nn.Parameter], decay: float) -> Any:
    """v <- momentum*v + g + decay*w; w <- w - lr*v (Nesterov: - lr*(g + decay*w + momentum*v))."""
    momentum = 0.0 if config.optimizer == "sgd" else config.momentum
    return torch.optim.SGD(
        parameters,
        lr=config.lr,
        momentum=momentum,
        weight_decay=decay,
        nesterov=config.optimizer == "nesterov" and momentum > 0,
    )


def _adagrad(config: TrainingConfig, parameters: list[nn.Parameter], decay: float) -> Any:
    return torch.optim.Adagrad(parameters, lr=config.lr, weight_decay=decay, eps=config.eps)


def _rmsprop(config: TrainingConfig, parameters: list[nn.Parameter], decay: float) -> Any:
    return torch.optim.RMSprop(
        parameters, lr=config.lr, alpha=config.beta2, eps=config.eps, weight_decay=decay
    )


def _adam(config: TrainingConfig, parameters: list[nn.Parameter], decay: float) -> Any:
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    betas = (config.momentum, config.beta2)
    return kind(parameters, lr=config.lr, betas=betas, eps=config.eps, weight_decay=decay)


def _lbfgs(config: TrainingConfig, parameters: list[nn.Parameter], decay: float) -> Any:
    """Strong Wolfe line search. Takes no weight decay."""
    return torch.optim.LBFGS(
        parameters,
        lr=config.lr,
        max_iter=config.iterations,
        history_size=config.history,
        line_search_fn="strong_wolfe",
    )


def _shampoo(config: TrainingConfig, parameters: list[nn.Parameter], decay: float) -> Any:
    """Without momentum: the library would average raw gradients with preconditioned ones."""
    from pytorch_optimizer import Shampoo

    return Shampoo(
        parameters,
        lr=config.lr,
        weight_decay=decay,
        preconditioning_compute_steps=config.precondition_every,
        matrix_eps=config.eps,
    )


def _lars(config: TrainingConfig, parameters: list[nn.Parameter], decay: float) -> Any:
    from pytorch_optimizer import LARS

    return LARS(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=decay,
        trust_coefficient=config.trust_coefficient,
    )


def _lamb(config: TrainingConfig, parameters: list[nn.Parameter], decay: float) -> Any:
    """As in the paper (You et al. 2020, algorithm 2): decay inside the trust ratio, phi(z) = z."""
    from pytorch_optimizer import Lamb

    optimizer = Lamb(
        parameters,
        lr=config.lr,
        betas=(config.momentum, config.beta2),
        eps=config.eps,
        weight_decay=decay,
        weight_decouple=False,
    )
    optimizer.clamp = float("inf")
    return optimizer


_BUILDERS: dict[str, Callable[[TrainingConfig, list[nn.Parameter], float], Any]] = {
    "sgd": _sgd,
    "momentum": _sgd,
    "nesterov": _sgd,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adam,
    "lbfgs": _lbfgs,
    "shampoo": _shampoo,
    "lars": _lars,
    "lamb": _lamb,
}


def _muon(config: TrainingConfig, network: nn.Module, decay: float) -> Together:
    """Muon for convolution filters and hidden matrices; Nesterov SGD or AdamW for the rest.

    The last matrix, the classifier, belongs to the rest.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim >= 2][:-1]
    if not matrices:
        raise UserError(
            "Muon needs convolution filters or hidden matrices, and this network has none besides "
            "its last layer: take another optimizer, such as nesterov or adamw"
        )
    chosen = {id(p) for p in matrices}
    rest = [p for p in parameters if id(p) not in chosen]
    muon = Muon(matrices, lr=config.lr, momentum=config.momentum, weight_decay=decay)
    rest_lr = config.muon_rest_lr or config.lr
    if config.muon_rest == "adamw":
        betas = (config.momentum, config.beta2)
        return Together(
            muon, torch.optim.AdamW(rest, rest_lr, betas, eps=config.eps, weight_decay=decay)
        )
    nesterov = config.momentum > 0
    return Together(
        muon,
        torch.optim.SGD(rest, rest_lr, config.momentum, weight_decay=decay, nesterov=nesterov),
    )


def _decay_before_each_step(optimizer: torch.optim.Optimizer, weight_decay: float) -> None:
    """w <- (1 - lr*weight_decay)*w, after the gradient was taken (Loshchilov, Hutter 2019)."""

    @torch.no_grad()
    def decay(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for group in optimizer.param_groups:
            torch._foreach_mul_(group["params"], 1 - group["lr"] * weight_decay)

    optimizer.register_step_pre_hook(decay)
