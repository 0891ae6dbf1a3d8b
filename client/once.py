"""Posts what makes something, once: if it has to be sent again, a key says that it is the same."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

import httpx

from client.service import Record, Service, has_broken
from client.terminal import note

#: The waits in between double: in all they are longer than a trainer takes to restart.
TRIES = 6
FIRST_WAIT_SECONDS = 0.5
#: Whoever asks for a longer wait is not waited for.
LONGEST_WAIT_SECONDS = 60.0

#: Told by the trainer, or by a proxy in front of it that has lost it.
PASSING = {
    httpx.codes.REQUEST_TIMEOUT,
    httpx.codes.BAD_GATEWAY,
    httpx.codes.SERVICE_UNAVAILABLE,
    httpx.codes.GATEWAY_TIMEOUT,
}
#: What the trainer says of a key whose first request it is still at.
BEING_ANSWERED = "Idempotency-Key is being answered now"
NEVER_BEGUN = (httpx.ConnectError, httpx.ConnectTimeout)


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why a request is worth sending again: what is said of it, and how long it has to wait."""

    reason: str
    seconds: float = 0.0


def post_once(service: Service, path: str, **options: Any) -> Record:
    """Post a request that makes something; if the connection breaks, send it again.

    Args:
        service: where to.
        path: what is posted to.
        options: the body, as httpx takes it; its files must be such as can be sent again.

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
        note(f"{outcome.reason} It is sent again in {seconds:g} s (try {number + 1} of {TRIES}).")
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
    """Return the answer, or why another one may be had by sending the same again."""
    with service.errors_in_words():
        try:
            answer = service.http.post(path, **options)
        except httpx.TransportError as error:
            nobody_is_there = first and isinstance(error, NEVER_BEGUN)
            if nobody_is_there or not has_broken(error):
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
    """Return the seconds that an answer asks to wait; dates are for caches."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() else 0.0
