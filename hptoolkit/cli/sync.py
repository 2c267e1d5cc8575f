"""`python -m hptoolkit.study --sync-mlflow`: log what MLflow lacks of the stored studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hptoolkit.errors import UserError
from hptoolkit.execution import studies
from hptoolkit.reporting.publish import catch_up
from hptoolkit.storage.urls import redact
from hptoolkit.tracking import Tracker, check_uri

if TYPE_CHECKING:
    from rich.console import Console

# Seconds for one study: a large one of another machine may take minutes.
_PATIENCE = 3600.0


def sync(name: str | None, address: str, uri: str | None, console: Console) -> int:
    """Log the runs, outcomes, reports and models that are missing; again, it changes nothing.

    Args:
        name: A stored study, or a definition whose newest study is meant; None for all.
        address: The storage.
        uri: MLflow's address, None for the default.
        console: Where to say what was done.

    Returns:
        The exit code: 1 if MLflow could not be written.

    Raises:
        UserError: There is no such study, or MLflow is "off".
    """
    if uri == "off":
        raise UserError("--sync-mlflow with --mlflow off asks to log nowhere: leave one out.")
    there = studies.names(address)
    if not there:
        raise UserError(f"The storage {redact(address)} holds no study: there is nothing to log.")
    names = [studies.find(address, name).study_name] if name else there
    failed = False
    for each in names:
        study = studies.load(address, each)
        with Tracker(uri, study) as tracker:
            notes = catch_up(study, studies.definition_of(study), address, tracker)
            tracker.close(_PATIENCE)
        runs = f"{tracker.written} run" if tracker.written == 1 else f"{tracker.written} runs"
        logged = ", ".join([runs] * bool(tracker.written) + tracker.attached)
        done = f"{each}: logged {logged}." if logged else f"{each}: nothing was missing."
        for line in (tracker.problem or done, *notes):
            console.print(line, markup=False, soft_wrap=True)
        failed = failed or tracker.problem is not None
    console.print(f"MLflow: {redact(check_uri(uri))}", markup=False, soft_wrap=True)
    return int(failed)
