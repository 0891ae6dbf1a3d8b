"""Files of several arrays, as NumPy's `savez` writes them, read without trusting them."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]

#: A file that a version carries is not read if it has more bytes.
MOST_FILE_BYTES = 5_000_000

_NPY = ".npy"


@dataclass(frozen=True, slots=True)
class Shape:
    """What an array of a file has to be.

    Attributes:
        kind: its dtype.
        lengths: of each axis; None if any will do.
    """

    kind: npt.DTypeLike
    lengths: tuple[int | None, ...]

    def fits(self, kind: np.dtype[Any], lengths: tuple[int, ...]) -> bool:
        pairs = zip(self.lengths, lengths, strict=False)
        same = len(lengths) == len(self.lengths) and all(own in {None, one} for own, one in pairs)
        return same and min(lengths) >= 0 and kind == np.dtype(self.kind)

    def __str__(self) -> str:
        lengths = " x ".join("any" if one is None else str(one) for one in self.lengths)
        return f"{np.dtype(self.kind)} of {lengths}"


def pack(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return the bytes of a file of arrays; equal arrays make equal bytes."""
    file = BytesIO()
    contiguous: dict[str, Any] = {
        name: np.ascontiguousarray(array) for name, array in arrays.items()
    }
    np.savez(file, **contiguous)
    return file.getvalue()


def unpack(data: bytes, expected: Mapping[str, Shape]) -> Arrays:
    """Return the arrays in the bytes of a file; they take no more memory than the file.

    Raises:
        ValueError: it is not such a file, or has other arrays than expected.
    """
    if len(data) > MOST_FILE_BYTES:
        raise ValueError(f"it should have at most {MOST_FILE_BYTES} bytes, has {len(data)}")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return {name: _array(archive, name, shape) for name, shape in expected.items()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError) as error:
        raise ValueError(f"it should be a file of arrays: {error}") from error


def _array(archive: zipfile.ZipFile, name: str, shape: Shape) -> npt.NDArray[Any]:
    try:
        entry = archive.getinfo(name + _NPY)
    except KeyError:
        raise ValueError(f"it should have the array {name!r}") from None
    if entry.compress_type != zipfile.ZIP_STORED:  # a compressed one may grow without limit
        raise ValueError(f"{name} should not be compressed")
    data = archive.read(entry)
    file = BytesIO(data)
    try:
        np.lib.format.read_magic(file)
        lengths, by_columns, kind = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # NumPy raises exceptions of any class
        raise ValueError(f"{name} can't be read: {error}") from error
    if not shape.fits(kind, lengths) or by_columns:
        raise ValueError(f"{name} should be {shape}. Received: {kind} of {lengths}")
    try:
        return np.frombuffer(data, kind, offset=file.tell()).reshape(lengths)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not as it says: {error}") from error
