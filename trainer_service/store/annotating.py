"""Writes what people say of a model and its versions: notes and aliases."""

from collections.abc import Callable, Mapping
from pathlib import Path

from shared.files import atomic_write
from shared.models.annotations import (
    ANNOTATIONS_FILE,
    Annotations,
    VersionAnnotation,
    read_annotations,
)
from trainer_service.store.publishing import WritableModelStore


def annotate_model(models: WritableModelStore, name: str, note: str | None) -> None:
    """Give a model another note, or none.

    Raises:
        ModelNotFound: the model has no version.
        AnnotationsUnreadable: what is said of the model so far can't be read.
        ModelUnwritable: the file system refuses the change.
    """
    models.versions(name)
    _change(models, name, lambda said: said.model_copy(update={"note": note}))


def annotate_version(
    models: WritableModelStore, name: str, version: int, changed: Mapping[str, str | None]
) -> None:
    """Give a version another note or alias, or none.

    An alias is taken from the version that had it, in the same moment.

    Args:
        models: the model store.
        name: the name of the model.
        version: the number of the version.
        changed: the new `note`, `alias` or both; None removes one.

    Raises:
        ModelNotFound, VersionNotFound: there is no such version.
        AnnotationsUnreadable: what is said of the model so far can't be read.
        ModelUnwritable: the file system refuses the change.
    """
    models.directory(name, version)

    def change(said: Annotations) -> Annotations:
        models.directory(name, version)  # it may have been removed meanwhile
        new = said.of(version).model_copy(update=dict(changed))
        others = {
            number: _without(one, new.alias)
            for number, one in said.versions.items()
            if number != version
        }
        return said.model_copy(update={"versions": {**others, version: new}})

    _change(models, name, change)


def write_annotations(model: Path, said: Annotations) -> None:
    """Write what is said of a model; the caller holds its lock.

    Args:
        model: `models/<name>` of the store.
        said: what is said; versions of which nothing is said are left out.
    """
    versions = {number: one for number, one in said.versions.items() if one.note or one.alias}
    kept = said.model_copy(update={"versions": dict(sorted(versions.items()))})
    atomic_write(model / ANNOTATIONS_FILE, kept.model_dump_json(exclude_none=True).encode())


def _change(
    models: WritableModelStore, name: str, change: Callable[[Annotations], Annotations]
) -> None:
    with models.changing(name) as model:
        said = read_annotations(model).present(models.versions(name))
        write_annotations(model, change(said))


def _without(said: VersionAnnotation, alias: str | None) -> VersionAnnotation:
    return said.model_copy(update={"alias": None}) if alias and said.alias == alias else said
