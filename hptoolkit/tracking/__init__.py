"""MLflow as a projection of Optuna's storage: a copy made, or completed, at any time.

with Tracker(uri, study) as tracker:
    tracker.sync()  # what earlier runs could not write
    study.optimize(objective, callbacks=[lambda study, trial: tracker.log(trial)])
    tracker.finish(summary)
"""

from __future__ import annotations

from hptoolkit.tracking.connection import DEFAULT_URI, check_uri, ui_command
from hptoolkit.tracking.tracker import Tracker

__all__ = ["DEFAULT_URI", "Tracker", "check_uri", "ui_command"]
