"""Where a study begins, and along which axes, when its file and the command line say little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hptoolkit import UserError
from hptoolkit.config.compare import differences
from hptoolkit.config.definition import OwnObjective, StudyDefinition
from hptoolkit.config.load import load_study
from hptoolkit.config.start import from_theory
from hptoolkit.execution import builtin_study, user_function
from hptoolkit.execution.problem import Problem

PAGE = {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.01}
NONE: dict[str, Any] = {"seed": None, "vary": None, "pruner": None, "trials": None}
SGD_AXES = ("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay")
STEPS = 170  # of the digits: 10 epochs of 1150 // 64


def prepared(*fields: str, start: str | None = None, coordinates: str | None = None) -> Problem:
    return builtin_study.prepare("digits", fields, NONE, coordinates, start, None, "cpu")


def test_a_study_that_names_no_start_begins_where_theory_says() -> None:
    task = prepared()
    # λ/(1−ρ) = 4 and H = .5·√(170/100) = .652 by hand: α = .652/(170·4) = 9.6e-4.
    assert task.defined.start == {"lr": 0.4, "momentum": 0.9, "weight_decay": 0.00096}
    assert (
        "Start from theory: λ = 0.4, ρ = 0.9, α = 0.00096; λ/(1−ρ) = 4 and H = 0.65." in task.notes
    )


def test_a_stored_study_keeps_the_start_it_has() -> None:
    """One that began elsewhere, or whose range was widened since, goes on as it is."""

    def stored(defined: StudyDefinition) -> dict[str, float]:
        assert defined.name == "digits"
        return PAGE

    def begun(start: str | None) -> dict[str, Any]:
        task = builtin_study.prepare("digits", (), NONE, None, start, None, "cpu", stored=stored)
        return dict(task.defined.start)

    assert begun(None) == PAGE
    assert begun("theory")["lr"] == 0.4


def test_a_start_that_is_named_holds() -> None:
    given = [f"start.{name}={value}" for name, value in PAGE.items()]
    assert prepared(*given).defined.start == PAGE
    assert prepared(*given, start="theory").defined.start["lr"] == 0.4


def test_pages_bad_start_is_to_be_had() -> None:
    task = prepared(start="page")
    assert task.defined.start == PAGE
    assert "Start: Page's, which is deliberately bad." in task.notes


def test_the_file_may_leave_the_start_to_the_middle() -> None:
    task = prepared(start="file")
    assert task.defined.start == {}


def test_ranges_that_keep_theory_out_are_said() -> None:
    task = prepared("search_space.lr.high=0.05")
    assert task.defined.start["lr"] == 0.05
    assert any("The ranges keep out what theory asks for, λ/(1−ρ) = 4" in n for n in task.notes)
    assert isinstance(task.defined, StudyDefinition)
    task.defined.region()


def test_what_is_not_searched_is_taken_as_it_is() -> None:
    space = "search_space={lr={low=1e-3, high=10.0, log=true}}"
    start = prepared(space, "training.momentum=0.5", "training.weight_decay=0.0", "coord={}")
    assert start.defined.start == {"lr": 2.0}


def test_the_steps_follow_a_batch_size_that_is_searched() -> None:
    size = "search_space.batch_size={low=16, high=256, log=true}"
    start = prepared(size).defined.start
    assert start["batch_size"] == 64  # the definition's own
    assert start["weight_decay"] == 0.00096


def test_other_optimizers_begin_at_their_own_rates() -> None:
    start = prepared("training.optimizer=adamw").defined.start
    assert start["lr"] == 0.02
    assert STEPS * start["lr"] * start["weight_decay"] == pytest.approx(0.652, rel=0.02)
    lr = "search_space={lr={low=1e-3, high=10.0, log=true}}"
    with pytest.raises(UserError, match="none for the optimizer 'lbfgs'"):
        prepared("training.optimizer=lbfgs", lr, "coord={}", start="theory")


def test_axes_follow_the_optimizer() -> None:
    assert prepared().defined.coordinates.axes == SGD_AXES
    adamw = ("lr*weight_decay", "1-momentum", "weight_decay")
    assert prepared("training.optimizer=adamw").defined.coordinates.axes == adamw
    assert prepared("training.optimizer=muon").defined.coordinates.axes == adamw
    assert prepared("coordinates.axes=[]").defined.coordinates.axes == ()


def test_axes_of_another_optimizer_are_warned_of() -> None:
    named = prepared("training.optimizer=adamw", coordinates=",".join(SGD_AXES))
    assert named.defined.coordinates.axes == SGD_AXES
    (warning,) = [note for note in named.notes if note.startswith("Warning")]
    assert "lr*weight_decay/(1-momentum) is theory's for sgd" in warning
    assert "--coordinates 'lr*weight_decay,1-momentum,weight_decay'" in warning
    for own in (",".join(SGD_AXES), "lr/(1-momentum),1-momentum,weight_decay", "lr,1-momentum"):
        assert not [n for n in prepared(coordinates=own).notes if n.startswith("Warning")]


def test_auto_axes_leave_decay_out_where_it_has_no_time_to_act() -> None:
    assert prepared(coordinates="auto").defined.coordinates.axes == SGD_AXES
    # At λ/(1−ρ) = 16 and α = 1e-4, H is .27 after 170 steps.
    short = prepared("search_space.weight_decay.high=1e-4", coordinates="auto")
    assert short.defined.coordinates.axes == ("lr/(1-momentum)", "1-momentum", "weight_decay")
    assert any("no time to act" in note for note in short.notes)
    longer = "training.epochs=20"
    assert prepared(
        longer, "search_space.weight_decay.high=1e-4", coordinates="auto"
    ).defined.coordinates.axes == SGD_AXES  # fmt: skip


def test_constants_come_from_the_data() -> None:
    horizon = "lr*weight_decay*steps/(1-momentum)"
    task = prepared(coordinates=f"{horizon},1-momentum,weight_decay")
    assert task.defined.constants == {"steps": STEPS}
    point = task.defined.system.from_raw(task.defined.start)  # type: ignore[arg-type]
    assert point[horizon] == pytest.approx(0.653, rel=0.01)
    with pytest.raises(UserError, match="steps is 99 in the definition, and 170 by its data"):
        prepared("constants.steps=99", coordinates=f"{horizon},1-momentum,weight_decay")


def test_constants_leave_room_for_what_is_searched() -> None:
    horizon = "lr*weight_decay*steps/(1-momentum)"
    size = "search_space.batch_size={low=16, high=256, log=true}"
    task = prepared(size, coordinates=f"{horizon},1-momentum,weight_decay,batch_size")
    assert task.defined.constants == {"epochs": 10, "n_train": 1150}
    assert set(task.defined.system.names) == {"lr", "momentum", "weight_decay", "batch_size"}


def test_a_study_stored_without_constants_stays_valid() -> None:
    kept = load_study("digits").identity("coord")
    del kept["constants"]
    before = StudyDefinition.model_validate(kept)
    assert not differences(before.identity("coord"), load_study("digits").identity("coord"))


def test_a_start_on_the_border_of_a_range_of_one_value() -> None:
    defined = load_study("digits", ["search_space.momentum={low=0.5, high=0.5}"])
    begun, place = from_theory(defined, 1150)
    assert begun.start["momentum"] == 0.5
    assert place.push == pytest.approx(4.0, rel=0.05)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mine_start.py").write_text("def objective(trial):\n    return 0.0\n")
    monkeypatch.chdir(tmp_path)
    return "mine_start.py:objective"


def test_an_own_objective_begins_where_theory_says_if_it_tells_enough(own: str) -> None:
    axes = "lr*weight_decay,weight_decay"
    told = ["optimizer=adamw", "constants.steps=1000"]
    task = user_function.prepare(own, None, told, NONE, axes, None)
    assert isinstance(task.defined, OwnObjective)
    assert task.defined.start["lr"] == 0.02
    assert list(task.defined.start) == ["lr", "weight_decay"]
    assert "Start from theory" in task.notes[0]
    for too_little in ((), ["optimizer=adamw"], ["optimizer=adamw", "constants.epochs=3"]):
        assert user_function.prepare(own, None, too_little, NONE, axes, None).defined.start == {}
    with pytest.raises(UserError, match="--set optimizer=adamw"):
        user_function.prepare(own, None, (), NONE, axes, "theory")


def test_an_own_objective_may_begin_at_pages_start(own: str) -> None:
    task = user_function.prepare(own, None, (), NONE, ",".join(SGD_AXES), "page")
    assert task.defined.start == PAGE


def test_a_range_test_moves_alpha_with_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    task = prepared("model.width=2", start="lr-range")
    start = task.defined.start
    assert start["momentum"] == 0.9
    decay = STEPS * float(start["lr"]) * float(start["weight_decay"]) / 0.1
    assert decay == pytest.approx(0.652, rel=0.06)
    (note,) = [n for n in task.notes if n.startswith("Range test (5 ramps")]
    assert "to within a factor of" in note
