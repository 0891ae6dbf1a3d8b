"""What routes ask FastAPI for."""

from typing import Annotated

from fastapi import Depends, Header, Request
from starlette.requests import ClientDisconnect

from shared.logs import bind
from trainer_service.service.trainer import Trainer

#: Parameters of paths, and what the log calls them.
LOGGED = {"training_id": "training_id", "dataset_id": "dataset_id", "name": "model"}


async def _trainer(request: Request) -> Trainer:
    # In a thread, as where FastAPI runs plain functions, nothing would stay bound.
    bind(**{LOGGED[name]: value for name, value in request.path_params.items() if name in LOGGED})
    trainer: Trainer = request.app.state.trainer
    return trainer


async def raise_when_left(request: Request) -> None:
    """Wait until the client of a request without a body has left.

    Raises:
        ClientDisconnect: it has.
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
