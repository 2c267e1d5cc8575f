from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import hptoolkit as hpt
from hptoolkit.coordinates.symmetry import coordinates_for, scale_invariance
from hptoolkit.training.model import resnet


def _batch(*shape: int, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16, *shape, generator=generator)
    return inputs, torch.randint(classes, (16,), generator=generator)


def _verdicts(model: nn.Module, batch: Any, **arguments: Any) -> dict[str, bool | None]:
    symmetry = scale_invariance(model, batch, **arguments)
    return {t.name: t.invariant for t in symmetry.tensors}


def test_pages_network_is_scale_invariant_but_for_its_classifier_and_batch_norms() -> None:
    network = resnet(2, 3, 8, 10)
    symmetry = scale_invariance(network, _batch(3, 8, 8, classes=10))
    for tensor in symmetry.tensors:
        assert tensor.invariant == ("conv" in tensor.name), tensor
    # Convolutions 3x3: 3→2, 2→4, 4→4 twice, 4→8, 8→16, 16→16 twice; the classifier 16→10.
    convolutions = 9 * (6 + 8 + 32 + 32 + 128 + 512)
    batch_norms = 2 * (2 + 4 + 8 + 8 + 16 + 32)
    assert symmetry.share == pytest.approx(convolutions / (convolutions + batch_norms + 160))
    assert symmetry.normalized
    assert str(symmetry) == "the scale of 95.6% of the weights does not matter"


def test_a_plain_network_has_no_scale_invariant_weight() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    assert set(_verdicts(model, _batch(6)).values()) == {False}


def test_a_bias_that_batch_norm_removes_does_not_count() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    verdicts = _verdicts(model, _batch(6))
    assert verdicts == {
        "0.weight": True,
        "0.bias": None,
        "1.weight": False,
        "1.bias": False,
        "3.weight": False,
        "3.bias": False,
    }


def test_a_symmetry_by_chance_is_none() -> None:
    """With all biases 0 the scale of a batch norm before another one does not matter: it will."""
    model = nn.Sequential(
        nn.Linear(6, 8, bias=False),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Linear(8, 8, bias=False),
        nn.BatchNorm1d(8),
        nn.Linear(8, 4),
    )
    verdicts = _verdicts(model, _batch(6))
    assert verdicts["1.weight"] is verdicts["1.bias"] is False
    assert verdicts["0.weight"] is verdicts["3.weight"] is True


@pytest.mark.parametrize("norm", [lambda: nn.GroupNorm(2, 8), lambda: nn.LayerNorm(8)])
def test_other_normalisations(norm: Callable[[], nn.Module]) -> None:
    model = nn.Sequential(nn.Linear(6, 8, bias=False), norm(), nn.ReLU(), nn.Linear(8, 4))
    verdicts = _verdicts(model, _batch(6))
    assert verdicts["0.weight"] is True
    assert verdicts["3.weight"] is False


def test_a_layers_weight_and_bias_before_a_layer_norm_count_together() -> None:
    """LayerNorm leaves out a scale that weight and bias have in common, batch norm the bias."""
    model = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 4))
    verdicts = _verdicts(model, _batch(6))
    assert verdicts == {
        "0.weight": True,
        "0.bias": True,
        "1.weight": False,
        "1.bias": False,
        "3.weight": False,
        "3.bias": False,
    }
    alone = {t.name: t.slope for t in scale_invariance(model, _batch(6)).tensors}
    assert alone["0.weight"] > 1e-3


def test_a_criterion_of_torch_or_a_function_of_the_model_and_a_batch() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 4))
    inputs, targets = _batch(6)
    expected = scale_invariance(model, (inputs, targets))

    def of_dict(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch["x"]), batch["y"])

    criteria: list[Callable[..., Tensor]] = [nn.CrossEntropyLoss(), F.cross_entropy]
    for criterion in criteria:
        assert scale_invariance(model, [inputs, targets], loss=criterion) == expected
    assert scale_invariance(model, {"x": inputs, "y": targets}, loss=of_dict) == expected


