"""More uploads at once than the setting allows are refused before they are read."""

import asyncio

import httpx
import pytest

from .conftest import Settings, create_app


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "image/png", ""])
def test_the_request_beyond_is_refused_and_the_next_is_not(kind):
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
                return http.post("/v1/stream", content=body, headers=headers)

            both = [asyncio.create_task(post(slow())) for _ in range(2)]
            for _ in both:
                await inside.acquire()
            refused = await post(b"never read")
            as_json = await http.post("/v1/stream", json={})
            end.set()
            done = [await task for task in both]
            return refused, as_json, done, await post(b"now")

    refused, as_json, done, later = asyncio.run(story())

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert refused.json()["detail"].startswith("HEADSTART_MAX_UPLOADS allows 2 requests with files")
    assert [answer.status_code for answer in (as_json, *done, later)] == [200] * 4
