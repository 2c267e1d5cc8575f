"""Each example runs where what it needs is installed, with few trials and epochs."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import optuna
import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"
EXTRA = "an example of it: pip install 'hptoolkit[examples]'"

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with torch.random.fork_rng():
        yield


def load(name: str, trials: int | None, epochs: int) -> ModuleType:
    """An example as a module, with another budget."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # Lightning looks a module's class up by it
    spec.loader.exec_module(module)
    module.TRIALS, module.EPOCHS = trials, epochs  # type: ignore[attr-defined]
    return module


def test_pytorch_adamw(capsys: pytest.CaptureFixture[str]) -> None:
    study = load("pytorch_adamw", 6, 3).main()
    assert len(study.trials) == 6
    assert set(study.best_params) == {"lr", "weight_decay"}
    assert study.best_value < 1.0 < 2.3  # of log 10 by chance
    told = capsys.readouterr().out.splitlines()
    # Of 64·64 twice and their 64 biases, beside 4·64 of LayerNorms and 650 of the last layer.
    assert told[0].startswith("the scale of 90.2% of the weights does not matter: axes lr*weight_d")
    assert told[-1] == f"Best: loss {study.best_value:.3f} at {study.best_params}"


def test_sklearn_mlp(capsys: pytest.CaptureFixture[str]) -> None:
    study = load("sklearn_mlp", None, 5).main()
    assert [t.params for t in study.trials[:1]] == [
        {"learning_rate_init": 0.001, "momentum": 0.9, "alpha": 1e-4}
    ]
    assert study.best_value < 0.5 * study.trials[0].value
    assert "learning_rate_init/(1-momentum)" in study.trials[0].user_attrs["hptoolkit:coordinates"]
    assert f"Best of {len(study.trials)}: loss" in capsys.readouterr().out


def test_lightning_batch_size(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lightning", reason=EXTRA)
    study = load("lightning_batch_size", 5, 2).main()
    assert len(study.trials) == 5
    assert "lr*weight_decay/batch_size" in study.best_trial.user_attrs["hptoolkit:coordinates"]
    assert study.best_value < 1.5
    assert f"Best: loss {study.best_value:.3f} at" in capsys.readouterr().out


def test_huggingface_trainer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers", reason=EXTRA)
    pytest.importorskip("accelerate", reason=EXTRA)
    for offline in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(offline, "1")
    best = load("huggingface_trainer", 4, 1).main()
    assert set(best.hyperparameters) == {"learning_rate", "weight_decay", "adam_beta1"}
    assert best.objective < 0.7
    assert f"Best: loss {best.objective:.3f} at" in capsys.readouterr().out


def test_a_search_of_hugging_faces_trainer_that_has_ended_trains_no_more(tmp_path: Path) -> None:
    """It calls study.optimize itself: a trial that it begins is pruned before it trains."""
    pytest.importorskip("transformers", reason=EXTRA)
    pytest.importorskip("accelerate", reason=EXTRA)
    from transformers import Trainer, TrainingArguments

    import hptoolkit as hpt

    example = load("huggingface_trainer", 1, 1)
    trained: list[int] = []

    class Counted(Trainer):  # type: ignore[misc]
        def _inner_training_loop(self, *args: object, **kwargs: object) -> object:
            trained.append(1)
            return super()._inner_training_loop(*args, **kwargs)

    def search() -> int:
        arguments = TrainingArguments(
            str(tmp_path), max_steps=1, use_cpu=True, save_strategy="no", report_to="none"
        )
        trainer = Counted(
            args=arguments, model_init=example.model,
            train_dataset=example.rows[:16], eval_dataset=example.rows[:16],
        )  # fmt: skip
        rate = optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)
        sampler = hpt.GridSampler(search_space={"learning_rate": rate}, levels=2, zooms=0)
        storage = f"sqlite:///{tmp_path}/hf.db"
        trainer.hyperparameter_search(
            lambda trial: {"learning_rate": trial._suggest("learning_rate", rate)},
            n_trials=5, backend="optuna", sampler=sampler, storage=storage, study_name="hf",
            load_if_exists=True,
        )  # fmt: skip
        return len(optuna.load_study(study_name="hf", storage=storage).trials)

    assert (search(), len(trained)) == (2, 2)
    assert (search(), len(trained)) == (3, 2)


def test_notebook_shows_the_report() -> None:
    pytest.importorskip("nbclient", reason=EXTRA)
    pytest.importorskip("ipykernel", reason=EXTRA)
    import nbclient
    import nbformat

    notebook = nbformat.read(EXAMPLES / "report.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = {
        kind: "".join(output["data"][kind] for output in outputs(notebook) if "data" in output
                      and kind in output["data"])
        for kind in ("text/html", "text/plain")
    }  # fmt: skip
    printed = "".join(output.get("text", "") for output in outputs(notebook))
    assert "mlp: " in printed
    assert "Best: " in printed.splitlines()[-1]
    assert shown["text/html"].startswith("<iframe srcdoc=")
    assert "no step by a factor of 2" in shown["text/plain"]


def outputs(notebook: object) -> list[dict[str, object]]:
    return [o for cell in notebook["cells"] for o in cell.get("outputs", [])]  # type: ignore[index]


def test_the_notebook_is_kept_without_its_outputs() -> None:
    """They would be megabytes, and change with every run."""
    notebook = json.loads((EXAMPLES / "report.ipynb").read_text(encoding="utf-8"))
    assert outputs(notebook) == []
