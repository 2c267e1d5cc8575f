"""Where data sets come from the first time: torchvision's downloads, or idx files already there."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from hptoolkit.errors import UserError

Array = np.ndarray[Any, np.dtype[Any]]
IDX_FILES = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}


def fetch(name: str, folder: Path) -> dict[str, Array]:
    """The four arrays of fashion-mnist, cifar10 or cifar100. Raises UserError if it cannot."""
    from torchvision import datasets

    source = {
        "fashion-mnist": datasets.FashionMNIST,
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
    }[name]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            train = source(scratch, train=True, download=True)
            test = source(scratch, train=False, download=True)
    except (OSError, RuntimeError, EOFError) as error:
        raise UserError(
            f"could not download {name} ({error}): put {name}.npz with the uint8 arrays "
            f"train_images, train_labels, test_images, test_labels into {folder}, or name another "
            f"folder with --data-dir or the environment variable HPTOOLKIT_DATA"
        ) from error
    return {
        "train_images": _images(train.data),
        "train_labels": np.asarray(train.targets, dtype=np.int64),
        "test_images": _images(test.data),
        "test_labels": np.asarray(test.targets, dtype=np.int64),
    }


def _images(data: Any) -> Array:
    images = np.asarray(data)
    return images if images.ndim == 4 else images[..., None]


def has_idx(name: str, folder: Path) -> bool:
    """Whether `folder` holds the four gzipped idx files of fashion-mnist (Debian packages them)."""
    return name == "fashion-mnist" and all((folder / f).is_file() for f in IDX_FILES.values())


def read_idx(folder: Path) -> dict[str, Array]:
    """The four arrays of the gzipped idx files in `folder`. Raises UserError if one is damaged."""
    return {key: _read_idx_file(folder / file) for key, file in IDX_FILES.items()}


def _read_idx_file(path: Path) -> Array:
    """Bytes 0, 0, 8 (unsigned byte), rank; then each size as 4 bytes, big-endian; the data."""
    try:
        content = gzip.decompress(path.read_bytes())
        rank = content[3]
        shape = tuple(np.frombuffer(content, ">u4", count=rank, offset=4).astype(int))
        array = np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not a readable idx file ({error})") from error
    return array[..., None].copy() if rank == 3 else array.copy()
