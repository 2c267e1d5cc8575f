from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptoolkit import Coordinates, UserError
from hptoolkit.coordinates.monomial import Factor, invert, parse, quoted
from hptoolkit.coordinates.theory import OPTIMIZERS

PAGE = Coordinates("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay")
FULL = Coordinates(
    "lr*weight_decay/((1-momentum)*batch_size)", "1-momentum", "weight_decay", "batch_size"
)
wide = st.floats(-30.0, 30.0).map(lambda exponent: 10.0**exponent)


def test_pages_numbers() -> None:
    raw = {"lr": 0.4, "momentum": 0.9, "weight_decay": 5e-4}
    point = PAGE.from_raw(raw)
    assert point["lr*weight_decay/(1-momentum)"] == pytest.approx(0.002, rel=1e-14)
    assert PAGE.to_raw(
        {"lr*weight_decay/(1-momentum)": 0.002, "1-momentum": 0.1, "weight_decay": 5e-4}
    ) == pytest.approx(raw, rel=1e-14)


@pytest.mark.parametrize(
    ("expression", "exponents"),
    [
        ("lr", {"lr": 1}),
        ("1-momentum", {"1-momentum": 1}),
        ("1/lr", {"lr": -1}),
        ("lr*wd/(1-rho)", {"lr": 1, "wd": 1, "1-rho": -1}),
        ("lr**2*wd/(n*(1-rho)**0.5)", {"lr": 2, "wd": 1, "n": -1, "1-rho": Fraction(-1, 2)}),
        ("sqrt(n)*lr^(1/3)", {"n": Fraction(1, 2), "lr": Fraction(1, 3)}),
        ("lr**-1 * lr**3", {"lr": 2}),
        ("optimizer.lr/n**0.1", {"optimizer.lr": 1, "n": Fraction(-1, 10)}),
    ],
)
def test_parse(expression: str, exponents: dict[str, Fraction]) -> None:
    assert {str(f): e for f, e in parse(expression).items()} == exponents


@settings(max_examples=300, deadline=None)
@given(wide, wide, wide, wide)
def test_round_trip_over_sixty_orders_of_magnitude(a: float, b: float, c: float, d: float) -> None:
    coordinates = Coordinates("a*b/(c*d)", "c", "b/d**0.5", "d")
    raw = {"a": a, "b": b, "c": c, "d": d}
    assert coordinates.to_raw(coordinates.from_raw(raw)) == pytest.approx(raw, rel=1e-12)
    point = dict(zip(coordinates.axes, (a, b, c, d), strict=True))
    assert coordinates.from_raw(coordinates.to_raw(point)) == pytest.approx(point, rel=1e-12)


@settings(max_examples=200, deadline=None)
@given(wide, st.floats(0.0, 0.999), wide, st.integers(1, 1 << 20))
def test_round_trip_with_a_complement(lr: float, rho: float, decay: float, batch: int) -> None:
    raw = {"lr": lr, "momentum": rho, "weight_decay": decay, "batch_size": float(batch)}
    back = FULL.to_raw(FULL.from_raw(raw))
    assert back == pytest.approx(raw, rel=1e-12, abs=1e-15)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(range(4)),
    st.floats(-10.0, 10.0),
    st.lists(st.floats(-3.0, 3.0), min_size=4, max_size=4),
)
def test_moving_one_axis_changes_no_other(axis: int, by: float, logs: list[float]) -> None:
    coordinates = Coordinates("a*b/(c*d)", "c", "b/d**0.5", "d")
    point = dict(zip(coordinates.axes, map(math.exp, logs), strict=True))
    name = coordinates.axes[axis]
    moved = point | {name: point[name] * math.exp(by)}
    after = coordinates.from_raw(coordinates.to_raw(moved))
    assert after == pytest.approx(moved, rel=1e-12)


def test_lowering_weight_decay_at_constant_product_raises_the_learning_rate() -> None:
    point = PAGE.from_raw({"lr": 0.128, "momentum": 0.75, "weight_decay": 0.01})
    raw = PAGE.to_raw(point | {"weight_decay": 0.00125})
    assert raw["lr"] == pytest.approx(1.024, rel=1e-14)
    assert raw["momentum"] == pytest.approx(0.75, rel=1e-14)


