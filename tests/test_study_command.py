"""`python -m hptoolkit.study` as a user runs it: in a process of its own, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from hptoolkit import UserError, storage
from hptoolkit.attributes import DEFINITION, FORMAT
from hptoolkit.config import sampler_factory
from hptoolkit.config.load import load_study
from hptoolkit.execution import open_study
from tests import forked

# A study small enough for a test: two epochs at width 2.
QUICK = ["digits", "--set", "training.epochs=2", "--set", "model.width=2", "--mlflow", "off"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hptoolkit.study", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.run(command(*arguments), cwd=folder, env=environment())


def outcome(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert process.returncode == 0, process.stderr
    return dict(json.loads(process.stdout.splitlines()[-1]))


def stored(folder: Path, name: str) -> optuna.Study:
    address = str(folder / storage.DEFAULT)
    return optuna.load_study(study_name=name, storage=storage.connect(address))


def test_help_is_fast(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        process = subprocess.run(
            command("--help"), cwd=tmp_path, capture_output=True, text=True, check=True
        )
        seconds.append(time.perf_counter() - began)
    assert "--sampler" in process.stdout
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hptoolkit.study", "--help"],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    assert not re.search(r"\b(torch|mlflow|optuna|sklearn|numpy)$", loaded, re.MULTILINE)
    # Half a second on a quiet machine; the imports above are what would break it.
    assert min(seconds) < 1.5


def test_a_budget_is_a_total_and_a_study_goes_on(tmp_path: Path) -> None:
    first = run(tmp_path, *QUICK, "--trials", "2")
    assert outcome(first)["n_trials"] == 2
    assert outcome(first)["stopped_because"] == "the budget of 2 trials is used up"
    lines = first.stdout.splitlines()
    assert lines[0].startswith("Study digits-coord: 1150 images of digits")
    assert "optuna-dashboard studies/studies.log" in first.stdout
    assert "λα/(1−ρ)" in first.stdout

    second = outcome(run(tmp_path, *QUICK, "--trials", "3"))
    assert (second["study"], second["n_trials"]) == ("digits-coord", 3)
    third = run(tmp_path, *QUICK, "--trials", "3")
    assert "Nothing is left to run: the budget of 3 trials is used up." in third.stdout
    assert outcome(third)["n_trials"] == 3

    anew = outcome(run(tmp_path, *QUICK, "--trials", "1", "--fresh"))
    assert (anew["study"], anew["n_trials"]) == ("digits-coord-2", 1)
    old = stored(tmp_path, "digits-coord").trials
    new = stored(tmp_path, "digits-coord-2").trials
    assert len(old) == 3
    # The same seed gives the same run, to the last bit.
    assert old[0].value == new[0].value
    assert old[0].user_attrs["hptoolkit:seed"] == 0
    history = old[0].user_attrs["hptoolkit:history"]
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    assert old[0].value == history[-1]["validation_accuracy"]
    assert old[0].intermediate_values == {e["epoch"]: e["validation_accuracy"] for e in history}
    # Theory's start: H = .5·√(T/100) in the T = 34 steps of 2 epochs.
    step = old[0].user_attrs["hptoolkit:coordinates"]["lr*weight_decay/(1-momentum)"]
    assert 34 * step == pytest.approx(0.5 * 0.34**0.5, rel=0.06)


def test_another_definition_is_refused_and_a_wider_one_accepted(tmp_path: Path) -> None:
    outcome(run(tmp_path, *QUICK, "--trials", "1"))
    before = (tmp_path / storage.DEFAULT).read_bytes()
    refused = run(tmp_path, *QUICK, "--trials", "1", "--set", "training.epochs=3")
    assert refused.returncode == 2
    assert "training.epochs was 2 and is 3" in refused.stderr
    assert "--fresh" in refused.stderr
    assert (tmp_path / storage.DEFAULT).read_bytes() == before
    wider = ["--set", "search_space.lr.high=1000.0"]
    assert outcome(run(tmp_path, *QUICK, "--trials", "2", *wider))["n_trials"] == 2


def test_a_study_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    open_study.open_study(*_opened_as(tmp_path), fresh=False, raw=False)
    study = stored(tmp_path, "digits-random")
    study._storage.set_study_system_attr(study._study_id, FORMAT, 99)
    with pytest.raises(UserError, match=r"newer version of hptoolkit \(format 99"):
        open_study.open_study(*_opened_as(tmp_path), fresh=False, raw=False)


def test_a_study_that_another_worker_makes_just_now_is_joined(tmp_path: Path) -> None:
    """Machines that start at once: one sees the other's study before its definition."""
    arguments = _opened_as(tmp_path)
    there = storage.connect(arguments[4])
    made = optuna.create_study(storage=there, study_name="digits-random", direction="maximize")
    identity = {**arguments[0].identity("random"), "seed": 7}
    late = threading.Timer(0.5, made.set_user_attr, (DEFINITION, identity))
    late.start()
    with pytest.raises(UserError, match="seed was 7 and is 0"):
        open_study.open_study(*arguments, fresh=False, raw=False)
    late.join()


def test_a_study_whose_maker_was_killed_at_once_is_taken_over(tmp_path: Path) -> None:
    arguments = _opened_as(tmp_path)
    there = storage.connect(arguments[4])
    optuna.create_study(storage=there, study_name="digits-random", direction="maximize")
    study = open_study.open_study(*arguments, fresh=False, raw=False)
    assert study.study_name == "digits-random"
    assert DEFINITION in study.user_attrs
    # With trials it is somebody else's.
    optuna.create_study(storage=there, study_name="digits-random-2", direction="maximize").ask()
    with pytest.raises(UserError, match="that hptoolkit did not make"):
        open_study.open_study(*arguments, fresh=False, raw=False)


