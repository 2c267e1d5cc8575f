"""Options that several commands have."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

Definition = Annotated[
    str | None,
    typer.Argument(metavar="[STUDY]", help="A definition in studies/, or a TOML file's path."),
]
Fields = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Any field: training.epochs=10."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the study.", min=0)]
Storage = Annotated[
    str | None,
    typer.Option(
        help="A journal file or a database URL [studies/studies.log].",
        envvar="HPTOOLKIT_STORAGE",
    ),
]
DataDir = Annotated[
    str | None, typer.Option(help="Where data sets are kept [HPTOOLKIT_DATA or the cache].")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:INDEX.")]
Workers = Annotated[int | None, typer.Option(help="Trials at once, each in a process. [1]", min=1)]
PerGpu = Annotated[int, typer.Option(help="Workers that may share a GPU.", min=1)]
Engine = Annotated[str, typer.Option(help="local, or ray: workers on a Ray cluster.")]
RayAddress = Annotated[
    str | None, typer.Option(help="A Ray cluster: HOST:PORT or ray://HOST:PORT.")
]
GpusPerWorker = Annotated[
    float | None, typer.Option(help="Ray keeps this share of a GPU for each worker.", min=0)
]
MLflow = Annotated[
    str | None,
    typer.Option("--mlflow", help="Tracking URI [sqlite:///mlruns/mlflow.db], or 'off'."),
]

Json = Annotated[
    bool,
    typer.Option("--json", help="End with a line of JSON on a terminal too; in a pipe always."),
]


def print_outcome(outcome: Mapping[str, Any], *, asked: bool) -> None:
    """Print the outcome for programs, as the last line: into a person's terminal only if asked."""
    if asked or not sys.stdout.isatty():
        print(json.dumps(outcome), flush=True)


def again() -> str:
    """How to go on after an interruption: the command that was typed, without its secrets."""
    from hptoolkit.errors import command
    from hptoolkit.storage.urls import redact

    typed = [redact(argument) for argument in sys.argv[1:] if argument != "--fresh"]
    return f"To go on, run the same command: {command(Path(sys.argv[0]).stem, *typed)}"


def check_mlflow(uri: str | None) -> None:
    """Raise UserError for a `--mlflow` at which nothing can be logged."""
    from hptoolkit.storage import check_writable
    from hptoolkit.storage.urls import database_file
    from hptoolkit.tracking import check_uri

    if uri != "off" and (file := database_file(check_uri(uri))) is not None:
        check_writable(file, "--mlflow")
