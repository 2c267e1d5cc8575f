from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from hptoolkit.errors import UserError
from hptoolkit.training import EpochReport, ModelConfig, Seeds, TrainingConfig, data, train
from hptoolkit.training.config import DataConfig
from hptoolkit.training.data import Split

SMALL = TrainingConfig(
    epochs=2, batch_size=32, lr=0.3, momentum=0.75, flip=False, crop_padding=1, cutout=2
)
WIDTH_4 = ModelConfig(width=4)
PLAIN = {"flip": False, "crop_padding": 0, "cutout": 0}


@pytest.fixture(scope="module")
def digits() -> Split:
    return data.split(data.load("digits"), DataConfig(train_size=300, validation_fraction=0.2))


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def test_learns_the_digits() -> None:
    parts = data.split(data.load("digits"), DataConfig())
    config = SMALL.model_copy(update={"epochs": 8, "lr": 0.5, "weight_decay": 0.00125})
    result = train(config, parts, model=ModelConfig(width=8), seed=0)
    assert result.validation_accuracy > 0.95
    assert result.diverged is None
    assert result.history[-1].validation_accuracy == result.validation_accuracy
    assert [epoch.epoch for epoch in result.history] == list(range(1, 9))


def test_steps_are_those_of_nesterov_sgd_written_out(digits: Split) -> None:
    """Full batches of a linear model in float64, each step by hand."""
    n = len(digits.train)
    config = TrainingConfig(
        epochs=3, batch_size=n, lr=0.2, momentum=0.8, weight_decay=0.01, **PLAIN
    )
    torch.manual_seed(3)
    start = linear()
    result = train(config, digits, model=start)

    x = torch.tensor(digits.train.images.reshape(n, 64), dtype=torch.float64)
    x = (x - x.mean()) / x.std(correction=0)
    y = F.one_hot(torch.tensor(digits.train.labels), 10).double()
    w, b = (p.detach().double() for p in start.parameters())
    vw, vb = torch.zeros_like(w), torch.zeros_like(b)
    for progress, loss_reported in zip((1 / 6, 3 / 6, 5 / 6), result.history, strict=True):
        lr = 0.2 * float(np.interp(progress, [0, 0.2, 1], [0, 1, 0]))
        logits = x @ w.T + b
        error = (torch.softmax(logits, 1) - y) / n
        loss = -(torch.log_softmax(logits, 1) * y).sum() / n
        assert loss_reported.train_loss == pytest.approx(loss.item(), rel=1e-5)
        assert loss_reported.lr == pytest.approx(lr)
        gw, gb = error.T @ x + 0.01 * w, error.sum(0) + 0.01 * b
        vw, vb = 0.8 * vw + gw, 0.8 * vb + gb
        w, b = w - lr * (gw + 0.8 * vw), b - lr * (gb + 0.8 * vb)
    torch.testing.assert_close(result.weights["1.weight"].double(), w, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(result.weights["1.bias"].double(), b, rtol=1e-4, atol=1e-6)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


def test_the_same_seed_gives_the_same_bits(digits: Split) -> None:
    runs = [train(SMALL, digits, model=WIDTH_4, seed=s) for s in (5, 5, 6)]
    assert same(runs[0].weights, runs[1].weights)
    assert runs[0].history[0] == replace(runs[1].history[0], seconds=runs[0].history[0].seconds)
    assert not same(runs[0].weights, runs[2].weights)


def test_each_source_of_randomness_has_its_own_seed(digits: Split) -> None:
    base = Seeds.same(0)
    reference = train(SMALL, digits, model=WIDTH_4, seed=base).weights
    for what in ("init", "order", "augment"):
        varied = base.vary(what, 1)
        assert not same(train(SMALL, digits, model=WIDTH_4, seed=varied).weights, reference)
    plain = SMALL.model_copy(update=PLAIN)
    unaugmented = train(plain, digits, model=WIDTH_4, seed=base).weights
    varied = base.vary("augment", 1)
    assert same(train(plain, digits, model=WIDTH_4, seed=varied).weights, unaugmented)


def test_leaves_the_callers_random_state_and_module_alone(digits: Split) -> None:
    module = linear()
    before = [p.clone() for p in module.parameters()]
    state = torch.random.get_rng_state()
    train(SMALL, digits, model=module)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_a_factory_is_called_under_the_seed(digits: Split) -> None:
    a, b, c = (train(SMALL, digits, model=linear, seed=Seeds(s, 0, 0)) for s in (1, 1, 2))
    assert same(a.weights, b.weights)
    assert not same(a.weights, c.weights)


def test_what_report_raises_ends_the_run(digits: Split) -> None:
    seen: list[EpochReport] = []

    def stop(epoch: EpochReport) -> None:
        seen.append(epoch)
        raise StopIteration("pruned")

    with pytest.raises(StopIteration, match="pruned"):
        train(SMALL, digits, model=WIDTH_4, report=stop)
    assert len(seen) == 1


def test_a_loss_that_is_not_finite_ends_the_run_unreported(digits: Split) -> None:
    seen: list[EpochReport] = []
    config = SMALL.model_copy(update={"lr": 1e30, "epochs": 5})
    result = train(config, digits, model=WIDTH_4, report=seen.append)
    assert result.diverged is not None
    assert "nan" in result.diverged
    assert len(result.history) == 1
    assert seen == []


def test_a_loss_far_above_chance_ends_the_run(digits: Split) -> None:
    result = train(SMALL.model_copy(update={"lr": 1e3}), digits, model=linear)
    assert result.diverged is not None
    assert "uniform guess" in result.diverged
    assert result.history[0].train_loss > 3 * math.log(10)


def test_a_batch_larger_than_the_data_is_refused(digits: Split) -> None:
    with pytest.raises(UserError, match="240 training images"):
        train(SMALL.model_copy(update={"batch_size": 241}), digits, model=WIDTH_4)


def test_any_pair_of_arrays_will_do() -> None:
    digits = data.load("digits")
    images, labels = digits.train_images[:200], digits.train_labels[:200].astype(np.uint8)
    images.flags.writeable = False
    result = train(SMALL, (images, labels), model=linear)
    assert result.history[-1].train_loss < math.log(10)
    with pytest.raises(UserError, match="must be uint8"):
        train(SMALL, (images / 255, labels), model=linear)
    with pytest.raises(UserError, match=r"got -1\.\.8"):
        train(SMALL, (images, labels.astype(int) - 1), model=linear)


def test_the_last_short_batch_is_dropped(digits: Split) -> None:
    """240 images in batches of 100: two steps, at progress 1/4 and 3/4."""
    ramp = {"schedule_knots": (0, 1), "schedule_values": (0, 1)}
    config = TrainingConfig(epochs=1, batch_size=100, lr=1.0, **ramp, **PLAIN)
    assert train(config, digits, model=linear).history[0].lr == pytest.approx(0.75)


class CountWaits(TorchDispatchMode):
    """Counts what makes the host wait for a device: reading a scalar, data-dependent shapes."""

    waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.nonzero.default,
            torch.ops.aten.masked_select.default,
        ):
            self.waits += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "fields", [{}, {"optimizer": "muon", "lr": 0.02}, {"ema": 0.9, "label_smoothing": 0.1}]
)
def test_nothing_waits_for_the_device_within_an_epoch(
    digits: Split, fields: dict[str, Any]
) -> None:
    waits = []
    for batch_size in (120, 8):
        update = {"batch_size": batch_size, "flip": True, "epochs": 1}
        config = SMALL.model_copy(update=update | fields)
        with CountWaits() as counter:
            train(config, digits, model=WIDTH_4)
        waits.append(counter.waits)
    assert waits[0] == waits[1]
    assert waits[0] <= 5


