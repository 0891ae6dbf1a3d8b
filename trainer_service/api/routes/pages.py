"""Lists that are answered a page at a time, each telling in `Link` where the next one is."""

from fastapi import Response
from pydantic import BaseModel, Field


class PageQuery(BaseModel):
    limit: int = Field(default=100, ge=1, le=1000, description="Most records of a page.")
    after: str | None = Field(
        default=None, max_length=64, description="As the header `Link` of the page before has it."
    )


def link_next(response: Response, query: PageQuery, after: str | None) -> None:
    """Say where the next page is; the address is relative, so it holds behind any proxy."""
    if after is not None:
        response.headers["Link"] = f'<?limit={query.limit}&after={after}>; rel="next"'
