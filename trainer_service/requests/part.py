"""What all parts of a request have in common."""

from collections.abc import Callable

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    ValidationInfo,
    field_validator,
)


class RequestPart(BaseModel):
    """A part of a request; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false where they are not meant; pydantic would take them for 1 and 0."""
        takes_them = cls.model_fields[info.field_name or ""].annotation is bool
        if isinstance(value, bool) and not takes_them:
            raise ValueError("Input should be neither true nor false")
        return value


def kind_of(value: object) -> str | None:
    """Return the tag of a value's type, or None if no field takes such a type.

    Tags are in brackets: errors leave those out, as clients know nothing of the union.
    """
    if value is None:
        return "(none)"
    if isinstance(value, dict | RequestPart):
        return "(object)"
    return "(text)" if isinstance(value, str) else None


def expected(what: str, kind_of: Callable[[object], str | None] = kind_of) -> Discriminator:
    """Return the discriminator of a union; a value of none of its types gets the error `what`."""
    return Discriminator(kind_of, custom_error_type="kind", custom_error_message=what)
