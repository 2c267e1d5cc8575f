from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hptoolkit.errors import UserError
from hptoolkit.training.model import ConvBlock, ResNet, resnet


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


def test_too_small_images_are_refused() -> None:
    with pytest.raises(UserError, match="8 at least"):
        resnet(8, 1, 7, 10)
