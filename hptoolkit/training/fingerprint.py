"""A digest of the images and labels that a training really saw."""

from __future__ import annotations

import hashlib

from hptoolkit.training.data import Subset

_ROWS_AT_ONCE = 4096


def digest(subset: Subset) -> str:
    """16 hexadecimal digits of the SHA-256 of the subset's images and labels, in its order.

    Equal for equal arrays on every machine, whatever file they came from. 0.2 s for CIFAR-10.
    """
    sha = hashlib.sha256(repr((len(subset), subset.all_images.shape[1:])).encode())
    for first in range(0, len(subset), _ROWS_AT_ONCE):
        rows = subset.rows[first : first + _ROWS_AT_ONCE]
        sha.update(subset.all_images[rows].tobytes())
        sha.update(subset.all_labels[rows].astype("<i8").tobytes())
    return sha.hexdigest()[:16]
