"""Posts a request that creates something, and sends it again without creating it twice."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

import httpx

from client.service import Record, Service, has_broken
from client.terminal import print_note

#: Each wait between two tries is twice as long as the last; together they cover a restart of the
#: trainer.
TRIES = 6
FIRST_WAIT_SECONDS = 0.5
#: If a service asks for a longer wait, the request is not sent again.
LONGEST_WAIT_SECONDS = 60.0

#: Statuses of a trainer that can't answer now, or of a proxy that can't reach it.
PASSING = {
    httpx.codes.REQUEST_TIMEOUT,
    httpx.codes.BAD_GATEWAY,
    httpx.codes.SERVICE_UNAVAILABLE,
    httpx.codes.GATEWAY_TIMEOUT,
}
#: The trainer's answer to a key whose first request it has not finished yet.
BEING_ANSWERED = "Idempotency-Key is being answered now"
NEVER_BEGUN = (httpx.ConnectError, httpx.ConnectTimeout)


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why a request is sent again.

    Attributes:
        reason: a sentence for the user.
        seconds: how long to wait at least.
    """

    reason: str
    seconds: float = 0.0


def post_once(service: Service, path: str, **options: Any) -> Record:
    """Post a request that creates something; if the connection breaks, send it again.

    Every try has the same Idempotency-Key, so the service creates the thing only once.

    Args:
        service: the service to post to.
        path: the path to post to.
        options: the body, as keyword arguments of httpx; its files must allow to be read twice.

    Returns:
        The record that the service answers with.

    Raises:
        Unreachable: no answer came.
        ClientError: the answer is an error.
    """
    options["headers"] = {"Idempotency-Key": secrets.token_hex(16)}
    wait = FIRST_WAIT_SECONDS
    for number in range(1, TRIES):
        outcome = _send(service, path, options, first=number == 1)
        if isinstance(outcome, httpx.Response):
            return _json(service, outcome)
        seconds = max(wait, outcome.seconds)
        print_note(
            f"{outcome.reason} It is sent again in {seconds:g} s (try {number + 1} of {TRIES})."
        )
        time.sleep(seconds)
        wait *= 2
    return _json(service, _post(service, path, options))


def _json(service: Service, answer: httpx.Response) -> Record:
    record: Record = service.json_of(answer)
    return record


def _post(service: Service, path: str, options: dict[str, Any]) -> httpx.Response:
    with service.errors_in_words():
        return service.http.post(path, **options)


def _send(
    service: Service, path: str, options: dict[str, Any], *, first: bool
) -> httpx.Response | _Fault:
    """Send the request; return the answer, or a fault if another try could succeed."""
    with service.errors_in_words():
        try:
            answer = service.http.post(path, **options)
        except httpx.TransportError as error:
            is_unreachable = first and isinstance(error, NEVER_BEGUN)
            if is_unreachable or not has_broken(error):
                raise
            return _Fault(f"The connection to the {service.name} broke.")
    return _fault(service, answer) or answer


def _fault(service: Service, answer: httpx.Response) -> _Fault | None:
    if answer.status_code == httpx.codes.CONFLICT and BEING_ANSWERED in answer.text:
        return _Fault("What was sent before is still being answered.")
    seconds = _retry_after(answer)
    if answer.status_code not in PASSING or seconds > LONGEST_WAIT_SECONDS:
        return None
    return _Fault(f"The {service.name} can't take it now (status {answer.status_code}).", seconds)


def _retry_after(answer: httpx.Response) -> float:
    """Return the seconds that an answer asks to wait; 0 if it has none, or a date."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() else 0.0
