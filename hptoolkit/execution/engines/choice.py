"""Who runs a study's trials: this process, several processes of this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable

from hptoolkit.execution.engines.engine import Engine, Placement


def choose_engine(wanted: Placement, address: str, say: Callable[[str], None]) -> Engine:
    """The engine asked for, for a study stored at `address`.

    `say` is called with a sentence about a worker that died. Raises UserError if there is no room
    for the workers, or no Ray.
    """
    if wanted.engine == "ray":
        from hptoolkit.execution.engines.ray import RayCluster

        return RayCluster.join(wanted, address, say)
    if not wanted.are_processes:
        from hptoolkit.execution.engines.local import ThisProcess

        return ThisProcess(wanted.device)
    from hptoolkit.execution.engines.devices import crowding, places, visible_gpus
    from hptoolkit.execution.engines.processes import Processes

    gpus = visible_gpus(wanted.device)
    workers = wanted.workers or 1
    note = crowding(workers, gpus)
    return Processes(places(workers, wanted.per_gpu, gpus), say, [note] if note else [])
