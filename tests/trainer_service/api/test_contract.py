"""The trainer answers whatever its OpenAPI document allows to ask as the document says."""

import pytest
import schemathesis

from tests.contract import contract_failures
from trainer_service.app import create_app
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def document(tmp_path_factory, redis_url):
    connect(redis_url).flushall()
    directory = tmp_path_factory.mktemp("contract")
    (directory / "datasets" / "pets" / "cat").mkdir(parents=True)
    app = create_app(
        TrainerSettings(
            store=directory / "store",
            datasets=directory / "datasets",
            weights=directory / "weights",
            weights_url="http://127.0.0.1:1",
            redis_url=redis_url,
        )
    )
    return lambda: schemathesis.openapi.from_asgi("/openapi.json", app)


def test_every_answer_is_documented(document):
    assert contract_failures(document) == ""
