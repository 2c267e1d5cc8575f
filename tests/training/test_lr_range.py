from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hptoolkit.errors import UserError
from hptoolkit.training import ModelConfig, TrainingConfig, data
from hptoolkit.training.config import DataConfig
from hptoolkit.training.lr_range import Suggestion, combine, range_test, smooth, suggest

LRS = np.geomspace(1e-6, 1.0, 241)
SMALL = TrainingConfig(batch_size=48, flip=False, crop_padding=1, cutout=0)
Floats = np.ndarray[Any, np.dtype[np.float64]]


def valley(lrs: Floats, centre: float = 1e-3, explosion: float = 3e-2) -> Floats:
    """A fall from 2.3 to 0.8, steepest at `centre`, then a sharp rise beyond `explosion`."""
    x = np.log10(lrs / centre)
    fall = 1.5 / (1 + np.exp(-x / 0.25))
    rise = 0.2 * np.exp(4 * np.log(lrs / explosion))
    return np.asarray(2.3 - fall + rise)


def test_bounds_lie_where_the_loss_still_falls() -> None:
    """Half of the logistic fall is made at its centre, where it is steepest; twice that is high."""
    found = suggest(LRS, valley(LRS))
    assert found.steepest == pytest.approx(1e-3, rel=0.06)
    assert found.high == pytest.approx(2e-3, rel=0.06)
    assert found.high < found.minimum
    assert found.low == pytest.approx(found.high / 10)
    assert suggest(LRS, valley(LRS), factor=3).low == pytest.approx(found.high / 3)


@given(st.floats(-3, 3))
def test_the_unit_of_the_learning_rate_does_not_matter(decades: float) -> None:
    unit = 10.0**decades
    one, other = suggest(LRS, valley(LRS)), suggest(LRS * unit, valley(LRS))
    assert other.high == pytest.approx(one.high * unit, rel=1e-9)
    assert other.steepest == pytest.approx(one.steepest * unit, rel=1e-9)


def test_noise_moves_the_bounds_by_less_than_a_factor_of_two() -> None:
    clean = suggest(LRS, valley(LRS)).high
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0, 0.05, len(LRS))
        assert 0.5 < suggest(LRS, valley(LRS) + noise).high / clean < 2


def test_several_ramps_suggest_their_median_and_how_sure_it_is() -> None:
    ramps = [Suggestion(high / 10, high, high / 2, 3 * high) for high in (0.1, 0.2, 0.8)]
    found = combine(ramps)
    assert (found.low, found.high, found.steepest) == pytest.approx((0.02, 0.2, 0.1))
    # By hand: logarithms −1, 0, 2 octaves from the median, deviation 1.528; ·√(π/2)/√3 = 1.106.
    assert found.uncertainty == pytest.approx(2**1.106, rel=1e-3)
    assert combine(ramps[:1]).uncertainty == 1.0


def test_a_spike_of_the_loss_does_not_move_the_bounds() -> None:
    losses = valley(LRS)
    losses[150] += 3.0
    assert suggest(LRS, losses).high == pytest.approx(suggest(LRS, valley(LRS)).high, rel=0.2)


def test_a_loss_that_falls_nowhere_is_refused() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, len(LRS))
    for losses in (2.3 + noise, 2.3 + LRS, np.full(len(LRS), 2.3)):
        with pytest.raises(UserError, match="fell nowhere"):
            suggest(LRS, losses)


def test_smoothing_keeps_lines_and_gives_their_slopes() -> None:
    values, slopes = smooth(LRS, 3.0 - 0.7 * np.log10(LRS))
    np.testing.assert_allclose(values, 3.0 - 0.7 * np.log10(LRS), atol=1e-9)
    np.testing.assert_allclose(slopes, -0.7, atol=1e-9)


@pytest.fixture(scope="module")
def digits() -> data.Split:
    return data.split(data.load("digits"), DataConfig())


def test_the_test_on_digits_brackets_a_rate_that_trains_well(digits: data.Split) -> None:
    found = range_test(SMALL, digits, model=ModelConfig(width=8), steps=150, seed=0)
    assert 0.02 < found.suggestion.low < found.suggestion.high < 5
    assert found.exploded
    assert len(found.highs) == 5
    assert len(found.lrs) < found.steps < 5 * len(found.lrs)  # the ramps after the first are short
    assert 1.0 < found.suggestion.uncertainty < 2.0
    assert max(found.lrs) < 100
    assert len(found.lrs) == len(found.losses) == len(found.smoothed) == len(found.slopes)
    assert all(math.isfinite(loss) for loss in found.losses)
    assert found.losses[0] == pytest.approx(math.log(10), rel=0.15)
    ratios = np.diff(np.log(found.lrs))
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-6)


def test_nothing_given_is_changed_and_the_seed_decides(digits: data.Split) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    before = module[1].weight.clone()
    state = torch.random.get_rng_state()
    runs = [range_test(SMALL, digits, model=module, seed=s, steps=60) for s in (0, 0, 1)]
    assert torch.equal(module[1].weight, before)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert runs[0] == runs[1]
    assert runs[0].losses != runs[2].losses


def test_the_configured_rate_and_schedule_do_not_matter(digits: data.Split) -> None:
    other = SMALL.model_copy(update={"lr": 0.001, "schedule": "cosine", "epochs": 3})
    model = ModelConfig(width=4)
    runs = [range_test(c, digits, model=model, steps=80) for c in (SMALL, other)]
    np.testing.assert_allclose(runs[0].losses[:60], runs[1].losses[:60], rtol=1e-3)


@pytest.mark.parametrize(
    "fields",
    [
        {"lowest": 0.0},
        {"lowest": 1.0, "highest": 0.1},
        {"highest": math.inf},
        {"steps": 5},
        {"factor": 1.0},
        {"ramps": 0},
    ],
)
def test_bad_ranges_are_refused(digits: data.Split, fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="got"):
        range_test(SMALL, digits, **fields)


def test_a_range_that_is_too_low_is_refused(digits: data.Split) -> None:
    with pytest.raises(UserError, match="wider range"):
        range_test(SMALL, digits, model=ModelConfig(width=4), highest=1e-5, steps=40)


def test_a_range_that_is_too_high_is_refused(digits: data.Split) -> None:
    with pytest.raises(UserError, match="exploded at once"):
        range_test(SMALL, digits, model=ModelConfig(width=4), lowest=1e6, highest=1e30, steps=40)
