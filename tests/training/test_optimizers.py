from __future__ import annotations

import warnings
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hptoolkit.coordinates.monomial import parse
from hptoolkit.coordinates.theory import FACTS, expressions, state_floats
from hptoolkit.errors import UserError
from hptoolkit.training import optimizers
from hptoolkit.training.config import ModelConfig, Optimizer, TrainingConfig
from hptoolkit.training.model import resnet
from hptoolkit.training.muon import Muon, orthogonalized

ALL = list(get_args(Optimizer))
R = 3.0


class ScaleFree(nn.Module):
    """Two convolutions whose filters count only by their direction, in float64."""

    def __init__(self, scale: float, classifier: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> nn.Parameter:
            draw = torch.randn(*shape, generator=generator, dtype=torch.float64)
            return nn.Parameter(scale * draw)

        self.first, self.second = normal(6, 2, 3, 3), normal(4, 6, 3, 3)
        self.last = nn.Parameter(torch.zeros(1, 1)) if classifier else None

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.first / self.first.norm()).tanh()
        return F.conv2d(x, self.second / self.second.norm()).mean((2, 3))


def weights_after(config: TrainingConfig, scale: float, steps: int = 12) -> list[Tensor]:
    """Both filters after some steps from `scale` times the same start, the rate changing."""
    network = ScaleFree(scale)
    if config.optimizer == "muon":  # alone, without a rest that would scale in another way
        kind: Any = Muon(network.parameters(), config.lr, config.momentum, config.weight_decay)
        kind.param_groups[0]["peak_lr"] = config.lr
    else:
        kind = optimizers.build(config, network)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(steps, 8, 2, 7, 7, generator=generator, dtype=torch.float64)
    y = torch.randint(4, (steps, 8), generator=generator)
    for step in range(steps):
        for group in kind.param_groups:
            group["lr"] = group["peak_lr"] * (1 + step) / steps
        kind.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(x[step]), y[step]))
        kind.step()
    return [network.first.detach(), network.second.detach()]


EXACT = [name for name in ALL if FACTS[name].scaling]


def a_config(name: str, **changes: Any) -> TrainingConfig:
    """Rates at which twelve steps move the weights by about their own size."""
    rates = {"sgd": 10.0, "momentum": 3.0, "nesterov": 3.0, "lars": 100.0, "shampoo": 1.0}
    lr = rates.get(name, 0.2)
    eps = 1e-30 if name == "lamb" else 1e-4
    fields = {"optimizer": name, "lr": lr, "weight_decay": 0.02, "eps": eps, "beta2": 0.9}
    return TrainingConfig.model_validate(fields | changes)


def scaled(config: TrainingConfig, exponents: Any, r: float) -> TrainingConfig:
    fields = {name: getattr(config, name) * r**power for name, power in exponents.items()}
    return config.model_copy(update=fields)


@pytest.mark.parametrize("name", EXACT)
def test_the_stated_symmetry_is_exact_over_a_trajectory(name: str) -> None:
    config = a_config(name)
    rescaled = scaled(config, FACTS[name].scaling, R)
    start = [p.detach() for p in ScaleFree(1.0).parameters()]
    for before, w, w_scaled in zip(
        start, weights_after(config, 1.0), weights_after(rescaled, R), strict=True
    ):
        assert (w - before).norm() > 0.1 * before.norm()
        torch.testing.assert_close(w_scaled, R * w, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", EXACT)
def test_without_the_rescaling_the_trajectories_differ(name: str) -> None:
    """So that the symmetry's test could have failed: each exponent matters."""
    config, scaling = a_config(name), FACTS[name].scaling
    reference = R * weights_after(config, 1.0)[0]
    for left_out in set(scaling) - {"eps"}:
        exponents = {key: power for key, power in scaling.items() if key != left_out}
        w = weights_after(scaled(config, exponents, R), R)[0]
        assert (w - reference).norm() > 1e-4 * reference.norm()


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "rmsprop"])
def test_decoupled_decay_changes_the_symmetry_to_its_own(name: str) -> None:
    config = a_config(name, decoupled_decay=True)
    lr_power = FACTS[name].scaling["lr"]
    exponents = FACTS[name].scaling | {"weight_decay": -lr_power}
    w = weights_after(config, 1.0)[1]
    rescaled = weights_after(scaled(config, exponents, R), R)[1]
    torch.testing.assert_close(rescaled, R * w, rtol=1e-9, atol=0)


def invariant(name: str) -> str:
    """The first of the coordinates that theory gives."""
    return expressions(
        name, normalized=True, lr="lr", momentum=None, weight_decay="weight_decay", batch_size=None
    )[0]


