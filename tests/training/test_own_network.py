from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from torch import nn

from hptoolkit.training import TrainingConfig, train

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_network.py"


def test_the_example_learns_its_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    result = runpy.run_path(str(EXAMPLE))["main"]()
    assert result.validation_accuracy > 0.85
    assert capsys.readouterr().out.count("epoch ") == 5


def test_a_module_may_be_trained_further_from_its_result() -> None:
    example = runpy.run_path(str(EXAMPLE))
    config = TrainingConfig(epochs=1, batch_size=64, lr=0.05, crop_padding=0, cutout=0)
    data = example["draw"](500)
    module: nn.Module = example["network"]()
    first = train(config, data, model=module)
    module.load_state_dict(first.weights)
    second = train(config, data, model=module)
    assert second.history[0].train_loss < first.history[0].train_loss
