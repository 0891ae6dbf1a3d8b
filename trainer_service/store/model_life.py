"""Renames and removes models as a whole, and removes versions that are served.

A model is renamed and removed by one rename of its directory. Whoever looks at the store, at any
moment, sees all versions under one name or under the other, or none of them; so does whoever comes
after a crash.
"""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from shared.errors import (
    AnnotationsUnreadable,
    Conflict,
    InvalidRequest,
    PinUnreadable,
    VersionCorrupt,
)
from shared.files import sync_directory
from shared.models.annotations import read_annotations
from shared.models.model_store import PIN_FILE, read_manifest, scan
from trainer_service.store.annotating import write_annotations
from trainer_service.store.files.removal import remove_tree
from trainer_service.store.files.work_in_progress import REMOVED, STAGING, working_directory
from trainer_service.store.publishing import WritableModelStore, write_errors_wrapped


def remove_version(models: WritableModelStore, name: str, version: int, *, force: bool) -> None:
    """Remove a version; its number is not used again.

    Args:
        models: the model store.
        name: the name of the model.
        version: the number of the version.
        force: also remove the one that is served, or that has an alias. If it is the only one, the
            model is gone.

    Raises:
        ModelNotFound, VersionNotFound: there is no such version.
        Conflict: it is served or has an alias, and `force` is not set; or that is not known.
        Unavailable: a version can't be read now, so it is not known which one is served.
        ModelUnwritable: the file system refuses the change.
    """
    model = models.directory(name, version).parent
    if not force:
        if alias := read_annotations(model).of(version).alias:
            raise Conflict(
                f"Version {version} of model {name!r} has the alias {alias!r}, under which it is "
                "asked for: take that from it first, or remove the version with ?force=true."
            )
        models.remove(name, version)
        return
    if models.versions(name) == [version]:
        remove_model(models, name, force=True)
        return
    with _being_removed(name, model) as removed, models.changing(name):
        if models.versions(name) == [version]:
            raise Conflict(f"Model {name!r} has just changed: try again.")
        if _is_pinned(models, name, version):
            remove_tree(model / PIN_FILE)
        models.take_out(name, version, removed)


def remove_model(models: WritableModelStore, name: str, *, force: bool) -> None:
    """Remove a model with all of its versions; their numbers are not used again.

    Raises:
        ModelNotFound: no model has this name.
        Conflict: a version of it is served, and `force` is not set; or a version is being written.
        Unavailable: a version can't be read now, so it is not known whether one is served.
        ModelUnwritable: the file system refuses the change.
    """
    models.versions(name)
    served = [] if force else sorted(models.served(name))
    if served:
        listed = " and ".join(map(str, served))
        raise Conflict(
            f"Model {name!r} is served, with version {listed}. Remove it with ?force=true: all "
            f"{len(models.versions(name))} of its versions are gone then, and the predictor "
            "answers no request for it any more."
        )
    with _being_removed(name, models.root) as removed:
        with models.changing(name) as model:
            models.versions(name)
            _require_nothing_written(model)
            highest = models.highest(name)
            model.rename(removed / name)
            sync_directory(models.root)
        remove_tree(removed / name)  # before anything is written: the disk may be full
        _note_highest(models, name, highest)


def rename_model(models: WritableModelStore, name: str, new: str) -> None:
    """Give a model another name; its versions keep their numbers.

    Their manifests stay as they are. That they are of this model is known by `formerly` among the
    annotations, which has the old name before the directory has the new one.

    Raises:
        ModelNotFound: no model has this name.
        InvalidRequest: the new name is the old one.
        Conflict: there is a model of the new name, or a version of either is being written.
        ModelUnwritable: the file system refuses the change.
    """
    models.versions(name)
    if new == name:
        raise InvalidRequest(f"name: expected another name than it has. Received: {new!r}.")
    target = models.model_directory(new)
    target.mkdir(parents=True, exist_ok=True)
    with _being_removed(name, models.root) as removed:
        with ExitStack() as locks:
            for each in sorted([name, new]):  # in one order, so that no two wait for each other
                locks.enter_context(models.changing(each))
            model = models.model_directory(name)
            _require_no_model(models, new)
            for directory in (model, target):
                _require_nothing_written(directory)
            highest = models.highest(name)
            models.note_removed(name, max(highest, models.highest(new)))
            said = read_annotations(model)
            formerly = list(dict.fromkeys([*said.formerly, name]))
            write_annotations(model, said.model_copy(update={"formerly": formerly}))
            target.rename(removed / new)  # it has no version, at most the number of the last one
            model.rename(target)
            sync_directory(models.root)
        _note_highest(models, name, highest)


def find_version(models: WritableModelStore, name: str, version: int, training_id: str) -> Path:
    """Return the directory of the version that a training has published under a name.

    The model may have been renamed since, and another one may have the name by now.

    Raises:
        VersionNotFound, ModelNotFound: the version is not there any more.
    """
    found = models.model_directory(name) / str(version)
    if found.is_dir() and _is_of(found, training_id):
        return found
    for found in _formerly(models, name, version):
        if _is_of(found, training_id):
            return found
    return models.directory(name, version)  # which raises, unless it was replaced by hand


def _formerly(models: WritableModelStore, name: str, version: int) -> Iterator[Path]:
    """Yield the directories of a version of all models that had this name before."""
    for other in models.names():
        directory = models.root / other / str(version)
        with suppress(AnnotationsUnreadable):
            if name in read_annotations(directory.parent).formerly and directory.is_dir():
                yield directory


def _is_of(directory: Path, training_id: str) -> bool:
    try:
        return read_manifest(directory).training_id == training_id
    except (VersionCorrupt, OSError):
        return True  # what is wrong with it is told by whatever reads it


@contextmanager
def _being_removed(name: str, parent: Path) -> Iterator[Path]:
    """Yield an empty directory below `parent`; what is moved into it is removed at the end.

    Raises:
        ModelUnwritable: the file system refuses that.
    """
    path = parent / f"{REMOVED}{secrets.token_hex(6)}"
    with write_errors_wrapped(name), working_directory(path) as directory:
        yield directory


def _require_no_model(models: WritableModelStore, name: str) -> None:
    versions = models.integers(models.model_directory(name))
    if versions:
        raise Conflict(
            f"There is a model {name!r}, with {len(versions)} versions: rename or remove it first, "
            "or choose another name."
        )


def _require_nothing_written(model: Path) -> None:
    """Raise if a version is being written in a model's directory, which must not be moved then."""
    if any(entry.name.startswith(STAGING) for entry in scan(model)):
        raise Conflict(
            f"A version of model {model.name!r} is being written: try again when it is there. What "
            "a worker has left that was killed is removed within ten minutes."
        )


def _is_pinned(models: WritableModelStore, name: str, version: int) -> bool:
    try:
        return models.pinned(name) == version
    except PinUnreadable:
        return False


def _note_highest(models: WritableModelStore, name: str, highest: int) -> None:
    """Remember the highest number of a model that has no directory any more."""
    models.model_directory(name).mkdir(parents=True, exist_ok=True)
    with models.changing(name):
        models.note_removed(name, highest)
