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

# Coordinates over none of the suite's parameters leave its x and y to axes of their own.
COORDINATES = [
    hpt.Coordinates(),
    hpt.Coordinates("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay"),
]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
class _Suite(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    pass


class TestCoordinateDescent(_Suite):
    @pytest.fixture(params=COORDINATES, ids=["none", "some"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: hpt.CoordinateDescentSampler(request.param, seed=0)


class TestRandom(_Suite):
    @pytest.fixture(params=COORDINATES, ids=["none", "some"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: hpt.RandomSampler(request.param, seed=0)


class TestSobol(_Suite):
    @pytest.fixture(params=COORDINATES, ids=["none", "some"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: hpt.RandomSampler(request.param, seed=0, method="sobol")


class TestGrid(_Suite):
    @pytest.fixture(params=COORDINATES, ids=["none", "some"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: hpt.GridSampler(request.param, seed=0)


class TestReparameterizedTPE(_Suite):
    @pytest.fixture(params=COORDINATES, ids=["none", "some"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        inner = optuna.samplers.TPESampler(n_startup_trials=3)
        return lambda: hpt.Reparameterized(inner, request.param, seed=0)


class TestReparameterizedQMC(_Suite):
    @pytest.fixture(params=COORDINATES, ids=["none", "some"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        inner = optuna.samplers.QMCSampler(seed=0)
        return lambda: hpt.Reparameterized(inner, request.param, seed=0)
