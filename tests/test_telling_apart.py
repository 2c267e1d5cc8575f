"""What a study says of itself: runs at chance, axes by the decay, small numbers, brackets."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import optuna
import plotly.graph_objects as go
import pytest
from optuna.trial import TrialState

from hptoolkit import attributes, storage
from hptoolkit.coordinates import Coordinates
from hptoolkit.execution import builtin_study, studies
from hptoolkit.reporting import dashboard, figures, range_test
from hptoolkit.reporting.formatting import metric
from hptoolkit.training import ModelConfig, TrainingConfig, train
from hptoolkit.training.data import Split, Subset
from hptoolkit.training.lr_range import RangeTest, Suggestion
from tests.commands import command

SMALL = ("--set", "model.width=1", "--set", "training.epochs=1", "--set", "data.train_size=200",
         "--set", "training.batch_size=16", "--mlflow", "off")  # fmt: skip


def _split(shares: tuple[float, ...], n: int = 400) -> Split:
    """Images whose brightness tells the class."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(shares)), [round(share * n) for share in shares])
    images = np.clip(rng.normal(60, 20, (len(labels), 8, 8, 1)), 0, 255).astype(np.uint8)
    images[labels > 0] += (120 // len(shares) * labels[labels > 0])[:, None, None, None].astype(
        np.uint8
    )
    rows = rng.permutation(len(labels))
    parts = (Subset(images, labels, np.sort(part)) for part in np.split(rows, [len(rows) // 2]))
    return Split(*parts, len(shares))


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.25, 0.25, 0.25, 0.25), (0.8, 0.1, 0.1)])
@pytest.mark.parametrize(("lr", "epochs", "at_chance"), [(1e-6, 1, True), (0.2, 6, False)])
def test_a_run_that_learned_nothing_is_told_apart(
    shares: tuple[float, ...], lr: float, epochs: int, at_chance: bool
) -> None:
    config = TrainingConfig(
        lr=lr, epochs=epochs, batch_size=20, crop_padding=0, cutout=0, weight_decay=0.0
    )
    result = train(config, _split(shares), model=ModelConfig(width=4), seed=1)
    assert (result.at_chance is not None) == at_chance, result
    if result.at_chance:
        entropy = -sum(share * math.log(share) for share in shares)
        assert f"{entropy:.1f}"[:2] in result.at_chance


