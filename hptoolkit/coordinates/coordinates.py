"""Invariant coordinates: monomials of the raw hyperparameters that become the axes of the search.

With λ the learning rate, ρ the momentum, α the weight decay and N the batch size, training hardly
changes while λα/(1−ρ) is held (D. Page, "How to Train Your ResNet 5: Hyperparameters"). On
logarithms the change from (λ, 1−ρ, α, N) to such coordinates is a square linear map A:

    log coordinate = A · log factor,      log factor = A⁻¹ · log coordinate,

with rational entries, inverted exactly. Moving along one axis with the others held moves the raw
parameters as the theory says: lowering α at constant λα/(1−ρ) raises λ. A constant of the study in
a monomial, such as the steps of a run, shifts the axis and changes nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hptoolkit.coordinates import constants as known
from hptoolkit.coordinates import theory
from hptoolkit.coordinates.monomial import Factor, Monomial, evaluate, invert, parse, quoted
from hptoolkit.errors import UserError

# Names that are rarely searched: without a value for them the system is not square.
_USUALLY_KNOWN = ("steps", "n_train", "epochs")


class Coordinates:
    """A square, invertible system of monomials; each is an axis.

    Args:
        expressions: One monomial an axis, as many as there are parameters in them, such as
            `"lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay"`. Without any, every
            parameter of a study is an axis of its own, logarithmic where its distribution is. A
            name that is no Python name stands in quotes or backquotes: "`weight-decay`*`lambda`".
        constants: Values of names in the expressions that are not searched, such as `steps`. With
            `n_train` (training examples) known, `steps` is expanded into
            epochs·n_train/batch_size, of which each may be searched or constant.

    Raises:
        UserError: An expression is no monomial, a parameter stands in one as `name` and in
            another as `1-name`, the system is not square or not invertible, or a constant is not
            a positive number.
    """

    def __init__(self, *expressions: str, constants: Mapping[str, float] | None = None) -> None:
        self.axes: tuple[str, ...] = expressions
        self.constants: dict[str, float] = dict(constants or {})
        known.check(self.constants)
        reduced = [self.reduce(expression) for expression in expressions]
        monomials = [monomial for monomial, _ in reduced]
        # Logarithms of the constants that multiply the axes.
        self.shifts: npt.NDArray[np.float64] = np.array([log for _, log in reduced], np.float64)
        self.factors: tuple[Factor, ...] = _factors(expressions, monomials)
        self.names: tuple[str, ...] = tuple(factor.name for factor in self.factors)
        matrix = [[m.get(f, Fraction(0)) for f in self.factors] for m in monomials]
        if len(expressions) != len(self.factors):
            raise _not_square(expressions, self.factors, matrix)
        inverse = invert(matrix)
        if inverse is None:
            raise _dependent(expressions, matrix)
        self._forward = [dict(zip(self.factors, row, strict=True)) for row in matrix]
        axes = [Factor(axis) for axis in self.axes]
        self._backward = [dict(zip(axes, row, strict=True)) for row in inverse]
        self.matrix: npt.NDArray[np.float64] = _as_array(matrix)
        self.inverse: npt.NDArray[np.float64] = _as_array(inverse)

    @classmethod
    def for_optimizer(
        cls,
        optimizer: str,
        *,
        normalized: bool = True,
        lr: str = "lr",
        momentum: str | None = theory.USUAL,
        weight_decay: str | None = "weight_decay",
        batch_size: str | None = None,
        decoupled: bool = False,
    ) -> Coordinates:
        """The coordinates that theory gives for an optimizer (`coordinates.theory` has the table).

        Args:
            optimizer: One of `coordinates.theory.OPTIMIZERS`, such as `"sgd"` or `"adamw"`.
            normalized: Whether the weights are followed by a normalisation, so that the loss does
                not depend on their scale. If not, weight decay does not multiply the rate.
            lr, momentum, weight_decay, batch_size: The study's names for these parameters; None
                for one that is not searched (nor an axis then). Left out, `momentum` is searched
                for the optimizers whose step it lengthens, SGD's and LARS, and not for the others.
            decoupled: Whether weights decay by λα a step whatever the optimizer, as in AdamW.
        """
        if momentum == theory.USUAL:
            momentum = theory.usual_momentum(optimizer)
        return cls(
            *theory.expressions(
                optimizer,
                normalized=normalized,
                lr=quoted(lr),
                momentum=momentum and quoted(momentum),
                weight_decay=weight_decay and quoted(weight_decay),
                batch_size=batch_size and quoted(batch_size),
                decoupled=decoupled,
            )
        )

    def reduce(self, expression: str) -> tuple[Monomial, float]:
        """A monomial in the searched parameters, and the logarithm of its constant.

        Raises UserError for an expression that is no monomial, or in which nothing is searched.
        """
        monomial, logarithm = known.take_out(parse(expression), self.constants)
        if not monomial:
            raise UserError(
                f"The coordinate {expression!r} is a constant: nothing that is searched is left in "
                "it. Leave it out."
            )
        return monomial, logarithm

    def from_raw(self, params: Mapping[str, float]) -> dict[str, float]:
        """Coordinates of raw parameters; parameters that no axis names are passed through.

        Raises UserError where a named parameter is missing or its factor is not positive.
        """
        _require(self.names, params, "parameter")
        values = {
            f: _positive(str(f), f.value(float(params[f.name])), f.name, params[f.name])
            for f in self.factors
        }
        axes = {
            axis: evaluate(monomial, values) * math.exp(shift)
            for axis, monomial, shift in zip(self.axes, self._forward, self.shifts, strict=True)
        }
        return axes | {name: v for name, v in params.items() if name not in self.names}

    def to_raw(self, point: Mapping[str, float]) -> dict[str, float]:
        """Raw parameters of coordinates: the exact inverse of `from_raw`.

        Raises UserError where a coordinate is missing or not positive.
        """
        _require(self.axes, point, "coordinate")
        values = {
            Factor(axis): _positive(axis, float(point[axis]), axis, point[axis]) / math.exp(shift)
            for axis, shift in zip(self.axes, self.shifts, strict=True)
        }
        raw = {
            f.name: f.value(evaluate(m, values))
            for f, m in zip(self.factors, self._backward, strict=True)
        }
        return raw | {name: v for name, v in point.items() if name not in self.axes}

    def __repr__(self) -> str:
        given = [*map(repr, self.axes)]
        if self.constants:
            given.append(f"constants={self.constants!r}")
        return f"Coordinates({', '.join(given)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coordinates) and (self.axes, self.constants) == (
            other.axes,
            other.constants,
        )

    def __hash__(self) -> int:
        return hash(self.axes)


def _factors(expressions: tuple[str, ...], monomials: list[Monomial]) -> tuple[Factor, ...]:
    factors = list(dict.fromkeys(f for monomial in monomials for f in monomial))
    for f in factors:
        if f.complement and Factor(f.name) in factors:
            raise UserError(
                f"The coordinates {_listed(expressions)} use both {f.name!r} and '{f}': on "
                "logarithms these are not linear in one another. Use one of the two throughout."
            )
    return tuple(factors)


def _not_square(
    expressions: tuple[str, ...], factors: tuple[Factor, ...], matrix: list[list[Fraction]]
) -> UserError:
    given = (
        f"{len(expressions)} coordinates ({_listed(expressions)}) were given for the "
        f"{len(factors)} parameters {', '.join(f.name for f in factors)}"
    )
    if len(expressions) > len(factors):
        return UserError(f"{given}: one axis a parameter is needed. Leave out an axis.")
    unknown = [f.name for f in factors if f.name in _USUALLY_KNOWN]
    if unknown:
        return UserError(
            f"{given}: one axis a parameter is needed. If {unknown[0]!r} is not searched, give its "
            f"value: constants={{{unknown[0]!r}: …}}."
        )
    units = [[Fraction(int(f == g)) for g in factors] for f in factors]
    completed, added = list(matrix), []
    for f, unit in zip(factors, units, strict=True):
        if len(completed) < len(factors) and _rank([*completed, unit]) > _rank(completed):
            completed.append(unit)
            added.append(str(f))
    unless = ""
    if any("/" in expression for expression in expressions):
        unless = ", or, where a '/' belongs to a name, the name in backquotes"
    return UserError(
        f"{given}: one axis a parameter is needed. Adding {_listed(added)} would do{unless}."
    )


def _dependent(expressions: tuple[str, ...], matrix: list[list[Fraction]]) -> UserError:
    last = next(i for i in range(1, len(matrix) + 1) if _rank(matrix[:i]) < i) - 1
    return UserError(
        f"The coordinates are singular: {expressions[last]!r} is a product of powers of "
        f"{_listed(expressions[:last])}, so it is no axis of its own. Replace it by another one."
    )


def _rank(rows: list[list[Fraction]]) -> int:
    return int(np.linalg.matrix_rank(_as_array(rows))) if rows else 0


def _as_array(rows: list[list[Fraction]]) -> npt.NDArray[np.float64]:
    return np.array([[float(x) for x in row] for row in rows], dtype=np.float64).reshape(
        len(rows), len(rows[0]) if rows else 0
    )


def _require(names: tuple[str, ...], given: Mapping[str, object], kind: str) -> None:
    missing = [name for name in names if name not in given]
    if missing:
        raise UserError(
            f"The {kind} {_listed(missing)} is missing: given {_listed(given) or 'nothing'}, "
            f"needed {_listed(names)}."
        )


def _positive(factor: str, value: float, name: str, given: float) -> float:
    if value > 0.0 and math.isfinite(value):
        return value
    raise UserError(
        f"{name} = {given} makes {factor!r} equal to {value:g}, which has no logarithm: a finite "
        "value above 0 is needed."
    )


def _listed(names: object) -> str:
    return ", ".join(repr(name) for name in names)  # type: ignore[attr-defined]
