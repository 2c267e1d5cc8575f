"""`python -m hptoolkit.report STUDY`: a study's figures on one page; `--slice` runs one first."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from optuna.study import Study
    from rich.console import Console


def report(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="A stored study, or a definition's name for its newest; none: list the stored.",
        ),
    ] = None,
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

    from hptoolkit import storage as storages
    from hptoolkit.execution import studies

    console = Console(highlight=False, markup=False, emoji=False)
    address = storage or storages.DEFAULT
    storages.check(address)
    if output is not None:
        _check_output(Path(output))
    if name is None:
        _list(address, console)
        return
    if pair is None:
        given = {"--levels": levels, "--factor": factor, "--repeats": repeats, "--at": at,
                 "--trials": trials, "--set": fields, "--fresh": fresh}  # fmt: skip
        _refuse([option for option, value in given.items() if value])
        study, ending = studies.find(address, name), None
    else:
        from hptoolkit.cli import slice_run
        from hptoolkit.execution.slices import study as slice_study
        from hptoolkit.execution.slices.options import Asked

        asked = Asked(pair, levels, factor, repeats, tuple(at or ()))
        plan = slice_study.prepare(
            name, asked, fields or (), address, data_dir, device, fresh=fresh
        )
        slice_run.check_mlflow(mlflow)
        study = slice_study.open_slice(plan, address, fresh=fresh)
        ending = slice_run.run_slice(study, plan, address, mlflow, console, trials)
    write(study, address, output, console, ending.reason if ending else None)
    raise typer.Exit(ending.exit_code if ending else 0)


def write(
    study: Study, address: str, output: str | None, console: Console, ending: str | None
) -> None:
    """Write a study's page, and print what was found and where it is."""
    from hptoolkit.errors import UserError
    from hptoolkit.execution import studies
    from hptoolkit.reporting import figures, html, results
    from hptoolkit.reporting.facts import facts

    if study._is_multi_objective():
        raise UserError(
            f"The study {study.study_name} has {len(study.directions)} objectives: the report is "
            "for studies with one."
        )
    defined = studies.definition_of(study)
    album = figures.make(study, defined)
    if defined is not None and not studies.is_slice(study):
        album = figures.with_slices(album, studies.slices(address, defined.name), defined)
    file = re.sub(r"[^\w.-]+", "_", study.study_name)
    path = Path(output or f"studies/{file}-report.html")
    try:
        html.write(
            path,
            study.study_name,
            album.figures,
            album.notes,
            about=results.about(study, defined),
            facts=facts(study, defined),
            findings=album.findings,
            table=album.table,
        )
    except OSError as error:
        raise UserError(
            f"The page {path} cannot be written ({error.strerror}): choose another place by "
            "--output."
        ) from None
    for line in (*album.findings, *(f"Not shown: {note}" for note in album.notes)):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"Report: {path}", markup=False, soft_wrap=True)
    outcome = results.as_json(study, address, ending or "")
    if ending is None:
        del outcome["stopped_because"]
    outcome |= {
        "report": str(path),
        "figures": [figure.id for figure in album.figures],
        "findings": album.findings,
        "not_shown": album.notes,
    }
    console.print(json.dumps(outcome), markup=False, soft_wrap=True)


def _check_output(path: Path) -> None:
    from hptoolkit.errors import UserError
    from hptoolkit.storage import check_writable

    if path.is_dir():
        raise UserError(f"--output {path} is a folder: give the page's file, such as report.html.")
    check_writable(path, "--output")


def _refuse(options: list[str]) -> None:
    from hptoolkit.errors import UserError

    if options:
        verb = "belongs" if len(options) == 1 else "belong"
        raise UserError(f"{', '.join(options)} {verb} to --slice: name two parameters by it, too.")


def _list(address: str, console: Console) -> None:
    from hptoolkit.execution import studies
    from hptoolkit.execution.worker import used
    from hptoolkit.storage.urls import redact

    names = studies.names(address)
    if not names:
        console.print(f"The storage {redact(address)} holds no study yet.", markup=False)
    for name in names:
        console.print(f"{name}: {used(studies.load(address, name))} runs", markup=False)
