"""Known constants in a monomial: what does not change during a study only shifts a log axis.

`steps`, the optimizer's steps of a run, follows from other quantities where they are known:

    steps = epochs·n_train/batch_size

with n_train the number of training examples. So a study that searches the batch size or the epochs
gets an axis in steps whose monomial contains them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from hptoolkit.coordinates.monomial import Factor, Monomial
from hptoolkit.errors import UserError

STEPS = Factor("steps")
_OF_STEPS: Monomial = {
    Factor("epochs"): Fraction(1),
    Factor("n_train"): Fraction(1),
    Factor("batch_size"): Fraction(-1),
}


def check(constants: Mapping[str, float]) -> None:
    """Raises UserError for a constant that is not a finite number above 0."""
    for name, value in constants.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise UserError(
                f"The constant {name} = {value!r} has no logarithm: a finite number above 0 is "
                "needed. Leave out what is not known."
            )


def take_out(monomial: Monomial, constants: Mapping[str, float]) -> tuple[Monomial, float]:
    """The monomial in what is searched, and the logarithm of the constant that multiplies it.

    `steps` is expanded into epochs, n_train and batch_size where n_train is known and it is not.
    Raises UserError where 1 minus a constant is not positive.
    """
    if STEPS in monomial and "steps" not in constants and "n_train" in constants:
        power = monomial[STEPS]
        expanded = {f: e for f, e in monomial.items() if f != STEPS}
        for factor, exponent in _OF_STEPS.items():
            expanded[factor] = expanded.get(factor, Fraction(0)) + exponent * power
        monomial = {f: e for f, e in expanded.items() if e}
    searched: Monomial = {}
    logarithm = 0.0
    for factor, exponent in monomial.items():
        if factor.name not in constants:
            searched[factor] = exponent
            continue
        value = factor.value(float(constants[factor.name]))
        if value <= 0:
            raise UserError(
                f"The constant {factor.name} = {constants[factor.name]:g} makes '{factor}' equal "
                f"to {value:g}, which has no logarithm: a value below 1 is needed."
            )
        logarithm += float(exponent) * math.log(value)
    return searched, logarithm
