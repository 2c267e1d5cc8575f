"""`hpt.range_test` on models, data, losses and optimizers of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import hptoolkit as hpt


def _data(n: int = 512) -> tuple[Tensor, Tensor]:
    """Two noisy clouds in five dimensions."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (n,), generator=generator)
    inputs = torch.randn(n, 5, generator=generator)
    inputs[:, 0] += 4.0 * labels - 2.0
    return inputs, labels


def _model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 2))


def test_gradient_descent_on_a_parabola_by_hand() -> None:
    """(w − t)²/2 + 100 with t = 1, −1, 1, …: each step above λ = 2 leads away from t."""

    class Parabola(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor(20.0, dtype=torch.float64))

        def forward(self, target: Tensor) -> Tensor:
            return (self.w - target) ** 2 / 2 + 100

    batches = [torch.tensor(1.0), torch.tensor(-1.0)]
    test = hpt.range_test(
        Parabola(), batches, loss=lambda model, batch: model(batch), optimizer="sgd", steps=400
    )
    assert test.exploded
    assert 2.0 < test.lrs[-1] < 5.0
    w, decay = 20.0, 5e-4
    for step, (lr, loss) in enumerate(zip(test.lrs, test.losses, strict=True)):
        target = (-1.0) ** step
        assert loss == pytest.approx((w - target) ** 2 / 2 + 100, rel=1e-9)
        w -= lr * (w - target + decay * w)
    assert test.suggestion.low == pytest.approx(test.suggestion.high / 10)
    assert 0.01 < test.suggestion.high <= test.suggestion.minimum <= 2.0


def _adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, weight_decay=0.1)


@pytest.mark.parametrize("optimizer", ["nesterov", "adamw", "muon", _adamw, torch.optim.SGD])
def test_optimizers_by_name_and_by_factory(optimizer: Any) -> None:
    test = hpt.range_test(_model(), _data(), optimizer=optimizer, steps=150)
    assert 1e-6 < test.suggestion.low < test.suggestion.high <= test.suggestion.minimum < 100
    assert len(test.lrs) == len(test.losses) == len(test.smoothed)
    # What the suggestion is worth: training at it learns, a hundredth of its lower end does not.
    good, poor = (
        _trained(optimizer, lr) for lr in (test.suggestion.high, test.suggestion.low / 100)
    )
    assert good < 0.3 < poor


def _trained(optimizer: Any, lr: float) -> float:
    """The loss after 40 steps at a rate."""
    model, (inputs, labels) = _model(), _data()
    if callable(optimizer):
        made = optimizer(model.parameters())
    else:
        from hptoolkit.training import TrainingConfig
        from hptoolkit.training.optimizers import build

        made = build(TrainingConfig(optimizer=optimizer, lr=lr), model)
    for group in made.param_groups:
        group["lr"] = lr
    for _ in range(40):
        made.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        torch.autograd.backward(loss)
        made.step()
    return loss.item()


def test_a_loader_gives_what_its_batches_in_a_list_give() -> None:
    inputs, labels = _data()
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=128)
    batches = list(zip(inputs.split(128), labels.split(128), strict=True))
    expected = hpt.range_test(_model(), batches, steps=80)
    assert hpt.range_test(_model(), loader, steps=80).losses == expected.losses
    shuffled = DataLoader(TensorDataset(inputs, labels), batch_size=128, shuffle=True)
    first, again = (hpt.range_test(_model(), shuffled, steps=80, seed=3) for _ in range(2))
    assert first.losses == again.losses != expected.losses


def test_a_dict_of_tensors_and_a_loss_of_ones_own() -> None:
    inputs, labels = _data()

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch["x"]), batch["y"])

    losses: list[Callable[..., Tensor]] = [nn.CrossEntropyLoss(), F.cross_entropy]
    expected = hpt.range_test(_model(), (inputs, labels), steps=80).losses
    given = hpt.range_test(_model(), {"x": inputs, "y": labels}, loss=loss, steps=80)
    assert given.losses == expected
    for criterion in losses:
        assert (
            hpt.range_test(_model(), (inputs, labels), loss=criterion, steps=80).losses == expected
        )


def test_groups_keep_the_ratio_of_their_rates() -> None:
    seen: list[tuple[float, float]] = []

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        first, *others = parameters
        made = torch.optim.SGD([{"params": [first], "lr": 0.5}, {"params": others, "lr": 0.05}])
        made.register_step_pre_hook(
            lambda o, *_: seen.append(tuple(g["lr"] for g in o.param_groups))
        )
        return made

    test = hpt.range_test(_model(), _data(), optimizer=optimizer, steps=80)
    assert [high for high, _ in seen[:40]] == pytest.approx(test.lrs[:40])
    assert all(high == pytest.approx(10 * low) for high, low in seen)


def test_nothing_given_is_changed() -> None:
    model = _model().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    hpt.range_test(model, _data(), steps=60)
    assert torch.equal(torch.rand(3), expected)
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in model.parameters())


def test_it_prints_its_suggestion_and_not_its_losses() -> None:
    test = hpt.range_test(_model(), _data(), steps=80)
    assert f"{test.suggestion.high:.2g} at most" in str(test) == repr(test)
    assert len(str(test)) < 200


def _once() -> Iterator[tuple[Tensor, Tensor]]:
    yield _data(64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "adam-w"}, "did you mean 'adamw'"),
        ({"optimizer": lambda parameters: 3}, "optimizer returned a int"),
        ({"optimizer": lambda p: torch.optim.SGD(p, lr=0.0)}, "learning rate is 0"),
        ({"data": []}, "give no batch"),
        ({"data": _once()}, "give a list of its batches"),
        ({"data": (_data()[0], _data(9)[1])}, r"different lengths: \[9, 512\]"),
        ({"data": [_data(9)[0]]}, "The batch is a Tensor: a pair"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"lowest": 1.0, "highest": 0.1}, "must rise from above 0"),
        ({"model": nn.Flatten()}, "no parameter"),
        ({"lowest": 1e-9, "highest": 1e-8}, "fell nowhere"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(arguments: dict[str, Any], message: str) -> None:
    given = {"model": _model(), "data": _data(), "steps": 40} | arguments
    model, data = given.pop("model"), given.pop("data")
    with pytest.raises(hpt.UserError, match=message):
        hpt.range_test(model, data, **given)
