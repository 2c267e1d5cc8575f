from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from hptoolkit import UserError
from hptoolkit.config.axes import axes_for
from hptoolkit.config.load import load_study
from hptoolkit.execution.builtin_study import prepare, symmetry_of
from hptoolkit.training import data
from tests.test_study_command import run


def silent(trial: optuna.Trial, epoch: object) -> None:
    pass


NONE = {"seed": None, "vary": None, "pruner": None, "trials": None}


def test_all_but_norms_and_classifier_are_scale_invariant() -> None:
    """Page's network, width 8, one channel: 8 convolutions by hand, of 103,800 parameters."""
    defined = load_study("digits")
    split = data.split(data.load("digits"), defined.data)
    symmetry = symmetry_of(defined, split)
    c = 8
    shapes = [(1, c), (c, 2 * c), (2 * c, 2 * c), (2 * c, 2 * c)]
    shapes += [(2 * c, 4 * c), (4 * c, 8 * c), (8 * c, 8 * c), (8 * c, 8 * c)]
    convolutions = sum(9 * a * b for a, b in shapes)
    invariant = sum(t.parameters for t in symmetry.tensors if t.invariant)
    assert invariant == convolutions
    assert symmetry.normalized


def test_auto_axes_follow_the_optimizer() -> None:
    def axes(optimizer: str, *, normalized: bool = True) -> tuple[str, ...]:
        defined = load_study("digits", [f"training.optimizer={optimizer}"])
        return axes_for(defined, normalized=normalized)

    assert axes("nesterov") == ("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay")
    assert axes("nesterov", normalized=False)[0] == "lr/(1-momentum)"
    assert axes("adamw")[0] == "lr*weight_decay"
    assert axes("adam")[0] == "lr**2*weight_decay"
    alone = "search_space={lr={low=0.01, high=1.0, log=true}}"
    lbfgs = ["training.optimizer=lbfgs", alone, "coord={}"]
    with pytest.raises(UserError, match="knows no axes for the optimizer 'lbfgs'"):
        axes_for(load_study("digits", lbfgs), normalized=True)


def test_coordinates_from_the_command_line_replace_the_definitions() -> None:
    problem = prepare("digits", (), NONE, "lr/(1-momentum), 1-momentum", "file", None, "cpu")
    assert problem.defined.coordinates.axes == ("lr/(1-momentum)", "1-momentum")
    assert set(problem.defined.coord.directions) == {"1-momentum", "weight_decay"}
    assert problem.notes[0] == "Axes: λ/(1−ρ), 1−ρ."
    fields = ["training.decoupled_decay=true"]
    problem = prepare("digits", fields, NONE, "auto", "file", None, "cpu", address="nowhere.log")
    assert problem.defined.coordinates.axes == ("lr*weight_decay", "1-momentum", "weight_decay")
    assert "scale of 98.8% of the weights does not matter" in problem.notes[0]


def test_describe_runs_nothing(tmp_path: Path) -> None:
    process = run(tmp_path, "digits", "--describe", "--set", "training.optimizer=adamw")
    assert process.returncode == 0, process.stderr
    assert "103,800 parameters" in process.stdout
    assert "8 bytes a parameter" in process.stdout
    assert not list(tmp_path.iterdir())


def test_vary_changes_one_source_of_noise_at_a_time() -> None:
    """The digits are not augmented here: another seed for augmentation changes nothing."""
    accuracies = {}
    for vary in ("init", "order", "augment", "all"):
        changes = NONE | {"seed": 1, "vary": vary}
        quick = ["training.epochs=2", "model.width=2", "training.crop_padding=0"]
        problem = prepare("digits", quick, changes, None, "file", None, "cpu")
        study = optuna.create_study(direction="maximize")
        study.enqueue_trial({"lr": 0.1, "momentum": 0.5, "weight_decay": 0.001})
        study.optimize(problem.objective("cpu", silent), n_trials=1)
        accuracies[vary] = study.trials[0].user_attrs["hptoolkit:history"][-1]["validation_loss"]
    base = prepare("digits", quick, NONE, None, "file", None, "cpu")
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"lr": 0.1, "momentum": 0.5, "weight_decay": 0.001})
    study.optimize(base.objective("cpu", silent), n_trials=1)
    reference = study.trials[0].user_attrs["hptoolkit:history"][-1]["validation_loss"]
    assert accuracies["augment"] == reference
    different = {reference, accuracies["init"], accuracies["order"], accuracies["all"]}
    assert len(different) == 4
