"""The API's operations on published models."""

from contextlib import suppress

from shared.documents import reason
from shared.errors import NotFound, VersionCorrupt
from trainer_service.service.answers import DamagedVersion, ModelStatus, VersionStatus
from trainer_service.service.trainer import Trainer


def list_models(trainer: Trainer) -> list[ModelStatus]:
    """Return every model with its versions, sorted by name."""
    models = []
    for name in trainer.stores.models.names():
        with suppress(NotFound):  # its last version was removed meanwhile
            models.append(get_model(trainer, name))
    return models


def get_model(trainer: Trainer, name: str) -> ModelStatus:
    """Return the versions of a model, newest first, and which of its files can't be read.

    Raises:
        ModelNotFound: no model has this name.
    """
    models = trainer.stores.models
    snapshot = models.snapshot(name)
    status = ModelStatus(name=name, pinned=snapshot.pinned, versions=[], notice=snapshot.fault)
    for version in reversed(snapshot.versions or []):
        try:
            with suppress(NotFound):  # the version was removed meanwhile
                manifest = models.manifest(name, version)
                shown = VersionStatus.model_validate(manifest, from_attributes=True)
                status.versions.append(shown)
        except VersionCorrupt as error:
            status.damaged.append(DamagedVersion(version=version, reason=error.detail))
        except OSError as error:
            status.damaged.append(DamagedVersion(version=version, reason=f"{reason(error)}."))
    return status


def pin_model(trainer: Trainer, name: str, version: int | None) -> ModelStatus:
    """Pin a model to one of its versions, or un-pin it with None.

    Raises:
        ModelNotFound, VersionNotFound: no model has this name, or no version this number.
        ModelUnwritable: the file system refuses the change.
    """
    trainer.stores.models.pin(name, version)
    return get_model(trainer, name)


def delete_version(trainer: Trainer, name: str, version: int) -> None:
    """Remove a version, unless it is the one to serve.

    Raises:
        ModelNotFound, VersionNotFound: no model has this name, or no version this number.
        Conflict: it is pinned, or no version is and it is the newest intact one.
        Unavailable: a version can't be read now, so it is not known which one to serve.
        ModelUnwritable: the file system refuses the change.
    """
    trainer.stores.models.remove(name, version)
