"""Writes a backbone and a head as a `.keras` file.

Keras goes through all parts of a network for that, which takes longer than writing its weights. So
a worker keeps the last file that it has written, and puts only the weights of another head of the
same form on the same backbone into it.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from weakref import ReferenceType, ref

import numpy as np
import numpy.typing as npt

#: A larger file is not kept in memory.
MOST_BYTES = 32 << 20
#: The members of the archive: how Keras calls its weights, and what says when it was saved.
_WEIGHTS, _METADATA = "model.weights.h5", "metadata.json"
_SAVED = "%Y-%m-%d@%H:%M:%S"


class _Template(NamedTuple):
    """A file that was written.

    Attributes:
        backbone: whose it is.
        form: of the head: its configuration, as JSON.
        members: of the archive, by their names.
        places: of the head's weights in `model.weights.h5`, in their order.
    """

    backbone: ReferenceType[Any]
    form: str
    members: dict[str, bytes]
    places: list[str]


_last: list[_Template] = []


def save_keras(backbone: Any, head: Any, path: Path, *, stays: bool) -> None:
    """Write both as one `keras.Model`.

    Args:
        backbone: a `keras.Model`.
        head: a `keras.Model` on its output.
        path: where to.
        stays: whether the weights of this backbone never change.
    """
    form = json.dumps(head.get_config(), default=str, sort_keys=True)
    for known in _last:
        if stays and known.backbone() is backbone and known.form == form:
            _write(known, head.get_weights(), path)
            return
    _joined(backbone, head).save(path)
    if stays and path.stat().st_size <= MOST_BYTES:
        _remember(backbone, head, form, path)


def forget() -> None:
    """Forget the last file."""
    _last.clear()


def _joined(backbone: Any, head: Any) -> Any:
    """Return both as one `keras.Model`."""
    import keras

    return keras.Model(backbone.input, head(backbone.output), name=backbone.name)


def _remember(backbone: Any, head: Any, form: str, path: Path) -> None:
    """Keep a file that was written, if it is plain where in it the weights of the head are."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    places = _places_of(head.get_weights(), members[_WEIGHTS])
    _last.clear()
    if places is not None:
        _last.append(_Template(ref(backbone), form, members, places))


def _places_of(weights: Sequence[npt.NDArray[Any]], stored: bytes) -> list[str] | None:
    """Return where weights are among others; None if one of them is not there just once."""
    import h5py

    places: list[list[str]] = [[] for _ in weights]

    def look(name: str, entry: Any) -> None:
        for own, found in zip(weights, places, strict=True):
            if getattr(entry, "shape", None) == own.shape and np.array_equal(entry[()], own):
                found.append(name)

    with h5py.File(io.BytesIO(stored)) as file:
        file.visititems(look)
    return [name for (name,) in places] if all(len(found) == 1 for found in places) else None


def _write(known: _Template, weights: Sequence[npt.NDArray[Any]], path: Path) -> None:
    """Write a file again, with other weights of the head."""
    import h5py

    changed = io.BytesIO(known.members[_WEIGHTS])
    with h5py.File(changed, "r+") as file:
        for place, own in zip(known.places, weights, strict=True):
            file[place][...] = own
    metadata = json.loads(known.members[_METADATA])
    metadata["date_saved"] = datetime.now(UTC).astimezone().strftime(_SAVED)
    members = known.members | {_METADATA: json.dumps(metadata).encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, changed.getbuffer() if name == _WEIGHTS else data)
