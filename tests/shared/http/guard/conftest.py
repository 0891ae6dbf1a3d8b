import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel

from shared.http.guard import add_guard
from shared.http.pages import COMMON, add_pages
from shared.http.problems import add_problem_handlers
from shared.settings import SharedSettings

KEYS = ("first-key-0123456789", "second-key-0123456789")

STREAMED = ("/v1/stream", "/v1/models/{name}:stream")

Call = Callable[..., httpx.Response]


class Note(BaseModel):
    text: str = ""


class Settings(SharedSettings):
    max_uploads: int = 2


def create_app(settings: Settings, **guard: Any) -> FastAPI:
    """A service with a route of each kind."""
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/healthz")
    @app.get("/readyz")
    @app.get("/v1/things")
    def things() -> str:
        return "things"

    @app.get("/v1/broken")
    def broken() -> None:
        raise ZeroDivisionError

    @app.put("/v1/things")
    def put_things(note: Note) -> int:
        return len(note.text)

    @app.post("/v1/stream")
    @app.post("/v1/models/{name}:stream")
    async def stream(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    add_pages(app, COMMON)
    add_guard(app, settings, streamed=STREAMED, concurrent_uploads="max_uploads", **guard)
    return app


@pytest.fixture
def call_with() -> Callable[..., Call]:
    """Return a function that makes a service of settings and returns how to call it."""

    def made(**settings: Any) -> Call:
        app = create_app(Settings(**settings))

        def call(method: str, path: str, **options: Any) -> httpx.Response:
            async def send() -> httpx.Response:
                transport = httpx.ASGITransport(app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
                    return await http.request(method, path, **options)

            return asyncio.run(send())

        call.app = app
        return call

    return made


@pytest.fixture
def call(call_with) -> Call:
    """Call a service that has two keys."""
    return call_with(api_keys=",".join(KEYS))


@pytest.fixture
def open_call(call_with) -> Call:
    """Call a service that has none."""
    return call_with()
