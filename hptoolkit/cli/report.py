"""`python -m hptoolkit.report STUDY`: a study's figures on one page; `--slice` runs one first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hptoolkit.cli.options import (
    DataDir,
    Device,
    Engine,
    Fields,
    GpusPerWorker,
    Json,
    MLflow,
    PerGpu,
    RayAddress,
    Storage,
    Workers,
    check_mlflow,
    print_outcome,
)

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
    fields: Fields = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Slice: begin a new one; the old one is kept.")
    ] = False,
    storage: Storage = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    workers: Workers = None,
    per_gpu: PerGpu = 1,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    gpus_per_worker: GpusPerWorker = None,
    mlflow: MLflow = None,
    json: Json = False,
) -> None:
    """Draw what a study found: one HTML page that needs no network.

    With --slice, a slice is run before; the options that train are for that.
    """
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
                 "--trials": trials, "--set": fields, "--fresh": fresh,
                 "--workers": workers}  # fmt: skip
        _refuse([option for option, value in given.items() if value])
        write(studies.find(address, name), address, output, console, None, json=json)
        return
    from hptoolkit.cli.session import Session
    from hptoolkit.execution.engines.engine import Placement
    from hptoolkit.execution.slices import plan
    from hptoolkit.execution.slices.request import SliceRequest

    request = SliceRequest(pair, levels, factor, repeats, tuple(at or ()))
    placement = Placement(workers, per_gpu, device, engine, ray_address, gpus_per_worker)
    placement.check()
    check_mlflow(mlflow)
    if placement.are_processes:
        from hptoolkit.execution.engines import processes

        processes.warm_up(training=True)
    chosen = plan.prepare(
        name, request, fields or (), address, data_dir, device, trials, fresh=fresh
    )
    problem = chosen.problem
    session = Session.open(
        problem, chosen.kind, chosen.sampler, address, placement, mlflow, console, fresh=fresh
    )
    plan.remember(chosen.slice, session.study)
    session.say(*problem.notes, *session.engine.notes)
    ending = session.run(summary=False)
    write(session.study, address, output, console, ending.reason, json=json)
    raise typer.Exit(ending.exit_code)


def write(
    study: Study,
    address: str,
    output: str | None,
    console: Console,
    ending: str | None,
    *,
    json: bool,
) -> None:
    """Write a study's page, and print what was found and where it is."""
    from hptoolkit.execution import studies
    from hptoolkit.reporting import results
    from hptoolkit.reporting.study_report import report as made

    defined = studies.definition_of(study)
    searched = defined is not None and not studies.is_slice(study)
    found = made(study, studies.slices(address, defined.name) if searched and defined else ())
    file = re.sub(r"[^\w.-]+", "_", study.study_name)
    path = found.save(output or f"studies/{file}-report.html")
    for line in (*found.findings, *(f"Not shown: {note}" for note in found.not_shown)):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"Report: {path}", markup=False, soft_wrap=True)
    outcome = results.as_json(study, address, ending or "")
    if ending is None:
        del outcome["stopped_because"]
    outcome |= {
        "report": str(path),
        "figures": [figure.id for figure in found.figures],
        "findings": found.findings,
        "not_shown": found.not_shown,
    }
    print_outcome(outcome, asked=json)


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
