"""The errors of both services that a user can meet.

HeadstartError
├── Unauthorized       401   no API key, or a wrong one
├── NotFound           404   ModelNotFound, VersionNotFound, AliasNotFound
├── Conflict           409   PinUnreadable, PromotionsUnreadable, AnnotationsUnreadable
├── InvalidRequest     422   a field's value is wrong in a way that only the service can know
├── InvalidImage       422   the bytes are not a usable image
├── TooLarge           413   a limit of the settings was exceeded
├── UnsupportedMedia   415   the body has a type that the service does not read
├── StorageFull        507   the disk of the store is full
├── Unavailable        503   Redis does not answer, there is no model yet, or the queue is full
├── NotPermitted       500   the file system does not let the service use its store
├── ModelUnreadable    500   a model's directory can't be listed
└── VersionCorrupt           a published version that must not be served

Each class has the HTTP status of its answer; `shared.http.problems` turns it into problem+json.
Those of trainings and datasets are in `trainer_service.errors`.
"""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ValidationError


class HeadstartError(Exception):
    """Root of every error with a message written for the user."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    @property
    def detail(self) -> str:
        return str(self)


class Unauthorized(HeadstartError):
    status = 401
    title = "Unauthorized"


class NotFound(HeadstartError):
    status = 404
    title = "Not found"


class ModelNotFound(NotFound):
    """No model has this name; `known` are the names of all models."""

    def __init__(self, name: str, known: list[str]) -> None:
        have = ", ".join(known) if known else "none yet"
        super().__init__(f"There is no model {name!r}. Models: {have}.")


class VersionNotFound(NotFound):
    """The model has no such version; `known` are the versions that it has."""

    def __init__(self, name: str, version: int, known: list[int]) -> None:
        have = ", ".join(map(str, known)) if known else "none yet"
        super().__init__(f"Model {name!r} has no version {version}. Versions: {have}.")


class AliasNotFound(NotFound):
    """No version of the model has this alias; `known` are those that it has."""

    def __init__(self, name: str, alias: str, known: list[str]) -> None:
        have = ", ".join(known) if known else "none yet"
        super().__init__(f"Model {name!r} has no version called {alias!r}. Aliases: {have}.")


class Conflict(HeadstartError):
    status = 409
    title = "Conflict"


class PinUnreadable(Conflict):
    """A model has a pin file, but the pinned version can't be read from it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"The pin of model {name!r} can't be read: {reason.removesuffix('.')}. "
            "Pin or un-pin the model to write the file again."
        )


class AnnotationsUnreadable(Conflict):
    """What is said of a model can't be read; writing the file anew would lose it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"The notes and aliases of model {name!r} can't be read: {reason.removesuffix('.')}. "
            "Repair the file, or remove it."
        )


class PromotionsUnreadable(Conflict):
    """A model has a file of decisions on which version is served, but it can't be read."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"Which version of model {name!r} was decided to be served can't be read: "
            f"{reason.removesuffix('.')}. Restore the file, pin a version, or remove the file: "
            "then the newest version is served."
        )


class InvalidRequest(HeadstartError):
    status = 422
    title = "Invalid request"


class InvalidImage(HeadstartError):
    """The bytes can't be used as an image; `verdict` is the word that a dataset lists it under."""

    status = 422
    title = "Invalid image"

    def __init__(self, verdict: str, detail: str) -> None:
        super().__init__(detail)
        self.verdict = verdict


class TooLarge(HeadstartError):
    status = 413
    title = "Too large"


class StorageFull(HeadstartError):
    """The disk of the store is full."""

    status = 507
    title = "Storage full"

    def __init__(self) -> None:
        super().__init__("There is no space left on the disk of the store.")


class NotPermitted(HeadstartError):
    """The file system does not let the service use a file or directory of its store.

    Args:
        path: the path, relative to the store.
        reason: the system's message.
    """

    title = "Not permitted"

    def __init__(self, path: Path, reason: str) -> None:
        what = "The store" if path == Path() else f"{path} in the store"
        super().__init__(f"{what} can't be used: {reason}.")


class UnsupportedMedia(HeadstartError):
    status = 415
    title = "Unsupported media type"


class Unavailable(HeadstartError):
    """The service can't answer now; `retry_after` are the seconds after which to try again."""

    status = 503
    title = "Unavailable"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ModelUnreadable(HeadstartError):
    """The directory of a model exists, but can't be listed."""

    title = "Unreadable model"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The directory of model {name!r} can't be listed: {reason}.")


class VersionCorrupt(HeadstartError):
    """A published version that must not be served.

    Args:
        detail: the reason, as a sentence.
        fault: "files" if the files of the version are wrong, "answers" if its network answers the
            golden images differently than in training.
    """

    title = "Corrupt version"

    def __init__(self, detail: str, fault: Literal["files", "answers"] = "files") -> None:
        super().__init__(detail)
        self.fault = fault


def first_fault(error: ValidationError) -> str:
    """Return the first field of a document that is wrong, and what is wrong with it."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the document"
    return f"{where}: {first['msg']}"
