"""What is decided when a version is published, promoted, pinned or rolled back; nothing is written.

The functions return the decisions to append to those of the model, oldest first.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from shared.errors import Conflict, HeadstartError
from shared.models.model_store import ModelSnapshot
from shared.models.promotions import By, Decision, last_decisions, shortened


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a version that is about to be published is to be served, and why."""

    served: bool
    reason: str
    by: By = "training"


class ModelChanged(HeadstartError):
    """Versions, pin or decisions of the model are not those any more that a verdict is about."""

    title = "Model changed"


def decided(version: int, verdict: Verdict, training_id: str | None = None) -> Decision:
    """Return a verdict on a version as a decision of this moment."""
    return Decision(
        version=version,
        served=verdict.served,
        at=datetime.now(UTC),
        by=verdict.by,
        reason=shortened(verdict.reason),
        training_id=training_id,
    )


def promoted(model: ModelSnapshot, version: int) -> list[Decision]:
    """Return what makes an unpinned model serve one of its versions from now on.

    Raises:
        Conflict: the model is pinned.
    """
    require_unpinned(model)
    if model.preferred[:1] == [version]:
        return []
    why = Verdict(served=True, reason="Someone has asked for it.", by="request")
    return [*_newest_settled(model, version), decided(version, why)]


def rolled_back(model: ModelSnapshot, sound: list[int]) -> list[Decision]:
    """Return what makes an unpinned model serve the version before the one that is served.

    Args:
        model: the model.
        sound: the intact versions, in the order in which to serve them; two are enough.

    Raises:
        Conflict: the model is pinned, or has no earlier version.
    """
    require_unpinned(model)
    match sound:
        case [served, before, *_]:
            back = Verdict(served=True, reason=f"Rolled back from version {served}.", by="rollback")
            left = Verdict(served=False, reason=f"Rolled back to version {before}.", by="rollback")
            return [decided(served, left), decided(before, back)]
        case _:
            raise Conflict(
                f"Model {model.name!r} has no intact version before the one that is served, "
                f"{', '.join(map(str, sound)) or 'none'}. A version that was published without "
                "being served, or rolled back from, is served by "
                f'POST /v1/models/{model.name}/promotions with {{"version": …}}.'
            )


def pinned(model: ModelSnapshot, version: int | None) -> list[Decision]:
    """Return the note that a model is pinned to a version, or un-pinned with None."""
    if version is not None:
        reason = "Pinned: it is served until the model is un-pinned."
        return [decided(version, Verdict(served=True, reason=reason, by="pin"))]
    if model.pinned is None:
        return []
    reason = "Un-pinned: the version that was decided on last is served."
    return [decided(model.pinned, Verdict(served=False, reason=reason, by="unpin"))]


def require_unpinned(model: ModelSnapshot) -> None:
    """Check that decisions matter: a pin would override them.

    Raises:
        Conflict: the model is pinned.
    """
    if model.pinned is not None:
        raise Conflict(
            f"Model {model.name!r} is pinned to version {model.pinned}, which is served whatever "
            f"is decided. Un-pin it first: PUT /v1/models/{model.name}/pin with "
            '{"version": null}.'
        )


def _newest_settled(model: ModelSnapshot, version: int) -> list[Decision]:
    """Return a decision on the newest version, if it is preferred only because there is none.

    It keeps its place before the versions that were served until now.
    """
    newest = max(model.versions or [], default=version)
    if newest == version or newest in last_decisions(model.decisions):
        return []
    reason = f"Served as the newest, until version {version} was asked for."
    return [decided(newest, Verdict(served=True, reason=reason, by="request"))]
