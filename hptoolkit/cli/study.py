"""`python -m hptoolkit.study`: tune a study's hyperparameters, and continue where it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hptoolkit.cli.options import (
    DataDir,
    Definition,
    Device,
    Engine,
    Fields,
    GpusPerWorker,
    Json,
    MLflow,
    PerGpu,
    RayAddress,
    Seed,
    Storage,
    Workers,
    check_mlflow,
)

if TYPE_CHECKING:
    from hptoolkit.execution.problem import Problem


def study(
    name: Definition = None,
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
    seed: Seed = None,
    vary: Annotated[
        str | None, typer.Option(help="What the seed changes: init, order, augment or all.")
    ] = None,
    pruner: Annotated[str | None, typer.Option(help="none, median, halving or hyperband.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="theory: where theory says; file: the definition's; page: a deliberately bad one; "
            "lr-range: from a range test. [file if it names one, else theory]"
        ),
    ] = None,
    fields: Fields = None,
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
    storage: Storage = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    workers: Workers = None,
    per_gpu: PerGpu = 1,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    gpus_per_worker: GpusPerWorker = None,
    mlflow: MLflow = None,
    sync_mlflow: Annotated[
        bool,
        typer.Option("--sync-mlflow", help="Log what MLflow lacks of stored studies, and exit."),
    ] = False,
    json: Json = False,
) -> None:
    """Search good hyperparameters, beginning where theory says they are.

    A study that is run again goes on where it stopped.
    """
    from rich.console import Console

    from hptoolkit import storage as storages
    from hptoolkit.config import sampler_factory
    from hptoolkit.config.start import check_kind
    from hptoolkit.execution.engines.engine import Placement

    console = Console(highlight=False, markup=False, emoji=False)
    sampler_factory.check_sampler(sampler)
    check_kind(start)
    placement = Placement(workers, per_gpu, device, engine, ray_address, gpus_per_worker)
    placement.check()
    address = storage or storages.DEFAULT
    storages.check(address)
    check_mlflow(mlflow)
    if sync_mlflow:
        from hptoolkit.cli.sync import sync

        raise typer.Exit(sync(name, address, mlflow, console))
    if placement.are_processes and not describe:
        from hptoolkit.execution.engines import processes

        processes.warm_up(training=objective is None)

    changes = {"seed": seed, "vary": vary, "pruner": pruner, "trials": trials}
    problem: Problem
    if objective is None:
        from hptoolkit.execution import builtin_study
        from hptoolkit.execution.open_study import stored_start

        checkpoints = storages.checkpoint_folder(address)
        problem = builtin_study.prepare(
            name,
            fields or (),
            changes,
            coordinates,
            start,
            data_dir,
            device,
            checkpoints,
            address,
            stored=lambda defined: (
                None if fresh else stored_start(defined, sampler, address, raw=raw)
            ),
        )
    else:
        from hptoolkit.execution import user_function

        problem = user_function.prepare(objective, name, fields or (), changes, coordinates, start)
    if describe:
        console.print(problem.describe(), markup=False, soft_wrap=True)
        raise typer.Exit
    from hptoolkit.cli.session import Session

    over = " over raw parameters" if raw else ""
    if raw:
        problem = problem.over_raw_axes()
    chosen = sampler_factory.sampler(sampler, problem.defined)
    session = Session.open(
        problem,
        sampler,
        chosen,
        address,
        placement,
        mlflow,
        console,
        fresh=fresh,
        raw=raw,
        json=json,
    )
    session.say(f"{problem.headline(session.job.study)}, sampler {sampler}{over}.")
    session.say(*problem.notes, *sampler_factory.notes(chosen, problem.defined))
    session.say(*session.engine.notes)
    raise typer.Exit(session.run().exit_code)
