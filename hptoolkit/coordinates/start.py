"""Where theory begins a search: the first run's learning rate, momentum and weight decay.

Two numbers carry over from problem to problem. The *push* is the total step that one gradient
causes, λ/(1−ρ) for SGD and λ for optimizers that bound their step. The *horizon* H is how often a
run's weights are forgotten by decay, T·λα/(1−ρ) in T steps of SGD (`theory.push`,
`theory.horizon`). Well below 1 the weights keep their initial scale, decay means nothing and the
push is what matters; from about 1 on, decay sets how far a step turns the weights.

[1] D. Page's hand-tuned (0.4, 0.9, 5e-4) is push 4, and H = 6.0 in its 2352 steps.
[2] X. Wang, L. Aitchison, How to set AdamW's weight decay as you scale model and dataset size,
    2024 (arXiv 2405.13698): the time-scale 1/(λα) is best between an epoch and the run, so H
    between 1 and the epochs.
[3] S. Bergsma et al., Power lines: scaling laws for weight decay and batch size, 2025 (arXiv
    2505.13738): for language models 1/H = 1.08·(tokens a parameter)^−0.527: H is .9 at one token a
    parameter, 4.5 at twenty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hptoolkit.coordinates import theory
from hptoolkit.coordinates.constants import check, take_out
from hptoolkit.coordinates.monomial import Factor, Monomial, parse
from hptoolkit.errors import UserError, nearest


@dataclass(frozen=True)
class Rule:
    """An optimizer's constants. A spread is a factor either way: the best lies within it mostly.

    Attributes:
        push: The best total step of a gradient.
        horizon: The best H of a run of 100 steps; None where α sets no step.
        source: Where they come from. "digits": benchmarks/theory_start.py calibrate, see
            docs/theory-start.md.
        weight_decay: α where it sets no step.
        push_spread, horizon_spread: The best of other problems and budgets.
    """

    push: float
    horizon: float | None
    source: str
    weight_decay: float = 5e-4
    push_spread: float = 4.0
    horizon_spread: float = 4.0


_SGD = Rule(4.0, 0.5, "digits, [1]")
RULES: dict[str, Rule] = {
    "sgd": _SGD,
    "momentum": _SGD,
    "nesterov": _SGD,
    "adagrad": Rule(0.05, 0.1, "digits"),
    "rmsprop": Rule(0.003, 0.003, "digits"),
    "adam": Rule(0.01, 0.03, "digits"),
    "shampoo": Rule(1.0, 1.0, "digits"),
    "adamw": Rule(0.02, 0.5, "digits, [2], [3]"),
    "muon": Rule(0.1, 0.05, "digits; the parameters left to SGD decay 1/(1−ρ) times as fast"),
    "lars": Rule(80.0, None, "digits"),
    "lamb": Rule(0.03, None, "digits", weight_decay=1e-2),
}

# The best H grows with the run as √T, up to that of long runs [1], [3]: on the digits T = 12
# wants .17 or less, 50 about .4, and from 200 on .5 is as good as 2.
_HORIZON_STEPS = 100.0
_LARGEST_GROWTH = 8.0

MOMENTUM = 0.9
# Momentum's memory, 1/(1−ρ) steps, takes at most this share of the run.
_MEMORY = 0.25
# Within which 1−ρ matters little; see the flat directions of Page's search.
_MOMENTUM_SPREAD = 8.0
_DECAY_SPREAD = 100.0  # of α where it sets no step
_DIGITS = 2  # of the values suggested


@dataclass(frozen=True)
class Beginning:
    """A start from theory, and what it comes to.

    Attributes:
        params: Raw values by the study's names, of those that are not fixed.
        push, horizon: Of these values; `horizon` None where α sets no step or is 0.
        wanted_push, wanted_horizon: What theory asks for.
    """

    params: dict[str, float]
    push: float
    horizon: float | None
    wanted_push: float
    wanted_horizon: float | None

    @property
    def moved(self) -> bool:
        """Whether the ranges kept theory's place out, by more than the rounding of values."""
        pairs = [(self.push, self.wanted_push)]
        if self.horizon is not None and self.wanted_horizon is not None:
            pairs.append((self.horizon, self.wanted_horizon))
        return any(abs(math.log(got / wanted)) > math.log(1.2) for got, wanted in pairs)


