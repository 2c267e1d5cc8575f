"""What a terminal shows while a study runs."""

from __future__ import annotations

import io

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from rich.cells import cell_len
from rich.console import Console

from hptoolkit.attributes import COORDINATES, PRUNED_REASON
from hptoolkit.reporting.columns import Column, fit
from hptoolkit.reporting.terminal import Progress

AXIS = "lr*weight_decay/(1-momentum)"
NAMES = ["lr", "momentum", "weight_decay"]


def frozen(number: int, state: TrialState, value: float | None, why: str = "") -> object:
    trial = create_trial(
        state=state,
        value=value,
        params={"lr": 0.00123456, "momentum": 0.984375, "weight_decay": 1.2345e-05},
        distributions=dict.fromkeys(NAMES, FloatDistribution(0.0, 100.0)),
        user_attrs={COORDINATES: {AXIS: 9.753e-07}} | ({PRUNED_REASON: why} if why else {}),
    )
    trial.number = number
    return trial


def shown(width: int, *, terminal: bool) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    progress = Progress(console, NAMES, [AXIS], "validation_accuracy", True, epochs=10)
    progress._print_titles()
    progress.trial_ended(frozen(0, TrialState.COMPLETE, 0.9861))
    progress.trial_ended(frozen(1, TrialState.PRUNED, None, "median pruner after epoch 3 " * 9))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_no_row_is_broken_whatever_the_width(width: int) -> None:
    lines = shown(width, terminal=True)
    assert len(lines) == 3
    assert max(map(cell_len, lines)) <= width
    assert "98.61 %" in lines[1]
    assert lines[2].rstrip("…") != lines[2]


def test_eighty_columns_show_everything_that_was_tuned() -> None:
    titles, best, _ = shown(80, terminal=True)
    assert titles.split() == ["run", "λ", "ρ", "α", "λα/(1−ρ)", "accuracy", "time"]
    assert best.split()[:6] == ["0", "0.001235", "0.9844", "1.234e-05", "9.753e-07", "98.61"]
    assert best.endswith("best so far")


def test_a_pipe_gets_all_of_it() -> None:
    titles, _, pruned = shown(40, terminal=False)
    assert titles.split() == ["run", "λ", "ρ", "α", "λα/(1−ρ)", "validation", "accuracy", "time"]
    assert pruned.endswith("median pruner after epoch 3")
    assert pruned.count("epoch 3") == 9


def test_the_highest_rank_goes_first_and_rank_0_stays() -> None:
    columns = [Column("run", 0, least=4), Column("a", 2), Column("b", 1), Column("c", 0, least=10)]
    assert fit(columns, 100).heads == ("run", "a", "b", "c")
    # run 4, b 9, c 10, a space after each, one before the note of 11: 38.
    assert fit(columns, 38).heads == ("run", "b", "c")
    assert fit(columns, 37).heads == ("run", "c")
    assert fit(columns, 5).heads == ("run", "c")


@given(
    st.lists(st.tuples(st.text("ab ", min_size=1, max_size=20), st.integers(0, 5)), max_size=8),
    st.integers(10, 200),
    st.text(max_size=60),
)
def test_a_row_never_exceeds_the_width(heads: list[tuple[str, int]], width: int, note: str) -> None:
    layout = fit([Column(head, rank) for head, rank in heads], width)
    row = layout.row(["x" * 12] * len(heads), note)
    assert cell_len(row) <= width
    assert "\n" not in row


def test_the_live_lines_are_cut_rather_than_wrapped() -> None:
    file = io.StringIO()
    console = Console(file=file, width=60, force_terminal=True, color_system=None)
    study = optuna.create_study()
    with Progress(console, NAMES, [AXIS], "validation_accuracy", True, epochs=10) as progress:
        progress._show(0, "run 0: " + "x" * 200)
        progress._live.refresh()
    assert study.trials == []
    assert "x" * 52 + "…" in file.getvalue()
    assert "x" * 61 not in file.getvalue()
