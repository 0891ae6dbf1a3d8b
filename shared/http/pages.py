"""Serves the files of a service's page, with headers that keep out foreign scripts and frames."""

from collections.abc import Collection
from os import PathLike, stat_result
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

COMMON = Path(__file__).parent / "web"

#: Scripts and styles come from files of the service only, never from the markup; requests go to
#: the service only, and to what `add_pages` names; and no other page may show this one in a frame.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; media-src 'self' blob:; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    # The browser asks each time and mostly gets 304. So an update never mixes old and new files.
    "Cache-Control": "no-cache",
}


def add_pages(app: FastAPI, directory: Path, asks: Collection[str] = ()) -> None:
    """Serve a page at `/`, its files below `/pages`, and the common files below `/web`.

    The page links to them by relative URLs, so that it works behind a proxy under another path.

    Args:
        app: the service.
        directory: the directory of the page's files, with an `index.html`.
        asks: the origins of other services that the page may ask.
    """
    policy = PAGE_HEADERS["Content-Security-Policy"]
    asked = " ".join(["connect-src 'self'", *asks])
    headers = PAGE_HEADERS | {
        "Content-Security-Policy": policy.replace("connect-src 'self'", asked)
    }

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(directory / "index.html", headers=headers)

    app.mount("/pages", PageFiles(directory=directory))
    app.mount("/web", PageFiles(directory=COMMON))


class PageFiles(StaticFiles):
    """Static files with the headers of a page."""

    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(PAGE_HEADERS)
        return response