def theory_start(
    optimizer: str,
    *,
    steps: float | None = None,
    epochs: float | None = None,
    n_train: float | None = None,
    batch_size: float | None = None,
    normalized: bool = True,
    measured: float | None = None,
    decoupled: bool = False,
    lr: str = "lr",
    momentum: str = "momentum",
    weight_decay: str = "weight_decay",
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, float]:
    """Learning rate, momentum and weight decay of a first run, by name; rounded to two digits.

    Args:
        optimizer: One of `hptoolkit.coordinates.theory.OPTIMIZERS`.
        steps: The optimizer's steps in a run; or give `epochs`, `n_train` (training examples) and
            `batch_size` instead.
        normalized: Whether most weights are followed by a normalisation. If not, their scale sets
            the step, of which theory knows nothing: `measured` is needed.
        measured: The best push of a measurement, such as a range test's λ/(1−ρ).
        decoupled: Whether weights decay by λα a step whatever the optimizer.
        lr, momentum, weight_decay: The study's names for these.
        fixed: Values by name of those that are not searched: the others follow.
        bounds: (low, high) by name. Where they keep theory's place out, the nearest place inside
            is taken, each number in units of its spread; `begin` tells.

    Raises:
        UserError: An unknown optimizer or name, unknown steps, a value that is not allowed, or
            un-normalised weights without a measurement.
    """
    run = run_steps(steps, epochs, n_train, batch_size)
    names = lr, momentum, weight_decay
    return begin(
        optimizer, run, names, normalized=normalized, measured=measured, decoupled=decoupled,
        fixed=fixed, bounds=bounds,
    ).params  # fmt: skip


def best_horizon(at_100_steps: float, steps: float) -> float:
    """The best H of a run of so many steps."""
    return at_100_steps * min(math.sqrt(steps / _HORIZON_STEPS), _LARGEST_GROWTH)


def best_momentum(steps: float) -> float:
    """The usual momentum, or less in a run that it would outlast."""
    return 1 - min(max(1 - MOMENTUM, 1 / (_MEMORY * steps)), 1.0)


def longest_horizon(
    optimizer: str, steps: float, *, decay: float, decoupled: bool = False
) -> float | None:
    """H of a run at the largest weight decay searched and the largest push that is likely good.

    Well below 1, decay has no time to act in any run of the search: α means nothing, and the axis
    is the push alone. None where α sets no step.
    """
    expression = theory.horizon(optimizer, momentum=None, decoupled=decoupled)
    if expression is None:
        return None
    push = RULES[optimizer].push * RULES[optimizer].push_spread
    known = {"lr": push, "weight_decay": decay, "steps": steps}
    return math.exp(take_out(parse(expression), known)[1])


def run_steps(
    steps: float | None, epochs: float | None, n_train: float | None, batch_size: float | None
) -> float:
    """The optimizer's steps in a run. Raises UserError where they are not known."""
    parts = {"epochs": epochs, "n_train": n_train, "batch_size": batch_size}
    if steps is not None:
        parts = {"steps": steps}
    missing = [name for name, value in parts.items() if value is None]
    if missing:
        raise UserError(
            "A start from theory needs the optimizer's steps in a run: give steps, or else "
            f"{', '.join(parts)} ({', '.join(missing)} missing)."
        )
    known = {name: value for name, value in parts.items() if value is not None}
    check(known)
    return known["steps"] if steps is not None else math.prod(
        value if name != "batch_size" else 1 / value for name, value in known.items()
    )  # fmt: skip


