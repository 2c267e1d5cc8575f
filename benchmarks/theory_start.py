"""How good is the first run from theory? Its regret to the best of a lattice around it.

    python -m benchmarks.theory_start record docs/data/theory_start.csv --data-dir FOLDER
    python -m benchmarks.theory_start table docs/data/theory_start.csv > docs/theory-start-table.md

In each setting (data set, width, batch size, epochs, optimizer) a first guess, ρ = .9, λ/(1−ρ) = 4
(AdamW: λ = .02) and H = .5, is trained with three seeds, and with the first seed its eight
neighbours at a quarter of and four times λ and H. The best of the nine is trained with two more
seeds, so that its own luck is not counted. Then what `theory_start` says, three seeds. What ended
is kept: run again, it goes on. Half of the images validate, since noise is the unit.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import os
import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hptoolkit.coordinates import theory_start
from hptoolkit.training import DataConfig, ModelConfig, TrainingConfig, data, set_up_device, train

FACTORS = (0.25, 1.0, 4.0)
SEEDS = (0, 1, 2)
# Images and epochs at budget 1 of each data set, and its augmentation.
DATA = {
    "digits": (DataConfig(name="digits", validation_fraction=0.4), 8),
    "fashion-mnist": (
        DataConfig(name="fashion-mnist", train_size=3000, validation_fraction=0.5),
        4,
    ),
    "cifar10": (DataConfig(name="cifar10", train_size=3000, validation_fraction=0.5), 4),
}
AUGMENTATION: dict[str, dict[str, int]] = {
    "digits": {"flip": False, "crop_padding": 1, "cutout": 0},
    "fashion-mnist": {"crop_padding": 2, "cutout": 0},
    "cifar10": {},
}
BUDGETS = (0.25, 1.0, 4.0)


@dataclass(frozen=True)
class Setting:
    """What is given, besides what theory sets."""

    data: str
    width: int
    batch: int
    epochs: int
    optimizer: str


@dataclass(frozen=True)
class Run:
    """One training: a setting, what is tried there, and a seed.

    `tried`: "guess", with λ and H times these factors, or "theory", what `theory_start` says.
    """

    setting: Setting
    tried: str
    lr_factor: float
    h_factor: float
    seed: int


def settings() -> list[Setting]:
    """On the digits all combinations; on the larger images half, balanced in width and batch."""
    chosen = []
    for name, budget, optimizer in itertools.product(DATA, BUDGETS, ("nesterov", "adamw")):
        epochs = int(DATA[name][1] * budget)
        if name == "digits":
            pairs = list(itertools.product((4, 16), (32, 128)))
        else:
            crossed = (BUDGETS.index(budget) + (optimizer == "adamw")) % 2
            pairs = [(4, 128), (8, 32)] if crossed else [(4, 32), (8, 128)]
        chosen += [Setting(name, width, batch, epochs, optimizer) for width, batch in pairs]
    # The shorter ones first, so that what is there is balanced at any time.
    return sorted(chosen, key=lambda s: s.epochs / DATA[s.data][1])


def start_of(run: Run, steps: int) -> dict[str, float]:
    """The raw values that a run tries."""
    if run.tried == "theory":
        return theory_start(run.setting.optimizer, steps=steps)
    push = {"nesterov": 4.0, "adamw": 0.02}[run.setting.optimizer]
    lr = push * (0.1 if run.setting.optimizer == "nesterov" else 1.0)
    decay = 0.5 / (steps * push)
    return {
        "lr": lr * run.lr_factor,
        "momentum": 0.9,
        "weight_decay": decay * run.h_factor / run.lr_factor,
    }


class Recorder:
    """Accuracies by training; those in the file are not repeated."""

    def __init__(self, path: Path, data_dir: str | None) -> None:
        self.path, self.data_dir = path, data_dir
        self.known = read(path)
        self.splits: dict[str, data.Split] = {}
        self.device = set_up_device("cpu")

    def accuracy(self, run: Run) -> float:
        if run not in self.known:
            self.known[run] = self._train(run)
        return self.known[run]

    def _train(self, run: Run) -> float:
        setting = run.setting
        if setting.data not in self.splits:
            images = DATA[setting.data][0]
            self.splits[setting.data] = data.split(data.load(images.name, self.data_dir), images)
        split = self.splits[setting.data]
        steps = len(split.train) // setting.batch * setting.epochs
        start = start_of(run, steps)
        config = TrainingConfig(
            optimizer=setting.optimizer,  # type: ignore[arg-type]
            epochs=setting.epochs,
            batch_size=setting.batch,
            **AUGMENTATION[setting.data],  # type: ignore[arg-type]
            **start,  # type: ignore[arg-type]
        )
        model = ModelConfig(width=setting.width)
        result = train(config, split, model=model, seed=run.seed, device=self.device)
        accuracy = 0.0 if result.diverged else result.validation_accuracy
        row = {
            **asdict(setting),
            **{name: value for name, value in asdict(run).items() if name != "setting"},
            "steps": steps,
            "validation": len(split.validation),
            **{name: f"{value:.6g}" for name, value in start.items()},
            "accuracy": f"{accuracy:.5f}",
            "seconds": f"{result.seconds:.2f}",
        }
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
        return accuracy


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file; none if it is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read(path: Path) -> dict[Run, float]:
    """The accuracies of a file by training."""
    return {_run(row): float(row["accuracy"]) for row in rows(path)}


def _run(row: dict[str, str]) -> Run:
    setting = Setting(
        row["data"], int(row["width"]), int(row["batch"]), int(row["epochs"]), row["optimizer"]
    )
    factors = float(row["lr_factor"]), float(row["h_factor"])
    return Run(setting, row["tried"], *factors, int(row["seed"]))


def around(setting: Setting) -> list[Run]:
    """The guess and its eight neighbours."""
    pairs = itertools.product(FACTORS, FACTORS)
    return [Run(setting, "guess", a, b, SEEDS[0]) for a, b in pairs]


def record(path: Path, data_dir: str | None) -> None:
    """Train what is missing."""
    recorder = Recorder(path, data_dir)
    for setting in settings():
        for tried, seed in itertools.product(("guess", "theory"), SEEDS):
            recorder.accuracy(Run(setting, tried, 1.0, 1.0, seed))
        best = max(around(setting), key=recorder.accuracy)
        for seed in SEEDS[1:]:
            recorder.accuracy(replace(best, seed=seed))
        print(setting, f"best at λ·{best.lr_factor:g}, H·{best.h_factor:g}", flush=True)


def table(path: Path) -> None:
    """Print the settings whose lattice is complete, as a table in Markdown, and a summary."""
    known = read(path)
    facts = {_run(row).setting: row for row in rows(path)}
    print("| data | width | batch | T | optimizer | best of 9: λ, H | its accuracy "
          "| guess | in σ | theory | in σ |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    regrets: dict[str, list[float]] = {"guess": [], "theory": []}
    for setting in settings():
        if not all(run in known for run in around(setting)):
            continue
        best = max(around(setting), key=lambda run: known[run])
        fresh = [known[r] for s in SEEDS[1:] if (r := replace(best, seed=s)) in known]
        tried = {
            name: [known[r] for s in SEEDS if (r := Run(setting, name, 1.0, 1.0, s)) in known]
            for name in regrets
        }
        if len(fresh) < len(SEEDS) - 1:
            continue
        top, images = statistics.mean(fresh), int(facts[setting]["validation"])
        cells = []
        for name, values in tried.items():
            if len(values) < len(SEEDS):
                cells.append("– | –")
                continue
            mean = statistics.mean(values)
            noise = deviation([*values, *fresh], [mean] * len(values) + [top] * 2, images)
            regrets[name].append((top - mean) / noise)
            cells.append(f"{100 * mean:.1f} | {regrets[name][-1]:+.1f}")
        print(
            f"| {setting.data} | {setting.width} | {setting.batch} | {facts[setting]['steps']} | "
            f"{setting.optimizer} | ×{best.lr_factor:g}, ×{best.h_factor:g} | {100 * top:.1f} | "
            f"{' | '.join(cells)} |"
        )
    for name, values in regrets.items():
        within = sum(value <= 2 for value in values)
        print(
            f"\n{name}: median regret {statistics.median(values):+.1f} σ, within 2 σ in {within} "
            f"of {len(values)}"
        )


def deviation(values: list[float], means: list[float], images: int) -> float:
    """One run's: of these values about their two means, at least that of the images drawn."""
    pooled = sum((v - m) ** 2 for v, m in zip(values, means, strict=True)) / (len(values) - 2)
    mean = statistics.mean(values)
    return math.sqrt(max(pooled, mean * (1 - mean) / images))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("record", "table"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    if arguments.what == "record":
        record(arguments.file, arguments.data_dir)
    else:
        table(arguments.file)


if __name__ == "__main__":
    main()
