"""What a study leaves in MLflow at its end, and what --sync-mlflow logs later."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
import pytest
import torch

from hptoolkit.attributes import OUTCOME
from hptoolkit.execution import best_weights, studies
from hptoolkit.reporting import publish, results
from hptoolkit.reporting.figures import make
from hptoolkit.tracking import Tracker
from hptoolkit.training import ModelConfig, checkpoint, data
from hptoolkit.training import model as networks
from hptoolkit.training.classifier import pack, unpack
from hptoolkit.training.config import DataConfig
from tests.test_study_command import environment, outcome, run
from tests.test_tracking import (  # noqa: F401
    add_trial,
    contents,
    empty_store,
    free_port,
    get,
    here,
    make_study,
    runs,
    served_runs,
    serving,
    store,
    study,
    uri_of,
)

# ruff: noqa: F811, that is fixtures of test_tracking
SMALL = ["digits", "--set", "training.epochs=2", "--set", "model.width=2", "--trials", "4"]

LOADED = """
    import sys, mlflow, numpy, torch
    mlflow.set_tracking_uri(sys.argv[1])
    pixels = torch.from_numpy(numpy.load(sys.argv[2]))
    for uri in sys.argv[3:]:
        model = mlflow.pytorch.load_model(uri)
        with torch.no_grad():
            print(*model(pixels).flatten().tolist())
    assert "hptoolkit" not in sys.modules
    inputs = mlflow.models.get_model_info(uri).signature.inputs
    print(inputs.inputs[0].name, inputs.inputs[0].shape)
