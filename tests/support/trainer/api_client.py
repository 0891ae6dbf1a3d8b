"""Asks the trainer API, within this process."""

import asyncio
import io
import zipfile

import httpx

from tests.support.inputs.tiny_model import picture
from trainer_service.app import create_app

#: Its weights come with the requirements, so it can be had on every machine.
ARCHITECTURE = "efficientnet_lite0"


def caller(settings):
    transport = httpx.ASGITransport(create_app(settings))

    async def call(method, path, **options):
        async with httpx.AsyncClient(transport=transport, base_url="http://trainer") as client:
            return await client.request(method, path, **options)

    def run(method, path, **options):
        return asyncio.run(call(method, path, **options))

    return run


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        # Of no time, so that two of them are the same bytes.
        file.writestr(zipfile.ZipInfo("cat.1.png"), picture("red"))
    return {"archive": ("pets.zip", buffer.getvalue())}


def post(call, **fields):
    body = {"architecture": ARCHITECTURE, "dataset": {"path": "pets"}} | fields
    return call("POST", "/v1/trainings", json=body)


def field_of(answer):
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    [error] = answer.json()["errors"]
    return error["field"]
