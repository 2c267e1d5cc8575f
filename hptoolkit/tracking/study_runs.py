"""A study's runs, found by their tags; of several made at the same time one is kept."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from hptoolkit.tracking.records import TRIAL_NUMBER, UID

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def find(client: MlflowClient, experiment: str, uid: str) -> tuple[list[Run], dict[int, list[Run]]]:
    """The study's own runs (one, normally), and its trials' by number."""
    parents: list[Run] = []
    trials: defaultdict[int, list[Run]] = defaultdict(list)
    token = None
    while True:
        page = client.search_runs(
            [experiment],
            filter_string=f"tags.`{UID}` = '{uid}'",
            max_results=1000,
            page_token=token,
        )
        for run in page:
            number = run.data.tags.get(TRIAL_NUMBER)
            (parents if number is None else trials[int(number)]).append(run)
        token = page.token
        if not token:
            return parents, trials


def keep_first(client: MlflowClient, runs: list[Run]) -> Run:
    """One of the runs that processes made at the same time, whichever process chooses.

    The others are deleted.
    """
    keep, *others = sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
    for run in others:
        client.delete_run(run.info.run_id)
    return keep
