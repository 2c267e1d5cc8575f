from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from hptoolkit.training import (
    DataConfig,
    EpochReport,
    ModelConfig,
    Result,
    Seeds,
    TrainingConfig,
    checkpoint,
    data,
    train,
)
from hptoolkit.training.config import Optimizer
from hptoolkit.training.data import Split

SMALL = TrainingConfig(
    epochs=4, batch_size=64, lr=0.02, crop_padding=1, cutout=2, schedule="1cycle", ema=0.9
)
MODEL = ModelConfig(width=2, dropout=0.3, ghost_batch=32)


class Killed(BaseException):
    """As KeyboardInterrupt: not an error of the training."""


@pytest.fixture(scope="module")
def digits() -> Split:
    return data.split(data.load("digits"), DataConfig(train_size=300))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study" / "7.pt"


def interrupted(epoch: int, config: TrainingConfig, parts: Split, path: Path, **more: Any) -> None:
    """A run that ends while it reports its epoch number `epoch`."""

    def report(reported: EpochReport) -> None:
        if reported.epoch == epoch:
            raise Killed

    with pytest.raises(Killed):
        train(config, parts, checkpoint=path, report=report, **more)


def outcome(result: Result) -> dict[str, Any]:
    """All of a result but what the clock says."""
    history = [replace(epoch, seconds=0.0) for epoch in result.history]
    return {
        "history": history,
        "ends": (result.validation_accuracy, result.validation_loss, result.stopped_early),
        "weights": {name: tensor.numpy().tobytes() for name, tensor in result.weights.items()},
    }


@pytest.mark.filterwarnings("ignore:L-BFGS models")
@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_every_optimizer_goes_on_to_the_same_bits(
    optimizer: str, digits: Split, path: Path
) -> None:
    config = SMALL.model_copy(update={"optimizer": optimizer})
    whole = train(config, digits, model=MODEL, seed=3)
    interrupted(3, config, digits, path, model=MODEL, seed=3)
    assert path.exists()
    told: list[int] = []
    brought_back: list[EpochReport] = []
    again = train(
        config,
        digits,
        model=MODEL,
        seed=3,
        checkpoint=path,
        report=lambda epoch: told.append(epoch.epoch),
        resumed=brought_back.append,
    )
    assert outcome(again) == outcome(whole)
    assert told == [3, 4]
    assert tuple(brought_back) == again.history[:2]
    assert not path.exists()
    assert not path.parent.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": "muon", "muon_rest": "adamw", "decoupled_decay": True},
        {"precision": "bfloat16", "schedule": "cosine-restarts"},
        {"optimizer": "nesterov", "lr": 1e-30, "patience": 2, "epochs": 9, "ema": 0.0},
    ],
)
def test_interrupted_at_every_epoch_it_ends_the_same(
    fields: dict[str, Any], digits: Split, path: Path
) -> None:
    config = SMALL.model_copy(update=fields)
    whole = train(config, digits, model=MODEL)
    for epoch in range(1, len(whole.history) + 1):
        interrupted(epoch, config, digits, path, model=MODEL)
    assert outcome(train(config, digits, model=MODEL, checkpoint=path)) == outcome(whole)


def test_a_network_of_ones_own_goes_on_too(digits: Split, path: Path) -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Dropout(), nn.Linear(8, 10))

    whole = train(SMALL, digits, model=network)
    interrupted(2, SMALL, digits, path, model=network)
    assert outcome(train(SMALL, digits, model=network, checkpoint=path)) == outcome(whole)


def test_seconds_add_up(digits: Split, path: Path) -> None:
    interrupted(4, SMALL, digits, path, model=MODEL)
    saved = checkpoint.read(path)
    assert saved is not None
    saved["progress"]["seconds"] += 1000.0
    checkpoint.write(path, saved)
    assert train(SMALL, digits, model=MODEL, checkpoint=path).seconds > 1000.0


