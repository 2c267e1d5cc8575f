"""Results of `benchmarks/race.py`: a CSV of runs, tables of medians, and a figure."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

FILE = Path(__file__).parent / "results" / "race.csv"
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


def grouped(runs: list[Run]) -> dict[str, dict[str, list[Run]]]:
    """Runs by table, then contestant."""
    tables: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        tables[run.table][run.contestant].append(run)
    return tables


def show(path: Path) -> None:
    """Print a row a table and contestant, and the medians over tables."""
    runs = read(path)
    tables = grouped(runs)
    contestants = list(dict.fromkeys(run.contestant for run in runs))
    print(f"{'table':26}{'contestant':16}{'n':>3}  within 2σ (95 %)     within 1σ (95 %)"
          "     regret after 10")  # fmt: skip
    for table, entries in tables.items():
        for name in contestants:
            if entries[name]:
                print(f"{table:26}{name:16}{_row(entries[name])}")
    print("\nmedian over tables of the medians, and of the ratio to Optuna's GP")
    for name in contestants:
        two, one, ratio, n = over_tables(tables, name)
        print(f"{name:16}{n:3} tables {two:6.1f} {one:6.1f}   ratio {ratio:5.2f}")


def over_tables(
    tables: dict[str, dict[str, list[Run]]], name: str, rival: str = "Optuna GP"
) -> tuple[float, float, float, int]:
    """Median over tables of the medians within 2σ and 1σ, of the ratio to a rival (2σ), and n."""
    both = [entries for entries in tables.values() if entries[name]]
    two = [float(np.median([r.within_two for r in entries[name]])) for entries in both]
    one = [float(np.median([r.within_one for r in entries[name]])) for entries in both]
    ratios = [
        mine / float(np.median([r.within_two for r in entries[rival]]))
        for mine, entries in zip(two, both, strict=True)
        if entries[rival]
    ]
    ratio = float(np.median(ratios)) if ratios else float("nan")
    return float(np.median(two)), float(np.median(one)), ratio, len(both)


def _row(runs: list[Run]) -> str:
    limit = runs[0].limit

    def cell(counts: list[int]) -> str:
        middle, low, high = (_shown(value, limit) for value in median(counts))
        return f"{middle:>5} ({low:>4} to {high:>4})"

    regret = np.mean([r.regret_10 for r in runs])
    return (
        f"{len(runs):3}  {cell([r.within_two for r in runs])}  "
        f"{cell([r.within_one for r in runs])}  {regret:8.3f}"
    )


def _shown(count: float, limit: int) -> str:
    return f">{limit}" if count > limit else f"{count:g}"


def draw(path: Path) -> None:
    """The figure: trials within 2σ of the best, a row a table, a mark a contestant."""
    raise NotImplementedError


Marks = npt.NDArray[np.float64]
