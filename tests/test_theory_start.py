"""Where theory begins: the values themselves, ranges that keep them out, and what is refused."""

from __future__ import annotations

import pytest

import hptoolkit as hpt
from hptoolkit.coordinates import theory, theory_start
from hptoolkit.coordinates.start import RULES, begin


def test_sgd_starts_at_push_4_and_a_horizon_of_a_half_at_100_steps() -> None:
    start = theory_start("nesterov", steps=100)
    # λ/(1−ρ) = 4 and T·λα/(1−ρ) = .5 by hand: α = .5/(4·100).
    assert start == {"lr": 0.4, "momentum": 0.9, "weight_decay": 0.0012}


@pytest.mark.parametrize(
    ("steps", "momentum", "horizon"), [(2, 0.0, 0.071), (16, 0.75, 0.2), (400, 0.9, 1.0)]
)
def test_short_runs_want_less_momentum_and_decay(
    steps: int, momentum: float, horizon: float
) -> None:
    begun = begin("nesterov", steps)
    assert begun.params["momentum"] == pytest.approx(momentum, abs=0.01)
    assert begun.push == pytest.approx(4.0, rel=0.03)
    assert begun.horizon == pytest.approx(horizon, rel=0.05)


def test_the_horizon_of_long_runs_stays_near_what_language_models_want() -> None:
    assert begin("adamw", 1e6).horizon == pytest.approx(4.0, rel=0.05)


def test_steps_follow_from_epochs_examples_and_batch_size() -> None:
    assert theory_start("sgd", epochs=24, n_train=50000, batch_size=512) == theory_start(
        "sgd", steps=24 * 50000 / 512
    )


def test_a_script_may_have_its_own_names() -> None:
    start = hpt.theory_start("adamw", steps=100, lr="learning_rate", momentum="beta1")
    assert list(start) == ["learning_rate", "beta1", "weight_decay"]
    # H = T·λα.
    assert 100 * start["learning_rate"] * start["weight_decay"] == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("optimizer", RULES)
def test_every_optimizer_starts_where_its_rule_says(optimizer: str) -> None:
    rule, begun = RULES[optimizer], begin(optimizer, 100)
    assert begun.push == pytest.approx(rule.push, rel=0.05)
    assert not begun.moved
    if rule.horizon is not None:
        assert begun.horizon == pytest.approx(rule.horizon, rel=0.1)


def test_rules_are_there_for_all_optimizers_that_theory_knows() -> None:
    assert RULES.keys() == theory.OPTIMIZERS.keys()


def test_a_narrow_range_moves_the_start_along_the_flat_direction() -> None:
    begun = begin("nesterov", 100, bounds={"lr": (1e-5, 0.2)})
    # 1−ρ gives way more than λ/(1−ρ), of which the narrower spread is known; H is held.
    assert begun.params["lr"] == 0.2
    assert 0.9 < begun.params["momentum"] < 0.95
    assert 2.0 < begun.push < 4.0
    assert begun.horizon == pytest.approx(0.5, rel=0.1)
    assert begun.moved


def test_where_everything_is_kept_out_the_start_lies_on_the_border() -> None:
    bounds = {"lr": (1e-5, 0.1), "momentum": (0.0, 0.5), "weight_decay": (1e-6, 1e-4)}
    begun = begin("nesterov", 170, bounds=bounds)
    assert begun.params == {"lr": 0.1, "momentum": 0.5, "weight_decay": 1e-4}
    assert begun.moved


def test_too_little_decay_does_not_raise_the_learning_rate() -> None:
    begun = begin("nesterov", 51, fixed={"weight_decay": 5e-4})
    assert begun.params == {"lr": 0.4, "momentum": 0.9}
    assert begun.horizon == pytest.approx(0.102)


def test_too_much_decay_lowers_the_learning_rate() -> None:
    begun = begin("nesterov", 100, fixed={"weight_decay": 0.25, "momentum": 0.5})
    # At push 4 H would be 100; push and H give way alike, each by √(100/.5) = 14.
    assert begun.push == pytest.approx(4 / 200**0.5, rel=0.05)
    assert begun.horizon == pytest.approx(0.5 * 200**0.5, rel=0.05)


def test_without_decay_there_is_no_horizon() -> None:
    begun = begin("nesterov", 51, fixed={"weight_decay": 0.0})
    assert begun.params == {"lr": 0.4, "momentum": 0.9}
    assert begun.horizon is None


def test_weights_without_normalisation_start_at_a_measured_rate() -> None:
    with pytest.raises(hpt.UserError, match="range test"):
        theory_start("sgd", steps=100, normalized=False)
    start = theory_start("sgd", steps=100, normalized=False, measured=0.3)
    assert start["lr"] == pytest.approx(0.03)


def test_the_rule_of_l2_in_an_adaptive_optimizer_is_free_of_the_weights_scale() -> None:
    """w → r·w is undone by λ → rλ, α → α/r²: H must not change."""
    expression = theory.horizon("adam", momentum=None)
    coordinates = hpt.Coordinates(str(expression), "lr", constants={"steps": 100})
    axis = coordinates.axes[0]
    once = coordinates.from_raw({"lr": 0.01, "weight_decay": 1e-3})[axis]
    scaled = coordinates.from_raw({"lr": 0.03, "weight_decay": 1e-3 / 9})[axis]
    assert scaled == pytest.approx(once)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give steps, or else epochs, n_train, batch_size"),
        ({"epochs": 3, "batch_size": 64}, "n_train missing"),
        ({"steps": 0}, "steps = 0 has no logarithm"),
        ({"steps": 10, "fixed": {"width": 3}}, "'width'"),
        ({"steps": 10, "fixed": {"lr": -1.0}}, "lr = -1.0 has no logarithm"),
        ({"steps": 10, "bounds": {"mometum": (0, 1)}}, "did you mean 'momentum'"),
    ],
)
def test_bad_input_is_one_sentence(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(hpt.UserError, match=message):
        theory_start("sgd", **arguments)  # type: ignore[arg-type]


def test_an_unknown_optimizer() -> None:
    with pytest.raises(hpt.UserError, match="did you mean 'adam'"):
        theory_start("adamv", steps=100)
