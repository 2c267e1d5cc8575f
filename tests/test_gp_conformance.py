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


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
class TestGP(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: hpt.GPSampler(seed=0)