@pytest.mark.parametrize(
    "change", ["lr", "seed", "model", "network", "rows", "pixels", "torch", "nothing"]
)
def test_a_checkpoint_of_another_run_is_passed_over(
    change: str, digits: Split, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(3, SMALL, digits, path, model=MODEL)
    config, parts, seed = SMALL, digits, Seeds.same(0)
    model: ModelConfig | nn.Module = MODEL
    if change == "lr":
        config = SMALL.model_copy(update={"lr": 0.021})
    elif change == "seed":
        seed = seed.vary("order", 1)
    elif change == "model":  # of the same weights and modules
        model = MODEL.model_copy(update={"pool_first": True})
    elif change == "network":
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    elif change == "rows":
        parts = data.split(data.load("digits"), DataConfig(train_size=300, split_seed=1))
    elif change == "pixels":
        images = digits.train.all_images.copy()
        images[digits.train.rows[0]] ^= 1
        parts = replace(digits, train=replace(digits.train, all_images=images))
    elif change == "torch":
        monkeypatch.setattr(torch, "__version__", "0.1")
    epochs: list[EpochReport] = []
    train(config, parts, model=model, seed=seed, checkpoint=path, report=epochs.append)
    assert len(epochs) == (2 if change == "nothing" else 4)


class Payload:
    """What an attacker would leave in the file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("kind", ["text", "truncated", "pickle", "list", "dictionary", "folder"])
def test_what_is_no_checkpoint_is_passed_over(
    kind: str, digits: Split, path: Path, tmp_path: Path
) -> None:
    interrupted(3, SMALL, digits, path, model=MODEL)
    trap = tmp_path / "executed"
    if kind == "text":
        path.write_text("not a checkpoint")
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:-500])
    elif kind == "pickle":
        torch.save({"fingerprint": Payload(trap)}, path)
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "dictionary":
        torch.save({"fingerprint": 3, "trainer": 4}, path)
    else:
        path.unlink()
        path.mkdir()
    epochs: list[EpochReport] = []
    if kind == "folder":
        with pytest.warns(UserWarning, match="No checkpoint could be written"):
            train(SMALL, digits, model=MODEL, checkpoint=path, report=epochs.append)
    else:
        train(SMALL, digits, model=MODEL, checkpoint=path, report=epochs.append)
        assert not path.exists()
    assert len(epochs) == 4
    assert not trap.exists()


def test_the_payload_works_where_pickle_reads_it(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "executed")))
    assert (tmp_path / "executed").exists()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    """The system refuses files above 10 kB."""
    checkpoint.write(path, {"weights": torch.arange(3)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            checkpoint.write(path, {"weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    state = checkpoint.read(path)
    assert state is not None
    assert state["weights"].tolist() == [0, 1, 2]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_removing_takes_what_a_killed_write_left(path: Path) -> None:
    checkpoint.write(path, {})
    path.with_name(f"{path.name}.x1y2.tmp").touch()
    other = path.with_name("77.pt")
    checkpoint.write(other, {})
    checkpoint.remove(path)
    assert list(path.parent.iterdir()) == [other]
    checkpoint.remove(other)
    checkpoint.remove(other)
    assert not path.parent.exists()


KILLED = """
import sys
from pathlib import Path
import torch
from hptoolkit.training import DataConfig, ModelConfig, TrainingConfig, data, train
torch.set_num_threads(1)
config = TrainingConfig.model_validate_json(sys.argv[1])
parts = data.split(data.load("digits"), DataConfig(train_size=300))
train(config, parts, model=ModelConfig(width=2), checkpoint=Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_killed_again_and_again_it_ends_the_same(digits: Split, path: Path) -> None:
    """SIGKILL, once in the middle of some epoch after each of three checkpoints."""
    config = SMALL.model_copy(update={"epochs": 120})
    whole = train(config, digits, model=ModelConfig(width=2))
    done = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), config.model_dump_json(), str(path)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        deadline = time.monotonic() + 60
        while _epochs(path) < done + 5:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = _epochs(path)
    assert done < 120
    assert outcome(train(config, digits, model=ModelConfig(width=2), checkpoint=path)) == outcome(
        whole
    )


def _epochs(path: Path) -> int:
    saved = checkpoint.read(path)
    return len(saved["progress"]["history"]) if saved else 0