def begin(
    optimizer: str,
    steps: float,
    names: tuple[str, str, str] = ("lr", "momentum", "weight_decay"),
    *,
    normalized: bool = True,
    measured: float | None = None,
    decoupled: bool = False,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Beginning:
    """`theory_start`, with what it comes to; `names` of λ, ρ and α."""
    if optimizer not in RULES:
        raise UserError(f"Theory knows no start for {optimizer!r}: {nearest(optimizer, RULES)}.")
    if not normalized and measured is None:
        raise UserError(
            "Theory knows no learning rate for weights that no normalisation follows, since their "
            "scale sets the step: measure it by a range test (python -m hptoolkit.lr_range, or "
            "--start lr-range)."
        )
    fixed, bounds = dict(fixed or {}), dict(bounds or {})
    for name in (*fixed, *bounds):
        if name not in names:
            raise UserError(f"Theory sets no {name!r}: {nearest(name, names)}.")
    lr, momentum, weight_decay = names
    rule = RULES[optimizer]
    push = _Aim(
        parse(theory.push(optimizer, lr=lr, momentum=momentum)),
        measured or rule.push,
        rule.push_spread,
    )
    aims = [push, _Aim(parse(f"1-{momentum}"), 1 - best_momentum(steps), _MOMENTUM_SPREAD)]
    held = theory.horizon(
        optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay, decoupled=decoupled
    )
    decays = fixed.get(weight_decay) != 0
    decay = None
    if held is not None and rule.horizon is not None and decays:
        decay = _Aim(parse(held), best_horizon(rule.horizon, steps), rule.horizon_spread)
        aims.append(decay)
    elif decays:
        aims.append(_Aim(parse(weight_decay), rule.weight_decay, _DECAY_SPREAD))
    constants = {"steps": steps, **{n: v for n, v in fixed.items() if v != 0}}
    check(constants)
    free = [name for name in names if name not in fixed]
    params = _nearest(aims, free, momentum, constants, bounds)
    horizon = decay.value(params, constants) if decay else None
    if decay and horizon is not None and horizon < 0.9 * decay.best:
        # Too little decay costs next to nothing in a short run: it is not to pull λ up.
        kept = {name: params[name] for name in free if name == weight_decay}
        others = [name for name in free if name != weight_decay]
        params = _nearest(aims[:2], others, momentum, constants | kept, bounds) | kept
        horizon = decay.value(params, constants)
    return Beginning(
        params=params,
        push=push.value(params, constants),
        horizon=horizon,
        wanted_push=push.best,
        wanted_horizon=decay.best if decay else None,
    )


@dataclass(frozen=True)
class _Aim:
    """A monomial, its best value, and the factor within which the best mostly lies."""

    monomial: Monomial
    best: float
    spread: float

    def value(self, params: Mapping[str, float], constants: Mapping[str, float]) -> float:
        return math.exp(take_out(self.monomial, {**constants, **params})[1])


def _nearest(
    aims: list[_Aim],
    free: list[str],
    momentum: str,
    constants: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
) -> dict[str, float]:
    """The raw values that come nearest to the aims within the bounds: least squares in logs."""
    from scipy.optimize import lsq_linear

    factors = [Factor(name, complement=name == momentum) for name in free]
    if not factors:
        return {}
    rows, targets = np.zeros((len(aims), len(free))), np.zeros(len(aims))
    for i, aim in enumerate(aims):
        monomial, logarithm = take_out(aim.monomial, constants)
        weight = 1 / math.log(aim.spread)
        rows[i] = [weight * float(monomial.get(factor, 0)) for factor in factors]
        targets[i] = weight * (math.log(aim.best) - logarithm)
    low, high = np.full(len(free), -np.inf), np.full(len(free), np.inf)
    for i, factor in enumerate(factors):
        if factor.name in bounds:
            low[i], high[i] = _logs(factor, *bounds[factor.name])
    ends = np.maximum(high, low + 1e-9)  # a range of one value
    logs = lsq_linear(rows, targets, (low, ends)).x
    params = {}
    for factor, log in zip(factors, logs, strict=True):
        value = factor.value(float(f"{math.exp(log):.{_DIGITS}g}"))
        least, most = bounds.get(factor.name, (-math.inf, math.inf))
        params[factor.name] = min(max(round(value, 12), least), most)
    return params


def _logs(factor: Factor, low: float, high: float) -> tuple[float, float]:
    """The logarithms of a factor at its parameter's ends, in rising order."""
    ends = sorted((factor.value(low), factor.value(high)))
    return tuple(math.log(end) if end > 0 else -math.inf for end in ends)  # type: ignore[return-value]
