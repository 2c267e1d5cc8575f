"""The order of use that docs/own-scripts.md shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import hptoolkit as hpt

PAGE = Path(__file__).parents[1] / "docs" / "own-scripts.md"


@pytest.mark.slow
def test_the_order_of_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (512,), generator=generator)
    inputs = torch.randn(512, 5, generator=generator) + 2.0 * labels[:, None]
    trained: list[float] = []

    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 2))

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-6, 10.0, log=True)
        weight_decay = trial.suggest_float("weight_decay", 1e-4, 10.0, log=True)
        trained.append(lr)
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
        for _ in range(10):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            torch.autograd.backward(loss)
            optimizer.step()
        return loss.item()

    names = {
        "model": network(),
        "batch": (inputs, labels),
        "loader": DataLoader(TensorDataset(inputs, labels), 64, shuffle=True),
        "objective": objective,
    }
    exec(found[1], names)
    study, n = names["study"], len(trained)
    assert isinstance(study, optuna.Study)
    assert len(study.trials) == n > 3
    assert trained[0] == hpt.theory_start("adamw", steps=2000, fixed={"momentum": 0.9})["lr"]
    assert "of the weights does not matter" in capsys.readouterr().out
    assert (tmp_path / "report.html").stat().st_size > 1e6
    exec(found[1], names)  # the script again
    assert len(trained) == n
    assert len(names["study"].trials) == n  # type: ignore[attr-defined]
    assert isinstance(names["report"], type(hpt.report(study)))
