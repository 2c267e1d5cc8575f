"""`python -m hptoolkit.study`: tune a study's hyperparameters, and continue where it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hptoolkit.cli.session import Session
    from hptoolkit.cli.task import Task
    from hptoolkit.execution.engines.engine import Placement


def study(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="A definition in studies/, or a TOML file's path."),
    ] = None,
    sampler: Annotated[
        str, typer.Option(help="coord, grid, random, gp, tpe, cmaes, qmc or optuna-gp.")
    ] = "coord",
    raw: Annotated[
        bool, typer.Option("--raw", help="Search raw parameters instead, over the same region.")
    ] = False,
    coordinates: Annotated[
        str | None,
        typer.Option(
            help="Axes, comma-separated; or auto: tested on the model. [the definition's]"
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Budget in total, earlier runs of the study included.", min=1)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the study.", min=0)] = None,
    vary: Annotated[
        str | None, typer.Option(help="What the seed changes: init, order, augment or all.")
    ] = None,
    pruner: Annotated[str | None, typer.Option(help="none, median, halving or hyperband.")] = None,
    start: Annotated[
        str, typer.Option(help="file: the definition's; lr-range: from a range test.")
    ] = "file",
    fields: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Any field: training.epochs=10."),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="Tune your own function of a trial: MODULE:FUNCTION, FILE.py:FUNCTION."),
    ] = None,
    describe: Annotated[
        bool, typer.Option("--describe", help="Say what would be run, and run nothing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin a new study; the old one is kept.")
    ] = False,
    storage: Annotated[
        str | None,
        typer.Option(
            help="A journal file or a database URL [studies/studies.log].",
            envvar="HPTOOLKIT_STORAGE",
        ),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Where data sets are kept [HPTOOLKIT_DATA or the cache].")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:INDEX.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Trials at once, each in a process. [1]", min=1)
    ] = None,
    per_gpu: Annotated[int, typer.Option(help="Workers that may share a GPU.", min=1)] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray: workers on a Ray cluster.")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="A Ray cluster: HOST:PORT or ray://HOST:PORT.")
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="Ray keeps this share of a GPU for each worker.", min=0)
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(help="Tracking URI [sqlite:///mlruns/mlflow.db], or 'off'.")
    ] = None,
    sync_mlflow: Annotated[
        bool,
        typer.Option("--sync-mlflow", help="Log what MLflow lacks of stored studies, and exit."),
    ] = False,
) -> None:
    """Search good hyperparameters; a study that is run again goes on where it stopped."""
    from rich.console import Console

    from hptoolkit import storage as storages
    from hptoolkit.config import sampler_factory
    from hptoolkit.errors import UserError, nearest
    from hptoolkit.execution.engines.engine import Placement
    from hptoolkit.storage.urls import database_file
    from hptoolkit.tracking import check_uri

    console = Console(highlight=False, markup=False, emoji=False)
    sampler_factory.check_sampler(sampler)
    if start not in ("file", "lr-range"):
        raise UserError(f"Unknown start {start!r}: {nearest(start, ('file', 'lr-range'))}.")
    wanted = Placement(workers, per_gpu, device, engine, ray_address, gpus_per_worker)
    wanted.check()
    address = storage or storages.DEFAULT
    storages.check(address)
    if mlflow != "off":
        file = database_file(check_uri(mlflow))
        if file is not None:
            storages.check_writable(file, "--mlflow")
    if sync_mlflow:
        from hptoolkit.cli.sync import sync

        if mlflow == "off":
            raise UserError("--sync-mlflow with --mlflow off asks to log nowhere: leave one out.")
        raise typer.Exit(sync(name, address, mlflow, console))
    if wanted.are_processes and not describe:
        from hptoolkit.execution.engines import processes

        processes.warm_up(training=objective is None)

    changes = {"seed": seed, "vary": vary, "pruner": pruner, "trials": trials}
    if objective is None:
        from hptoolkit.cli import builtin_study

        task = builtin_study.prepare(
            name,
            fields or (),
            changes,
            coordinates,
            start,
            data_dir,
            device,
            checkpoints=storages.checkpoint_folder(address),
            address=address,
        )
    else:
        from hptoolkit.cli import user_study

        task = user_study.prepare(objective, name, fields or (), changes, coordinates, start)
    if describe:
        console.print(task.description(), markup=False, soft_wrap=True)
        raise typer.Exit
    session = _open(task, sampler, wanted, address, mlflow, console, fresh=fresh, raw=raw)
    raise typer.Exit(session.run().exit_code)


def _open(
    task: Task,
    kind: str,
    wanted: Placement,
    address: str,
    mlflow: str | None,
    console: Console,
    *,
    fresh: bool,
    raw: bool,
) -> Session:
    """Open the study, say what it is, and get its workers ready."""
    from hptoolkit.cli.session import Session
    from hptoolkit.config import sampler_factory
    from hptoolkit.execution.engines.choice import choose_engine
    from hptoolkit.execution.job import Job
    from hptoolkit.execution.open_study import open_study

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    defined = task.defined.over_raw_axes() if raw else task.defined
    made = sampler_factory.sampler(kind, defined)
    prune = sampler_factory.pruner(defined, task.epochs or 100)
    runs_it = choose_engine(wanted, address, say)
    opened = open_study(defined, kind, made, prune, address, fresh=fresh, raw=raw)
    for key, value in task.attributes.items():
        opened.set_user_attr(key, value)
    over = " over raw parameters" if raw else ""
    for line in (
        f"Study {opened.study_name}{task.why}: {task.what}, sampler {kind}{over}.",
        *task.notes,
        *sampler_factory.notes(made, defined),
        *runs_it.notes,
    ):
        say(line)
    job = Job(address, opened.study_name, kind, defined, task.epochs, task.objective)
    return Session(opened, job, runs_it, mlflow, console)
