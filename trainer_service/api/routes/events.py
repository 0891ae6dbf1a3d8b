"""The route `/v1/trainings/{training_id}/events`."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from shared.http.problems import responses
from shared.http.sending import Sending
from trainer_service.api.accept import prefers
from trainer_service.api.dependencies import CurrentTrainer
from trainer_service.service import trainings
from trainer_service.store.events.events import Event, EventPage

HEARTBEAT_SECONDS = 15
MAX_LIMIT = 10_000
#: Up to this number, all JSON parsers read integers exactly.
MAX_CURSOR = 2**53
VARY = {"Vary": "Accept"}

#: Yields the events after a cursor as they happen.
Follow = Callable[[int], AsyncGenerator[Event, None]]


class EventQuery(BaseModel):
    """Which events to return."""

    after: int = Field(
        default=0, ge=0, le=MAX_CURSOR, description="Id of the last event that is known."
    )
    limit: int = Field(default=1000, ge=1, le=MAX_LIMIT, description="Most events of a page.")


LastEventId = Annotated[
    int | None,
    Header(ge=0, le=MAX_CURSOR, description="Overrides `after`: browsers send it to resume."),
]

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])

_STREAM = {
    "description": "Server-Sent Events, or with `Accept: application/json` a page of them.",
    "model": EventPage,
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'id: 7\nevent: state\ndata: {"id":7,"type":"state","state":"head", …}\n\n',
        }
    },
}


#: The answers to a request for events.
STREAM: dict[int | str, dict[str, Any]] = {
    200: _STREAM,
    204: {"description": "The stream has ended; nothing comes after the cursor."},
}


@router.get("/{training_id}/events", responses={**STREAM, **responses(404, 422)})
async def get_events(
    training_id: str,
    trainer: CurrentTrainer,
    query: Annotated[EventQuery, Query()],
    last_event_id: LastEventId = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Stream the events of a training: states, progress, epochs, warnings, and the result.

    Ids count from 1 without gaps, so `Last-Event-ID` or `after` resumes without loss or repetition,
    even if a service restarted in between. A stream ends with the result. A request for events
    after the result is answered with 204, upon which a browser stops asking. A phase that starts
    again, e.g. after a crash, reports its progress and epochs again. With
    `Accept: application/json` the answer is a page of the events so far; ask for the next page with
    its `after`.
    """
    cursor = query.after if last_event_id is None else last_event_id
    page = partial(trainings.get_events, trainer, training_id)
    follow = partial(trainer.streams.follow, training_id)
    return await answer_events(page, follow, cursor, query.limit, accept)


async def answer_events(
    page_of: Callable[[int, int], EventPage],
    follow: Follow,
    cursor: int,
    limit: int,
    accept: str,
) -> Response:
    """Answer a request for events, as a stream or as a page.

    Args:
        page_of: returns the events after a cursor, at most so many.
        follow: yields the events after a cursor as they happen.
        cursor: the id of the last event that the client knows.
        limit: the most events of a page.
        accept: the header `Accept`.
    """
    if prefers(accept, "application/json", "text/event-stream"):
        page = await run_in_threadpool(page_of, cursor, limit)
        return Response(page.model_dump_json(), media_type="application/json", headers=VARY)
    page = await run_in_threadpool(page_of, cursor, 1)
    if page.ended and not page.events:
        return Response(status_code=204, headers=VARY)
    return _Stream(_messages(follow, cursor), ping=HEARTBEAT_SECONDS, headers=VARY)


class _Stream(EventSourceResponse):
    """Completes the answer when the service shuts down, so that client and log get no error."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = Sending(send)
        await super().__call__(scope, receive, sending)
        if sending.begun and not sending.complete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _messages(follow: Follow, after: int) -> AsyncGenerator[ServerSentEvent, None]:
    async with aclosing(follow(after)) as events:
        async for event in events:
            yield _message(event)


def _message(event: Event) -> ServerSentEvent:
    return ServerSentEvent(event.model_dump_json(), event=event.type, id=str(event.id))
