"""Routes below `/v1/comparisons`."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse

from shared.http.problems import responses
from shared.http.server.draining import Gate
from shared.logs import bind
from trainer_service.api.bodies import (
    Fields,
    parse,
    parse_so_far,
    read_body,
    require_no_dataset,
)
from trainer_service.api.dependencies import CurrentTrainer, IdempotencyKey, raise_on_disconnect
from trainer_service.api.openapi import body_of
from trainer_service.api.routes.events import STREAM, EventQuery, LastEventId, answer_events
from trainer_service.api.routes.pages import PageQuery, link_next
from trainer_service.api.routes.reports import REPORT_HEADERS
from trainer_service.api.threads import Threads
from trainer_service.requests.comparison import ComparisonRequest
from trainer_service.service import comparison_submission, comparisons
from trainer_service.service.comparisons import ComparisonStatus, PublishRequest
from trainer_service.service.trainer import Trainer
from trainer_service.store.records.comparison_record import ComparisonRecord

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])


@router.post(
    "",
    status_code=202,
    responses=responses(404, 409, 413, 415, 422, 503, 507),
    openapi_extra=body_of(ComparisonRequest),
)
async def submit_comparison(
    request: Request,
    response: Response,
    trainer: CurrentTrainer,
    idempotency_key: IdempotencyKey = None,
) -> ComparisonRecord:
    """Compare architectures and settings on the same images; JSON, or multipart with an archive.

    A training is made of each combination of the lists, at most 64.
    """
    check = partial(_check_before_images, trainer, idempotency_key)
    async with read_body(request, trainer.settings, check) as body:
        asked = parse(ComparisonRequest, body.fields)
        if body.archive is not None:
            require_no_dataset(body.fields)
        threads: Threads = request.app.state.threads
        record = await threads.submit(
            comparison_submission.submit_comparison,
            trainer,
            asked,
            body.archive,
            body.archive_name,
            idempotency_key,
        )
    bind(comparison_id=record.id, model=record.model)
    response.headers["Location"] = f"/v1/comparisons/{record.id}"
    return record


def _check_before_images(trainer: Trainer, key: str | None, fields: Fields) -> None:
    """Refuse a wrong form before its images arrive; more fields may follow them."""
    parse_so_far(ComparisonRequest, fields)
    require_no_dataset(fields)
    names = fields.get("architectures")
    if isinstance(names, str) and names != "available":
        asked = [name.strip() for name in names.split(",")]
        comparison_submission.require_architectures(trainer, asked, key)


@router.get("", responses=responses(422))
def list_comparisons(
    trainer: CurrentTrainer, response: Response, query: Annotated[PageQuery, Query()]
) -> list[ComparisonRecord]:
    """List comparisons, newest first. The header `Link` has the address of the next page."""
    records, after = comparisons.list_comparisons(trainer, query.limit, query.after)
    link_next(response, query, after)
    return records


@router.get("/{comparison_id}", responses=responses(404, 422))
async def get_comparison(
    comparison_id: str,
    trainer: CurrentTrainer,
    request: Request,
    wait: Annotated[float, Query(ge=0, le=300, description="Seconds to wait for its end.")] = 0,
) -> ComparisonStatus:
    """Return a comparison. With `wait`, answer when it has ended or after that many seconds.

    The answer comes sooner if this service shuts down.
    """
    gate: Gate = request.app.state.gate
    return await comparisons.wait_for_comparison(
        trainer, comparison_id, wait, gate.wait_until_shut, partial(raise_on_disconnect, request)
    )


@router.get("/{comparison_id}/events", responses={**STREAM, **responses(404, 422)})
async def get_events(
    comparison_id: str,
    trainer: CurrentTrainer,
    query: Annotated[EventQuery, Query()],
    last_event_id: LastEventId = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Stream the events of a comparison: states, what becomes of each candidate, the result.

    As those of a training, they can be resumed, or be had as pages of JSON.
    """
    cursor = query.after if last_event_id is None else last_event_id
    page = partial(comparisons.get_comparison_events, trainer, comparison_id)
    follow = partial(trainer.comparison_streams.follow, comparison_id)
    return await answer_events(page, follow, cursor, query.limit, accept)


@router.get(
    "/{comparison_id}/report",
    response_class=FileResponse,
    responses={
        200: {"content": {"text/html": {"schema": {"type": "string"}}}},
        **responses(404, 409),
    },
)
def get_report(comparison_id: str, trainer: CurrentTrainer) -> FileResponse:
    """Return the table and the picture as one HTML file."""
    file = comparisons.get_comparison_report(trainer, comparison_id)
    return FileResponse(file, media_type="text/html; charset=utf-8", headers=REPORT_HEADERS)


@router.post("/{comparison_id}/cancel", status_code=202, responses=responses(404, 409, 503, 507))
def cancel_comparison(comparison_id: str, trainer: CurrentTrainer) -> ComparisonRecord:
    """Cancel a comparison with all of its trainings. The features are kept."""
    return comparisons.cancel_comparison(trainer, comparison_id)


@router.post("/{comparison_id}/stop", status_code=202, responses=responses(404, 409, 503, 507))
def stop_comparison(comparison_id: str, trainer: CurrentTrainer) -> ComparisonRecord:
    """End the trainings now, and make the table of what there is."""
    return comparisons.stop_comparison(trainer, comparison_id)


@router.post(
    "/{comparison_id}/publish", status_code=202, responses=responses(404, 409, 422, 503, 507)
)
def publish_member(
    comparison_id: str, body: PublishRequest, trainer: CurrentTrainer
) -> ComparisonRecord:
    """Publish the version of one of the trainings as the next version of the model."""
    return comparisons.publish_member(trainer, comparison_id, body.training)


@router.delete("/{comparison_id}", status_code=204, responses=responses(404, 409, 503))
def delete_comparison(comparison_id: str, trainer: CurrentTrainer) -> None:
    """Remove a comparison that has ended, with its trainings. What was published stays."""
    comparisons.delete_comparison(trainer, comparison_id)
