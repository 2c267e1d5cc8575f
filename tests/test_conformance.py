"""Optuna's own conformance suite, unmodified, for every sampler."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

import hptoolkit as hpt


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
class _Suite(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    pass


class TestCoordinateDescent(_Suite):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: hpt.CoordinateDescentSampler(seed=0)


class TestRandom(_Suite):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: hpt.RandomSampler(seed=0)


class TestSobol(_Suite):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: hpt.RandomSampler(seed=0, method="sobol")


class TestGrid(_Suite):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: hpt.GridSampler(seed=0)


class TestReparameterizedTPE(_Suite):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        inner = optuna.samplers.TPESampler(n_startup_trials=3)
        return lambda: hpt.Reparameterized(inner, seed=0)


class TestReparameterizedQMC(_Suite):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        inner = optuna.samplers.QMCSampler(seed=0)
        return lambda: hpt.Reparameterized(inner, seed=0)
