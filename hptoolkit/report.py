"""`python -m hptoolkit.report STUDY`: a study's figures on one page; `--slice` runs one first."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def report(
    name: Annotated[
        str, typer.Argument(metavar="STUDY", help="A stored study, or a definition's name.")
    ],
    output: Annotated[
        str | None, typer.Option(help="The page [studies/STUDY-report.html].")
    ] = None,
    pair: Annotated[
        str | None,
        typer.Option(
            "--slice", metavar="A,B", help="First run a slice over two parameters: lr,momentum."
        ),
    ] = None,
    levels: Annotated[
        str | None, typer.Option(help="Slice: values of each parameter, 7 or 11,7 [7].")
    ] = None,
    factor: Annotated[float | None, typer.Option(help="Slice: step along each axis [2].")] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Slice: runs of each point, with other seeds [1].", min=1)
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Slice: its centre [the best configuration]."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Slice: budget in total [the whole lattice].", min=1)
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Slice: a field of the definition."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Slice: begin a new one; the old one is kept.")
    ] = False,
    storage: Annotated[
        str | None, typer.Option(help="A journal file or a database URL [studies/studies.log].")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Slice: where data sets are kept [HPTOOLKIT_DATA].")
    ] = None,
    device: Annotated[str, typer.Option(help="Slice: auto, cpu, cuda or cuda:INDEX.")] = "auto",
    mlflow: Annotated[
        str | None, typer.Option(help="Slice: tracking URI [sqlite:///mlruns/mlflow.db], or 'off'.")
    ] = None,
) -> None:
    """Draw what a study found: one HTML page that needs no network."""
    from rich.console import Console

    from hptoolkit import slice_study
    from hptoolkit import storage as storages
    from hptoolkit.slice_study import Asked

    console = Console(highlight=False)
    address = storage or storages.DEFAULT
    storages.check(address)
    asked = Asked(str(pair), levels, factor, repeats, tuple(at or ()))
    plan = slice_study.prepare(name, asked, fields or (), address, data_dir, device, fresh=fresh)
    study = slice_study.open_slice(plan, address, fresh=fresh)
    for line in plan.notes:
        console.print(line, markup=False, soft_wrap=True)
    over = slice_study.run_slice(study, plan, mlflow, console, trials)
    console.print(json.dumps({"study": study.study_name, "stopped_because": over.reason}))
    raise typer.Exit(over.exit_code)


def main() -> None:
    """The command, with errors of input as one sentence and exit code 2."""
    from hptoolkit.command import run_app

    run_app(app)


if __name__ == "__main__":
    main()
