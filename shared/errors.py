"""The errors of both services that a user can meet.

HeadstartError
├── Unauthorized       401   no API key, or a wrong one
├── NotFound           404   ModelNotFound, VersionNotFound
├── Conflict           409   PinUnreadable
├── InvalidRequest     422   a field's value is wrong in a way that only the service can know
├── InvalidImage       422   bytes that are no usable picture
├── TooLarge           413   a limit of the settings was exceeded
├── UnsupportedMedia   415   a body of a kind that is not read
├── StorageFull        507   the disk of the store is full
├── Unavailable        503   Redis away, no model yet, queue full
├── ModelUnreadable    500   a model's directory can't be listed
└── VersionCorrupt           a published version that must not be served

Each carries the HTTP status it is answered with; `shared.http.problems` turns it into problem+json.
Those of trainings and datasets are in `trainer_service.errors`.
"""

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
    def __init__(self, name: str, known: list[str]) -> None:
        have = ", ".join(known) if known else "none yet"
        super().__init__(f"There is no model {name!r}. Models: {have}.")


class VersionNotFound(NotFound):
    def __init__(self, name: str, version: int, known: list[int]) -> None:
        have = ", ".join(map(str, known)) if known else "none yet"
        super().__init__(f"Model {name!r} has no version {version}. Versions: {have}.")


class Conflict(HeadstartError):
    status = 409
    title = "Conflict"


class PinUnreadable(Conflict):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"Nobody knows whether model {name!r} is pinned: {reason.removesuffix('.')}. "
            "Pin or un-pin it to write the file anew."
        )


class InvalidRequest(HeadstartError):
    status = 422
    title = "Invalid request"


class InvalidImage(HeadstartError):
    """Bytes that can't be used as a picture; `verdict` is the dataset reader's word for why."""

    status = 422
    title = "Invalid image"

    def __init__(self, verdict: str, detail: str) -> None:
        super().__init__(detail)
        self.verdict = verdict


class TooLarge(HeadstartError):
    status = 413
    title = "Too large"


class StorageFull(HeadstartError):
    status = 507
    title = "Storage full"

    def __init__(self) -> None:
        super().__init__("There is no space left on the disk of the store.")


class UnsupportedMedia(HeadstartError):
    status = 415
    title = "Unsupported media type"


class Unavailable(HeadstartError):
    status = 503
    title = "Unavailable"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ModelUnreadable(HeadstartError):
    title = "Unreadable model"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The directory of model {name!r} can't be listed: {reason}.")


class VersionCorrupt(HeadstartError):
    """`fault`: whether its files are wrong, or what it answers."""

    title = "Corrupt version"

    def __init__(self, detail: str, fault: Literal["files", "answers"] = "files") -> None:
        super().__init__(detail)
        self.fault = fault


def first_fault(error: ValidationError) -> str:
    """Return where a document differs first from what was expected, and how."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the document"
    return f"{where}: {first['msg']}"
