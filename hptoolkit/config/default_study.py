"""Which study to run when none is named."""

from __future__ import annotations

from hptoolkit.errors import UserError


def choose(data_dir: str | None) -> tuple[str, str]:
    """The study's name, and why: CIFAR-10 where a GPU and the data are at hand, else the digits."""
    import torch

    from hptoolkit.training import data

    if not torch.cuda.is_available():
        return "digits", "no study was named and there is no CUDA GPU"
    if data.available("cifar10", data_dir):
        return "cifar10", "no study was named, and a CUDA GPU and CIFAR-10 are here"
    try:
        data.load("cifar10", data_dir)
    except UserError:
        folder = data.data_folder(data_dir)
        return "digits", (
            f"no study was named; there is a CUDA GPU, but CIFAR-10 is not in {folder} and could "
            "not be downloaded"
        )
    return "cifar10", "no study was named; there is a CUDA GPU, and CIFAR-10 was downloaded"
