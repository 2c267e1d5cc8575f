"""Results of `benchmarks/race.py`: a CSV of runs, tables of medians, and a figure."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from benchmarks import race_tables

FILE = Path(__file__).parent / "results" / "race.csv"
LIMIT = 25
GROUPS = ("digits", "hpobench", "hpobench held out", "hpolib", "steplaw")
# Contestants in the figure, and their lines.
SHOWN = {
    "gp": {"color": "#d62728", "width": 3},
    "gp raw": {"color": "#d62728", "width": 2, "dash": "dot"},
    "coord": {"color": "#1f77b4", "width": 3},
    "coord raw": {"color": "#1f77b4", "width": 2, "dash": "dot"},
    "Optuna GP": {"color": "#2ca02c", "width": 2},
    "Optuna TPE": {"color": "#9467bd", "width": 2},
    "Optuna CMA-ES": {"color": "#8c564b", "width": 2},
    "Optuna random": {"color": "#7f7f7f", "width": 2},
    "SMAC3": {"color": "#bcbd22", "width": 2},
    "Ax": {"color": "#17becf", "width": 2},
}
IMAGE = Path(__file__).parents[1] / "docs" / "images" / "race.png"


@dataclass(frozen=True)
class Run:
    """One run of a contestant on a table.

    Attributes:
        within_two, within_one: Trials up to the first within two, or one, of a training's
            deviations of the best; limit + 1 if none is.
        regret_5, regret_10, regret_end: After so many trials, as a share of the way from the best
            to the median of the table.
        seconds: Of CPU time, in all.
    """

    table: str
    contestant: str
    seed: int
    limit: int
    within_two: int
    within_one: int
    regret_5: float
    regret_10: float
    regret_end: float
    seconds: float


def append(path: Path, run: Run) -> None:
    """Add a row; a line is written at once, so that two processes may share the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = [str(value) for value in asdict(run).values()]
    head = "" if path.exists() else ",".join(f.name for f in fields(Run)) + "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(head + ",".join(values) + "\n")


def read(path: Path) -> list[Run]:
    """The rows of the file, if there is one."""
    if not path.exists():
        return []
    kinds = {"str": str, "int": int, "float": float}
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Run(**{f.name: kinds[str(f.type)](row[f.name]) for f in fields(Run)})
            for row in csv.DictReader(file)
        ]


def median(counts: Iterable[int]) -> tuple[float, float, float]:
    """The median and the ends of its 95 % bootstrap interval (percentiles of 2000 resamples)."""
    values = np.array(list(counts), dtype=np.float64)
    rng = np.random.default_rng(0)
    resampled = np.median(rng.choice(values, (2000, len(values))), axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(np.median(values)), float(low), float(high)


Tables = dict[str, dict[str, list[Run]]]


def grouped(runs: list[Run]) -> Tables:
    """Runs by table, then contestant."""
    tables: Tables = defaultdict(lambda: defaultdict(list))
    for run in runs:
        tables[run.table][run.contestant].append(run)
    return tables


def show(path: Path) -> None:
    """Print a row a table and contestant, and the medians over tables, as Markdown."""
    runs = read(path)
    tables = grouped(runs)
    contestants = list(dict.fromkeys(run.contestant for run in runs))
    print("| table | contestant | n | within 2σ (95 %) | within 1σ (95 %) | regret after 10 |")
    print("|---|---|---|---|---|---|")
    for table, entries in tables.items():
        for name in contestants:
            if entries[name]:
                print(f"| {table} | {name} | {_row(entries[name])} |")
    print("\n| contestant | " + " | ".join(GROUPS) + " | ratio to Optuna's GP |")
    print("|---|" + "---|" * (len(GROUPS) + 1))
    for name in contestants:
        cells = [_over(tables, group, name) for group in GROUPS]
        print(f"| {name} | " + " | ".join(cells) + f" | {_ratio(tables, name)} |")


def _over(tables: Tables, group: str, name: str) -> str:
    """Over the tables of a group: the median of the medians within 2σ, and how many tables."""
    medians = [
        float(np.median([r.within_two for r in entries[name]]))
        for table, entries in tables.items()
        if group_of(table) == group and entries[name]
    ]
    return f"{_shown(float(np.median(medians)), LIMIT)} ({len(medians)})" if medians else ""


def _ratio(tables: Tables, name: str, rival: str = "Optuna GP") -> str:
    """The median over tables of the ratio of the medians within 2σ, at the seeds of both."""
    ratios = []
    for entries in tables.values():
        seeds = {r.seed for r in entries[name]} & {r.seed for r in entries[rival]}
        if seeds:
            mine, its = (
                np.median([r.within_two for r in entries[who] if r.seed in seeds])
                for who in (name, rival)
            )
            ratios.append(float(mine / its))
    return f"{np.median(ratios):.2f} ({len(ratios)})" if ratios else ""


def group_of(table: str) -> str:
    """The collection that a table belongs to."""
    if table.startswith("steplaw"):
        return "steplaw"
    if table in (*race_tables.HPOLIB, *race_tables.HPOLIB_HELD_OUT):
        return "hpolib"
    if table in race_tables.HPOBENCH_HELD_OUT:
        return "hpobench held out"
    return "hpobench" if table in race_tables.HPOBENCH else table


def _row(runs: list[Run]) -> str:
    def cell(counts: list[int]) -> str:
        middle, low, high = (_shown(value, runs[0].limit) for value in median(counts))
        return f"{middle} ({low} to {high})"

    regret = np.mean([r.regret_10 for r in runs])
    two, one = ([getattr(r, name) for r in runs] for name in ("within_two", "within_one"))
    return f"{len(runs)} | {cell(two)} | {cell(one)} | {regret:.3f}"


def _shown(count: float, limit: int) -> str:
    return f">{limit}" if count > limit else f"{count:g}"


def draw(path: Path) -> None:
    """The figure: the share of runs within 2σ of the best after so many trials, a panel a group.

    Every table of a group counts alike. Groups of which hardly a run gets there are left out.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    from benchmarks.readme_figures import photograph
    from hptoolkit.reporting.figures.figure import Figure

    tables = grouped(read(path))
    reached = {group_of(run.table) for run in read(path) if run.within_two <= LIMIT // 2}
    groups = [group for group in GROUPS if group in reached]
    picture = make_subplots(rows=1, cols=len(groups), subplot_titles=groups, shared_yaxes=True)
    trials = np.arange(LIMIT + 1)
    for column, group in enumerate(groups, 1):
        for name, style in SHOWN.items():
            curves = [
                [np.mean([r.within_two <= count for r in entries[name]]) for count in trials]
                for table, entries in tables.items()
                if group_of(table) == group and entries[name]
            ]
            if curves:
                line = go.Scatter(x=trials, y=np.mean(curves, axis=0), name=name, line=style)
                line.update(mode="lines", legendgroup=name, showlegend=column == 1)
                picture.add_trace(line, row=1, col=column)
    picture.update_xaxes(title_text="trials", range=[0, LIMIT])
    picture.update_yaxes(range=[0, 1])
    picture.update_yaxes(title_text="share of runs within 2σ of the best", col=1)
    picture.update_layout(template="plotly_white", height=420, margin={"t": 40, "b": 40})
    photograph(Figure("race", "Race", "", picture), IMAGE, 1100)
    print(IMAGE)
