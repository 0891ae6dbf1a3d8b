"""The state of a tail's training on disk, so that a killed worker loses one epoch at most.

The file begins with the SHA-256 of what follows: an .npz. A zip alone notices some damage too
late, or not at all.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from shared.files import atomic_writer, is_fault_of_the_file, open_plain
from shared.logs import get_logger
from trainer_service.phases.head.layers.best_epoch import Epoch
from trainer_service.store.files.removal import remove_tree

Arrays = list[npt.NDArray[Any]]
#: By how much the loss became smaller, and by how much it has to.
Gain = tuple[float, float]

_NOTES = "notes"
_PIECE_BYTES = 1 << 20
_DIGEST_BYTES = hashlib.sha256().digest_size

#: The last state that the disk has refused; a step that is repeated in this process goes on from
#: it. One at most: each is as large as three networks.
_refused: dict[Path, "Checkpoint"] = {}

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


def keep(path: Path, checkpoint: Checkpoint) -> OSError | None:
    """Save a checkpoint; if the disk refuses it, keep it in the memory of this process.

    Returns:
        Why it is not on disk; None if it is.
    """
    try:
        save(path, checkpoint)
    except OSError as error:
        log.warning("a checkpoint is not written", path=str(path), reason=str(error))
        _refused.clear()
        _refused[path] = replace(checkpoint, history=list(checkpoint.history))
        return error
    _refused.clear()
    return None


def is_kept(path: Path) -> bool:
    """Return whether there is a checkpoint, on disk or in memory."""
    return path in _refused or path.is_file()


def forget(path: Path) -> None:
    """Drop what is in memory of a checkpoint that nobody needs any more."""
    _refused.pop(path, None)


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
        file.write(bytes(_DIGEST_BYTES))
        np.savez(file, **arrays)
        file.flush()
        with open_plain(Path(file.name)) as written:
            digest = _digest(written)
        file.seek(0)
        file.write(digest)


def load(path: Path, key: str) -> Checkpoint | None:
    """Return the checkpoint of a training, or None if there is none of it that can be used.

    What is damaged is removed. What the disk has refused is newer than what is there; it is saved
    now if that is possible, for other processes.

    Raises:
        OSError: it can't be read now.
    """
    if path in _refused and _refused[path].key == key:
        found = _refused[path]
        keep(path, found)
        return found
    try:
        with open_plain(path) as file:
            if file.read(_DIGEST_BYTES) == _digest(file):
                return _read(file, key)
        reason = "its file is not what was written"
    except FileNotFoundError:
        return None
    except OSError as error:
        if not is_fault_of_the_file(error):
            raise
        reason = str(error)
    log.warning("a damaged checkpoint counts as missing", path=str(path), reason=reason)
    with suppress(OSError):
        remove_tree(path)  # a folder would keep the next one from its place
    return None


def _digest(file: IO[bytes]) -> bytes:
    """Return the SHA-256 of what follows the place for it."""
    digest = hashlib.sha256()
    file.seek(_DIGEST_BYTES)
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.digest()


def _read(file: IO[bytes], key: str) -> Checkpoint | None:
    """Return the checkpoint in an undamaged file, or None if it is of another training."""
    file.seek(_DIGEST_BYTES)
    with np.load(file) as arrays:
        notes = json.loads(arrays[_NOTES].tobytes())
        if notes["key"] != key:
            return None
        state, best = ([arrays[one] for one in _names(arrays, of)] for of in ("state", "best"))
    return Checkpoint(**notes, state=state, best=best)


def _names(arrays: np.lib.npyio.NpzFile, of: str) -> list[str]:
    return [f"{of}{number}" for number in range(sum(name.startswith(of) for name in arrays.files))]
