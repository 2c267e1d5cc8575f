"""Who runs a study's trials: this process, several processes of this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable

from hptoolkit.execution.engines.engine import Engine, Placement


def choose_engine(placement: Placement, address: str, say: Callable[[str], None]) -> Engine:
    """The engine for a study stored at `address`.

    `say` is called with a sentence about a worker that died. Raises UserError if there is no room
    for the workers, or no Ray.
    """
    if placement.engine == "ray":
        from hptoolkit.execution.engines.ray import RayCluster

        return RayCluster.join(placement, address, say)
    if not placement.are_processes:
        from hptoolkit.execution.engines.local import ThisProcess

        return ThisProcess(placement.device)
    from hptoolkit.execution.engines.devices import crowding, places, visible_gpus
    from hptoolkit.execution.engines.processes import Processes

    gpus = visible_gpus(placement.device)
    workers = placement.workers or 1
    note = crowding(workers, gpus)
    return Processes(places(workers, placement.per_gpu, gpus), say, [note] if note else [])
