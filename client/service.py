"""Sends requests to a service, and turns what goes wrong into sentences."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from client.errors import ClientError, Unavailable, Unreachable

#: Heartbeats come every 15 seconds, so a service that is silent for longer is gone.
TIMEOUT = httpx.Timeout(60, connect=5)

#: Parts of httpx's messages for a closed connection. Its other protocol errors mean that the answer
#: is not HTTP.
ENDED_EARLY = ("disconnected", "closed connection")

#: Answers of a proxy that can't reach the service.
BEFORE_IT = {httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT}

#: The advice if a key is missing or wrong.
ADVICE = "set HEADSTART_API_KEY, or give --api-key, to one that is valid."

Record = dict[str, Any]


class Service:
    """A connection to the trainer or the predictor.

    Args:
        name: the name of the service in messages.
        url: the address of the service.
        setting: the environment variable of that address.
        api_key: a key of the service, if it asks for one.
    """

    def __init__(self, name: str, url: str, setting: str, api_key: str | None = None) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self._setting = setting
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.http = httpx.Client(base_url=self.url, timeout=TIMEOUT, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()

    def get(self, path: str, **options: Any) -> Any:
        """Send a GET request, as `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        """Send a POST request, as `request`."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Any:
        """Send a PUT request, as `request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Any:
        """Send a PATCH request, as `request`."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> None:
        """Send a DELETE request, whose answer has no content.

        Raises:
            Unreachable, ClientError: as `request`.
        """
        with self.errors_in_words():
            answer = self.http.request("DELETE", path, **options)
        self.require_success(answer)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request and return the JSON of its answer.

        Raises:
            Unreachable: no answer came.
            ClientError: the answer is an error, or does not come from this service.
        """
        with self.errors_in_words():
            answer = self.http.request(method, path, **options)
        return self.json_of(answer)

    def json_of(self, answer: httpx.Response) -> Any:
        """Return the JSON of an answer.

        Raises:
            ClientError: the answer is an error, or does not come from this service.
        """
        self.require_success(answer)
        try:
            return answer.json()
        except ValueError:
            raise self._wrong_service() from None

    def list(self, path: str) -> list[Record]:
        """Return all records of a list, from all of its pages."""
        records: list[Record] = []
        url: str | None = path
        while url is not None:
            page, url = self._page(url)
            records += page
        return records

    def _page(self, url: str) -> tuple[Sequence[Record], str | None]:
        """Return the records of a page, and the URL of the next page, if there is one."""
        with self.errors_in_words():
            answer = self.http.request("GET", url)
        page = self.json_of(answer)
        if not isinstance(page, list):
            raise self._wrong_service()
        following = answer.links.get("next", {}).get("url")
        if following is None:
            return page, None
        # The key is sent along, so the next page is always asked of the same service.
        return page, str(answer.url.copy_with(query=httpx.URL(following).query))

    def require_success(self, answer: httpx.Response) -> None:
        """Raise the error that an answer reports, if it is one.

        Raises:
            Unavailable: the service can't answer now (503), or a proxy can't reach it.
            ClientError: the answer is another error, or does not come from this service.
        """
        if answer.is_success:
            return
        if answer.status_code in BEFORE_IT:
            raise Unavailable(
                f"What stands before the {self.name} at {self.url} can't reach it "
                f"(status {answer.status_code})."
            )
        try:
            problem = answer.json()
            detail = str(problem["detail"])
        except (ValueError, KeyError, TypeError):
            raise self._wrong_service() from None
        if detail == answer.reason_phrase:  # the server does not know the path
            raise self._wrong_service()
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            detail = f"The {self.name} at {self.url} asks for an API key: {ADVICE}"
        away = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        raise (Unavailable if away else ClientError)(detail, problem)

    @contextmanager
    def errors_in_words(self) -> Iterator[None]:
        """Turn httpx's errors in the body into ClientErrors with a sentence for the user."""
        try:
            yield
        except (httpx.UnsupportedProtocol, httpx.InvalidURL):
            raise ClientError(
                f"{self._setting}: expected an address like http://127.0.0.1:8000. "
                f"Received: {self.url!r}"
            ) from None
        except httpx.TransportError as error:
            if isinstance(error, httpx.RemoteProtocolError) and not has_broken(error):
                raise self._wrong_service() from None
            reason = str(error) or type(error).__name__
            raise Unreachable(
                f"The {self.name} at {self.url} can't be reached: {reason}. {self._advice()}"
            ) from None

    def _wrong_service(self) -> ClientError:
        return ClientError(
            f"What answers at {self.url} is not Headstart's {self.name}. {self._advice()}"
        )

    def _advice(self) -> str:
        return f"{self._setting} says where it is."


def has_broken(error: httpx.TransportError) -> bool:
    """Return whether the connection broke, or could not be made."""
    if isinstance(error, httpx.RemoteProtocolError):
        return any(words in str(error) for words in ENDED_EARLY)
    return isinstance(error, httpx.NetworkError | httpx.TimeoutException)


def trainer_at(url: str, api_key: str | None = None) -> Service:
    """Return a connection to the trainer at a URL."""
    return Service("trainer", url, "HEADSTART_TRAINER_URL", api_key)


def predictor_at(url: str, api_key: str | None = None) -> Service:
    """Return a connection to the predictor at a URL."""
    return Service("predictor", url, "HEADSTART_PREDICTOR_URL", api_key)


def model_address(model: str, version: int | None = None) -> str:
    """Return the path of a model on the trainer, or of one of its versions."""
    address = f"/v1/models/{quote(model, safe='')}"
    return address if version is None else f"{address}/versions/{version}"