class _WithLoss(nn.Module):
    """As Hugging Face's: a batch of arguments, of which the labels give a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Embedding(5, 8), nn.LayerNorm(8), nn.Linear(8, 5))

    def forward(self, tokens: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.body(tokens)
        if labels is None:
            return {"logits": logits}
        return {"logits": logits, "loss": F.cross_entropy(logits.flatten(0, 1), labels.flatten())}


def test_a_dict_of_the_arguments_of_a_model_that_returns_its_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, (4, 7), generator=generator)
    model, batch = _WithLoss(), {"tokens": tokens, "labels": tokens.roll(1, dims=1)}
    verdicts = _verdicts(model, batch)
    assert verdicts["body.0.weight"] is True
    assert verdicts["body.2.weight"] is False
    with pytest.raises(hpt.UserError, match="no loss for a batch of tokens"):
        scale_invariance(model, {"tokens": tokens})
    # The same as a plain pair: classes on the last axis.
    pair = scale_invariance(model.body, (tokens, tokens.roll(1, dims=1)))
    assert [t.invariant for t in pair.tensors] == list(verdicts.values())


def test_a_batch_of_no_known_form_is_refused() -> None:
    with pytest.raises(hpt.UserError, match="The batch is a Tensor: a pair"):
        scale_invariance(nn.Linear(6, 4), torch.zeros(2, 6))


def test_small_activations_do_not_hide_the_symmetry() -> None:
    """Their variance, 1e-8, is far below batch norm's ε."""
    model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 4))
    with torch.no_grad():
        model[0].weight.mul_(1e-4)  # type: ignore[operator, union-attr]
    assert _verdicts(model, _batch(6))["0.weight"] is True


def test_regression_a_loss_of_ones_own_and_frozen_weights() -> None:
    model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 1))
    inputs = _batch(6)[0]
    assert _verdicts(model, (inputs, inputs[:, :1]))["0.weight"] is True

    def margin(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return F.softplus(-model(batch["x"])).mean()

    model[2].requires_grad_(False)
    verdicts = _verdicts(model, {"x": inputs}, loss=margin)
    assert verdicts == {"0.weight": True, "1.weight": False, "1.bias": False}


def test_the_model_and_the_random_numbers_stay_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert _verdicts(model, _batch(6))["0.weight"] is True
    assert torch.equal(torch.rand(3), expected)
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("optimizer", "normalized", "plain"),
    [
        ("nesterov", "lr*weight_decay/((1-momentum)*n)", "lr/((1-momentum)*n)"),
        ("adamw", "lr*weight_decay/n", "lr/n**0.5"),
        ("adam", "lr**2*weight_decay/n", "lr/n**0.5"),
    ],
)
def test_the_coordinates_follow_the_model(optimizer: str, normalized: str, plain: str) -> None:
    batch = _batch(3, 8, 8)
    coordinates, symmetry = coordinates_for(resnet(2, 3, 8, 4), batch, optimizer, batch_size="n")
    assert coordinates.axes[0] == normalized
    assert symmetry.share > 0.9
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 4))
    coordinates, symmetry = coordinates_for(mlp, batch, optimizer, batch_size="n")
    assert coordinates.axes[0] == plain
    assert symmetry.share == 0.0


def test_what_cannot_be_tested_is_refused() -> None:
    with pytest.raises(hpt.UserError, match="no trainable parameter"):
        scale_invariance(nn.Flatten(), _batch(6))
    inputs, targets = _batch(6)
    with pytest.raises(hpt.UserError, match="loss is nan"):
        scale_invariance(nn.Linear(6, 4), (inputs * float("nan"), targets))


# Exact symmetries of training, step by step, in double precision.


