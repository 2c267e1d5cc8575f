"""What a study says when it ends: Page's table, the best configuration, and where to look next."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any

from optuna.study import Study

from hptoolkit.attributes import COORDINATES, GP_REPORT, SAMPLER, read
from hptoolkit.config.schema import Search
from hptoolkit.coordinates.symbols import symbol
from hptoolkit.errors import UserError, command, program
from hptoolkit.execution.worker import used
from hptoolkit.reporting.formatting import metric, number
from hptoolkit.samplers import (
    CoordinateDescentSampler,
    CoordinateSampler,
    GPReport,
    GPSampler,
)
from hptoolkit.samplers.incumbent import incumbent
from hptoolkit.storage import DEFAULT
from hptoolkit.storage.urls import redact

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def as_json(study: Study, storage: str, stopped_because: str) -> dict[str, Any]:
    """The outcome for programs: the last line that `hptoolkit.study` prints."""
    best = incumbent(study)
    first = study.get_trials(deepcopy=False)[best.numbers[0]] if best else None
    return {
        "study": study.study_name,
        "storage": redact(storage),
        "n_trials": used(study),
        "best": first
        and best
        and {
            "params": best.params,
            "coordinates": read(first.user_attrs, COORDINATES, dict) or {},
            "value": best.value,
        },
        "stopped_because": stopped_because,
    }


def about(study: Study, defined: Search | None) -> str:
    """What the study is, in a sentence or two."""
    counts = Counter(trial.state.name.lower() for trial in study.get_trials(deepcopy=False))
    states = ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"
    parts = [f"{sum(counts.values())} runs ({states})"]
    if sampler := read(study.user_attrs, SAMPLER, str):
        parts.append(f"sampler {sampler}")
    if defined is not None and defined.coordinates.axes:
        parts.append(f"axes {', '.join(map(symbol, defined.coordinates.axes))}")
    described = f"{defined.description} " if defined and defined.description else ""
    return f"{described}{'; '.join(parts)}."


def shown_axes(sampler: CoordinateSampler) -> list[str]:
    """The coordinates that are not a raw parameter, or one minus it, by themselves."""
    plain = {str(factor) for factor in sampler.coordinates.factors}
    plain |= {factor.name for factor in sampler.coordinates.factors}
    return [axis for axis in sampler.coordinates.axes if axis not in plain]


def page_table(study: Study, metric_name: str) -> Table | None:
    """The start and a row for each line search that improved, as Page printed his search."""
    from rich.table import Table

    sampler = study.sampler
    if not isinstance(sampler, CoordinateDescentSampler):
        return None
    rows = sampler.improvements(study)
    if not rows:
        return None
    axes = shown_axes(sampler)
    table = Table(title="Line searches that improved", title_justify="left")
    for title in ("run", "along"):
        table.add_column(title, justify="right" if title == "run" else "left")
    names = list(rows[0].params)
    for title in (*names, *axes, metric_name):
        table.add_column(symbol(title).replace("_", " "), justify="right")
    held = any(row.held for row in rows)
    if held:
        table.add_column("held by", justify="left")
    for row in rows:
        point = sampler.coordinates.from_raw(row.params)
        values = [number(row.params[n]) for n in names] + [number(point[a]) for a in axes]
        along = symbol(row.axis) if row.axis else "start"
        walls = [", ".join(row.held)] if held else []
        cells = (along, *values, metric(metric_name, row.value), *walls)
        table.add_row(str(row.trial), *cells)
    return table


def best_line(study: Study, metric_name: str) -> str:
    """The best configuration in a sentence."""
    best = incumbent(study)
    if best is None:
        return "Best: none, no trial has succeeded yet."
    params = ", ".join(f"{symbol(n)} = {number(v)}" for n, v in best.params.items())
    value = metric(metric_name, best.value)
    runs = f"run {best.numbers[0]}"
    if len(best.numbers) > 1:
        runs = f"the mean of runs {', '.join(map(str, best.numbers))}"
    return f"Best: {params}: {metric_name.replace('_', ' ')} {value} ({runs})."


def model_lines(study: Study, metric_name: str) -> list[str]:
    """What the GP has learned, and what choosing a trial cost; nothing for other samplers."""
    if not isinstance(study.sampler, GPSampler):
        return []
    try:
        learned = model_sentence(study.sampler.keep_report(study), metric_name)
    except UserError:
        return []  # too few points
    seconds = (read(study.user_attrs, GP_REPORT, dict) or {}).get("seconds")
    cost = "" if seconds is None else f" Choosing the last trial took {seconds:.2f} s."
    return [f"The GP: {learned}{cost}"]


def model_sentence(report: GPReport, metric_name: str) -> str:
    """What the GP has learned, in the notation of the lines around it."""
    accuracy = metric_name.endswith("accuracy")
    # The GP knows no bounds; nobody believes in an accuracy above 100 %.
    expected, least, most = (
        min(max(value, 0.0), 1.0) if accuracy else value
        for value in (report.value, *report.interval)
    )
    low, high = metric(metric_name, least), metric(metric_name, most)
    best = ", ".join(f"{symbol(name)} = {number(value)}" for name, value in report.best.items())
    predicted = (
        f"After {report.points} points it expects the best at {best}: "
        f"{metric(metric_name, expected)} ({low} to {high}, 95 %)."
    )
    if not report.exponents:
        return predicted
    fitted = " · ".join(
        f"({symbol(factor)})^({e.value:.2f} ± {e.error:.2f}; theory {e.theory:.3g})"
        for factor, e in report.exponents.items()
    )
    judged = metric_name.replace("_", " ")
    return f"{judged} depends on {symbol(report.anchor or '')} · {fitted} first of all. {predicted}"


def in_symbols(text: str, study: Study) -> str:
    """A sampler's sentence with its axes written as they are in the lines around it."""
    if not isinstance(study.sampler, CoordinateSampler):
        return text
    coordinates = study.sampler.coordinates
    names = {*coordinates.axes, *map(str, coordinates.factors), *coordinates.names}
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", lambda m: symbol(m[0]), text)
    return text


def dashboard_command(storage: str) -> str:
    """The command that opens the study in optuna-dashboard."""
    return f"{program('optuna-dashboard')} {shlex.quote(redact(storage))}"


def report_command(study_name: str, storage: str) -> str:
    """The command that draws the study's report."""
    elsewhere = [] if storage == DEFAULT else ["--storage", redact(storage)]
    return command("report", study_name, *elsewhere)


def show(
    console: Console,
    study: Study,
    metric_name: str,
    reason: str,
    storage: str,
    mlflow: str | None,
) -> None:
    """Print how the study ended and the commands that open it."""
    from hptoolkit.tracking import ui_command

    console.print()
    table = page_table(study, metric_name)
    if table is not None:
        console.print(table)
    lines = [
        best_line(study, metric_name),
        *model_lines(study, metric_name),
        f"Stopped: {in_symbols(reason, study)}.",
    ]
    lines.append(f"See what was found: {report_command(study.study_name, storage)}")
    lines.append(f"Inspect the study:  {dashboard_command(storage)}")
    if mlflow != "off":
        first, _, arguments = ui_command(mlflow).partition(" ")
        # A server's address has no arguments.
        shown = f"{program(first)} {arguments}" if arguments else first
        lines.append(f"Compare the runs:   {shown}")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
