"""Optuna's own conformance suite, unmodified, for the GP sampler."""

from __future__ import annotations

from collections.abc import Callable

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
class TestGP(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture(params=COORDINATES, ids=["none", "some"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: hpt.GPSampler(request.param, seed=0)
