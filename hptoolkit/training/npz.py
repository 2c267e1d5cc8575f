"""Data sets on disk: one uncompressed NAME.npz, written atomically and read by memory mapping.

Mapped pages belong to the operating system's cache, so the processes of a machine that train on the
same file share one copy of it.
"""

from __future__ import annotations

import math
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from hptoolkit.errors import UserError

_CHUNK = 1 << 20

Array = np.ndarray[Any, np.dtype[Any]]


def write(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write `arrays` to `path`: the file appears complete or not at all. Raises UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(
            f"cannot write to the data folder {path.parent} ({error.strerror}): choose another one "
            f"with --data-dir or the environment variable HPTOOLKIT_DATA"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path: Path, keys: tuple[str, ...]) -> dict[str, Array]:
    """The arrays named `keys`, mapped copy-on-write where stored uncompressed. Raises UserError."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            missing = [key for key in keys if key not in members]
            if missing:
                raise UserError(
                    f"{path} lacks the array {missing[0]!r}: it must hold {', '.join(keys)}"
                )
            return {key: _read_member(path, archive, members[key]) for key in keys}
    except UserError:
        raise
    except Exception as error:  # whatever zipfile, zlib and NumPy raise of damaged bytes
        raise UserError(
            f"{path} is not a readable npz file (truncated, or another format: {error}): delete it "
            f"to download it again, or put a good copy in its place"
        ) from error


def _read_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as stream:
        version = npy_format.read_magic(stream)
        read_header = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise UserError(f"{path}: array {info.filename} has an unknown npy version {version}")
        shape, fortran_order, dtype = read_header(stream)
        header_bytes = stream.tell()
    if dtype.hasobject:
        raise UserError(f"{path}: array {info.filename} holds Python objects, expected numbers")
    if info.compress_type != zipfile.ZIP_STORED or fortran_order:
        with archive.open(info) as stream:
            array: Array = npy_format.read_array(stream, allow_pickle=False)
            return np.ascontiguousarray(array)
    start = _start_of_content(path, info)
    expected = info.file_size - header_bytes
    if math.prod(shape) * dtype.itemsize != expected or _checksum(path, start, info) != info.CRC:
        raise UserError(f"{path}: the array {info.filename} is damaged: put a good copy in place.")
    if not expected:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, mode="c", offset=start + header_bytes, shape=shape)


def _checksum(path: Path, start: int, info: zipfile.ZipInfo) -> int:
    """The CRC-32 of a stored member's bytes: 0.1 s for CIFAR-10, whose pages are read anyway."""
    checksum, left = 0, info.file_size
    with path.open("rb") as file:
        file.seek(start)
        while left and (chunk := file.read(min(left, _CHUNK))):
            checksum, left = zlib.crc32(chunk, checksum), left - len(chunk)
    return checksum


def _start_of_content(path: Path, info: zipfile.ZipInfo) -> int:
    """Past the local header (30 bytes, its name and extra field; APPNOTE.TXT 4.3.7)."""
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        lengths = file.read(4)
    name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
    return info.header_offset + 30 + name + extra
