"""The route `/v1/trainings/{training_id}/report`."""

from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import FileResponse

from shared.errors import NotFound
from shared.http.problems import responses
from trainer_service.api.accept import prefers
from trainer_service.api.dependencies import CurrentTrainer
from trainer_service.service import trainings

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])

#: The report has no scripts, and the sandbox lets none run. 'unsafe-inline': each release's reports
#: have their own inline style, whose hash is not known here. The policy in the report's head names
#: the hash, and browsers apply both policies.
REPORT_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; sandbox"
    ),
}
COMMON_HEADERS = {"Vary": "Accept"}

_ANSWER = {
    "description": "The evaluation as JSON, or the report for people as HTML.",
    "content": {"application/json": {}, "text/html": {"schema": {"type": "string"}}},
}


@router.get(
    "/{training_id}/report",
    response_class=FileResponse,
    responses={200: _ANSWER, **responses(404, 409)},
)
def get_report(
    training_id: str,
    trainer: CurrentTrainer,
    kind: Annotated[
        Literal["json", "html"] | None,
        Query(alias="format", description="Overrides the header `Accept`; browsers get HTML."),
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",
) -> FileResponse:
    """Return the evaluation: metrics, history, and every test image with its prediction."""
    page = trainings.get_report_page(trainer, training_id)
    if kind == "html" and page is None:
        raise NotFound(f"Training {training_id!r} was published before there were reports in HTML.")
    if page and (kind == "html" or (not kind and prefers(accept, "text/html", "application/json"))):
        return _html(page)
    path = trainings.get_report(trainer, training_id)
    return FileResponse(path, media_type="application/json", headers=COMMON_HEADERS)


def _html(page: Path) -> FileResponse:
    headers = COMMON_HEADERS | REPORT_HEADERS
    return FileResponse(page, media_type="text/html; charset=utf-8", headers=headers)