def test_a_run_at_chance_stays_a_value_and_is_marked(tmp_path: Path) -> None:
    done = command(
        tmp_path, "study", "digits", *SMALL, "--trials", "2", "--sampler", "random",
        "--set", "search_space.lr={low=1e-9,high=2e-9,log=true}", "--set", "start.lr=1e-9",
        "--set", "coordinates.box={}",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    study = optuna.load_study(
        study_name="digits-random", storage=storage.connect(str(tmp_path / "studies/studies.log"))
    )
    assert [trial.state for trial in study.trials] == 2 * [TrialState.COMPLETE]
    reasons = [attributes.read(t.user_attrs, attributes.AT_CHANCE, str) for t in study.trials]
    assert all(reason and reason.startswith("at chance: validation loss") for reason in reasons)
    assert done.stdout.count("at chance") == 2
    album = figures.make(study, studies.definition_of(study))
    assert any("2 runs (0, 1) ended at chance" in sentence for sentence in album.findings)
    assert all("at chance" in row[-1] for row in album.table[1:])


@pytest.mark.parametrize(
    ("optimizer", "coupled", "decoupled"),
    [
        ("nesterov", ["lr*weight_decay/((1-momentum)*batch_size)", "weight_decay"],
         ["lr*weight_decay/batch_size", "weight_decay"]),
        ("adam", ["lr**2*weight_decay/batch_size", "weight_decay"],
         ["lr*weight_decay/batch_size", "weight_decay/batch_size**0.5"]),
        ("adamw", ["lr*weight_decay/batch_size", "weight_decay/batch_size**0.5"],
         ["lr*weight_decay/batch_size", "weight_decay/batch_size**0.5"]),
    ],
)  # fmt: skip
def test_a_decoupled_decay_has_axes_of_its_own(
    optimizer: str, coupled: list[str], decoupled: list[str]
) -> None:
    for given, axes in ((False, coupled), (True, decoupled)):
        found = Coordinates.for_optimizer(
            optimizer, momentum="momentum", batch_size="batch_size", decoupled=given
        ).axes
        assert [found[0], found[2]] == axes
    plain = Coordinates.for_optimizer(optimizer, normalized=False, decoupled=True).axes
    assert plain == Coordinates.for_optimizer(optimizer, normalized=False).axes


def test_the_symmetry_is_tested_once_and_only_when_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = []
    tested = builtin_study.symmetry_of

    def counted(*arguments: object) -> object:
        tests.append(arguments)
        return tested(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(builtin_study, "symmetry_of", counted)
    own = ("study", "digits", *SMALL, "--trials", "1")
    assert command(tmp_path, *own, "--describe").code == 0
    assert command(tmp_path, *own).code == 0
    assert not tests
    auto = (*own, "--coordinates", "auto", "--fresh")
    first = command(tmp_path, *auto)
    assert len(tests) == 1
    assert "of the weights does not matter" in first.stdout
    again = command(tmp_path, *auto)
    described = command(tmp_path, *auto, "--describe")
    assert len(tests) == 1
    (note,) = [line for line in first.stdout.splitlines() if line.startswith("Axes: ")]
    assert note in again.stdout
    assert note in described.stdout
    command(tmp_path, *auto, "--set", "model.width=2")
    assert len(tests) == 2  # another network


@pytest.mark.parametrize(
    ("value", "loss", "accuracy"),
    [
        (0.0, "0.0000", "0.00 %"),
        (0.12345, "0.1235", "12.35 %"),
        (1e-7, "1e-07", "1e-05 %"),
        (-1e-7, "-1e-07", "-1e-05 %"),
        (1e30, "1e+30", "1e+32 %"),
        (2.302585, "2.3026", "230.26 %"),
    ],
)
def test_numbers_of_any_size_are_shown(value: float, loss: str, accuracy: str) -> None:
    assert metric("value", value) == loss
    assert metric("validation_accuracy", value) == accuracy


def test_brackets_are_no_markup(tmp_path: Path) -> None:
    """Rich takes [red] for a colour, :bomb: for a picture, and [/] for a mistake."""
    (tmp_path / "own.py").write_text(
        "def objective(trial):\n"
        "    x = trial.suggest_float('[red]x', 0.001, 1.0, log=True)\n"
        "    choice = trial.suggest_categorical(':bomb:', ['[/]', '[bold]', ':smile:'])\n"
        "    if trial.number == 1: raise RuntimeError('[/oops]')\n"
        "    return x\n"
    )
    for sampler in ("coord", "random"):
        done = command(
            tmp_path, "study", "--objective", "own.py:objective", "--mlflow", "off",
            "--sampler", sampler, "--trials", "6",
        )  # fmt: skip
        assert done.code == 0, done.stderr
        for text in ("[red]x", ":bomb:", "[/oops]"):
            assert text in done.stdout
        assert any(text in done.stdout for text in ("[/]", "[bold]", ":smile:"))
        assert command(tmp_path, "report", done.outcome["study"]).code == 0


def test_the_labels_of_a_range_test_stand_at_their_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[go.Figure] = []
    monkeypatch.setattr(go.Figure, "to_html", lambda self, **options: drawn.append(self) or "")
    test = RangeTest(
        (1e-3, 1.0), (2.0, 1.0), (2.0, 1.0), (0.0, 0.0), False, Suggestion(0.01, 0.1, 0.05, 0.5),
        (0.1,), 100,
    )  # fmt: skip
    range_test.draw(test, "digits", tmp_path / "figure.html")
    (figure,) = drawn
    lines = [shape.x0 for shape in figure.layout.shapes if shape.type == "line"]
    assert lines == [0.01, 0.1, 0.5]
    assert figure.layout.xaxis.type == "log"
    assert [10**note.x for note in figure.layout.annotations] == pytest.approx(lines)


@pytest.mark.parametrize(("height", "keeps"), [(3.0, True), (0.5, False), (9.0, False)])
def test_a_slice_in_the_dashboard_is_no_strip(height: float, keeps: bool) -> None:
    figure = go.Figure()
    figure.update_xaxes(range=[0.0, 3.0], constrain="domain")
    figure.update_yaxes(range=[0.0, height], scaleanchor="x", constrain="domain")
    fitted = dashboard._fitted(figure, "title")
    assert (fitted.layout.yaxis.scaleanchor == "x") == keeps
    assert figure.layout.yaxis.scaleanchor == "x"
    captioned = figures.figure.Figure("id", "title", "A ridge at 45°.", figure)
    assert ("45°" in dashboard._caption(captioned)) == keeps