def test_invariants_as_products() -> None:
    assert {invariant(name) for name in ("nesterov", "adamw", "muon")} == {"lr*weight_decay"}
    assert invariant("adam") == "lr**2*weight_decay"
    assert invariant("lars") == invariant("lamb") == "lr"


@pytest.mark.parametrize("name", [n for n in ALL if n != "lbfgs"])
def test_the_ready_made_coordinates_search_along_what_the_symmetry_leaves_alone(name: str) -> None:
    scaling = FACTS[name].scaling
    powers = [scaling.get(f.name, 0) * power for f, power in parse(invariant(name)).items()]
    assert sum(powers) == 0


def test_adam_with_decoupled_decay_is_adamw() -> None:
    adam = weights_after(a_config("adam", decoupled_decay=True), 1.0)
    adamw = weights_after(a_config("adamw"), 1.0)
    torch.testing.assert_close(adam, adamw, rtol=1e-13, atol=0)


def test_momentum_of_zero_makes_the_three_kinds_of_sgd_one() -> None:
    runs = [weights_after(a_config(n, momentum=0.0, lr=3.0), 1.0) for n in ALL[:3]]
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.equal(runs[0][0], runs[2][0])
    assert not torch.equal(runs[0][0], weights_after(a_config("nesterov", lr=3.0), 1.0)[0])


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (8, 8)])
def test_orthogonalized_matrices_are_nearly_so_and_keep_their_singular_vectors(
    shape: tuple[int, int],
) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=generator, dtype=torch.float64)
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    diagonal = u.T @ orthogonalized(matrix) @ vt.T
    values = diagonal.diagonal()
    assert values.min() > 0.6
    assert values.max() < 1.3
    torch.testing.assert_close(diagonal, torch.diag(values), atol=1e-12, rtol=0)
    torch.testing.assert_close(orthogonalized(1e-20 * matrix), orthogonalized(matrix))


def test_orthogonalizing_nothing_gives_nothing() -> None:
    assert torch.equal(orthogonalized(torch.zeros(3, 4)), torch.zeros(3, 4))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="came with torch 2.9")
def test_muon_follows_torchs_own_on_matrices() -> None:
    """torch's iterates in bfloat16, so the two agree to its three digits."""
    start = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    a = Muon([ours], lr=0.1, momentum=0.9, weight_decay=0.1)
    b = torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=0.1)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        ours.grad = torch.randn(6, 10, generator=generator)
        theirs.grad = ours.grad.clone()
        a.step()
        b.step()
    assert (ours - theirs).norm() < 0.02 * (theirs - start).norm()


