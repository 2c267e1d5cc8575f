"""Keep a study's runs as a small file, and draw the README's figures from such files.

    python benchmarks/readme_figures.py record STORAGE STUDY     # writes docs/data/STUDY.json
    python benchmarks/readme_figures.py draw                     # docs/data/*.json to docs/images/

Drawing needs Debian's chromium (or another one, by the environment variable CHROMIUM).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from hptoolkit.attributes import (
    COORDINATES,
    DEFINITION,
    HISTORY,
    IMAGES_PER_SECOND,
    PRUNED_REASON,
    SAMPLER,
    SEED,
    SLICE,
    own,
)
from hptoolkit.execution import studies
from hptoolkit.reporting import figures
from hptoolkit.reporting.figures.figure import Figure

FOLDER = Path(__file__).parent.parent / "docs"
# The README's figures: the file of the study, the figure's id, and its width in pixels.
SHOWN = (
    ("cifar10-small-slice-lr-momentum", "slice-momentum", 1000),
    ("cifar10-small-slice-lr-momentum", "collapse", 1000),
    ("digits-coord", "search-path", 900),
)
_KEPT = (SEED, PRUNED_REASON, COORDINATES, IMAGES_PER_SECOND)


def record(address: str, name: str) -> None:
    """Write a study's finished runs, its definition and its sampler to docs/data/NAME.json."""
    study = studies.load(address, name)
    trials = [trial for trial in study.trials if trial.state.is_finished() and trial.params]
    content = {
        "study": name,
        "direction": study.direction.name.lower(),
        "attributes": {
            key: value
            for key, value in own(study.user_attrs).items()
            if key in (DEFINITION, SAMPLER, SLICE)
        },
        "runs": [_row(trial) for trial in trials],
    }
    path = FOLDER / "data" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in content.pop("runs"))
    head = json.dumps(content, separators=(",", ":"))[:-1]
    path.write_text(f'{head},"runs":[\n{rows}\n]}}\n', encoding="utf-8")
    print(f"{len(trials)} runs in {path}")


def study_of(path: Path) -> optuna.Study:
    """The study of such a file, in memory."""
    content = json.loads(path.read_text(encoding="utf-8"))
    study = optuna.create_study(study_name=content["study"], direction=content["direction"])
    for key, value in content["attributes"].items():
        study.set_user_attr(key, value)
    definition = studies.definition_of(study)
    if definition is None or definition.distributions is None:
        raise SystemExit(f"{path} keeps no definition with a search space.")
    for row in content["runs"]:
        study.add_trial(
            create_trial(
                state=TrialState[row["state"]],
                value=row["value"],
                params=row["params"],
                distributions=dict(definition.distributions),
                user_attrs=row["attributes"],
            )
        )
    return study


def draw() -> None:
    """Draw the README's figures as PNG, at twice the resolution."""
    for name, figure_id, width in SHOWN:
        path = FOLDER / "data" / f"{name}.json"
        study = study_of(path)
        drawn, notes = figures.draw(study, studies.definition_of(study))
        figure = next((figure for figure in drawn if figure.id == figure_id), None)
        if figure is None:
            raise SystemExit(f"{path} has no figure {figure_id}: {' '.join(notes)}")
        image = FOLDER / "images" / f"{name}-{figure_id}.png"
        photograph(figure, image, width)
        print(f"{image}: {image.stat().st_size // 1000} kB\n  {figure.caption}")


def photograph(figure: Figure, image: Path, width: int) -> None:
    """A figure as PNG, drawn by chromium from a page of its own."""
    image.parent.mkdir(parents=True, exist_ok=True)
    height = int(figure.figure.layout.height)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "figure.html"
        body = figure.figure.to_html(config={"staticPlot": True}, default_width=f"{width}px")
        page.write_text(body.replace("<body>", '<body style="margin:0">'), encoding="utf-8")
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars", "--force-device-scale-factor=2", "--virtual-time-budget=5000",
            f"--user-data-dir={folder}/profile", f"--window-size={width},{height}",
            f"--screenshot={image}",
        ]  # fmt: skip
        program = os.environ.get("CHROMIUM", "chromium")
        subprocess.run([program, *flags, page.as_uri()], check=True, capture_output=True)


def _row(trial: Any) -> dict[str, Any]:
    attributes = own(trial.user_attrs)
    curve = [
        {key: epoch[key] for key in ("epoch", "validation_accuracy", "validation_loss")
         if key in epoch}
        for epoch in attributes.get(HISTORY, [])
    ]  # fmt: skip
    return {
        "state": trial.state.name,
        "value": trial.value,
        "params": trial.params,
        "attributes": {k: attributes[k] for k in _KEPT if k in attributes} | {HISTORY: curve},
        "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
    }


def main() -> None:
    """The command line."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    match sys.argv[1:]:
        case ["record", address, name]:
            record(address, name)
        case ["draw"]:
            draw()
        case _:
            print(__doc__)
            sys.exit(2)


if __name__ == "__main__":
    main()
