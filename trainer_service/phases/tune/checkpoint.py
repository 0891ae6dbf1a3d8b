"""The state of a tail's training on disk, so that a killed worker loses one epoch at most."""

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.files import atomic_writer, is_fault_of_the_file, open_plain
from shared.logs import get_logger
from trainer_service.phases.head.layers.best_epoch import Epoch

Arrays = list[npt.NDArray[Any]]
#: By how much the loss became smaller, and by how much it has to.
Gain = tuple[float, float]

_NOTES = "notes"

log = get_logger(__name__)


@dataclass(slots=True)
class Checkpoint:
    """Where a training is after an epoch.

    Attributes:
        key: what the training depends on; one with another key can't go on from here.
        history: the epochs so far.
        best_epoch: the best of them, from 1; 0 if none is better than the start.
        gain: how much better that one is; None if none is.
        state: weights, averaged weights and the optimizers' own numbers.
        best: the averaged weights of the best epoch.
    """

    key: str
    history: list[Epoch]
    best_epoch: int
    gain: Gain | None
    state: Arrays
    best: Arrays


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; it replaces the one before as a whole."""
    notes = asdict(checkpoint)
    arrays = {
        f"{name}{number}": array
        for name in ("state", "best")
        for number, array in enumerate(notes.pop(name))
    }
    arrays[_NOTES] = np.frombuffer(json.dumps(notes).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path) as file:
        np.savez(file, **arrays)


def load(path: Path, key: str) -> Checkpoint | None:
    """Return the checkpoint of a training, or None if there is none of it that can be used.

    Raises:
        OSError: it can't be read now.
    """
    try:
        with open_plain(path) as file, np.load(file) as arrays:
            notes = json.loads(arrays[_NOTES].tobytes())
            if notes["key"] != key:
                return None
            state, best = ([arrays[one] for one in _names(arrays, of)] for of in ("state", "best"))
        return Checkpoint(**notes, state=state, best=best)
    except FileNotFoundError:
        return None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as e:
        if isinstance(e, OSError) and e.errno is not None and not is_fault_of_the_file(e):
            raise
        log.warning("a damaged checkpoint counts as missing", path=str(path), reason=str(e))
        return None


def _names(arrays: np.lib.npyio.NpzFile, of: str) -> list[str]:
    return [f"{of}{number}" for number in range(sum(name.startswith(of) for name in arrays.files))]
