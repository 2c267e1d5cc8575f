"""What a study that ends leaves where people look: in optuna-dashboard and in MLflow.

Nothing here can fail a study: what goes wrong is a sentence to print.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.study import Study

from hptoolkit.attributes import DATA, OUTCOME, WEIGHTS_LOST, read
from hptoolkit.config.schema import Search
from hptoolkit.errors import first_line
from hptoolkit.execution import best_weights
from hptoolkit.execution.worker import used
from hptoolkit.reporting.results import as_json
from hptoolkit.samplers.incumbent import incumbent
from hptoolkit.tracking import Tracker

if TYPE_CHECKING:
    from hptoolkit.reporting.figures import Album


def publish(
    study: Study,
    definition: Search | None,
    outcome: Mapping[str, Any],
    tracker: Tracker | None,
    *,
    interrupted: bool,
) -> list[str]:
    """Leave a study's figures and a note in the dashboard, its outcome and best model in MLflow.

    Args:
        study: That has ended, for now.
        definition: What it was made from; None for a study that hptoolkit did not make.
        outcome: What it came to: `hptoolkit.reporting.results.as_json`.
        tracker: Of its runs; None for no MLflow.
        interrupted: Whether a signal ended it: then the outcome alone is kept, at once.

    Returns:
        What to tell the user, a sentence each.
    """
    kept = {
        "stopped_because": outcome["stopped_because"],
        "interrupted": interrupted,
        "trials": used(study),
    }
    study.set_user_attr(OUTCOME, kept)
    if interrupted:
        if tracker:
            tracker.finish(outcome, interrupted=True)
        return []
    notes = []
    if tracker:
        tracker.finish(outcome)
        # Another process takes some seconds for it, in which the figures are drawn here.
        notes += _log_model(study, tracker)
    try:
        album = _album(study, definition)
        from hptoolkit.reporting import dashboard

        dashboard.show(study, definition, album)
    except Exception as error:  # whatever a fit, a figure or the storage raises
        return [*notes, f"The study's figures could not be drawn ({_line(error)})."]
    if tracker:
        tracker.attach(_state(study), lambda folder: _write(study, definition, album, folder))
    return notes


def catch_up(study: Study, definition: Search | None, address: str, tracker: Tracker) -> list[str]:
    """Log what MLflow lacks of a stored study: trials, outcome, best model, report.

    A study that was killed, or that runs at the moment, has no outcome.

    Args:
        study, definition, tracker: As for `publish`.
        address: The study's storage.

    Returns:
        What to tell the user, a sentence each.
    """
    kept = read(study.user_attrs, OUTCOME, dict)
    if kept is None or kept.get("trials") != used(study):
        tracker.sync()
        return [f"{study.study_name} has no recorded end: its runs alone are logged."]
    interrupted = bool(kept["interrupted"])
    outcome = as_json(study, address, kept["stopped_because"])
    tracker.finish(outcome, interrupted=interrupted)
    if interrupted:
        return []

    def draw(folder: Path) -> None:
        _write(study, definition, _album(study, definition), folder)

    tracker.attach(_state(study), draw)
    return _log_model(study, tracker)


def _log_model(study: Study, tracker: Tracker) -> list[str]:
    """Hand the best trial's weights on, if its training left any here."""
    best = incumbent(study)
    runs = [study.get_trials(deepcopy=False)[number] for number in best.numbers] if best else []
    if not any(read(run.user_attrs, DATA, dict) for run in runs):
        return []  # an objective that is not the built-in one keeps no weights
    best_weights.tidy(study)
    kept = best_weights.of_best(study)
    if kept is not None:
        tracker.log_model(*kept)
        return []
    lost = next(filter(None, (read(run.user_attrs, WEIGHTS_LOST, str) for run in runs)), None)
    lost = lost or "it was trained elsewhere, or they were deleted"
    return [
        f"The best model is not logged: the weights of run {runs[0].number} are not here ({lost})."
    ]


def _album(study: Study, definition: Search | None) -> Album:
    from hptoolkit.reporting.figures import make

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a library's deprecations are not the user's
        return make(study, definition)


def _write(study: Study, definition: Search | None, album: Album, folder: Path) -> None:
    """The report page, its text in Markdown, and each figure as plotly's JSON."""
    from hptoolkit.reporting import html
    from hptoolkit.reporting.dashboard import note
    from hptoolkit.reporting.facts import facts
    from hptoolkit.reporting.results import about

    html.write(
        folder / "report.html",
        study.study_name,
        album.figures,
        album.notes,
        about=about(study, definition),
        facts=facts(study, definition),
        findings=album.findings,
        table=album.table,
    )
    (folder / "description.md").write_text(note(study, definition, album), encoding="utf-8")
    (folder / "figures").mkdir()
    for figure in album.figures:
        described = json.loads(figure.figure.to_json())
        described["layout"]["meta"] = {"title": figure.title, "caption": figure.caption}
        path = folder / "figures" / f"{figure.id}.json"
        path.write_text(json.dumps(described), encoding="utf-8")


def _state(study: Study) -> str:
    """What the figures depend on."""
    return f"{used(study)} trials"


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"[:200]
