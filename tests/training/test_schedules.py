from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from hptoolkit.training import schedules
from hptoolkit.training.config import Schedule, TrainingConfig

N = 100


def values(progress: list[float], **fields: Any) -> list[float]:
    schedule = schedules.build(TrainingConfig.model_validate(fields))
    return [schedule(p) for p in progress]


def torchs(make: Any, momentum: bool = False) -> np.ndarray[Any, Any]:
    """What a torch scheduler sets at steps 0..N of N, for a peak of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    scheduler = make(optimizer)
    found = []
    for step in range(N + 1):
        found.append(optimizer.param_groups[0]["momentum" if momentum else "lr"])
        optimizer.step()
        if step < N:
            scheduler.step()
    return np.array(found)


PROGRESS = [step / N for step in range(N + 1)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1, 1]),
        ({"schedule": "step"}, [1, 1, 0.1, 0.01, 0.01]),
        ({"schedule": "linear", "schedule_final": 0.2}, [1, 0.8, 0.6, 0.4, 0.2]),
        ({"schedule": "exponential", "schedule_final": 1e-4}, [1, 0.1, 0.01, 1e-3, 1e-4]),
        ({"schedule": "cosine"}, [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]),
        ({}, [0, 0.9375, 0.625, 0.3125, 0]),  # Page: rises for a fifth, then 1 - (p - .2)/.8
        ({"schedule": "triangular", "schedule_cycles": 1}, [0, 0.5, 1, 0.5, 0]),
        ({"schedule": "linear", "warmup": 0.5}, [0, 0.5, 1, 0.5, 0]),
    ],
)
def test_quarters_by_hand(fields: dict[str, Any], expected: list[float]) -> None:
    assert values([0, 0.25, 0.5, 0.75, 1], **fields) == pytest.approx(expected, abs=1e-12)


def test_restarts_in_cycles_of_1_2_and_4_sevenths() -> None:
    progress = [0, 0.5 / 7, 1 / 7, 2 / 7, 3 / 7 + 1e-12, 5 / 7, 1]
    expected = [1, 0.5, 1, 0.5, 1, 0.5, 0]
    found = values(progress, schedule="cosine-restarts", schedule_cycles=3, schedule_growth=2)
    assert found == pytest.approx(expected, abs=1e-9)


def test_1cycle_and_its_momentum_move_against_each_other() -> None:
    fields = {"schedule": "1cycle", "schedule_peak": 0.4, "schedule_final": 0.001}
    found = values([0, 0.2, 0.4, 0.8, 0.9, 1], **fields)
    assert found == pytest.approx([0.04, 0.52, 1, 0.04, 0.0205, 0.001])
    config = TrainingConfig.model_validate(fields | {"momentum": 0.95, "momentum_low": 0.85})
    momentum = schedules.build_momentum(config)
    expected = [0.95, 0.9, 0.85, 0.95, 0.95, 0.95]
    assert [momentum(p) for p in (0, 0.2, 0.4, 0.8, 0.9, 1)] == pytest.approx(expected)
    assert schedules.build_momentum(TrainingConfig())(0.3) == 0.9
    low = TrainingConfig.model_validate(fields | {"momentum": 0.5})
    assert schedules.build_momentum(low)(0.4) == 0.5


def test_piecewise_linear_is_numpys_interpolation() -> None:
    knots, heights = (0.0, 0.1, 0.35, 0.9, 1.0), (0.3, 1.0, 0.2, 0.2, 0.0)
    schedule = schedules.piecewise_linear(knots, heights)
    np.testing.assert_allclose(
        [schedule(p) for p in PROGRESS], np.interp(PROGRESS, knots, heights), atol=1e-15
    )


SAME_AS_TORCH: list[tuple[dict[str, Any], Any]] = [
    (
        {"schedule": "step", "schedule_drops": (0.3, 0.8), "schedule_drop_factor": 0.2},
        lambda o: lr_scheduler.MultiStepLR(o, [30, 80], gamma=0.2),
    ),
    (
        {"schedule": "linear", "schedule_final": 0.1},
        lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, total_iters=N),
    ),
    (
        {"schedule": "exponential", "schedule_final": 0.01},
        lambda o: lr_scheduler.ExponentialLR(o, gamma=0.01 ** (1 / N)),
    ),
    (
        {"schedule": "cosine", "schedule_final": 0.05},
        lambda o: lr_scheduler.CosineAnnealingLR(o, N, eta_min=0.05),
    ),
    (
        {"schedule": "triangular", "schedule_cycles": 5, "schedule_growth": 1,
         "schedule_final": 0.1},
        lambda o: lr_scheduler.CyclicLR(o, 0.1, 1.0, step_size_up=10, cycle_momentum=False),
    ),
    (
        {"schedule": "1cycle", "schedule_peak": 0.4, "schedule_final": 0.001},
        lambda o: lr_scheduler.OneCycleLR(
            o, 1.0, total_steps=N + 1, pct_start=41 / 101, anneal_strategy="linear",
            div_factor=25, final_div_factor=40, three_phase=True,
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "make"), SAME_AS_TORCH, ids=[c[0]["schedule"] for c in SAME_AS_TORCH]
)
def test_same_as_torchs_scheduler(fields: dict[str, Any], make: Any) -> None:
    np.testing.assert_allclose(values(PROGRESS, **fields), torchs(make), atol=1e-9)


def test_restarts_as_torchs_warm_restarts() -> None:
    """Cycles of 10, 20 and 40 steps; the last step of a cycle is the first of the next in both."""
    found = torchs(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10, T_mult=2))
    ours = values([(step + 1e-9) / 70 for step in range(70)], schedule="cosine-restarts")
    np.testing.assert_allclose(ours, found[:70], atol=1e-6)


@given(
    st.sampled_from(get_args(Schedule)),
    st.floats(0, 1),
    st.floats(0, 0.9),
    st.integers(1, 6),
    st.floats(1, 3),
    st.floats(0.01, 0.9),
)
def test_every_schedule_stays_between_0_and_its_peak(
    name: str, progress: float, warmup: float, cycles: int, growth: float, final: float
) -> None:
    (value,) = values(
        [progress],
        schedule=name,
        warmup=warmup,
        schedule_cycles=cycles,
        schedule_growth=growth,
        schedule_final=final,
    )
    assert -1e-12 <= value <= 1 + 1e-12


@given(st.floats(0.01, 0.9), st.sampled_from(["constant", "linear", "cosine", "step"]))
def test_a_warm_up_rises_in_a_line_and_then_runs_the_whole_schedule(
    share: float, name: str
) -> None:
    warmed = values([0, share / 2, share, 1], schedule=name, warmup=share)
    plain = values([0, 1], schedule=name)
    assert warmed == pytest.approx([0, plain[0] / 2, plain[0], plain[1]], abs=1e-9)