def _opened_as(folder: Path) -> tuple[Any, ...]:
    defined = load_study("digits", [])
    pruner = optuna.pruners.NopPruner()
    address = str(folder / storage.DEFAULT)
    return defined, "random", sampler_factory.sampler("random", defined), pruner, address


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_study_keeps_what_is_finished(tmp_path: Path, number: int) -> None:
    slow = [*QUICK, "--set", "training.epochs=200"]
    process = forked.Process(
        command(*slow), cwd=tmp_path, env=environment(), stdout=forked.PIPE, text=True
    )
    address = tmp_path / storage.DEFAULT
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if address.exists() and b'"intermediate_value"' in address.read_bytes():
            break
        time.sleep(0.1)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert json.loads(output.splitlines()[-1])["n_trials"] == 0
    (waiting,) = stored(tmp_path, "digits-coord").trials
    assert (waiting.number, waiting.state) == (0, TrialState.WAITING)
    assert waiting.user_attrs["hptoolkit:seed"] == 0
    # Theory's start for 200 epochs of 17 steps: H = .5·√34 = 2.9, α = 2.9/(3400·4).
    assert waiting.params == {"lr": 0.4, "momentum": 0.9, "weight_decay": 0.00021}


def test_a_killed_study_puts_its_trial_back_the_next_time(tmp_path: Path) -> None:
    process = forked.Process(
        command(*QUICK, "--set", "training.epochs=3"), cwd=tmp_path, env=environment()
    )
    address = tmp_path / storage.DEFAULT
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if address.exists() and b'"intermediate_value"' in address.read_bytes():
            break
        time.sleep(0.02)
    process.kill()
    process.wait(timeout=60)
    finished = sum(t.state.is_finished() for t in stored(tmp_path, "digits-coord").trials)
    process_again = run(
        tmp_path, *QUICK, "--set", "training.epochs=3", "--trials", str(finished + 2)
    )
    assert outcome(process_again)["n_trials"] == finished + 2
    trials = stored(tmp_path, "digits-coord").trials
    assert [t.number for t in trials] == list(range(finished + 2))
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    assert len({tuple(t.params.values()) for t in trials}) == finished + 2
    if "gone" in process_again.stdout:  # it was killed within a trial, not between two
        assert f"gone: run {finished}." in process_again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digitz"], "Unknown study 'digitz': did you mean 'digits'"),
        (["digits", "--sampler", "cord"], "Unknown sampler 'cord': did you mean 'coord'"),
        (["digits", "--set", "data.name=digitz"], "'digitz'"),
        (["digits", "--set", "training.epoch=3"], "did you mean 'epochs'"),
        (
            ["digits", "--set", "start.lr=1000.0"],
            "lr = 1000.0 there, allowed is a number from 1e-05 to 100",
        ),
        (["digits", "--set", "training.lr=0.0"], "training.lr = 0.0"),
        (["digits", "--set", "search_space.momentum.high=1.0"], "lets momentum be 1.0"),
        (["digits", "--set", "training.momentum=1.0"], "training.momentum = 1.0"),
        (["digits", "--set", "training.batch_size=5000"], "batch of 5000 images is larger"),
        (["digits", "--set", "coordinates.axes=['lr','lr']"], "coordinates"),
        (["digits", "--set", "coordinates.axes=['dropout']"], "need|dropout"),
        (["digits", "--storage", "notes.txt"], "not a file of studies"),
        (["digits", "--mlflow", "ftp://host"], "not the address of an MLflow store"),
        (["digits", "--device", "tpu"], "tpu"),
        (["digits", "--trials", "0"], "'--trials'.*greater than or equal to 1"),
        (["digits", "--trails", "3"], "No such option: --trails.*--trials"),
        (["cifar10", "--data-dir", "truncated"], "cifar10.npz"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "notes.txt").write_text("my notes\n")
    (tmp_path / "truncated").mkdir()
    whole = tmp_path / "whole.npz"
    np.savez(whole, train_images=np.zeros((9, 32, 32, 3), np.uint8))
    (tmp_path / "truncated" / "cifar10.npz").write_bytes(whole.read_bytes()[:2000])
    before = sorted(tmp_path.rglob("*"))
    process = run(tmp_path, *arguments)
    assert process.returncode == 2
    assert re.search(message, process.stderr)
    assert "Traceback" not in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_write_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    process = run(tmp_path, *QUICK)
    assert process.returncode == 2
    assert "No permission to write" in process.stderr


@pytest.mark.slow
def test_from_the_bad_start_to_97_per_cent(tmp_path: Path) -> None:
    """The README's promise: within 30 runs, within three minutes, by itself."""
    process = run(tmp_path, "--start", "page")
    result = outcome(process)
    assert result["best"]["value"] >= 0.97
    assert result["n_trials"] <= 30
    assert result["stopped_because"].startswith("no step by a factor of 2")
    assert "no CUDA GPU" in process.stdout.splitlines()[0]
    trials = stored(tmp_path, result["study"]).trials
    assert trials[0].params == {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.01}
    search = trials[-1].datetime_complete - trials[0].datetime_start  # type: ignore[operator]
    assert search.total_seconds() < 180
    assert (tmp_path / "mlruns" / "mlflow.db").exists()