def test_the_augment_seed_decides_dropout_too(digits: Split) -> None:
    config, model = SMALL.model_copy(update=PLAIN), ModelConfig(width=4, dropout=0.5)
    a, b, c = (train(config, digits, model=model, seed=Seeds(0, 0, s)) for s in (1, 1, 2))
    assert same(a.weights, b.weights)
    assert not same(a.weights, c.weights)


def test_label_smoothing_acts_on_training_alone(digits: Split) -> None:
    """One step at a negligible rate: the loss reported is that of the first weights."""
    config = TrainingConfig(epochs=1, batch_size=240, lr=1e-30, **PLAIN)
    plain = train(config, digits, model=linear)
    smooth = train(config.model_copy(update={"label_smoothing": 0.5}), digits, model=linear)
    assert smooth.validation_loss == plain.validation_loss
    x = torch.tensor(digits.train.images.reshape(240, 64), dtype=torch.float32)
    x = (x - x.mean()) / x.std(correction=0)
    logits = x @ plain.weights["1.weight"].T + plain.weights["1.bias"]
    logs = torch.log_softmax(logits, 1)
    own = logs[torch.arange(240), torch.tensor(digits.train.labels)]
    expected = -(0.5 * own + 0.5 * logs.mean(1)).mean()
    assert smooth.history[0].train_loss == pytest.approx(expected.item(), rel=1e-5)


