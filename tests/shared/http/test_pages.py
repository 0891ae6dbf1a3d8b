"""What a page may ask, as its policy says it."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from predictor_service.settings import PredictorSettings
from shared.http.pages import add_pages
from trainer_service.settings import TrainerSettings


def policy_of(app):
    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.get("/")

    return asyncio.run(ask()).headers["Content-Security-Policy"].split("; ")


@pytest.mark.parametrize(
    ("origins", "expected"),
    [
        ((), "connect-src 'self'"),
        (("https://predictor.example",), "connect-src 'self' https://predictor.example"),
    ],
)
def test_a_page_asks_its_own_service_and_those_that_are_named(tmp_path, origins, expected):
    (tmp_path / "index.html").write_text("<p>")
    app = FastAPI()
    add_pages(app, tmp_path, asks=origins)

    assert expected in policy_of(app)
    assert "default-src 'none'" in policy_of(app)


def test_the_trainers_page_asks_the_predictor_that_is_set_or_that_of_this_machine():
    assert TrainerSettings(predictor_url="https://p.example/").predictor_origins == (
        "https://p.example",
    )
    assert TrainerSettings(predictor_port=8101).predictor_origins == (
        "http://localhost:8101",
        "http://127.0.0.1:8101",
    )


def test_the_predictors_page_asks_a_trainer_only_if_it_is_set():
    assert PredictorSettings().trainer_origins == ()
    assert PredictorSettings(trainer_url="http://t.example:80").trainer_origins == (
        "http://t.example",
    )


@pytest.mark.parametrize("url", ["p.example", "ftp://p.example", "http://a; script-src *", ""])
def test_an_address_that_is_none_ends_the_start(url):
    with pytest.raises(ValidationError, match="HEADSTART_PREDICTOR_URL: expected an address"):
        TrainerSettings(predictor_url=url)
    with pytest.raises(ValidationError, match="HEADSTART_TRAINER_URL: expected an address"):
        PredictorSettings(trainer_url=url)
