"""The Gaussian process: Matérn-5/2 on axes of which the first one's exponents are fitted too.

With X the columns (log λ, log(1−ρ), …), the features are u = X·Wᵀ, where W is theory's map in
units of the region except for the exponents of the first coordinate, which are parameters with a
normal prior at theory's values. The covariance of two points is

    τ² + s²·k(r),    k(r) = (1 + √5 r + 5r²/3)·exp(−√5 r),    r² = Σ (u − u')²/ℓ²,

with τ the prior deviation of an unknown constant mean; each row has a noise variance of its own.
All parameters maximise their posterior (MAP): the marginal likelihood is in closed form, its
gradient by autograd. The posterior is a BoTorch model, for its acquisition functions.
(Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, equations 2.30 and 4.17.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal  # type: ignore[import-untyped]
from linear_operator import to_linear_operator  # type: ignore[import-untyped]
from scipy.optimize import minimize
from torch import Tensor

from hptoolkit.samplers.gp.evidence import Evidence
from hptoolkit.samplers.gp.features import Kind, Layout
from hptoolkit.samplers.gp.report import Fit
from hptoolkit.search_space.region import Array

# Normal priors (mean, deviation) of log length-scales, in units of the region's span.
# Longer sensitive ones (0.5) and shorter ones (0.2, with flat axes of 1.0) took as many trials or
# more on tables of real trainings (docs/race.md): a flat axis is often not so flat.
LENGTH_PRIORS: dict[Kind, tuple[float, float]] = {
    "sensitive": (math.log(0.3), 0.8),
    "flat": (math.log(0.5), 0.8),
    "own": (math.log(0.5), 0.8),
}
# Of the log signal variance and log noise variance, for values of deviation 1.
SIGNAL_PRIOR = (0.0, 1.0)
NOISE_PRIOR = (math.log(1e-3), 2.0)
# Prior deviation of an exponent, in units of the anchor's.
EXPONENT_DEVIATION = 0.5
# Prior deviation of the constant mean.
MEAN_DEVIATION = 1.0
# How many repeats the common noise counts for in a point's own.
NOISE_WEIGHT = 4.0

# Least noise variance: keeps the covariance of many rows well conditioned.
_LEAST_NOISE = 1e-6


@dataclass(frozen=True)
class Parameters:
    """Fitted parameters; `vector` is (log ℓ, exponents, log s², log σ²)."""

    vector: Tensor
    layout: Layout

    @property
    def lengths(self) -> Tensor:
        return self.vector[: len(self.layout.kinds)].exp()

    @property
    def exponents(self) -> Tensor:
        """The first coordinate's learned exponents, in units of the anchor's."""
        return self.vector[len(self.layout.kinds) : -2]

    @property
    def signal(self) -> Tensor:
        return self.vector[-2].exp()

    @property
    def noise(self) -> Tensor:
        return self.vector[-1].exp() + _LEAST_NOISE

    def features(self, columns: Tensor) -> Tensor:
        """Features (…, d) over their length-scales, for columns (…, c)."""
        weights: Tensor = torch.from_numpy(self.layout.weights)
        if self.layout.learned:
            index = torch.tensor(self.layout.learned)
            first = weights[0].index_copy(0, index, self.exponents * weights[0, self.layout.anchor])
            weights = torch.cat([first[None], weights[1:]])
        return columns @ weights.T / self.lengths[torch.from_numpy(self.layout.axis)]

    def covariance(self, a: Tensor, b: Tensor) -> Tensor:
        """Prior covariance (…, n, m) of scaled features (…, n, d) and (…, m, d)."""
        squares = (a.unsqueeze(-2) - b.unsqueeze(-3)).square().sum(-1)
        # The square root has no gradient at 0.
        r = (5.0 * squares + 1e-16).sqrt()
        return MEAN_DEVIATION**2 + self.signal * (1.0 + r + r * r / 3.0) * torch.exp(-r)


def prior(layout: Layout) -> tuple[Tensor, Tensor]:
    """Means and deviations of the parameters' normal priors."""
    lengths = [LENGTH_PRIORS[kind] for kind in layout.kinds]
    theory = [layout.weights[0, i] / layout.weights[0, layout.anchor] for i in layout.learned]
    exponents = [(value, EXPONENT_DEVIATION) for value in theory]
    pairs = [*lengths, *exponents, SIGNAL_PRIOR, NOISE_PRIOR]
    table = torch.tensor(pairs, dtype=torch.float64)
    return table[:, 0], table[:, 1]


def row_noise(noise: Tensor, repeats: Tensor, scatter: Tensor) -> Tensor:
    """Noise variance of each mean: its repeats' own, shrunk to the common one."""
    return (NOISE_WEIGHT * noise + scatter) / ((NOISE_WEIGHT + repeats - 1.0) * repeats)


def loss(vector: Tensor, layout: Layout, evidence: Evidence) -> Tensor:
    """Negative log posterior density of the parameters, up to a constant."""
    mean, deviation = prior(layout)
    penalty = 0.5 * ((vector - mean) / deviation).square().sum()
    parameters = Parameters(vector, layout)
    columns, values, repeats, scatter = _tensors(evidence)
    factor = _factor(parameters, columns, repeats, scatter)
    white = torch.linalg.solve_triangular(factor, values[:, None], upper=False)
    # What the repeats' scatter says about the noise by itself.
    within = 0.5 * ((repeats - 1.0) * parameters.noise.log() + scatter / parameters.noise).sum()
    density: Tensor = penalty + 0.5 * white.square().sum() + factor.diagonal().log().sum() + within
    return density


