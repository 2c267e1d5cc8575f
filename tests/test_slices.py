"""Slices: the lattice's points and their order, and the design that runs them."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from hptoolkit import Coordinates, StudyExhausted, UserError
from hptoolkit.execution.slices.lattice import Slice, factors, points
from hptoolkit.samplers import DesignSampler

COORDINATES = Coordinates("lr/(1-momentum)", "1-momentum")
SPACE: dict[str, optuna.distributions.BaseDistribution] = {
    "lr": FloatDistribution(0.1, 100.0, log=True),
    "momentum": FloatDistribution(0.0, 0.99),
    "batch_size": IntDistribution(8, 512, log=True),
}
CENTRE = {"lr": 1.0, "momentum": 0.75, "batch_size": 64}


def lattice(names: tuple[str, str], levels: tuple[int, int], **changes: Any) -> Slice:
    fields = {"centre": CENTRE, "factor": 2.0, "repeats": 1} | changes
    return Slice(names=names, levels=levels, **fields)


def test_a_lattice_steps_by_factors_of_the_rate_and_of_one_minus_momentum() -> None:
    found, notes = points(lattice(("lr", "momentum"), (3, 3)), COORDINATES, SPACE)
    assert {point["lr"] for point in found} == {0.5, 1.0, 2.0}
    assert {point["momentum"] for point in found} == {0.5, 0.75, 0.875}
    assert {point["batch_size"] for point in found} == {64}
    assert len(found) == 9
    assert found[0] == CENTRE
    assert notes == []


def test_the_coarse_lattice_comes_first_and_both_go_outwards() -> None:
    found, _ = points(lattice(("lr", "batch_size"), (5, 5)), COORDINATES, SPACE)
    pairs = [(point["lr"], point["batch_size"]) for point in found]
    coarse = {(a, b) for a in (0.25, 1.0, 4.0) for b in (16, 64, 256)}
    assert set(pairs[:9]) == coarse
    assert pairs[0] == (1.0, 64)
    assert set(pairs[9:17]) == {
        (a, b) for a in (0.5, 1.0, 2.0) for b in (32, 64, 128)
    } - {(1.0, 64)}  # fmt: skip
    assert len(pairs) == len(set(pairs)) == 25


def test_points_outside_the_search_space_are_left_out_with_a_note() -> None:
    found, notes = points(lattice(("lr", "momentum"), (9, 7)), COORDINATES, SPACE)
    # 1/16 and 1/8 … lie below 0.1; 1-0.75 = 1/4 halves to 1/32 and doubles to 1 (and not to 2).
    assert {point["lr"] for point in found} == {0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0}
    assert {point["momentum"] for point in found} == {0.0, 0.5, 0.75, 0.875, 0.9375, 0.96875}
    assert notes == [
        "1 of 9 values of lr lie outside the range of lr and are left out.",
        "1 of 7 values of 1-momentum lie outside the range of momentum and are left out.",
    ]


def test_values_that_rounding_makes_equal_are_one() -> None:
    space = {**SPACE, "batch_size": IntDistribution(1, 4, log=True)}
    centre = {**CENTRE, "batch_size": 2}
    cut = lattice(("lr", "batch_size"), (3, 7), centre=centre, factor=1.3)
    found, _ = points(cut, COORDINATES, space)
    counts = [point["batch_size"] for point in found if point["lr"] == 1.0]
    assert sorted(counts) == [1, 2, 3]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("lr", "lr"), "two different parameters"),
        (("lr", "momentun"), "'momentun', which the study does not search: did you mean"),
        (("lr", "smoothing"), "'smoothing' has none"),
    ],
)
def test_what_cannot_be_sliced(names: tuple[str, str], message: str) -> None:
    space = {**SPACE, "smoothing": FloatDistribution(0.0, 0.2)}
    with pytest.raises(UserError, match=message):
        factors(names, COORDINATES, space)


def test_a_lattice_of_one_value_is_refused() -> None:
    with pytest.raises(UserError, match="1 value of lr within its range"):
        points(lattice(("lr", "momentum"), (3, 3), factor=1000.0), COORDINATES, SPACE)


def objective(trial: optuna.Trial) -> float:
    for name in ("lr", "momentum"):
        distribution = SPACE[name]
        assert isinstance(distribution, FloatDistribution)
        trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
    trial.suggest_int("batch_size", 8, 512, log=True)
    return float(trial.params["lr"])


def sampler(design: list[dict[str, Any]], repeats: int = 1) -> DesignSampler:
    return DesignSampler(COORDINATES, search_space=SPACE, points=design, repeats=repeats)


def test_a_design_is_run_in_its_order_across_restarts() -> None:
    design, _ = points(lattice(("lr", "momentum"), (3, 3)), COORDINATES, SPACE)
    storage = optuna.storages.InMemoryStorage()
    for count in (4, 20):  # another sampler each time: nothing is remembered outside the storage
        study = optuna.create_study(
            study_name="slice", storage=storage, sampler=sampler(design), load_if_exists=True
        )
        study.optimize(objective, n_trials=count)
    assert [trial.params for trial in study.trials] == design
    assert sampler(design).why_finished(study) == "all 9 points of the design are evaluated"
    with pytest.raises(StudyExhausted):
        study.ask()


def test_repeats_follow_the_whole_design() -> None:
    design, _ = points(lattice(("lr", "momentum"), (2, 2)), COORDINATES, SPACE)
    study = optuna.create_study(sampler=sampler(design, repeats=2))
    study.optimize(objective, n_trials=20)
    assert [trial.params for trial in study.trials] == design * 2


def test_workers_share_a_design_and_a_crash_is_tried_again() -> None:
    design, _ = points(lattice(("lr", "momentum"), (2, 2)), COORDINATES, SPACE)
    study = optuna.create_study(sampler=sampler(design))
    asked = [study.ask(SPACE) for _ in range(3)]
    assert [trial.params for trial in asked] == design[:3]
    study.tell(asked[1], state=TrialState.FAIL)
    assert study.ask(SPACE).params == design[1]
    assert study.ask(SPACE).params == design[3]
