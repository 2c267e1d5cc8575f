"""`hpt.report(study)`: the figures and findings of any study, in a script and in a notebook."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

import hptoolkit as hpt
from hptoolkit.reporting.study_report import Report, ShownFigure
from tests import page


@pytest.fixture(scope="module")
def study() -> optuna.Study:
    sampler = hpt.CoordinateDescentSampler(page.COORDINATES, start=page.START)
    study = optuna.create_study(sampler=sampler, direction="maximize", study_name="own")
    study.optimize(page.objective)
    return study


@pytest.fixture(scope="module")
def report(study: optuna.Study) -> Report:
    return hpt.report(study)


def _frame(shown: str) -> str:
    """The page in a frame."""
    found = re.fullmatch(r'<iframe srcdoc="([^"]*)" style="[^"]*"></iframe>', shown)
    assert found is not None
    assert shown.isascii()
    return html.unescape(found[1])


def test_it_tells_what_was_found_in_text(report: Report, study: optuna.Study) -> None:
    lines = str(report).splitlines()
    assert lines[0] == f"own: {len(study.trials)} runs ({len(study.trials)} complete)."
    assert lines[1].startswith("Best: λ = 0.256, ρ = 0.875, α = 0.00125, with value 94.2")
    assert any("λα/(1−ρ) alone explains" in line for line in lines)
    assert repr(report) == str(report)
    assert f"Not shown: {report.not_shown[0]}" in lines


def test_the_coordinates_are_those_that_the_sampler_searched(report: Report) -> None:
    ids = [figure.id for figure in report.figures]
    assert {"search-path", "collapse", "exponents", "best-so-far"} <= set(ids)
    assert report.table[0][:5] == ("run", "λ", "ρ", "α", "λα/(1−ρ)")


def test_the_path_has_the_line_searches_of_the_studys_own_sampler(report: Report) -> None:
    path = next(figure for figure in report.figures if figure.id == "search-path")
    assert "line search" in path.caption


def test_figures_show_themselves_in_a_notebook_offline(report: Report) -> None:
    figure = report.figures[0]
    assert isinstance(figure, ShownFigure)
    shown = _frame(figure._repr_html_())
    assert shown.startswith("<!DOCTYPE html>")
    assert figure.title in shown
    assert shown.count("Plotly.newPlot(") > 0
    assert "<h1>" not in shown
    assert "1−ρ" in shown
    assert not re.search(r'<script[^>]* src="', shown)


def test_the_whole_report_shows_itself_in_a_notebook(report: Report, tmp_path: Path) -> None:
    assert _frame(report._repr_html_()) == report.html()
    path = report.save(tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == report.html()
    for figure in report.figures:
        assert f'id="{figure.id}"' in report.html()


def test_a_page_that_cannot_be_written_is_refused_in_a_sentence(
    report: Report, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(hpt.UserError, match=r"file/report\.html cannot be written"):
        report.save(tmp_path / "file" / "report.html")


@pytest.mark.parametrize(
    "sampler",
    [
        hpt.GPSampler(hpt.Coordinates("lr*weight_decay", "weight_decay"), seed=0),
        hpt.RandomSampler(seed=0),
        hpt.Reparameterized(optuna.samplers.TPESampler(seed=0), seed=0),
        optuna.samplers.RandomSampler(seed=0),
    ],
)
def test_studies_of_other_samplers_and_names(sampler: optuna.samplers.BaseSampler) -> None:
    study = optuna.create_study(sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
        decay = trial.suggest_float("weight_decay", 1e-4, 1.0, log=True)
        layers = trial.suggest_int("layers", 1, 3)
        return (lr * decay * 1e4 - 1) ** 2 + layers

    study.optimize(objective, n_trials=6)
    report = hpt.report(study)
    assert report.findings[0].startswith("Best: ")
    assert report.figures
    assert "layers" in report.html()


def test_an_empty_study_says_so() -> None:
    report = hpt.report(optuna.create_study(sampler=hpt.RandomSampler(seed=0)))
    assert report.findings == ("None of the 0 runs has finished with a value yet.",)
    assert report.figures == ()


def test_what_has_no_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(hpt.UserError, match="2 objectives"):
        hpt.report(optuna.create_study(directions=["minimize", "maximize"]))
    with pytest.raises(hpt.UserError, match="takes an Optuna study, not a str"):
        hpt.report("own")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "code",
    [
        "import hptoolkit as hpt; hpt.report",
        "import hptoolkit as hpt; import hptoolkit.report; hpt.report",
        "import hptoolkit.report; import hptoolkit as hpt; hpt.report",
        "from hptoolkit import report; report",
        "from hptoolkit.report import main; import hptoolkit as hpt; hpt.report",
    ],
)
def test_the_command_is_a_module_and_a_function(code: str) -> None:
    """One name, whatever is imported first; importing it imports nothing heavy."""
    before, _, name = code.rpartition("; ")
    test = (
        f"{before}; import sys; assert not {{'torch', 'plotly', 'optuna'}} & set(sys.modules); "
        f"import optuna; print({name}(optuna.create_study()).findings, {name}.main.__name__)"
    )
    process = subprocess.run([sys.executable, "-c", test], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("('None of the 0 runs has finished")
    assert process.stdout.strip().endswith("main")


def test_the_command_still_runs() -> None:
    process = subprocess.run(
        [sys.executable, "-W", "error", "-m", "hptoolkit.report", "--help"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 0
    assert "Draw what a study found" in process.stdout
