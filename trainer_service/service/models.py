"""The API's operations on published models."""

import json
from contextlib import suppress

from shared.documents import reason
from shared.errors import Conflict, InvalidRequest, NotFound, VersionCorrupt
from shared.models.annotations import Annotations
from shared.models.promotions import last_decisions
from trainer_service.service.answers import (
    DamagedVersion,
    ModelChange,
    ModelStatus,
    PromotionHistory,
    VersionChange,
    VersionStatus,
)
from trainer_service.service.trainer import Trainer
from trainer_service.store import annotating, model_life


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
    said = snapshot.annotations or Annotations()
    status = ModelStatus(
        name=name,
        pinned=snapshot.pinned,
        shadow=snapshot.shadow,
        versions=[],
        notice=" ".join(filter(None, [snapshot.fault, snapshot.annotations_fault])) or None,
        note=said.note,
        formerly=[former for former in said.formerly if former != name],
    )
    for version in reversed(snapshot.versions or []):
        try:
            with suppress(NotFound):  # the version was removed meanwhile
                manifest = models.manifest(name, version)
                shown = VersionStatus.model_validate(manifest, from_attributes=True)
                shown.decision = decisions.get(version)
                shown.note, shown.alias = said.of(version).note, said.of(version).alias
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


def annotate_model(trainer: Trainer, name: str, change: ModelChange) -> ModelStatus:
    """Give a model another note, or none.

    Raises:
        ModelNotFound: no model has this name.
        InvalidRequest: nothing is to be changed.
        AnnotationsUnreadable: what is said of the model so far can't be read.
        ModelUnwritable: the file system refuses the change.
    """
    _require_change(change)
    annotating.annotate_model(trainer.stores.models, name, change.note)
    return get_model(trainer, name)


def annotate_version(
    trainer: Trainer, name: str, version: int, change: VersionChange
) -> ModelStatus:
    """Give a version another note or alias, or none; no other version keeps that alias.

    Raises:
        ModelNotFound, VersionNotFound: no model has this name, or no version this number.
        InvalidRequest: nothing is to be changed.
        AnnotationsUnreadable: what is said of the model so far can't be read.
        ModelUnwritable: the file system refuses the change.
    """
    _require_change(change)
    changed = change.model_dump(include=change.model_fields_set)
    annotating.annotate_version(trainer.stores.models, name, version, changed)
    return get_model(trainer, name)


def _require_change(change: ModelChange | VersionChange) -> None:
    if not change.model_fields_set:
        fields = " or ".join(type(change).model_fields)
        raise InvalidRequest(f"Expected {fields}, to change it or, with null, to remove it.")


def rename_model(trainer: Trainer, name: str, new: str) -> ModelStatus:
    """Give a model another name; the predictor then serves it under that.

    Raises:
        ModelNotFound: no model has this name.
        InvalidRequest: the new name is the old one.
        Conflict: there is a model of the new name, or a training that has not ended, or a
            comparison, would publish under one of the names.
        RecordCorrupt, Unavailable: the record of a training can't be read.
        ModelUnwritable: the file system refuses the change.
    """
    models = trainer.stores.models
    models.versions(name)
    for brief in trainer.stores.open_jobs():
        model = json.loads(brief.listed)["model"]
        if model in {name, new}:
            raise Conflict(
                f"{brief.id} has not ended and will publish a version of model {model!r}: wait for "
                "its end, or cancel it."
            )
    model_life.rename_model(models, name, new)
    return get_model(trainer, new)


def delete_model(trainer: Trainer, name: str, *, force: bool) -> None:
    """Remove a model with all of its versions.

    Raises:
        ModelNotFound: no model has this name.
        Conflict: a version of it is served, and `force` is not set; or one is being written.
        Unavailable: a version can't be read now, so it is not known whether one is served.
        ModelUnwritable: the file system refuses the change.
    """
    model_life.remove_model(trainer.stores.models, name, force=force)


def delete_version(trainer: Trainer, name: str, version: int, *, force: bool) -> None:
    """Remove a version; one that is served, or has an alias, only with `force`.

    Raises:
        ModelNotFound, VersionNotFound: no model has this name, or no version this number.
        Conflict: it has an alias or is the one to serve: the pinned one, or else the first intact
            one in the order of preference.
        Unavailable: a version can't be read now, so it is not known which one to serve.
        ModelUnwritable: the file system refuses the change.
    """
    model_life.remove_version(trainer.stores.models, name, version, force=force)
