"""The API's operations on published models."""

from contextlib import suppress

from shared.documents import reason
from shared.errors import NotFound, VersionCorrupt
from shared.models.promotions import last_decisions
from trainer_service.service.answers import (
    DamagedVersion,
    ModelStatus,
    PromotionHistory,
    VersionStatus,
)
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
    decisions = last_decisions(snapshot.decisions)
    status = ModelStatus(
        name=name,
        pinned=snapshot.pinned,
        shadow=snapshot.shadow,
        versions=[],
        notice=snapshot.fault,
    )
    for version in reversed(snapshot.versions or []):
        try:
            with suppress(NotFound):  # the version was removed meanwhile
                manifest = models.manifest(name, version)
                shown = VersionStatus.model_validate(manifest, from_attributes=True)
                shown.decision = decisions.get(version)
                status.versions.append(shown)
        except VersionCorrupt as error:
            status.damaged.append(DamagedVersion(version=version, reason=error.detail))
        except OSError as error:
            status.damaged.append(DamagedVersion(version=version, reason=f"{reason(error)}."))
    readable = {shown.version for shown in status.versions}
    status.serving = next((v for v in snapshot.preferred if v in readable), None)
    return status


def list_promotions(trainer: Trainer, name: str) -> PromotionHistory:
    """Return which versions were decided to be served, pinned and rolled back, newest first.

    Raises:
        ModelNotFound: no model has this name.
        PromotionsUnreadable: the decisions can't be read.
    """
    status = get_model(trainer, name)
    return PromotionHistory(
        model=name,
        serving=status.serving,
        pinned=status.pinned,
        decisions=trainer.stores.models.decisions(name)[::-1],
    )


def promote_version(trainer: Trainer, name: str, version: int) -> ModelStatus:
    """Decide that a version is served from now on.

    Raises:
        ModelNotFound, VersionNotFound: no model has this name, or no version this number.
        Conflict: the model is pinned, or its pin or its decisions can't be read.
        ModelUnwritable: the file system refuses the change.
    """
    trainer.stores.models.promote(name, version)
    return get_model(trainer, name)


def roll_back(trainer: Trainer, name: str) -> ModelStatus:
    """Return to the version that was served before the one that is served now.

    Raises:
        ModelNotFound: no model has this name.
        Conflict: the model is pinned, or has no earlier version; or its pin or its decisions can't
            be read.
        Unavailable: a version can't be read now.
        ModelUnwritable: the file system refuses the change.
    """
    trainer.stores.models.roll_back(name)
    return get_model(trainer, name)


def pin_model(
    trainer: Trainer, name: str, version: int | None, *, shadow: bool = False
) -> ModelStatus:
    """Pin a model to one of its versions, or un-pin it with None.

    With `shadow`, the newest version answers beside the pinned one.

    Raises:
        ModelNotFound, VersionNotFound: no model has this name, or no version this number.
        ModelUnwritable: the file system refuses the change.
    """
    trainer.stores.models.pin(name, version, shadow=shadow)
    return get_model(trainer, name)


def delete_version(trainer: Trainer, name: str, version: int) -> None:
    """Remove a version, unless it is the one to serve.

    Raises:
        ModelNotFound, VersionNotFound: no model has this name, or no version this number.
        Conflict: it is the one to serve: the pinned one, or else the first intact one in the order
            of preference.
        Unavailable: a version can't be read now, so it is not known which one to serve.
        ModelUnwritable: the file system refuses the change.
    """
    trainer.stores.models.remove(name, version)
