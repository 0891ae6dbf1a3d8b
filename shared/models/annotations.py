"""What people say of a model: notes, aliases of its versions, and its earlier names.

    models/<name>/annotations.json    {"note": …, "versions": {"3": {"note": …, "alias": …}},
                                       "formerly": ["pets"]}

The trainer writes the file; the predictor reads it, so that `?version=champion` finds its version.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from shared.documents import Unreadable, read_document, reason
from shared.errors import AnnotationsUnreadable, first_fault
from shared.identifiers import ModelName, is_alias

ANNOTATIONS_FILE = "annotations.json"
#: The largest size of the file: thousands of versions, each with the longest note.
MOST_ANNOTATIONS_BYTES = 16 << 20
#: The largest length of a note, in characters.
LONGEST_NOTE = 500


def _require_note(text: str) -> str:
    if any(not character.isprintable() and character != "\n" for character in text):
        raise ValueError("Input should be text without control characters")
    if not text.strip():
        raise ValueError("Input should have a letter; null removes a note")
    return text.strip()


def _require_alias(text: str) -> str:
    if not is_alias(text):
        raise ValueError(
            "Input should be a word of up to 40 small letters, digits, - and _, the first a "
            "letter, and none of latest, newest, pinned, served"
        )
    return text


Note = Annotated[str, Field(max_length=LONGEST_NOTE), AfterValidator(_require_note)]
Alias = Annotated[
    str,
    AfterValidator(_require_alias),
    WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,39}$"}),
]


class VersionAnnotation(BaseModel):
    """What is said of a version."""

    model_config = ConfigDict(frozen=True)

    note: Note | None = None
    alias: Alias | None = None


NOTHING = VersionAnnotation()


class Annotations(BaseModel):
    """What is said of a model and its versions.

    Attributes:
        note: the note of the model.
        versions: what is said of its versions, by number.
        formerly: the names that the model had before, oldest first. Its versions have manifests
            with any of them.
    """

    model_config = ConfigDict(frozen=True)

    note: Note | None = None
    versions: dict[int, VersionAnnotation] = Field(default_factory=dict)
    formerly: list[ModelName] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_aliases(self) -> Self:
        aliases = [said.alias for said in self.versions.values() if said.alias]
        if len(set(aliases)) < len(aliases):
            raise ValueError("each alias should be there once")
        return self

    def present(self, versions: Iterable[int]) -> Self:
        """Return the same without what is said of versions other than these."""
        said = {number: self.versions[number] for number in versions if number in self.versions}
        return self.model_copy(update={"versions": said})

    def of(self, version: int) -> VersionAnnotation:
        """Return what is said of a version."""
        return self.versions.get(version, NOTHING)

    def aliases(self) -> dict[str, int]:
        """Return the versions that have an alias, by it."""
        return {said.alias: number for number, said in self.versions.items() if said.alias}


def read_annotations(model: Path) -> Annotations:
    """Return what is said of a model; nothing if there is no file.

    Args:
        model: `models/<name>` of the store.

    Raises:
        AnnotationsUnreadable: there is a file, but it can't be read or holds something else.
    """
    try:
        data = read_document(model / ANNOTATIONS_FILE, MOST_ANNOTATIONS_BYTES)
        return Annotations.model_validate_json(data)
    except (FileNotFoundError, NotADirectoryError):
        return Annotations()
    except Unreadable as error:
        raise AnnotationsUnreadable(model.name, error.detail) from error
    except ValidationError as error:
        fault = f"{ANNOTATIONS_FILE}: {first_fault(error)}"
        raise AnnotationsUnreadable(model.name, fault) from error
    except OSError as error:
        fault = f"{ANNOTATIONS_FILE} can't be read: {reason(error)}"
        raise AnnotationsUnreadable(model.name, fault) from error