class _Invariant(nn.Module):
    """Every trainable weight is followed by a batch norm without parameters, ε negligible."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.conv = nn.Conv2d(2, 4, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(4, eps=1e-30, affine=False)
        self.linear = nn.Linear(4 * 16, 12, bias=False)
        self.norm2 = nn.BatchNorm1d(12, eps=1e-30, affine=False)
        self.register_buffer("readout", torch.randn(12, 5, generator=generator))
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.3, generator=generator)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv(x)))
        x = F.relu(self.norm2(self.linear(x.flatten(1))))
        return x @ self.readout


def _losses(optimizer: Callable[[Any], torch.optim.Optimizer], r: float) -> Tensor:
    """Losses (60,) of training from r times the initial weights."""
    model = _Invariant()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(r)
    generator = torch.Generator().manual_seed(2)
    steps, losses = optimizer(model.parameters()), []
    for _ in range(60):
        inputs = torch.randn(24, 2, 6, 6, generator=generator, dtype=torch.float64)
        targets = (4 * torch.rand(24, generator=generator)).long()
        loss = F.cross_entropy(model(inputs), targets)
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


def _along_the_flat_axis(
    optimizer: str, raw: dict[str, float], decay_factor: float
) -> dict[str, float]:
    """Raw values after weight decay moved by a factor while the other coordinates stay."""
    coordinates = hpt.Coordinates.for_optimizer(optimizer)
    point = coordinates.from_raw(raw)
    return coordinates.to_raw(point | {"weight_decay": point["weight_decay"] * decay_factor})


def _sgd(nesterov: bool, momentum: float, raw: dict[str, float]) -> Callable[[Any], Any]:
    return lambda weights: torch.optim.SGD(
        weights, raw["lr"], momentum, weight_decay=raw["weight_decay"], nesterov=nesterov
    )


@pytest.mark.parametrize("r", [0.25, 3.0])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_along_the_flat_axis_trains_the_rescaled_network(
    r: float, momentum: float, nesterov: bool
) -> None:
    """(r·w, r²λ, α/r²) repeats (w, λ, α): the coordinates move λ as the symmetry asks for."""
    raw = {"lr": 0.05, "momentum": momentum, "weight_decay": 0.02}
    moved = _along_the_flat_axis("sgd", raw, r**-2)
    assert moved["lr"] == pytest.approx(0.05 * r**2)
    losses = _losses(_sgd(nesterov, momentum, raw), 1.0)
    assert torch.allclose(_losses(_sgd(nesterov, momentum, moved), r), losses, rtol=1e-9, atol=0)
    # With λ alone left as it was, training takes another course.
    wrong = moved | {"lr": raw["lr"]}
    assert not torch.allclose(_losses(_sgd(nesterov, momentum, wrong), r), losses, rtol=1e-3)
    assert losses.std() > 0.05


@pytest.mark.parametrize("r", [0.25, 3.0])
@pytest.mark.parametrize(("name", "power"), [("adamw", -1), ("adam", -2)])
def test_adam_along_the_flat_axis_trains_the_rescaled_network(
    r: float, name: str, power: int
) -> None:
    """AdamW: (r·w, rλ, α/r), Adam with L2: (r·w, rλ, α/r²); ε is compared with g, which is g/r."""
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam

    def train(raw: dict[str, float], r: float) -> Tensor:
        return _losses(
            lambda weights: kind(
                weights, raw["lr"], (0.9, 0.99), eps=1e-8 / r, weight_decay=raw["weight_decay"]
            ),
            r,
        )

    raw = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.05}
    moved = _along_the_flat_axis(name, raw, r**power)
    assert moved["lr"] == pytest.approx(0.01 * r)
    losses = train(raw, 1.0)
    assert torch.allclose(train(moved, r), losses, rtol=1e-8, atol=0)
    assert not torch.allclose(train(moved | {"lr": 0.01}, r), losses, rtol=1e-3)


def test_a_summed_loss_is_a_mean_loss_with_the_learning_rate_times_n() -> None:
    """λ of the mean over N is λ/N of the sum: what λ/N in the coordinates counts."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(32, 6, generator=generator, dtype=torch.float64)
    targets = torch.randint(4, (32,), generator=generator)

    def weights(reduction: str, lr: float) -> Tensor:
        weight = torch.zeros(4, 6, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr, momentum=0.9, nesterov=True)
        for _ in range(20):
            optimizer.zero_grad()
            F.cross_entropy(inputs @ weight.T, targets, reduction=reduction).backward()
            optimizer.step()
        return weight.detach()

    assert torch.allclose(weights("sum", 0.1 / 32), weights("mean", 0.1), rtol=1e-12, atol=1e-14)


def _displacement(
    gradients: list[float], lr: float, momentum: float, nesterov: bool = False
) -> float:
    weight = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr, momentum, nesterov=nesterov)
    for gradient in gradients:
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return -weight.item()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_one_gradient_moves_the_weights_by_lr_over_one_minus_momentum(
    momentum: float, nesterov: bool
) -> None:
    """The impulse response λ(1 + ρ + ρ² + …), of which 400 steps miss less than 1e-18."""
    total = _displacement([1.0] + [0.0] * 400, 0.1, momentum, nesterov)
    assert total == pytest.approx(0.1 / (1 - momentum), rel=1e-12)


def test_momentum_and_learning_rate_trade_off_exactly_once_all_gradients_have_acted() -> None:
    """On a linear loss λ/(1−ρ) alone decides where training ends."""
    gradients = torch.randn(50, generator=torch.Generator().manual_seed(0)).tolist() + [0.0] * 600
    ends = [_displacement(gradients, 0.2 * (1 - rho), rho) for rho in (0.0, 0.5, 0.9, 0.95)]
    assert ends == pytest.approx([ends[0]] * 4, rel=1e-9)


@pytest.mark.parametrize("size", [1, 4, 16])
def test_linear_scaling_of_the_batch_is_exact_on_a_linear_loss(size: int) -> None:
    """With λ/N held, an epoch moves the weights by λ/N · Σ gᵢ for every batch size N."""
    examples = torch.randn(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    means = examples.view(-1, size).mean(dim=1).tolist()
    moved = _displacement(means, 0.01 * size, 0.0)
    assert moved == pytest.approx(0.01 * examples.sum().item(), rel=1e-12)