def fit(layout: Layout, evidence: Evidence) -> Parameters:
    """The parameters of largest posterior density."""
    mean, deviation = prior(layout)

    def objective(x: Array) -> tuple[float, Array]:
        vector = (mean + deviation * torch.from_numpy(x)).requires_grad_()
        value = loss(vector, layout, evidence)
        (gradient,) = torch.autograd.grad(value, vector)
        return value.item(), (gradient * deviation).numpy()

    # In units of the prior; five deviations off is as good as never.
    start = np.zeros(len(mean))
    solution = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-5.0, 5.0)] * len(start),
        options={"maxiter": 60, "ftol": 1e-6, "gtol": 1e-3},
    )
    return Parameters(mean + deviation * torch.from_numpy(np.asarray(solution.x)), layout)


def in_numbers(parameters: Parameters, evidence: Evidence) -> Fit:
    """The fit with the exponents' standard errors."""
    axes, errors = len(parameters.layout.kinds), np.zeros(0)
    if parameters.layout.learned:
        errors = standard_errors(parameters, evidence)[axes:-2]
    return Fit(
        lengths=parameters.lengths.numpy(),
        exponents=parameters.exponents.numpy(),
        errors=errors,
        noise=float(parameters.noise),
    )


def standard_errors(parameters: Parameters, evidence: Evidence) -> Array:
    """Of each entry of `vector`, by Laplace's approximation: from the loss's inverse Hessian."""
    hessian = torch.autograd.functional.hessian(  # type: ignore[no-untyped-call]
        lambda vector: loss(vector, parameters.layout, evidence), parameters.vector
    )
    # In units of the prior, whose own curvature is 1: the data leave no less than that.
    _, deviation = prior(parameters.layout)
    curvature, directions = torch.linalg.eigh(hessian * deviation[:, None] * deviation)
    variances = (directions.square() / curvature.clamp_min(1.0)).sum(1)
    errors: Array = (variances.sqrt() * deviation).numpy()
    return errors


class LearnedAxesGP(Model):
    """The posterior at fitted parameters, as a BoTorch model over columns.

    Args:
        parameters: Kernel and axes.
        evidence: Rows that were told.
        believed: (m, c) further columns that are being evaluated, taken to come out as predicted:
            the mean stays, the variance shrinks.
    """

    def __init__(
        self, parameters: Parameters, evidence: Evidence, believed: Array | None = None
    ) -> None:
        super().__init__()
        self.fitted = parameters
        columns, values, repeats, scatter = _tensors(evidence)
        self._condition(columns, values, repeats, scatter)
        if believed is not None and len(believed):
            points, one = torch.from_numpy(believed), torch.ones(len(believed), dtype=torch.float64)
            self._condition(
                torch.cat([columns, points]),
                torch.cat([values, self.posterior(points).mean.squeeze(-1)]),
                torch.cat([repeats, one]),
                torch.cat([scatter, 0.0 * one]),
            )

    def _condition(self, columns: Tensor, values: Tensor, repeats: Tensor, scatter: Tensor) -> None:
        root = _factor(self.fitted, columns, repeats, scatter)
        self._features = self.fitted.features(columns)
        self._weights = torch.cholesky_solve(values[:, None], root)
        # One product a prediction instead of a triangular solve for each point.
        self._whiten = torch.linalg.inv(root).mT

    @property
    def num_outputs(self) -> int:
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        return torch.Size()

    def moments(self, point: Array) -> tuple[float, float]:
        """Mean and deviation of the noise-free value at one point (c,)."""
        with torch.no_grad():
            posterior = self.posterior(torch.from_numpy(point)[None])
        return float(posterior.mean), float(posterior.variance.clamp_min(0.0).sqrt())

    def posterior(self, X: Tensor, *args: Any, **kwargs: Any) -> GPyTorchPosterior:
        """Noise-free values at columns X (…, q, c), jointly over q."""
        features = self.fitted.features(X)
        cross = self.fitted.covariance(features, self._features)
        mean = (cross @ self._weights).squeeze(-1)
        white = cross @ self._whiten
        covariance = self.fitted.covariance(features, features) - white @ white.mT
        # Wrapped, the matrix is factorised only if somebody draws from the posterior.
        return GPyTorchPosterior(MultivariateNormal(mean, to_linear_operator(covariance)))


def _tensors(evidence: Evidence) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = (evidence.columns, evidence.values, evidence.repeats, evidence.scatter)
    columns, values, repeats, scatter = (torch.from_numpy(row) for row in rows)
    return columns, values, repeats, scatter


def _factor(parameters: Parameters, columns: Tensor, repeats: Tensor, scatter: Tensor) -> Tensor:
    features = parameters.features(columns)
    noise = row_noise(parameters.noise, repeats, scatter)
    root: Tensor = torch.linalg.cholesky(
        parameters.covariance(features, features) + torch.diag(noise)
    )
    return root
