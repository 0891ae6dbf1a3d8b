"""Reads PyTorch's old serialization format without PyTorch.

The file has five pickles: magic number, protocol, system, state dict and storage keys. Then comes
the storage of each key: an int64 count, and that many elements, little-endian. Loading a pickle can
run code, so these pickles may only name four harmless globals.
"""

import io
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_COUNT_BYTES = 8


@dataclass(slots=True)
class _Storage:
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage that is read later; offset and strides are in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _FloatStorage:
    dtype = np.dtype("<f4")


class _LongStorage:
    dtype = np.dtype("<i8")


def _rebuild_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, _gradient: Any, _hooks: Any
) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _Tensor(storage, _natural(offset), _naturals(shape), _naturals(strides))


_GLOBALS = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "FloatStorage"): _FloatStorage,
    ("torch", "LongStorage"): _LongStorage,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
}


class _Unpickler(pickle.Unpickler):
    """Loads numbers, strings, containers and tensors, and refuses anything else."""

    def __init__(self, file: io.BytesIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

    def persistent_load(self, reference: Any) -> _Storage:
        match reference:
            case ("storage", type() as kind, str() as key, str(), int() as count, None) if kind in (
                _FloatStorage,
                _LongStorage,
            ):
                storage = _Storage(kind.dtype, _natural(count))
                return self._storages.setdefault(key, storage)
        raise pickle.UnpicklingError(f"it refers to {reference!r}")


def read_state_dict(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a state dict by name; each is float32 or int64.

    Raises:
        ValueError: the file is not such a state dict, is damaged, or holds more than tensors.
    """
    file = io.BytesIO(path.read_bytes())
    storages: dict[str, _Storage] = {}
    try:
        _check_header(file)
        state = _load(file, storages)
        keys = _load(file, storages)
        arrays = dict(_read_storage(file, storages, key) for key in keys)
        return {name: _view(tensor, arrays) for name, tensor in state.items()}
    except (
        pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError, ValueError,
        IndexError, ImportError, OverflowError, MemoryError, RecursionError,
    ) as error:  # fmt: skip
        raise ValueError(f"{path} is not a readable PyTorch state dict: {error}.") from error


def _load(file: io.BytesIO, storages: dict[str, _Storage]) -> Any:
    return _Unpickler(file, storages).load()


def _check_header(file: io.BytesIO) -> None:
    magic, protocol, system = (_load(file, {}) for _ in range(3))
    if magic != _MAGIC or protocol != _PROTOCOL or system.get("little_endian") is not True:
        raise ValueError("its header is of another format")


def _read_storage(
    file: io.BytesIO, storages: dict[str, _Storage], key: str
) -> tuple[int, NDArray[Any]]:
    """Return the identity of a storage and its elements."""
    if key not in storages:
        raise ValueError(f"it has no storage {key!r}")
    storage = storages[key]
    count = int.from_bytes(file.read(_COUNT_BYTES), "little", signed=True)
    if count != storage.count:
        raise ValueError(f"a storage of {storage.count} elements says that it has {count}")
    data = file.read(count * storage.dtype.itemsize)
    if len(data) != count * storage.dtype.itemsize:
        raise ValueError("it is truncated")
    return id(storage), np.frombuffer(data, storage.dtype)


def _view(tensor: Any, arrays: dict[int, NDArray[Any]]) -> NDArray[Any]:
    if not isinstance(tensor, _Tensor):
        raise TypeError(f"it holds {type(tensor).__name__} where a tensor should be")
    data = arrays[id(tensor.storage)]
    if len(tensor.shape) != len(tensor.strides):
        raise ValueError(f"shape {tensor.shape} does not go with strides {tensor.strides}")
    reach = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    beyond = tensor.offset + reach >= len(data) or math.prod(tensor.shape) > len(data)
    if 0 in tensor.shape or beyond:
        raise ValueError("a tensor reaches beyond its storage")
    strides = [step * data.itemsize for step in tensor.strides]
    return np.array(as_strided(data[tensor.offset :], tensor.shape, strides))


def _natural(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise pickle.UnpicklingError(f"{value!r} should be a natural number")
    return value


def _naturals(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple):
        raise pickle.UnpicklingError(f"{values!r} should be a tuple")
    return tuple(_natural(value) for value in values)