def test_patience_ends_a_run_that_does_not_improve(digits: Split) -> None:
    """At a negligible rate nothing ever improves: patience runs out after 1 + 3 epochs."""
    config = TrainingConfig(epochs=10, batch_size=100, lr=1e-30, patience=3, **PLAIN)
    for metric in ("validation_accuracy", "validation_loss"):
        update = {"patience_metric": metric}
        result = train(config.model_copy(update=update), digits, model=linear)
        assert len(result.history) == 4
        assert result.stopped_early
        assert result.diverged is None
    assert not train(SMALL, digits, model=linear).stopped_early


def test_the_average_of_weights_is_what_is_validated(digits: Split) -> None:
    """Full batches: the average worked out from runs that stop after each step."""
    base = {"batch_size": 240, "lr": 0.1, "schedule": "constant", **PLAIN}
    module = linear()
    steps = [module.state_dict()] + [
        train(TrainingConfig(epochs=n, **base), digits, model=module).weights for n in (1, 2, 3)
    ]
    expected = steps[0]["1.weight"]
    for weights in steps[1:]:
        expected = 0.75 * expected + 0.25 * weights["1.weight"]
    averaged = train(TrainingConfig(epochs=3, ema=0.75, **base), digits, model=module)
    torch.testing.assert_close(averaged.weights["1.weight"], expected)
    plain = train(TrainingConfig(epochs=3, **base), digits, model=module)
    assert averaged.validation_loss != plain.validation_loss


def test_flip_averaging_leaves_a_mirror_symmetric_model_as_it_is(digits: Split) -> None:
    class Symmetric(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.linear((x + x.flip(-1)).flatten(1))
            return logits

    for module, equal in ((Symmetric(), True), (linear(), False)):
        plain = train(SMALL, digits, model=module)
        mirrored = train(SMALL.model_copy(update={"flip_tta": True}), digits, model=module)
        assert (mirrored.validation_loss == plain.validation_loss) is equal


def test_lbfgs_trains_a_network_with_filters(digits: Split) -> None:
    config = TrainingConfig(
        optimizer="lbfgs", epochs=6, batch_size=240, lr=1.0, schedule="constant", **PLAIN
    )
    result = train(config, digits, model=WIDTH_4)
    assert result.history[-1].train_loss < 0.5 * result.history[0].train_loss


def test_compiling_on_the_cpu_is_refused(digits: Split) -> None:
    with pytest.raises(UserError, match="cuda"):
        train(SMALL, digits, model=WIDTH_4, compiled=True)


def test_bfloat16_changes_the_last_digits_alone_and_keeps_float32_weights(digits: Split) -> None:
    losses = {}
    for precision in ("auto", "float32", "bfloat16"):
        config = SMALL.model_copy(update={"precision": precision, "epochs": 1})
        result = train(config, digits, model=WIDTH_4)
        losses[precision] = result.history[0].train_loss
        assert result.weights["linear.weight"].dtype == torch.float32
    assert losses["auto"] == losses["float32"]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
