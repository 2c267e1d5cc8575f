"""Record a table of real runs: digits over a lattice in coordinates, one training a point.

    python benchmarks/record_table.py tests/data/digits_table.json

Samplers can then be compared on real responses without training. The lattice is Page's: powers of
two from the start (0.001, 0.5, 0.01) along λα/(1−ρ), 1−ρ and α.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path

from hptoolkit import Coordinates
from hptoolkit.config.load import load_study
from hptoolkit.config.start import PAGE
from hptoolkit.training import data, set_up_device, train

# Powers of two along each axis, from the start.
POWERS = {
    "lr*weight_decay/(1-momentum)": range(17),
    "1-momentum": range(-3, 2),
    "weight_decay": range(-3, 1),
}


def main(path: Path) -> None:
    """Train at every point of the lattice and write the table, atomically."""
    device = set_up_device("cpu")
    defined = load_study("digits")
    split = data.split(data.load("digits"), defined.data)
    coordinates = Coordinates(*POWERS)
    start = coordinates.from_raw({name: float(PAGE[name]) for name in coordinates.names})
    rows = []
    for powers in itertools.product(*POWERS.values()):
        point = {axis: start[axis] * 2.0**k for axis, k in zip(POWERS, powers, strict=True)}
        params = {name: float(f"{v:.12g}") for name, v in coordinates.to_raw(point).items()}
        model, training = defined.configure(params)
        result = train(training, split, model=model, seed=0, device=device)
        rows.append(
            {
                "powers": powers,
                "accuracy": None if result.diverged else result.validation_accuracy,
                "loss": None if result.diverged else result.validation_loss,
            }
        )
        print(powers, params, rows[-1]["accuracy"], flush=True)
    table = {
        "what": "digits.toml, seed 0, one training a point; null where training diverged",
        "axes": list(POWERS),
        "start": start,
        "rows": rows,
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(table, indent=None, separators=(",", ":")))
    os.replace(part, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
