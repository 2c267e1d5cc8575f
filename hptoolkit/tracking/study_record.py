"""What MLflow is told of a study, as plain values: how its run begins, ends, and is looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hptoolkit.attributes import DEFINITION, IMAGES_PER_SECOND, PREFIX, read
from hptoolkit.storage.identity import study_uid
from hptoolkit.storage.urls import redact
from hptoolkit.tracking.limits import as_text, coordinate_metrics, params, points, tags
from hptoolkit.tracking.trial_record import TRIAL_NUMBER, Record, compared, milliseconds

if TYPE_CHECKING:
    from optuna.study import Study

UID = "hptoolkit.study"  # tag of a study's run and its trials' runs: the study's identity

_VIEW = "mlflow.sharedViewState."  # tag of an experiment
_COORDINATE = "coordinates/"
_FIRST, _LAST = ("objective",), (IMAGES_PER_SECOND.removeprefix(PREFIX),)  # columns of the view
_PIXELS = 5  # of a letter


@dataclass(frozen=True)
class StudyRecord:
    """What a study's run is made from, and found by.

    Attributes:
        name: The study's name.
        uid: Tells a study from every other: a fresh one of its name, a copy of it. No quotes.
        experiment: The name of MLflow's experiment.
        params, tags: Of the run, from the study's definition.
        goal: The name of what is judged.
        start: When its first trial started, in milliseconds since 1970.
        maximize: Whether its largest value is the best.
    """

    name: str
    uid: str
    experiment: str
    params: dict[str, str]
    tags: dict[str, str]
    goal: str
    start: int
    maximize: bool


def study_record(study: Study) -> StudyRecord:
    """What a study's run is made from. A study of a foreign program is given an identity."""
    uid = study_uid(study)
    trials = study.get_trials(deepcopy=False)
    definition = read(study.user_attrs, DEFINITION, dict) or {}
    # The name too: a copied study has the attributes of the first one.
    prefix = re.sub(r"[^\w.-]", "_", study.study_name)
    return StudyRecord(
        name=as_text(study.study_name),
        uid=f"{prefix}-{uid}",
        experiment=experiment_name(definition.get("data")),
        params=params(_fixed(definition)),
        tags=tags(_axes(definition)),
        goal=_goal(study, definition),
        start=min((milliseconds(t.datetime_start) for t in trials), default=milliseconds(None)),
        maximize=len(study.directions) == 1 and study.direction.name == "MAXIMIZE",
    )


def outcome_record(
    study: StudyRecord, summary: Mapping[str, Any], *, interrupted: bool, end: int, step: int
) -> Record:
    """What a study came to: its best as metrics at `step` (the trials so far), the rest as tags.

    Args:
        study: Whose outcome it is.
        summary: What the study prints: `best` {`params`, `coordinates`, `value`} (None without a
            finished trial), `stopped_because`, and other texts. Credentials are taken out.
        interrupted: Whether the study is to go on another time: KILLED instead of FINISHED.
        end: Milliseconds since 1970.
        step: The number of finished trials, so that a resumed study adds to the curve.
    """
    best = summary.get("best") or {}
    values = {
        "objective": best.get("value"),
        **best.get("params", {}),
        **coordinate_metrics(best.get("coordinates")),
    }
    metrics = {compared(study.goal): best.get("value")}
    metrics |= {f"best/{key}": value for key, value in values.items()}
    texts = {key: redact(value) for key, value in summary.items() if isinstance(value, str)}
    return Record(
        name=study.name,
        status="KILLED" if interrupted else "FINISHED",
        start=study.start,
        end=end,
        params={},
        metrics=tuple(points(metrics, end, step)),
        tags=tags(texts | {"best": json.dumps(best, default=str)}),
    )


def experiment_name(data: object) -> str:
    """`hptoolkit-` and the data set, `hptoolkit` without one.

    MLflow's tables and charts show one experiment: its runs should be comparable, and accuracies
    are so on the same data only.
    """
    name = data.get("name") if isinstance(data, Mapping) else data
    return f"hptoolkit-{name}" if isinstance(name, str) else "hptoolkit"


def view(study: StudyRecord, outcome: Record) -> tuple[str, str]:
    """A view of MLflow's table of runs: the study's trials, best first, with what was tuned.

    By default the table shows neither parameters nor results, and trials folded under their study.
    MLflow keeps named views as tags of the experiment; they are listed by the button "Views", and
    opened by `#/experiments/1/runs?viewStateShareKey=KEY`.

    Returns:
        The tag's name, which ends in that key, and its value.
    """
    tuned = [p.key.removeprefix("best/") for p in outcome.metrics if p.key.startswith("best/")]
    names = [name for name in tuned if name not in _FIRST and not name.startswith(_COORDINATE)]
    coordinates = [
        name
        for name in tuned
        if name.startswith(_COORDINATE) and name.removeprefix(_COORDINATE) not in names
    ]
    columns = [*_columns("metrics", _FIRST), *_columns("params", names)]
    columns += _columns("metrics", (*coordinates, *_LAST))
    state = {
        "searchFilter": f"tags.`{UID}` = '{study.uid}' AND tags.`{TRIAL_NUMBER}` LIKE '%'",
        "orderByKey": "metrics.`objective`",
        "orderByAsc": not study.maximize,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {column: 40 + _PIXELS * len(column) for column in columns},
    }
    shown = {
        "name": f"{study.name}: trials, best first",
        "createdAt": study.start,
        "state": json.dumps(state),
    }
    return f"{_VIEW}hptoolkit-{study.uid[-32:]}", json.dumps(shown)


def _fixed(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The definition without what its [training] and [model] hold of the parameters searched.

    No trial need have run with that; their ranges are in its search space.
    """
    fixed = dict(definition)
    searched = fixed.get("search_space")
    for name in ("training", "model"):
        section = fixed.get(name)
        if isinstance(section, Mapping) and isinstance(searched, Mapping):
            fixed[name] = {key: value for key, value in section.items() if key not in searched}
    return fixed


def _goal(study: Study, definition: Mapping[str, Any]) -> str:
    metric = definition.get("metric")
    if isinstance(metric, Mapping) and isinstance(metric.get("name"), str):
        return str(metric["name"])
    return as_text((study.metric_names or ["value"])[0])


def _axes(definition: Mapping[str, Any]) -> dict[str, str]:
    """The coordinates that a study searches, as their expressions."""
    section = definition.get("coordinates")
    axes = section.get("axes") if isinstance(section, Mapping) else section
    return {"coordinates": ", ".join(map(str, axes))} if isinstance(axes, list) else {}


def _columns(kind: str, names: Iterable[str]) -> list[str]:
    return [f"{kind}.`{name}`" for name in names]
