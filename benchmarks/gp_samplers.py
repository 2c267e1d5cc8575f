"""Trials until a configuration within noise of the best is evaluated, and what an ask costs.

    python -m benchmarks.gp_samplers trials [--seeds 20] [--limit 40] [--methods …] [--responses …]
    python -m benchmarks.gp_samplers asks

Responses are made by hand over (λ, ρ, α) with their maximum 94.2 known, plus normal noise of
deviation 0.15; "within noise" is a noise-free value above 94.2 − 2 · 0.15. All methods search the
same raw box and begin at Page's start, seven doublings from the optimum.
"""

from __future__ import annotations

import argparse
import math
import os
import time
import warnings
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from optuna.samplers import BaseSampler

import hptoolkit as hpt
from tests import page

NOISE = 0.15
BEST = 94.2
Response = Callable[[float, float, float], float]


def saturating(lr: float, momentum: float, weight_decay: float) -> float:
    """Page's response near its maximum, chance (10 %) far from it."""
    return 10.0 + 84.2 * math.exp((page.accuracy(lr, momentum, weight_decay) - BEST) / 40.0)


def cliff(lr: float, momentum: float, weight_decay: float) -> float:
    """The saturating response, but training diverges two doublings above the best λ/(1−ρ)."""
    return -math.inf if lr / (1.0 - momentum) > 8.0 else saturating(lr, momentum, weight_decay)


def other_exponents(lr: float, momentum: float, weight_decay: float) -> float:
    """A ridge along λ·(1−ρ)^−0.97·α^0.25, the exponents that un-normalised MLPs have."""
    u = math.log2(lr * (1.0 - momentum) ** -0.97 * weight_decay**0.25 / 0.35)
    r = math.log2((1.0 - momentum) / 0.125)
    a = math.log2(weight_decay / 0.00125)
    return 10.0 + 84.2 * math.exp(-(u * u + 0.1 * r * r + 0.05 * a * a) / 80.0)


RESPONSES: dict[str, Response] = {
    "page": page.accuracy,
    "saturating": saturating,
    "cliff": cliff,
    "exponents": other_exponents,
}


def ours(seed: int) -> BaseSampler:
    return hpt.GPSampler(
        page.COORDINATES, search_space=page.SEARCH_SPACE, start=page.START, seed=seed
    )


def ours_raw(seed: int) -> BaseSampler:
    return hpt.GPSampler(
        hpt.Coordinates("lr", "1-momentum", "weight_decay"),
        search_space=page.SEARCH_SPACE,
        start=page.START,
        seed=seed,
        learn=False,
    )


def optuna_gp(seed: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed)


def optuna_gp_4(seed: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=4)


METHODS: dict[str, Callable[[int], BaseSampler]] = {
    "GP coordinates": ours,
    "GP raw": ours_raw,
    "Optuna GP": optuna_gp,
    "Optuna GP 4": optuna_gp_4,
}


def trials_to_target(response: Response, sampler: BaseSampler, seed: int, limit: int) -> int:
    """The number of trials up to the first within noise of the best; limit + 1 if none is."""
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.enqueue_trial(page.START)
    noise = np.random.default_rng([seed, 1])
    for count in range(1, limit + 1):
        trial = study.ask(page.SEARCH_SPACE)
        value = response(**trial.params)
        if value > BEST - 2 * NOISE:
            return count
        if math.isfinite(value):
            study.tell(trial, value + NOISE * noise.standard_normal())
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return limit + 1


def compare(methods: list[str], responses: list[str], seeds: int, limit: int) -> None:
    print(f"n = {seeds} seeds, at most {limit} trials\n")
    print("| response | method | median | quartiles | found |\n|---|---|---|---|---|")
    for name in responses:
        for method in methods:
            counts = np.array(
                [
                    trials_to_target(RESPONSES[name], METHODS[method](seed), seed, limit)
                    for seed in range(seeds)
                ]
            )
            low, median, high = (_shown(q, limit) for q in np.percentile(counts, [25, 50, 75]))
            found = int(np.sum(counts <= limit))
            print(
                f"| {name} | {method} | {median} | {low} to {high} | {found}/{seeds} |", flush=True
            )


def _shown(count: float, limit: int) -> str:
    return f"> {limit}" if count > limit else f"{count:g}"


def time_asks() -> None:
    """Median seconds of an ask with all parameters suggested; methods take turns."""
    print("| stored trials | method | median s | quartiles | n |\n|---|---|---|---|---|")
    for stored in (20, 100, 300):
        studies = {
            name: _filled(METHODS[name](0), stored) for name in ("GP coordinates", "Optuna GP")
        }
        seconds: dict[str, list[float]] = {name: [] for name in studies}
        for turn in range(11):
            for name, study in studies.items():
                began = time.perf_counter()
                trial = study.ask(page.SEARCH_SPACE)
                # The first turn imports PyTorch.
                if turn:
                    seconds[name].append(time.perf_counter() - began)
                study.tell(trial, saturating(**trial.params))
        for name, taken in seconds.items():
            low, median, high = np.percentile(taken, [25, 50, 75])
            print(f"| {stored} | {name} | {median:.2f} | {low:.2f} to {high:.2f} | {len(taken)} |")


def _filled(sampler: BaseSampler, count: int) -> optuna.Study:
    study = optuna.create_study(sampler=sampler, direction="maximize")
    rng = np.random.default_rng(0)
    for _ in range(count):
        params = {
            "lr": float(10 ** rng.uniform(-4, 1)),
            "momentum": float(rng.uniform(0.0, 0.98)),
            "weight_decay": float(10 ** rng.uniform(-5, -1)),
        }
        value = saturating(**params) + NOISE * rng.standard_normal()
        study.add_trial(
            optuna.create_trial(params=params, distributions=page.SEARCH_SPACE, value=value)
        )
    return study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["trials", "asks"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--responses", nargs="+", choices=RESPONSES, default=list(RESPONSES))
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", FutureWarning)
    if given.what == "asks":
        time_asks()
    else:
        compare(given.methods, given.responses, given.seeds, given.limit)


if __name__ == "__main__":
    main()
