"""Lists that are answered one page at a time; the header `Link` has the address of the next."""

from fastapi import Response
from pydantic import BaseModel, Field


class PageQuery(BaseModel):
    """Which page of a list to return."""

    limit: int = Field(default=100, ge=1, le=1000, description="Most records of a page.")
    after: str | None = Field(
        default=None, max_length=64, description="As the header `Link` of the page before has it."
    )


def link_next(response: Response, query: PageQuery, after: str | None) -> None:
    """Set the header `Link` to the next page, if there is one.

    The address is relative, so it is correct behind any proxy.
    """
    if after is not None:
        response.headers["Link"] = f'<?limit={query.limit}&after={after}>; rel="next"'
