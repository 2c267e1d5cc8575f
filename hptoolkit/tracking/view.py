"""A view of MLflow's table of runs made for a study: its trials, best first, with what was tuned.

By default the table shows neither parameters nor results, and trials folded under their study.
MLflow keeps named views as tags of the experiment; they are listed by the button "Views".
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from hptoolkit.attributes import IMAGES_PER_SECOND
from hptoolkit.tracking.records import TRIAL_NUMBER, UID, Record

_TAG = "mlflow.sharedViewState."
_COORDINATE = "coordinates/"
_FIRST = ("objective",)
_PIXELS = 5  # of a letter
_LAST = (IMAGES_PER_SECOND,)


def key(uid: str) -> str:
    """The view's name in a URL: `#/experiments/1/runs?viewStateShareKey=KEY`."""
    return f"hptoolkit-{uid[-32:]}"


def tag(uid: str, study: Record, maximize: bool) -> tuple[str, str]:
    """The experiment's tag that makes the view: its name and its value.

    Args:
        uid: The study's identity.
        study: Its outcome, whose metrics `best/…` name what was tuned.
        maximize: Whether the largest value is the best.
    """
    tuned = [p.key.removeprefix("best/") for p in study.metrics if p.key.startswith("best/")]
    params = [name for name in tuned if name not in _FIRST and not name.startswith(_COORDINATE)]
    coordinates = [
        name
        for name in tuned
        if name.startswith(_COORDINATE) and name.removeprefix(_COORDINATE) not in params
    ]
    columns = [*_named("metrics", _FIRST), *_named("params", params)]
    columns += _named("metrics", (*coordinates, *_LAST))
    state = {
        "searchFilter": f"tags.`{UID}` = '{uid}' AND tags.`{TRIAL_NUMBER}` LIKE '%'",
        "orderByKey": "metrics.`objective`",
        "orderByAsc": not maximize,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {column: 40 + _PIXELS * len(column) for column in columns},
    }
    view = {
        "name": f"{study.name}: trials, best first",
        "createdAt": study.start,
        "state": json.dumps(state),
    }
    return f"{_TAG}{key(uid)}", json.dumps(view)


def _named(kind: str, names: Iterable[str]) -> list[str]:
    return [f"{kind}.`{name}`" for name in names]
