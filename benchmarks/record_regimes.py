"""Record real runs on both sides of H = 1: short ones on the digits, over λ/(1−ρ), 1−ρ and α.

    python -m benchmarks.record_regimes tests/data/digits_regimes_3.json --epochs 3

The lattice is in λ/(1−ρ), so that it favours no system of axes that contains λα/(1−ρ). Its 168
trainings are kept in the file as they end: run again, it goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hptoolkit import Coordinates
from hptoolkit.config.load import load_study
from hptoolkit.training import data, set_up_device, train

START = {"lr/(1-momentum)": 4.0, "1-momentum": 0.125, "weight_decay": 0.0016}
# Powers of two along each axis, from the start.
POWERS = {
    "lr/(1-momentum)": range(-6, 6, 2),
    "1-momentum": range(-1, 3),
    "weight_decay": range(-6, 8, 2),
}


def main() -> None:
    """Train at every point of the lattice that the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    device = set_up_device("cpu")
    defined = load_study("digits", [f"training.epochs={arguments.epochs}"])
    split = data.split(data.load("digits"), defined.data)
    coordinates = Coordinates(*POWERS)
    table = {
        "what": f"digits.toml, {arguments.epochs} epochs, seed 0; null where training diverged",
        "steps": len(split.train) // defined.training.batch_size * arguments.epochs,
        "axes": list(POWERS),
        "start": START,
        "rows": [],
    }
    if arguments.file.exists():
        table = json.loads(arguments.file.read_text())
    known = {tuple(row["powers"]) for row in table["rows"]}
    for powers in itertools.product(*POWERS.values()):
        if powers in known:
            continue
        point = {axis: START[axis] * 2.0**k for axis, k in zip(POWERS, powers, strict=True)}
        params = {name: float(f"{v:.12g}") for name, v in coordinates.to_raw(point).items()}
        model, training = defined.configure(params)
        result = train(training, split, model=model, seed=0, device=device)
        accuracy = None if result.diverged else result.validation_accuracy
        table["rows"].append({"powers": powers, "accuracy": accuracy})
        part = arguments.file.with_suffix(".part")
        part.write_text(json.dumps(table, separators=(",", ":")))
        os.replace(part, arguments.file)


if __name__ == "__main__":
    main()
