"""What a report's head says: what was trained, on what, when, with which versions and command."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from datetime import datetime

from optuna.study import Study

from hptoolkit.attributes import DATA, SAMPLER
from hptoolkit.config.compare import changed_fields
from hptoolkit.config.definition import OwnObjective, StudyDefinition
from hptoolkit.config.load import load_study
from hptoolkit.config.schema import Search
from hptoolkit.coordinates.symbols import symbol
from hptoolkit.errors import UserError, command
from hptoolkit.reporting.formatting import duration
from hptoolkit.tracking.environment import installed

_PACKAGES = ("hptoolkit", "optuna", "torch", "scikit-learn", "botorch", "numpy")


def facts(study: Study, defined: Search | None) -> list[tuple[str, str]]:
    """Pairs of a name and a text; what a foreign study does not keep is left out."""
    versions = ", ".join([f"Python {platform.python_version()}", *installed(_PACKAGES)])
    found = [
        *_data(study),
        *_training(defined),
        *_search(study, defined),
        *_time(study),
        ("drawn", f"{datetime.now():%Y-%m-%d %H:%M}, {versions}"),
    ]
    if defined is not None and (line := study_command(study, defined)):
        found.append(("command", line))
    return found


def study_command(study: Study, defined: Search) -> str | None:
    """The command that runs such a study; None for a sampler that no command names."""
    sampler = study.user_attrs.get(SAMPLER)
    if not isinstance(sampler, str) or sampler.startswith("slice"):
        return None
    if isinstance(defined, OwnObjective):
        arguments = ["--objective", defined.objective]
        plain = OwnObjective(name=defined.name, objective=defined.objective)
        before = plain.identity(sampler)
    else:
        arguments = [defined.name]
        try:
            before = load_study(defined.name).identity(sampler)
        except UserError:
            return None  # its file is elsewhere
    arguments += ["--sampler", sampler]
    for field, value in changed_fields(before, defined.identity(sampler)).items():
        arguments += ["--set", f"{field}={json.dumps(value)}"]
    return command("study", *arguments)


def _data(study: Study) -> Iterator[tuple[str, str]]:
    for trial in study.get_trials(deepcopy=False):
        data = trial.user_attrs.get(DATA)
        if isinstance(data, Mapping) and {"name", "training", "validation"} <= data.keys():
            train, validation = (data[part]["images"] for part in ("training", "validation"))
            yield "data", f"{data['name']}, {train} images to train on, {validation} to validate"
            return


def _training(defined: Search | None) -> Iterator[tuple[str, str]]:
    if isinstance(defined, StudyDefinition):
        training = defined.training
        yield "network", f"Page's, width {defined.model.width}"
        yield (
            "training",
            f"{training.optimizer}, {training.epochs} epochs of batch {training.batch_size}, "
            f"schedule {training.schedule}",
        )
    elif isinstance(defined, OwnObjective):
        yield "objective", defined.objective


def _search(study: Study, defined: Search | None) -> Iterator[tuple[str, str]]:
    parts = []
    if sampler := study.user_attrs.get(SAMPLER):
        parts.append(f"sampler {sampler}")
    if defined is not None:
        if defined.coordinates.axes:
            parts.append(f"axes {', '.join(map(symbol, defined.coordinates.axes))}")
        parts.append(f"seed {defined.seed}")
    if parts:
        yield "search", ", ".join(parts)


def _time(study: Study) -> Iterator[tuple[str, str]]:
    trials = study.get_trials(deepcopy=False)
    starts = [t.datetime_start for t in trials if t.datetime_start]
    ends = [t.datetime_complete for t in trials if t.datetime_complete]
    if starts and ends:
        spent = sum(t.duration.total_seconds() for t in trials if t.duration)
        yield (
            "run",
            f"{min(starts):%Y-%m-%d %H:%M} to {max(ends):%Y-%m-%d %H:%M}, "
            f"{duration(spent)} of trials",
        )
