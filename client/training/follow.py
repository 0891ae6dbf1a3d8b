"""Follows the events of a training or a comparison."""

import time
from collections.abc import Iterator

import httpx
from httpx_sse import connect_sse

from client import patience
from client.errors import Unavailable
from client.service import Record, Service

#: The types of the last events.
_RESULTS = {"result", "comparison_result"}


def events_of(trainer: Service, training_id: str, path: str = "/v1/trainings") -> Iterator[Record]:
    """Yield each event of a training, or of a comparison, once and in order, up to its result.

    Args:
        trainer: the connection to the trainer.
        training_id: its id.
        path: the address that ends with its id.

    Raises:
        Unreachable: the trainer has not been reached for `PATIENCE_SECONDS`.
        Unavailable: the trainer has answered 503 for `PATIENCE_SECONDS`.
        ClientError: no training has this id.
    """
    last, heard = 0, time.monotonic()
    while True:
        try:
            for event in _stream(trainer, f"{path}/{training_id}/events", last):
                last, heard = event["id"], time.monotonic()
                yield event
                if event["type"] in _RESULTS:
                    return
        except (httpx.TransportError, Unavailable):
            if time.monotonic() - heard > patience.PATIENCE_SECONDS:
                with trainer.errors_in_words():
                    raise
        time.sleep(patience.RETRY_SECONDS)


def _stream(trainer: Service, url: str, last: int) -> Iterator[Record]:
    headers = {"Last-Event-ID": str(last)}
    with connect_sse(trainer.http, "GET", url, headers=headers) as source:
        if source.response.is_error:
            source.response.read()
        trainer.require_success(source.response)
        for message in source.iter_sse():
            # A heartbeat is a comment; httpx-sse reports it as an event without data.
            if message.data:
                yield message.json()
