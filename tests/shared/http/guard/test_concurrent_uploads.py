"""More uploads at once than the setting allows are refused before they are read."""

import asyncio
from functools import partial

import httpx
import pytest

from shared.http.guard import concurrent_uploads
from shared.http.guard.places import Places
from shared.http.server.connections import SLOW_SECONDS
from tests.support.clock import Clock

from .conftest import Settings, create_app


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/stream", "multipart/form-data; boundary=x"),
        ("/v1/stream", "image/png"),
        ("/v1/stream", ""),
        ("/v1/stream%0A", "image/png"),  # the router takes it for the same
        ("/v1/models/a:stream", "image/png"),
    ],
)
def test_the_request_beyond_is_refused_and_the_next_is_not(path, kind):
    async def story():
        transport = httpx.ASGITransport(create_app(Settings(max_uploads=2)))
        headers = {"Content-Type": kind} if kind else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            inside, end = asyncio.Semaphore(0), asyncio.Event()

            async def slow():
                yield b"x"
                inside.release()
                await end.wait()

            def post(body):
                return http.post(path, content=body, headers=headers)

            both = [asyncio.create_task(post(slow())) for _ in range(2)]
            for _ in both:
                await inside.acquire()
            refused = await post(b"never read")
            as_json = await http.post(path, json={})
            end.set()
            done = [await task for task in both]
            return refused, as_json, done, await post(b"now")

    refused, as_json, done, later = asyncio.run(story())

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert refused.json()["detail"].startswith("HEADSTART_MAX_UPLOADS allows 2 requests with files")
    assert [answer.status_code for answer in (as_json, *done, later)] == [200] * 4


def test_a_client_that_is_too_slow_has_to_go_when_its_place_is_needed(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(concurrent_uploads, "Places", partial(Places, clock=clock))

    async def story():
        transport = httpx.ASGITransport(create_app(Settings(max_uploads=1)))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            inside = asyncio.Event()

            async def stall():
                yield b"x"
                inside.set()
                await asyncio.Event().wait()

            async def post_slowly():
                answer = await http.post("/v1/stream", content=stall())
                task = asyncio.current_task()
                return answer, task and task.cancelling()

            slow = asyncio.create_task(post_slowly())
            await inside.wait()
            refused = await http.post("/v1/stream", content=b"too early")
            clock.now += SLOW_SECONDS
            return refused, await http.post("/v1/stream", content=b"in time"), await slow

    refused, served, (slow, cancelling) = asyncio.run(story())

    assert refused.status_code == 503
    assert cancelling == 0
    assert (served.status_code, served.json()) == (200, 7)
    assert slow.status_code == 408
    assert slow.headers["connection"] == "close"
    assert "Less than 16384 bytes a second" in slow.json()["detail"]


def test_bodies_for_which_there_is_no_memory_are_refused():
    async def story():
        transport = httpx.ASGITransport(create_app(Settings(max_uploads=2), held_bytes=4000))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            inside, end = asyncio.Event(), asyncio.Event()

            async def pieces(first, *more):
                yield bytes(first)
                inside.set()
                await end.wait()
                for size in more:
                    yield bytes(size)

            held = asyncio.create_task(http.post("/v1/stream", content=pieces(2500)))
            await inside.wait()
            announced = await http.post(
                "/v1/stream", content=never_read(), headers={"Content-Length": "2000"}
            )
            end.set()
            taken = await held
            end.clear()
            inside.clear()
            held = asyncio.create_task(http.post("/v1/stream", content=pieces(2500)))
            await inside.wait()
            grown = await http.post("/v1/stream", content=pieces_now(500, 1000, 1000))
            small = await http.post("/v1/stream", content=bytes(1000))
            end.set()
            return announced, grown, small, taken, await held

    async def never_read():
        raise AssertionError
        yield b""

    async def pieces_now(*sizes):
        for size in sizes:
            yield bytes(size)

    announced, grown, small, *taken = asyncio.run(story())

    for refused in (announced, grown):
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "5"
        assert "HEADSTART_MAX_HELD_BYTES allows 4000 bytes" in refused.json()["detail"]
    assert [answer.status_code for answer in (small, *taken)] == [200] * 3
