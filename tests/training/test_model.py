from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hptoolkit.errors import UserError
from hptoolkit.training.config import ModelConfig
from hptoolkit.training.ghost_norm import GhostBatchNorm2d
from hptoolkit.training.model import ConvBlock, ResNet, build, resnet


@pytest.mark.parametrize(
    ("width", "parameters"), [(64, 6_573_120), (32, 1_646_112), (16, 412_944), (8, 103_944)]
)
def test_parameter_counts(width: int, parameters: int) -> None:
    assert sum(p.numel() for p in resnet(width, 3, 32, 10).parameters()) == parameters


def test_operations_of_a_training_step() -> None:
    """0.7585 GFLOP forward at width 64; a step is three times that less one first convolution."""
    with FlopCounterMode(display=False) as forward:
        loss = resnet(64, 3, 32, 10)(torch.randn(1, 3, 32, 32)).sum()
    with FlopCounterMode(display=False) as backward:
        torch.autograd.backward(loss)
    assert forward.get_total_flops() == pytest.approx(0.7585e9, rel=1e-3)
    first_convolution = 2 * 32 * 32 * 27 * 64
    assert backward.get_total_flops() == 2 * forward.get_total_flops() - first_convolution


def pages_forward(network: ResNet, x: Tensor) -> Tensor:
    """The network as Page wrote it: max-pool after ReLU, out of place."""

    def block(module: nn.Module, x: Tensor, pool: bool = False) -> Tensor:
        assert isinstance(module, ConvBlock)
        x = F.relu(module.norm(module.conv(x)))
        return F.max_pool2d(x, 2) if pool else x

    prep, layer1, residual1, layer2, layer3, residual3 = network.features
    x = block(layer1, block(prep, x), pool=True)
    x = x + block(residual1.block2, block(residual1.block1, x))
    x = block(layer3, block(layer2, x, pool=True), pool=True)
    x = x + block(residual3.block2, block(residual3.block1, x))
    x = F.adaptive_max_pool2d(x, 1).flatten(1)
    return x @ network.linear.weight.T * 0.125


@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 28), (1, 8)])
def test_equals_pages_network_to_the_bit(channels: int, size: int) -> None:
    torch.manual_seed(0)
    network = resnet(8, channels, size, 10)
    x, labels = torch.randn(16, channels, size, size), torch.arange(16) % 10
    logits = network(x)
    reference = pages_forward(network, x)
    assert torch.equal(logits, reference)
    parameters = list(network.parameters())
    ours = torch.autograd.grad(F.cross_entropy(logits, labels), parameters)
    theirs = torch.autograd.grad(F.cross_entropy(reference, labels), parameters)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("ghost_batch", [None, 4])
@pytest.mark.parametrize("pool_first", [False, True])
@pytest.mark.parametrize("size", [32, 28, 9])
def test_evaluation_folds_batch_norm_into_the_convolutions(
    ghost_batch: int | None, pool_first: bool, size: int
) -> None:
    """Against batch norm written out, scales of both signs, in float64."""
    torch.manual_seed(0)
    config = ModelConfig(width=4, ghost_batch=ghost_batch, pool_first=pool_first)
    network = build(config, (size, size, 3), 10).double()
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    for _ in range(3):
        network(torch.randn(8, 3, size, size, dtype=torch.float64))
    network.eval()

    def block(module: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(module, ConvBlock)
        norm = module.norm
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        x = module.conv(x)
        x = F.max_pool2d(x, 2) if module.pool and pool_first else x
        x = (x.movedim(1, -1) - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias
        x = x.movedim(-1, 1)
        return F.relu(F.max_pool2d(x, 2) if module.pool and not pool_first else x)

    images = torch.randn(8, 3, size, size, dtype=torch.float64)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = images.contiguous(memory_format=memory_format)
        logits = network(x)
        prep, layer1, residual1, layer2, layer3, residual3 = network.features
        x = block(layer1, block(prep, x))
        x = x + block(residual1.block2, block(residual1.block1, x))
        x = block(layer3, block(layer2, x))
        x = x + block(residual3.block2, block(residual3.block1, x))
        expected = F.adaptive_max_pool2d(x, 1).flatten(1) @ network.linear.weight.T * 0.125
        torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)


def test_too_small_images_are_refused() -> None:
    with pytest.raises(UserError, match="8x7 pixels"):
        build(ModelConfig(width=8), (8, 7, 1), 10)


def test_pooling_before_batch_norm_is_another_network_with_the_same_weights() -> None:
    early = build(ModelConfig(width=4, pool_first=True), (32, 32, 3), 10)
    late = build(ModelConfig(width=4), (32, 32, 3), 10)
    late.load_state_dict(early.state_dict())
    x = torch.randn(8, 3, 32, 32)
    assert not torch.allclose(early(x), late(x), atol=1e-3)
    # With fixed statistics and positive scales the two orders commute.
    early.load_state_dict(late.state_dict())
    torch.testing.assert_close(early.eval()(x), late.eval()(x))


def test_dropout_acts_in_training_only() -> None:
    network = build(ModelConfig(width=4, dropout=0.5), (8, 8, 1), 10)
    x = torch.randn(8, 1, 8, 8)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_ghost_batch_norm_is_batch_norm_of_each_part() -> None:
    ghost, plain = GhostBatchNorm2d(3, group=4), nn.BatchNorm2d(3)
    x = torch.randn(12, 3, 5, 5) * 2 + 1
    parts = [plain(part) for part in x.split(4)]
    torch.testing.assert_close(ghost(x), torch.cat(parts))
    ordinary = nn.BatchNorm2d(3)
    ordinary(x)
    # From 0, three updates by groups come near to the one by their mean: all forget 10 % in all.
    torch.testing.assert_close(ghost.running_mean, ordinary.running_mean, rtol=0.1, atol=0.01)
    constant = torch.ones(12, 3, 2, 2)
    fresh = GhostBatchNorm2d(3, group=4)
    fresh(constant)
    torch.testing.assert_close(fresh.running_mean, torch.full((3,), 0.1))


def test_ghost_batch_norm_evaluates_as_batch_norm() -> None:
    ghost, plain = GhostBatchNorm2d(3, group=2), nn.BatchNorm2d(3)
    ghost(torch.randn(8, 3, 4, 4))
    plain.load_state_dict(ghost.state_dict())
    x = torch.randn(8, 3, 4, 4)
    assert torch.equal(ghost.eval()(x), plain.eval()(x))