"""


def logits_of(uri: str, folder: Path, pixels: torch.Tensor, *models: str) -> list[Any]:
    """What models give for pixels, loaded by MLflow in a process of its own; the signature."""
    np.save(folder / "pixels.npy", pixels.numpy())
    command = [sys.executable, "-c", textwrap.dedent(LOADED), uri, "pixels.npy", *models]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *printed, signature = done.stdout.splitlines()
    return [*(torch.tensor([float(v) for v in line.split()]) for line in printed), signature]


def in_order(value: Any) -> Any:
    """A reply with its lists sorted: MLflow keeps no order of tags and data sets."""
    if isinstance(value, dict):
        return {key: in_order(each) for key, each in value.items()}
    if isinstance(value, list):
        return sorted((in_order(each) for each in value), key=json.dumps)
    return value


@pytest.mark.slow
def test_a_server_is_left_report_figures_and_a_model_that_loads(tmp_path: Path) -> None:
    command = ["mlflow", "server", "--backend-store-uri", "sqlite:///server.db"]
    with serving(command, tmp_path, free_port()) as url:
        process = run(tmp_path, *SMALL, "--mlflow", url)
        assert "lacks" not in process.stdout
        best = outcome(process)["best"]
        (parent,) = [r for r in served_runs(url) if "mlflow.parentRunId" not in r["tags"]]
        tags = parent["tags"]
        assert tags["hptoolkit.report"] == "4 trials"
        assert tags["mlflow.note.content"].startswith("# digits-coord")
        listed = get(f"{url}/api/2.0/mlflow/artifacts/list?run_id={parent['id']}")["files"]
        assert {"report.html", "figures"} <= {file["path"] for file in listed}
        page_url = f"{url}/get-artifact?path=report.html&run_uuid={parent['id']}"
        with urllib.request.urlopen(page_url, timeout=60) as page:
            assert b"plotly.js" in page.read()

        (file,) = (tmp_path / best_weights.FOLDER).rglob("*.pt")
        assert file.name.startswith(f"trial-{tags['hptoolkit.best_model']}-")
        classifier = unpack(checkpoint.read(file))
        pixels = 255 * torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = classifier(pixels).flatten()
        models = (f"runs:/{parent['id']}/best_model", f"models:/{tags['hptoolkit.best_model_id']}")
        *given, signature = logits_of(url, tmp_path, pixels, *models)
        for logits in given:
            torch.testing.assert_close(logits, expected)
        assert signature == "pixels (-1, 1, 8, 8)"
        assert best["value"] == parent["metrics"]["best/objective"]

        query = {"experiment_ids": ["1"], "max_results": 50}
        before = in_order(get(f"{url}/api/2.0/mlflow/runs/search", query))
        again = run(tmp_path, "digits", "--sync-mlflow", "--mlflow", url)
        assert "digits-coord: nothing was missing." in again.stdout
        assert in_order(get(f"{url}/api/2.0/mlflow/runs/search", query)) == before


@pytest.mark.slow
def test_sync_mlflow_logs_all_that_is_missing_once(tmp_path: Path) -> None:
    run(tmp_path, *SMALL, "--mlflow", "off")
    assert not (tmp_path / "mlruns").exists()
    first = run(tmp_path, "--sync-mlflow")
    assert first.returncode == 0, first.stderr
    line = "digits-coord: logged 4 runs, the report, the best model."
    assert line in first.stdout
    database = tmp_path / "mlruns" / "mlflow.db"
    (parent,), children = runs(database)
    assert sorted(children) == [0, 1, 2, 3]
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["stopped_because"] == "the budget of 4 trials is used up"
    ends = [child.info.end_time for child in children.values()]
    assert parent.info.end_time == max(ends)
    steps = [v for k, v in children[3].data.metrics.items() if k == "effective_step"]
    assert len(steps) == 1
    before = contents(database, "datasets", "inputs", "logged_models")
    again = run(tmp_path, "--sync-mlflow")
    assert "digits-coord: nothing was missing." in again.stdout
    assert contents(database, "datasets", "inputs", "logged_models") == before

    unknown = run(tmp_path, "cifar", "--sync-mlflow")
    assert unknown.returncode == 2
    assert "digits-coord" in unknown.stderr


def test_sync_without_a_study_says_so(tmp_path: Path) -> None:
    process = run(tmp_path, "--sync-mlflow")
    assert process.returncode == 2
    assert "holds no study" in process.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_better_model_takes_the_place_of_the_last(
    tmp_path: Path, store: Path, study: optuna.Study
) -> None:
    from mlflow import MlflowClient

    split = data.split(data.load("digits"), DataConfig())
    files = []
    for number in range(2):
        torch.manual_seed(number)
        config = ModelConfig(width=1)
        network = networks.build(config, split.image_shape, split.classes)
        files.append(tmp_path / f"{number}.pt")
        checkpoint.write(files[-1], pack(network.state_dict(), config, split, flip_tta=number == 1))
        add_trial(study, value=0.9 + number / 100)
    client = MlflowClient(tracking_uri=uri_of(store))
    ids = []
    for number in (0, 0, 1):
        with Tracker(uri_of(store), study) as tracker:
            tracker.sync()
            tracker.log_model(files[number], number)
        assert tracker.problem is None
        (model,) = client.search_logged_models(["1"])
        ids.append(model.model_id)
    assert ids[0] == ids[1] != ids[2]
    (parent,), children = runs(store)
    assert parent.data.tags["hptoolkit.best_model"] == "1"
    outputs = children[1].outputs.model_outputs
    assert [output.model_id for output in outputs] == [ids[2]]
    pixels = torch.rand(3, 1, 8, 8) * 255
    (logits, _) = logits_of(uri_of(store), tmp_path, pixels, f"models:/{ids[2]}")
    with torch.no_grad():
        torch.testing.assert_close(logits, unpack(checkpoint.read(files[1]))(pixels).flatten())


@pytest.mark.usefixtures("here")
def test_a_study_that_goes_on_is_not_closed_by_a_sync(store: Path, study: optuna.Study) -> None:
    add_trial(study)
    with Tracker(uri_of(store), study) as tracker:
        (line,) = publish.catch_up(study, None, "", tracker)
    assert "has no recorded end" in line
    (parent,), children = runs(store)
    assert (parent.info.status, sorted(children)) == ("RUNNING", [0])


@pytest.mark.usefixtures("here")
def test_an_interrupted_study_keeps_its_outcome_alone(store: Path, study: optuna.Study) -> None:
    add_trial(study)
    ended = results.as_json(study, "", "interrupted by SIGINT")
    with Tracker(uri_of(store), study) as tracker:
        assert publish.publish(study, None, ended, tracker, interrupted=True) == []
    (parent,), _ = runs(store)
    assert parent.info.status == "KILLED"
    assert "hptoolkit.report" not in parent.data.tags
    before = contents(store)
    with Tracker(uri_of(store), study) as tracker:
        assert publish.catch_up(study, None, "", tracker) == []
    assert contents(store) == before


@pytest.mark.usefixtures("here")
def test_weights_that_are_elsewhere_are_a_note(
    tmp_path: Path, store: Path, study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    add_trial(study, data={"name": "digits"})
    ended = results.as_json(study, "", "done")
    with Tracker(uri_of(store), study) as tracker:
        (note,) = publish.publish(study, None, ended, tracker, interrupted=False)
    assert "the weights of run 0 are not here" in note
    assert tracker.problem is None
    assert tracker.attached == ["the report"]


def test_a_study_whose_figures_fail_ends_all_the_same(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_trial(study)
    monkeypatch.setattr(
        study._storage, "set_study_system_attr", lambda *a: (_ for _ in ()).throw(OSError("full"))
    )
    ended = results.as_json(study, "", "done")
    (note,) = publish.publish(study, None, ended, None, interrupted=False)
    assert note == "The study's figures could not be drawn (OSError: full)."
    assert study.user_attrs[OUTCOME]["stopped_because"] == "done"


def test_a_figure_s_file_is_plotly_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import plotly.io

    from tests.test_dashboard import studied

    class Attached:
        """What is attached to a study's run, in a folder."""

        def finish(self, *_: Any) -> None: ...

        def attach(self, mark: str, draw: Callable[[Path], None]) -> None:
            draw(tmp_path)

    study = studied()
    definition = studies.definition_of(study)
    ended = results.as_json(study, "", "done")
    tracker = cast(Tracker, Attached())
    assert publish.publish(study, definition, ended, tracker, interrupted=False) == []
    album = make(study, definition)
    assert album.figures
    for figure in album.figures:
        path = tmp_path / "figures" / f"{figure.id}.json"
        read = plotly.io.read_json(str(path))
        assert read.layout.meta == {"title": figure.title, "caption": figure.caption}
        assert len(read.data) == len(figure.figure.data)
        json.loads(path.read_text())
