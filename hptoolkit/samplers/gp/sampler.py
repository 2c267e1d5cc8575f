"""Bayesian optimisation by a Gaussian process that learns the coordinates it searches."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from hptoolkit.attributes import GP_REPORT
from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError
from hptoolkit.optuna_internals import storage_of, study_id_of
from hptoolkit.samplers.base import CoordinateSampler
from hptoolkit.samplers.gp.design import on_faces, spread
from hptoolkit.samplers.gp.evidence import Evidence, gather
from hptoolkit.samplers.gp.features import Columns
from hptoolkit.samplers.gp.report import GPReport, summarise
from hptoolkit.samplers.gp.threads import one_thread
from hptoolkit.samplers.history import History
from hptoolkit.search_space.region import Array, Region, SearchSpace

if TYPE_CHECKING:
    from hptoolkit.samplers.gp.model import Parameters


# A fit needs this many points.
_FEWEST = 2
# Points all over the region, and as many on its border, among which the criterion is maximised.
_POINTS = 256
# Points of the design beyond the one that is due, in case that was tried or rounding moved it out.
_SPARE = 64
# Points with the best values, about which as many are tried.
_CENTRES = 4


class GPSampler(CoordinateSampler):
    """Expected improvement under a GP on the coordinates, whose first one is learned.

    The first coordinate's exponents, such as those of 1−ρ and α in λα/(1−ρ), are fitted with the
    kernel under a normal prior at theory's values; the other coordinates are a priori nearly flat.
    Improvement is expected over the largest posterior mean at the points evaluated, not over the
    luckiest value (V. Picheny et al., A benchmark of kriging-based infill criteria for noisy
    optimization, 2013; its logarithm: S. Ament et al., Unexpected improvements to expected
    improvement for Bayesian optimization, 2023). Trials that run are taken to come out as
    predicted. Pruned, diverged and failed trials are evidence too; repeats of a point are pooled.

    The study's user attribute "gp" says how long the last choice took, and after `keep_report` (at
    the end of the command) what the GP has learned. Importing PyTorch and BoTorch takes seconds, at
    the first fit.

    Args:
        coordinates, search_space, box, start, seed: See `CoordinateSampler`. Without a start, the
            first point is the region's middle.
        initial: Points of a scrambled Sobol sequence over the raw box, as far as they lie in the
            region, that follow the start.
        learn: Whether to take the coordinates for a theory and fit its exponents. False leaves the
            axes as they are, all with the same prior: a plain GP, for comparison over raw names.
    """

    def __init__(
        self,
        coordinates: Coordinates | None = None,
        *,
        search_space: Mapping[str, BaseDistribution] | None = None,
        box: Mapping[str, tuple[float, float]] | None = None,
        start: Mapping[str, Any] | None = None,
        seed: int | None = None,
        initial: int = 3,
        learn: bool = True,
    ) -> None:
        super().__init__(coordinates, search_space=search_space, box=box, start=start, seed=seed)
        if initial < 0:
            raise UserError(f"initial is {initial}: 0 or a positive number of points is needed.")
        self.initial = initial
        self.learn = learn
        self._columns: Columns | None = None
        self._fitted: tuple[Columns, Evidence, Parameters] | None = None

    def propose(self, region: Region, history: History) -> Array:
        columns = self._columns_of(region)
        evidence = gather(region, columns, history)
        if not self._models(history, evidence):
            start = region.check_start(self.start)
            return _first_new(self._design(columns, start, history.number), region, history)
        model, search = _numerics()
        with one_thread():
            parameters = self._fit(columns, evidence)
            points = self._points(columns, evidence, history)
            posterior = model.LearnedAxesGP(parameters, evidence, evidence.pending)
            improvement = search.expected_improvement(posterior, evidence)
            ranked = search.best_first(improvement, region, columns, points)
            return _first_new(ranked, region, history)

    def report(self, study: Study) -> GPReport:
        """What the GP says of a study: exponents, length-scales, the predicted best configuration.

        Raises UserError where fewer than two points have been evaluated.
        """
        trials = study.get_trials(deepcopy=False)
        space = self._search_space(trials)
        if space:
            region = self.region(space)
            history = self._history(study, trials, space)
            evidence = gather(region, self._columns_of(region), history)
            told = {o.key for o in history.observations if o.value not in (None, -math.inf)}
            if len(evidence.values) >= _FEWEST <= len(told):
                return self._summary(region, evidence, history)
        raise UserError(
            f"The study has {len(trials)} trials, of which fewer than {_FEWEST} have told a value "
            "at different points: the GP has nothing to report. Run more trials first."
        )

    def keep_report(self, study: Study) -> GPReport:
        """The report, stored in the study's user attribute "gp" too; errors as of `report`."""
        report = self.report(study)
        stored = asdict(report) | {"interval": list(report.interval)}
        study.set_user_attr(GP_REPORT, {**study.user_attrs.get(GP_REPORT, {}), **stored})
        return report

    def _proposal(
        self, study: Study, trial: FrozenTrial, trials: list[FrozenTrial], space: SearchSpace
    ) -> dict[str, Any] | None:
        began = time.perf_counter()
        params = super()._proposal(study, trial, trials, space)
        if self._fitted is not None:
            cost = {"seconds": round(time.perf_counter() - began, 3)}
            storage_of(study).set_study_user_attr(study_id_of(study), GP_REPORT, cost)
        return params

    def _models(self, history: History, evidence: Evidence) -> bool:
        return history.number > self.initial and len(evidence.values) >= _FEWEST

    def _columns_of(self, region: Region) -> Columns:
        if self._columns is None or self._columns.region is not region:
            self._columns = Columns(region, self.learn)
        return self._columns

    def _design(self, columns: Columns, start: Array, number: int) -> Iterator[Array]:
        """The start, then spread points from the one that trial `number` comes to; then the rest.

        A point that rounding moves out of the region is left out.
        """
        yield start
        points = spread(columns, number + _SPARE, self.seed)
        for point in np.roll(points, -max(number - 1, 0), axis=0):
            position = columns.region.encode(columns.region.decode(columns.decode(point)))
            if columns.region.contains(position):
                yield position

    def _fit(self, columns: Columns, evidence: Evidence) -> Parameters:
        # A trial's choice and its report need the same fit, and so may the next trial's.
        known = self._fitted
        if known is not None and known[0] is columns and known[1].tells_the_same(evidence):
            return known[2]
        parameters: Parameters = _numerics()[0].fit(columns.layout, evidence)
        self._fitted = (columns, evidence, parameters)
        return parameters

    def _points(self, columns: Columns, evidence: Evidence, history: History) -> Array:
        """Points among which a criterion's maximum is looked for.

        Everywhere in the region, on its faces and corners, and near the best.
        """
        rng = self.generator(history)
        inside = spread(columns, _POINTS, int(rng.integers(2**31)))
        everywhere = np.vstack([inside, on_faces(columns, inside, rng)])
        centres = evidence.columns[np.argsort(-evidence.values, kind="stable")[:_CENTRES]]
        points: Array = _numerics()[1].candidates(columns, everywhere, centres, rng)
        return points

    def _summary(self, region: Region, evidence: Evidence, history: History) -> GPReport:
        columns = self._columns_of(region)
        model, search = _numerics()
        with one_thread():
            parameters = self._fit(columns, evidence)
            points = self._points(columns, evidence, history)
            posterior = model.LearnedAxesGP(parameters, evidence)
            ranked = search.best_first(search.mean(posterior), region, columns, points)
            best: Array = next(ranked, region.middle())
            moments = posterior.moments(columns.encode(best))
            fit = model.in_numbers(parameters, evidence)
        return summarise(region, columns, evidence, fit, best, moments, history.sign)


def _numerics() -> tuple[ModuleType, ModuleType]:
    """The modules that need PyTorch and BoTorch, imported at first use."""
    with warnings.catch_warnings():
        # linear_operator, which BoTorch imports, calls torch.jit.script.
        warnings.simplefilter("ignore", FutureWarning)
        from hptoolkit.samplers.gp import acquisition, model
    return model, acquisition


def _first_new(positions: Iterable[Array], region: Region, history: History) -> Array:
    """The first position that was not tried; else the first that neither runs nor was given up."""
    tried = {o.key for o in (*history.observations, *history.failures)}
    again = None
    for position in positions:
        key = history.key(region.decode(position))
        if key not in tried:
            return position
        if again is None and key not in history.pending and key not in history.given_up:
            again = position
    return region.middle() if again is None else again