def test_values_beyond_the_range_of_a_double_in_between() -> None:
    coordinates = Coordinates("a**5/b**5", "b")
    point = coordinates.from_raw({"a": 1e100, "b": 1e99})
    assert point["a**5/b**5"] == pytest.approx(1e5, rel=1e-9)


def test_no_axes_pass_everything_through() -> None:
    assert Coordinates().from_raw({"x": -1.0, "y": 0.0}) == {"x": -1.0, "y": 0.0}
    assert Coordinates().to_raw({"x": -1.0}) == {"x": -1.0}


def test_other_parameters_are_passed_through() -> None:
    raw = {"lr": 0.4, "momentum": 0.9, "weight_decay": 5e-4, "dropout": 0.0}
    point = PAGE.from_raw(raw)
    assert point["dropout"] == 0.0
    assert PAGE.to_raw(point) == pytest.approx(raw)


def test_exact_inverse() -> None:
    matrix = [[Fraction(1), Fraction(1, 3)], [Fraction(2), Fraction(1)]]
    assert invert(matrix) == [[3, -1], [-6, 3]]
    assert invert([[Fraction(1), Fraction(2)], [Fraction(2), Fraction(4)]]) is None


@pytest.mark.parametrize(
    ("expressions", "message"),
    [
        (("lr+wd", "wd"), "not a product of powers"),
        (("lr*",), "does not parse"),
        (("sin(lr)",), "not a product of powers"),
        (("2*lr",), "not a product of powers"),
        (("lr**wd",), "not a number"),
        (("lr**(1/0)",), "not a number"),
        (("lr/lr",), "no parameter is left"),
        (("lr**True",), "the exponent 'True' is not a number"),
        (("lr**1e308", "wd"), "the exponent of 'lr' is not between 1/100 and 100"),
        (("lr**1e-300", "wd"), "the exponent of 'lr' is not between 1/100 and 100"),
        (("*".join(["lr"] * 3000),), "it has 8999 characters"),
        (("(" * 500 + "lr" + ")" * 500,), "it has 1002 characters"),
        (("lr**" + "9" * 5000,), "it has 5004 characters"),
        (("lambda*alpha", "alpha"), "does not parse.*keywords in quotes or backquotes"),
        (("weight-decay*alpha", "alpha"), "in quotes or backquotes, such as `weight-decay`"),
        (("model/lr*alpha", "alpha"), "or, where a '/' belongs to a name, the name in backquotes"),
        (("``*lr",), "does not parse"),
        (("",), "does not parse"),
        (("__import__('os').system('x')",), "not a product of powers"),
        (("lr*wd", "wd*lr"), "singular"),
        (("a/b", "b/c", "a/c"), "singular: 'a/c' is a product of powers of 'a/b', 'b/c'"),
        (("lr*wd/(1-m)", "wd"), "Adding '1-m' would do|Adding 'lr' would do"),
        (("lr", "lr**2"), "Leave out an axis"),
        (("m", "lr*(1-m)"), "both 'm' and '1-m'"),
    ],
)
def test_what_is_refused(expressions: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Coordinates(*expressions)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"lr": 0.1, "momentum": 0.9}, "'weight_decay' is missing"),
        ({"lr": 0.1, "momentum": 1.0, "weight_decay": 0.1}, "'1-momentum' equal to 0"),
        ({"lr": 0.0, "momentum": 0.9, "weight_decay": 0.1}, "lr = 0.0"),
        ({"lr": -1.0, "momentum": 0.9, "weight_decay": 0.1}, "above 0 is needed"),
        ({"lr": math.nan, "momentum": 0.9, "weight_decay": 0.1}, "lr = nan"),
        ({"lr": math.inf, "momentum": 0.9, "weight_decay": 0.1}, "lr = inf"),
    ],
)
def test_values_without_a_logarithm(raw: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PAGE.from_raw(raw)


def _shift(coordinates: Coordinates, before: dict[str, float], after: dict[str, float]) -> float:
    """The largest change of an axis between two raw points, on logarithms."""
    a, b = coordinates.from_raw(before), coordinates.from_raw(after)
    return max(abs(math.log(a[axis] / b[axis])) for axis in coordinates.axes[:1])


@pytest.mark.parametrize(
    ("optimizer", "lr_factor", "decay_factor"),
    [
        ("sgd", 9.0, 1 / 9),
        ("nesterov", 9.0, 1 / 9),
        ("adam", 3.0, 1 / 9),
        ("rmsprop", 3.0, 1 / 9),
        ("adagrad", 3.0, 1 / 9),
        ("adamw", 3.0, 1 / 3),
        ("muon", 3.0, 1 / 3),
        ("lars", 1.0, 1 / 9),
        ("lamb", 1.0, 1 / 3),
    ],
)
def test_rescaled_weights_leave_the_first_axis_alone(
    optimizer: str, lr_factor: float, decay_factor: float
) -> None:
    """The exact symmetry of scale-invariant weights, for r = 3 (table in `invariants`)."""
    coordinates = Coordinates.for_optimizer(optimizer, momentum=None)
    before = {"lr": 0.1, "weight_decay": 0.01}
    after = {"lr": 0.1 * lr_factor, "weight_decay": 0.01 * decay_factor}
    assert _shift(coordinates, before, after) == pytest.approx(0.0, abs=1e-12)


def test_batch_rules() -> None:
    """Moving along the batch axis: λ ∝ N for SGD; λ ∝ √N and α ∝ √N for AdamW."""
    for optimizer, lr_power, decay_power in (("sgd", 1.0, 0.0), ("adamw", 0.5, 0.5)):
        for normalized in (True, False):
            coordinates = Coordinates.for_optimizer(
                optimizer, normalized=normalized, batch_size="batch_size"
            )
            raw = {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.01, "batch_size": 128.0}
            point = coordinates.from_raw(raw)
            moved = coordinates.to_raw(point | {"batch_size": 512.0})
            assert moved["lr"] == pytest.approx(0.1 * 4**lr_power, rel=1e-12)
            assert moved["weight_decay"] == pytest.approx(0.01 * 4**decay_power, rel=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("batch_size", [None, "n"])
@pytest.mark.parametrize("momentum", [None, "rho"])
@pytest.mark.parametrize("weight_decay", [None, "alpha"])
def test_every_optimizer_has_invertible_coordinates(
    optimizer: str,
    normalized: bool,
    batch_size: str | None,
    momentum: str | None,
    weight_decay: str | None,
) -> None:
    coordinates = Coordinates.for_optimizer(
        optimizer,
        normalized=normalized,
        lr="eta",
        momentum=momentum,
        weight_decay=weight_decay,
        batch_size=batch_size,
    )
    names = {"eta", momentum, weight_decay, batch_size} - {None}
    assert set(coordinates.names) == names


def test_unknown_optimizer_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'adamw'"):
        Coordinates.for_optimizer("adamW")


def test_factor_is_its_own_inverse() -> None:
    assert Factor("m", complement=True).value(Factor("m", complement=True).value(0.9)) == 0.9


@pytest.mark.parametrize(
    "name", ["lambda", "weight-decay", "model/lr", "learning rate", "µ", "läßt", "a`b", "1", "α.β"]
)
def test_any_name_can_stand_in_an_expression(name: str) -> None:
    written = quoted(name)
    coordinates = Coordinates(f"{written}**2*alpha/(1-{written})**0", f"alpha/{written}")
    assert set(coordinates.names) == {name, "alpha"}
    point = {name: 0.3, "alpha": 7.0}
    assert coordinates.to_raw(coordinates.from_raw(point)) == pytest.approx(point)
    again = Coordinates(*map(str, coordinates.factors))
    assert again.names == coordinates.names
    complement = Coordinates(f"1-{written}")
    assert str(complement.factors[0]) == f"1-{written}"
    assert complement.from_raw({name: 0.25}) == {f"1-{written}": 0.75}


def test_theory_takes_any_names() -> None:
    names = {"lr": "optimizer/lr", "momentum": "beta 1", "weight_decay": "weight-decay"}
    coordinates = Coordinates.for_optimizer("sgd", **names)
    assert set(coordinates.names) == set(names.values())
    assert coordinates.axes[0] == "`optimizer/lr`*`weight-decay`/(1-`beta 1`)"


def test_plain_names_stay_as_they_are() -> None:
    assert quoted("model.lr_0") == "model.lr_0"
    assert Coordinates("'model.lr_0'").names == Coordinates("model.lr_0").names == ("model.lr_0",)
