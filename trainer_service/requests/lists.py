"""Which part of a list a request asks for."""

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from pydantic import BaseModel, Field

T = TypeVar("T")


class ListQuery(BaseModel):
    """Which entries of a list to return."""

    limit: int = Field(default=100, ge=1, le=1000, description="Most entries of a page.")
    after: int = Field(default=0, ge=0, le=2**53, description="`after` of the page before.")

    def cut(self, entries: Iterable[T]) -> tuple[list[T], int | None]:
        """Return the entries of this page, and the cursor of the next one; None at the end."""
        found = list(islice(entries, self.after, self.after + self.limit + 1))
        return found[: self.limit], self.after + self.limit if len(found) > self.limit else None
