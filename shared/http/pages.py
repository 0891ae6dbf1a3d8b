"""Serves a service's page: files as they are, with headers that let nothing foreign in."""

from os import PathLike, stat_result
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

COMMON = Path(__file__).parent / "web"

#: Scripts, styles and requests come from the service itself and from nowhere else; no style or
#: script stands in the markup, and nobody may frame the page.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; media-src 'self' blob:; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    # Asked for each time, and answered 304: after an update nobody sees half of the old page.
    "Cache-Control": "no-cache",
}


def add_pages(app: FastAPI, directory: Path) -> None:
    """Serve `directory/index.html` at `/`, its files below `/pages`, the common ones below `/web`.

    The page names them relatively, so that it works behind a proxy that puts it elsewhere.
    """

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(directory / "index.html", headers=PAGE_HEADERS)

    app.mount("/pages", PageFiles(directory=directory))
    app.mount("/web", PageFiles(directory=COMMON))


class PageFiles(StaticFiles):
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