def test_muon_takes_filters_and_leaves_the_rest() -> None:
    network = resnet(2, 1, 8, 10)
    for rest, kind in (("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)):
        config = TrainingConfig(optimizer="muon", muon_rest=rest, muon_rest_lr=0.5, lr=0.1)
        together = optimizers.build(config, network)
        assert isinstance(together, optimizers.Together)
        muon, other = together.optimizers
        assert isinstance(other, kind)
        assert {p.ndim for p in muon.param_groups[0]["params"]} == {4}
        assert any(p is network.linear.weight for p in other.param_groups[0]["params"])
        assert [group["peak_lr"] for group in together.param_groups] == [0.1, 0.5]
        counted = sum(len(group["params"]) for group in together.param_groups)
        assert counted == len(list(network.parameters()))


def test_muon_without_matrices_is_refused() -> None:
    with pytest.raises(UserError, match="besides"):
        optimizers.build(TrainingConfig(optimizer="muon"), nn.Linear(3, 2))


def test_a_network_without_parameters_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to train"):
        optimizers.build(TrainingConfig(), nn.Flatten())


@pytest.mark.parametrize("name", [n for n in ALL if n != "lbfgs"])
def test_the_state_is_as_large_as_stated(name: str) -> None:
    network = resnet(2, 1, 8, 10)
    for fields in ({}, {"muon_rest": "adamw"}) if name == "muon" else ({},):
        config = a_config(name, **fields)
        optimizer = optimizers.build(config, network)
        torch.autograd.backward(network(torch.randn(4, 1, 8, 8)).sum())
        optimizer.step()
        together = isinstance(optimizer, optimizers.Together)
        parts = optimizer.optimizers if together else [optimizer]
        tensors = [t for part in parts for state in part.state.values() for t in state.values()]
        held = sum(t.numel() for t in tensors if isinstance(t, Tensor) and t.ndim > 0)
        shapes = [tuple(p.shape) for p in network.parameters()]
        assert held == state_floats(name, shapes, muon_rest=config.muon_rest)


def test_the_state_of_lbfgs_is_as_large_as_stated() -> None:
    network = nn.Linear(30, 1)
    config = TrainingConfig(optimizer="lbfgs", history=3, iterations=8, lr=1.0)
    optimizer = optimizers.build(config, network)
    x = torch.randn(64, 30, generator=torch.Generator().manual_seed(0))

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (network(x).squeeze() - x.sin().sum(1)).pow(2).mean().sqrt()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[call-arg, arg-type]
    (state,) = optimizer.state.values()
    held = sum(t.numel() for t in (state["d"], state["prev_flat_grad"]))
    held += sum(t.numel() for t in state["old_dirs"] + state["old_stps"])
    gradient = 31  # the flat copy of the current one, alive during a step
    assert held + gradient == state_floats("lbfgs", [(1, 30), (1,)], history=3)


@pytest.mark.parametrize("name", ALL)
def test_every_optimizer_learns(name: str) -> None:
    """A hundred points, two classes apart by a plane; the loss falls to less than half."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100, 1, 8, 8, generator=generator)
    y = (x.mean((1, 2, 3)) > 0).long()
    torch.manual_seed(0)
    network = resnet(2, 1, 8, 2)
    lr = {"sgd": 0.5, "lars": 30.0, "lbfgs": 1.0, "rmsprop": 0.01, "shampoo": 0.1}.get(name, 0.05)
    config = TrainingConfig(optimizer=name, lr=lr, weight_decay=1e-4)
    optimizer = optimizers.build(config, network)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        torch.autograd.backward(loss)
        return loss.detach()

    losses = []
    for _ in range(40):
        if name == "lbfgs":
            losses.append(optimizer.step(closure))  # type: ignore[call-arg, arg-type]
        else:
            losses.append(closure())
            optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_lbfgs_warns_of_random_batches_and_of_nothing_else() -> None:
    lbfgs = TrainingConfig(optimizer="lbfgs", batch_size=8, flip=False, crop_padding=0, cutout=0)
    with pytest.warns(UserWarning, match="batch_size 9 without augmentation"):
        optimizers.warn_if_stochastic(lbfgs, 9)
    with pytest.warns(UserWarning, match="L-BFGS"):
        optimizers.warn_if_stochastic(lbfgs.model_copy(update={"cutout": 1}), 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizers.warn_if_stochastic(lbfgs, 8)
        optimizers.warn_if_stochastic(TrainingConfig(), 10_000)


def test_the_table_names_fields_that_exist() -> None:
    assert set(FACTS) == set(ALL)
    for facts in FACTS.values():
        assert set(facts.hyperparameters) <= set(TrainingConfig.model_fields)
        assert set(facts.scaling) <= set(facts.hyperparameters)
    assert ModelConfig().width == 64


@pytest.mark.parametrize("name", ["momentum", "nesterov", "lars", "lamb", "adam", "muon"])
def test_a_momentum_that_falls_to_0_comes_back(name: str) -> None:
    """As 1cycle with momentum_low = 0: at 0 the velocity is the gradient, and nothing older."""
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    config = TrainingConfig(optimizer=name, momentum=0.9)  # type: ignore[arg-type]
    optimizer = optimizers.build(config, network)
    (group, *_) = optimizer.param_groups
    for momentum in (0.9, 0.0, 0.5):
        optimizers.set_momentum(group, momentum)
        assert optimizers.momentum_of(group) == momentum


def test_what_has_no_momentum_is_given_none() -> None:
    optimizer = optimizers.build(TrainingConfig(optimizer="sgd"), torch.nn.Linear(2, 2))
    (group,) = optimizer.param_groups
    optimizers.set_momentum(group, 0.5)
    assert optimizers.momentum_of(group) == 0.0


def test_at_momentum_0_the_velocity_is_the_gradient() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    config = TrainingConfig(optimizer="momentum", momentum=0.9, lr=1.0, weight_decay=0.0)
    optimizer = optimizers.build(config, layer)
    (group,) = optimizer.param_groups
    steps = []
    for momentum, gradient in ((0.9, 1.0), (0.0, 2.0), (0.5, 4.0)):
        optimizers.set_momentum(group, momentum)
        before = layer.weight.item()
        layer.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        steps.append(before - layer.weight.item())
    assert steps == pytest.approx([1.0, 2.0, 0.5 * 2.0 + 4.0], abs=1e-6)
