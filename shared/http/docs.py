"""Serves `/docs` with Swagger UI from a package, so that it works offline and without CDNs."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.responses import FileResponse

from shared.http.pages import COMMON, PAGE_HEADERS, PageFiles

SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"


def add_docs(app: FastAPI) -> None:
    """Serve the page of the API at `/docs`. `app` has to be made with `docs_url=None`."""

    @app.get("/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(COMMON / "docs.html", headers=PAGE_HEADERS)

    app.mount("/web/swagger", PageFiles(directory=SWAGGER_UI))
