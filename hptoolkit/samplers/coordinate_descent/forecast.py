"""What a trial that still runs will come to, judged by what it has reported so far."""

from __future__ import annotations

import math

import numpy as np

from hptoolkit.samplers.history import History, Observation


def forecast(running: Observation, history: History) -> float | None:
    """The expected value of a running trial, larger being better; None if nothing tells.

    The final values of complete trials are read as a function of what they had reported at the
    running trial's last step: interpolated between them, and beyond them continued with the slope
    of their regression line. It takes two such trials. What is reported need not be what is
    judged: a loss tells of an accuracy as well.
    """
    reports = running.trial.intermediate_values
    if not reports:
        return None
    step = max(reports)
    pairs = [
        (done.trial.intermediate_values[step], done.value)
        for done in history.observations
        if done.value is not None and step in done.trial.intermediate_values
    ]
    pairs = sorted(pair for pair in pairs if all(map(math.isfinite, pair)))
    if not pairs or not math.isfinite(reports[step]) or pairs[0][0] == pairs[-1][0]:
        return None
    reported, final = np.array(pairs).T
    slope = np.polyfit(reported, final, 1)[0]
    beyond = reports[step] - np.clip(reports[step], reported[0], reported[-1])
    return float(np.interp(reports[step], reported, final) + slope * beyond)
