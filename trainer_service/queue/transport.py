"""Celery's Redis transport, changed so that nothing keeps a worker from its next step.

Whatever is on the queue but is not a step is set aside. A message that is not JSON, or not as
Celery writes it, would end the worker that fetches it, or make it reconnect again and again. Here
such messages go to a list of their own, for inspection.

A step that ends while Redis is away does not count as being worked on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Literal

import redis
from kombu.transport.redis import Channel as RedisChannel
from kombu.transport.redis import QoS as RedisQoS
from kombu.transport.redis import Transport as RedisTransport
from kombu.transport.virtual import QoS as VirtualQoS
from kombu.utils.json import loads
from pydantic import AfterValidator, Base64Bytes, BaseModel, Field, TypeAdapter
from redis import RedisError

from shared.identifiers import Id
from shared.logs import get_logger
from trainer_service.queue.steps import COMPUTE_SHARD, TASKS
from trainer_service.queue.view import UNREADABLE
from trainer_service.store.work_metrics import QUEUE_UNREADABLE

MOST_KEPT = 100
MOST_BYTES = 10_000
SHOWN_BYTES = 200
LONGEST_REQUEST_ID = 200

log = get_logger(__name__)


def _known(task: str) -> str:
    if task not in TASKS:
        raise ValueError(f"expected one of {', '.join(TASKS)}")
    return task


class Headers(BaseModel):
    """The headers that Celery's worker evaluates; no step is scheduled for a later time."""

    id: str
    task: Annotated[str, AfterValidator(_known)]
    eta: None = None
    expires: None = None
    retries: int = 0
    timelimit: tuple[None, None] = (None, None)
    compression: None = None
    request_id: Annotated[str, Field(max_length=LONGEST_REQUEST_ID)] | None = None


class DeliveryInfo(BaseModel):
    exchange: str
    routing_key: str


class Properties(BaseModel):
    delivery_tag: str
    delivery_info: DeliveryInfo
    body_encoding: Literal["base64"]
    priority: int = 0


class Message(BaseModel):
    """A step as a message on the queue."""

    body: Base64Bytes
    content_type: Literal["application/json"] = Field(alias="content-type")
    content_encoding: Literal["utf-8"] = Field(alias="content-encoding")
    headers: Headers
    properties: Properties


Shard = Annotated[int, Field(ge=0)]
Nothing = Annotated[dict[str, Any], Field(max_length=0)]
#: What Celery adds for tasks that follow each other; these tasks never do.
Following = dict[str, None] | None

_body = TypeAdapter(tuple[tuple[Id], Nothing, Following])
_body_of_shard = TypeAdapter(tuple[tuple[Id, Shard], Nothing, Following])


def require_step(line: bytes) -> None:
    """Raise an exception, of any class, unless a message of the queue is a step."""
    message = Message.model_validate(loads(line))
    expected = _body_of_shard if message.headers.task == COMPUTE_SHARD else _body
    expected.validate_json(message.body)


class Client(redis.Redis):
    """A Redis client that returns only steps from the queue, and sets other messages aside.

    Args:
        args: the arguments of `redis.Redis`.
        set_aside: called with each message that is not a step, and the reason.
        kwargs: the keyword arguments of `redis.Redis`.
    """

    def __init__(self, *args: Any, set_aside: Callable[[bytes, str], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._set_aside = set_aside

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name != "BRPOP" or not answer:
            return answer
        try:
            require_step(answer[1])
        except Exception as error:  # noqa: BLE001 - any error means that it is not a step
            self._set_aside(answer[1], f"{type(error).__name__}: {error}")
            return None
        return answer


class QoS(RedisQoS):  # type: ignore[misc]  # kombu is untyped
    """kombu's count of the messages that are worked on, which never counts one for ever.

    A worker fetches no message while it counts one. If Redis is away when that is done, Celery
    logs an error and goes on, and kombu would count the message still. In a Redis that was only
    out of reach it stays on the list of those that are worked on. That does no harm: it is handed
    out again after `VISIBILITY_SECONDS`, and a step that is done is not done again.
    """

    def ack(self, delivery_tag: str) -> None:
        with self._no_longer_counted(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, **options: bool) -> None:
        with self._no_longer_counted(delivery_tag):
            super().reject(delivery_tag, **options)

    @contextmanager
    def _no_longer_counted(self, delivery_tag: str) -> Iterator[None]:
        try:
            yield
        except Exception:
            VirtualQoS.ack(self, delivery_tag)
            raise


class Channel(RedisChannel):  # type: ignore[misc]
    """kombu's channel, with `Client` as its Redis client and `QoS` as its count of messages."""

    QoS = QoS

    def _get_client(self) -> Callable[..., redis.Redis]:
        return partial(Client, set_aside=self._set_aside)

    def _set_aside(self, line: bytes, reason: str) -> None:
        QUEUE_UNREADABLE.inc()
        shown = line[:SHOWN_BYTES].decode(errors="replace")
        log.error("not a step: set aside", list=UNREADABLE, line=shown, reason=reason[:SHOWN_BYTES])
        try:
            with self.conn_or_acquire() as client, client.pipeline() as pipeline:
                pipeline.lpush(UNREADABLE, line[:MOST_BYTES])
                pipeline.ltrim(UNREADABLE, 0, MOST_KEPT - 1)
                pipeline.execute()
        except (RedisError, OSError) as error:
            log.warning("not kept", list=UNREADABLE, reason=str(error))


class Transport(RedisTransport):  # type: ignore[misc]
    """kombu's Redis transport, with `Channel` as its channel."""

    Channel = Channel
