"""Ids and names that are safe as a single path component."""

import re
import secrets
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,39}")
#: Words that could be taken for a rule by which a version is chosen.
_NO_ALIASES = {"latest", "newest", "pinned", "served"}


def new_id() -> str:
    """Return an id that sorts by time of creation, e.g. `20260131-235959-1a2b3c`."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def is_id(text: str) -> bool:
    """Return whether a text has the form of an id, as `new_id` makes it."""
    return _ID.fullmatch(text) is not None


def is_model_name(text: str) -> bool:
    """Return whether a text is a valid name of a model: 1 to 63 letters, digits, - and _."""
    return _MODEL_NAME.fullmatch(text) is not None


def is_alias(text: str) -> bool:
    """Return whether a text may be the alias of a version: a word that is no number."""
    return _ALIAS.fullmatch(text) is not None and text not in _NO_ALIASES


def _require_model_name(text: str) -> str:
    if not is_model_name(text):
        raise ValueError(
            "Input should be 1 to 63 letters, digits, - and _, the first a letter or a digit"
        )
    return text


def _require_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("Input should be an id")
    return text


Id = Annotated[str, AfterValidator(_require_id)]
ModelName = Annotated[
    str,
    AfterValidator(_require_model_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_MODEL_NAME.pattern}$"}),
]
