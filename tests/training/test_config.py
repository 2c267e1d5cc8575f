from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from hptoolkit.training import DataConfig, ModelConfig, TrainingConfig


@pytest.mark.parametrize(
    "fields",
    [
        {"lr": 0.0},
        {"lr": -1.0},
        {"lr": float("inf")},
        {"lr": float("nan")},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"weight_decay": -1e-9},
        {"batch_size": 0},
        {"epochs": 0},
        {"cutout": -1},
        {"optimizer": "sdg"},
        {"learning_rate": 0.1},
    ],
)
def test_bad_training_fields_are_named_in_the_message(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        TrainingConfig.model_validate(fields)


def test_configs_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainingConfig().lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_a_validation_fraction_leaves_both_parts(fraction: float) -> None:
    with pytest.raises(ValidationError, match="validation_fraction"):
        DataConfig(validation_fraction=fraction)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule_knots": (0, 0.5), "schedule_values": (1, 0)}, "rise from 0 to 1"),
        ({"schedule_knots": (0.1, 1), "schedule_values": (1, 0)}, "rise from 0 to 1"),
        ({"schedule_knots": (0, 0.5, 0.5, 1), "schedule_values": (1,) * 4}, "rise from 0 to 1"),
        ({"schedule_knots": (0, 1)}, "2 knots and 3 values"),
        ({"schedule_drops": (0.7, 0.6)}, "must rise"),
        ({"schedule": "exponential"}, "never reaches 0"),
        ({"schedule": "cosin"}, "cosine"),
        ({"optimizer": "lbfgs", "decoupled_decay": True}, "no weight decay"),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainingConfig.model_validate(fields)


def test_a_config_survives_json() -> None:
    config = TrainingConfig(lr=0.1, schedule_knots=(0, 1), schedule_values=(1, 0))
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config
    assert ModelConfig.model_validate_json('{"width": 8}').width == 8


def test_importing_the_package_does_not_import_torch() -> None:
    code = (
        "import sys, hptoolkit.training.config, hptoolkit.training.data;"
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
