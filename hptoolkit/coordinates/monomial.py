"""Monomials over parameter names or `1-name`: `lr*weight_decay/(1-momentum)` as exponents.

A *factor* is a parameter (`lr`) or its complement (`1-momentum`); a monomial maps factors to
rational exponents, so that on logarithms it is a linear form with exact coefficients.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from hptoolkit.errors import UserError


class Factor(NamedTuple):
    """A raw parameter, or one minus it."""

    name: str
    complement: bool = False

    def __str__(self) -> str:
        return f"1-{quoted(self.name)}" if self.complement else quoted(self.name)

    def value(self, raw: float) -> float:
        """The factor's value for the parameter's, and back: the map is its own inverse."""
        return 1.0 - raw if self.complement else raw


# Characters of an expression beyond which it is an accident.
_LONGEST = 1000

Monomial = dict[Factor, Fraction]

# Of a larger power nothing is left in a double.
_LARGEST = 100

# A name in quotes; or a word, which Python would change if it is not in ASCII: µ is not its µ.
_NAME = re.compile(r"`([^`]+)`|'([^']+)'|\"([^\"]+)\"|([^\W\d][\w.]*)")


def parse(expression: str) -> Monomial:
    """The exponents of a monomial such as `"lr*weight_decay/((1-momentum)*batch_size)"`.

    `*`, `/`, `**` (or `^`) by a number, `sqrt(...)`, parentheses and `1-name` are understood. A
    name that is no Python name (weight-decay, lambda) stands in quotes or backquotes.
    Raises UserError for anything else, for a product in which everything cancels, and for exponents
    beyond 1/100 to 100.
    """
    if len(expression) > _LONGEST:
        raise _not_a_monomial(f"{expression[:40]}…", f"it has {len(expression)} characters")
    try:
        exponents = {f: e for f, e in _exponents(_tree(expression), expression).items() if e}
    except (SyntaxError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise _not_a_monomial(expression, "it does not parse") from None
    except (RecursionError, MemoryError, OverflowError):
        raise _not_a_monomial(expression, "it has too many parts") from None
    if not exponents:
        raise _not_a_monomial(expression, "no parameter is left in it")
    for factor, power in exponents.items():
        if not 1 / _LARGEST <= abs(power) <= _LARGEST:
            why = f"the exponent of {str(factor)!r} is not between 1/{_LARGEST} and {_LARGEST}"
            raise _not_a_monomial(expression, why)
    return exponents


def quoted(name: str) -> str:
    """A parameter's name as it stands in an expression: in quotes unless it is a Python name."""
    if all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
        return name
    quote = next((mark for mark in "`'\"" if mark not in name), "`")
    return f"{quote}{name}{quote}"


def evaluate(exponents: Mapping[Factor, Fraction], values: Mapping[Factor, float]) -> float:
    """The product of positive values to the given powers."""
    try:
        product = float(math.prod(values[f] ** float(e) for f, e in exponents.items()))
    except OverflowError:
        product = math.inf
    if 0.0 < product < math.inf:
        return product
    # An intermediate product left the range of a double, though the result may lie within it.
    logarithm = math.fsum(float(e) * math.log(values[f]) for f, e in exponents.items())
    return math.exp(logarithm) if logarithm < 709.0 else math.inf


def invert(matrix: Sequence[Sequence[Fraction]]) -> list[list[Fraction]] | None:
    """The exact inverse of a square matrix by Gauss-Jordan elimination; None if singular."""
    n = len(matrix)
    rows = [[*row, *(Fraction(int(i == j)) for j in range(n))] for i, row in enumerate(matrix)]
    for column in range(n):
        pivot = next((r for r in range(column, n) if rows[r][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [x / rows[column][column] for x in rows[column]]
        for r in range(n):
            if r != column and rows[r][column]:
                scale = rows[r][column]
                rows[r] = [x - scale * y for x, y in zip(rows[r], rows[column], strict=True)]
    return [row[n:] for row in rows]


def _tree(expression: str) -> ast.expr:
    """The syntax tree of an expression, in which every name is as it was written."""
    names: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        *given, word = match.groups()
        if word and word.isascii() and not word.startswith("quoted_"):
            return word
        key = f"quoted_{len(names)}"
        names[key] = word or next(filter(None, given))
        return key

    text = _NAME.sub(stand_in, expression).replace("^", "**").strip()
    tree = ast.parse(text, mode="eval").body
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return tree


def _exponents(node: ast.expr, expression: str) -> Monomial:
    match node:
        case ast.Name() | ast.Attribute():
            return {Factor(_name(node, expression)): Fraction(1)}
        case ast.Constant(value=1):
            return {}
        case ast.BinOp(left=ast.Constant(value=1), op=ast.Sub(), right=right):
            return {Factor(_name(right, expression), complement=True): Fraction(1)}
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _product(_exponents(left, expression), _exponents(right, expression), 1)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _product(_exponents(left, expression), _exponents(right, expression), -1)
        case ast.BinOp(left=base, op=ast.Pow(), right=power):
            return _product({}, _exponents(base, expression), _number(power, expression))
        case ast.Call(func=ast.Name(id="sqrt"), args=[argument], keywords=[]):
            return _product({}, _exponents(argument, expression), Fraction(1, 2))
    raise _not_a_monomial(expression, f"{ast.unparse(node)!r} is not a product of powers")


def _product(left: Monomial, right: Monomial, power: Fraction | int) -> Monomial:
    factors = left.keys() | right.keys()
    zero = Fraction(0)
    return {f: left.get(f, zero) + right.get(f, zero) * power for f in sorted(factors)}


def _name(node: ast.expr, expression: str) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            return f"{_name(value, expression)}.{attribute}"
    raise _not_a_monomial(expression, f"{ast.unparse(node)!r} is not a parameter's name")


def _number(node: ast.expr, expression: str) -> Fraction:
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value) if math.isfinite(value):
            return Fraction(str(value))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, expression)
        case ast.BinOp(left=left, op=ast.Div(), right=right) if _number(right, expression):
            return _number(left, expression) / _number(right, expression)
    raise _not_a_monomial(expression, f"the exponent {ast.unparse(node)!r} is not a number")


def _not_a_monomial(expression: str, why: str) -> UserError:
    return UserError(
        f"The coordinate {expression!r} is not a monomial: {why}. Write a product of powers of "
        "parameters or of '1-name', such as 'lr*weight_decay/(1-momentum)', with names that hold "
        "other characters or are Python keywords in quotes or backquotes, such as `weight-decay`."
    )
