"""The dependencies that FastAPI passes to the routes."""

from typing import Annotated

from fastapi import Depends, Header, Request
from starlette.requests import ClientDisconnect

from shared.logs import bind
from trainer_service.service.trainer import Trainer

#: The parameters of paths that are logged, and the names of their fields in the log.
LOGGED = {
    "training_id": "training_id",
    "dataset_id": "dataset_id",
    "comparison_id": "comparison_id",
    "name": "model",
}


async def _trainer(request: Request) -> Trainer:
    # Async, so that FastAPI does not run it in a thread, where the fields would be lost.
    bind(**{LOGGED[name]: value for name, value in request.path_params.items() if name in LOGGED})
    trainer: Trainer = request.app.state.trainer
    return trainer


async def raise_on_disconnect(request: Request) -> None:
    """Wait until the client disconnects; for requests without a body.

    Raises:
        ClientDisconnect: the client has disconnected.
    """
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect


CurrentTrainer = Annotated[Trainer, Depends(_trainer)]

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern="^[ -~]*$",
        description="Any text, a new one for each thing to be made. The same request with the "
        "same key makes nothing new and gets the same answer, so it can be sent again.",
    ),
]
