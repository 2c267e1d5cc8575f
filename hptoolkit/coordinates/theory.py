"""What stays the same: the invariant coordinates of each optimizer, with their sources.

For weights w whose scale does not matter to the loss (they are followed by a normalisation), the
gradient at r·w is 1/r times that at w. Training from r·w then repeats training from w, step by
step, if the learning rate λ and the weight decay α are changed so that updates grow by r too:

    family           update                      λ becomes   α becomes   held        source
    sgd              λ(g + αw), momentum ρ       r²λ         α/r²        λα/(1−ρ)    Page, part 5
    adaptive + L2    λ·(g + αw)/size of it       rλ          α/r²        λ²α         [1] section 3
    decoupled decay  λ·(g/size of g) + λαw       rλ          α/r         λα          [1], AdamW [2]
    LARS             λ‖w‖·(g + αw)/‖g + αw‖      λ           α/r²        λ           [3]
    LAMB             λ‖w‖·(m + αw)/‖m + αw‖      λ           α/r         λ           [6]

The product with 1/(1−ρ) is the total step that one gradient causes; an adaptive step does not grow
with its running average's length, so there λ is not divided by it. Batch size N: the gradient
noise of SGD is held by λ/N (linear scaling rule [4]), that of an adaptive step by λ/√N [5] with the
decay of an epoch, λα/N, held too; LARS follows the former, LAMB the latter. Both hold below the
critical batch size only.

[1] T. van Laarhoven, L2 regularization versus batch and weight normalization, 2017.
[2] I. Loshchilov, F. Hutter, Decoupled weight decay regularization, 2019.
[3] Y. You, I. Gitman, B. Ginsburg, Large batch training of convolutional networks, 2017.
[4] P. Goyal et al., Accurate, large minibatch SGD, 2017.
[5] S. Malladi et al., On the SDEs and scaling rules for adaptive gradient algorithms, 2022.
[6] Y. You et al., Large batch optimization for deep learning, 2020; m is Adam's step without λ.
"""

from __future__ import annotations

from typing import Literal

from hptoolkit.errors import UserError, nearest

Family = Literal["sgd", "adaptive", "decoupled", "lars", "lamb"]

OPTIMIZERS: dict[str, Family] = {
    "sgd": "sgd",
    "momentum": "sgd",
    "nesterov": "sgd",
    "adagrad": "adaptive",
    "rmsprop": "adaptive",
    "adam": "adaptive",
    "shampoo": "adaptive",
    "adamw": "decoupled",
    "muon": "decoupled",
    "lars": "lars",
    "lamb": "lamb",
}


def expressions(
    optimizer: str,
    *,
    normalized: bool,
    lr: str,
    momentum: str | None,
    weight_decay: str | None,
    batch_size: str | None,
    decoupled: bool = False,
) -> tuple[str, ...]:
    """The axes for an optimizer: the sensitive one first, then the nearly flat ones.

    A parameter given as None is not searched: it is a constant, which shifts a logarithmic axis
    and changes nothing else. `decoupled`: whether weights decay by λα a step whatever the
    optimizer. Raises UserError for an unknown optimizer.
    """
    if optimizer not in OPTIMIZERS:
        raise UserError(f"Unknown optimizer {optimizer!r}: {nearest(optimizer, OPTIMIZERS)}.")
    family = OPTIMIZERS[optimizer]
    if decoupled and family == "adaptive":
        family = "decoupled"
    accumulates = family in ("sgd", "lars")
    decays = normalized and weight_decay is not None and family not in ("lars", "lamb")

    numerator, denominator = [lr], []
    if decays:
        rate = f"{lr}**2" if family == "adaptive" else lr
        numerator = [rate, str(weight_decay)]
    # A decoupled decay is no part of the gradient, and does not accumulate with it.
    if momentum is not None and accumulates and not (decoupled and decays):
        denominator.append(f"(1-{momentum})")
    if batch_size is not None:
        held_by_root = not accumulates and not decays
        denominator.append(f"{batch_size}**0.5" if held_by_root else batch_size)

    axes = [_quotient(numerator, denominator)]
    if momentum is not None:
        axes.append(f"1-{momentum}")
    if weight_decay is not None:
        decay_grows = batch_size is not None and family == "decoupled"
        axes.append(f"{weight_decay}/{batch_size}**0.5" if decay_grows else weight_decay)
    if batch_size is not None:
        axes.append(batch_size)
    return tuple(axes)


def _quotient(numerator: list[str], denominator: list[str]) -> str:
    product = "*".join(numerator)
    if not denominator:
        return product
    below = "*".join(denominator)
    return f"{product}/{below}" if len(denominator) == 1 else f"{product}/({below})"


def effective_step(
    optimizer: str, *, lr: float, momentum: float, weight_decay: float, decoupled: bool = False
) -> float | None:
    """The held product of the table at the values that a moment of training has.

    For SGD it is λα/(1−ρ), the share by which weights decay a step, which in equilibrium sets how
    far a step turns them. A schedule moves it with λ and ρ.

    Args:
        optimizer: Its name.
        lr, momentum: Of the moment; `momentum` 0 where the optimizer has none.
        weight_decay: α, which no schedule moves.
        decoupled: Whether weights decay by λα a step whatever the optimizer; LARS and LAMB then
            keep their own.

    Returns:
        None for an optimizer that the table lacks (L-BFGS).
    """
    family = OPTIMIZERS.get(optimizer)
    if family is None:
        return None
    if decoupled and family in ("sgd", "adaptive"):
        family = "decoupled"
    held = {
        "sgd": lr * weight_decay / (1 - momentum),
        "adaptive": lr**2 * weight_decay,
        "decoupled": lr * weight_decay,
        "lars": lr / (1 - momentum),
        "lamb": lr,
    }
    return held[family]
