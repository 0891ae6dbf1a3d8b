"""The trainer answers whatever its OpenAPI document allows to ask as the document says."""

import pytest

from trainer_service.app import create_app
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def app(tmp_path_factory, redis_url):
    connect(redis_url).flushall()
    directory = tmp_path_factory.mktemp("contract")
    (directory / "datasets" / "pets" / "cat").mkdir(parents=True)
    return create_app(
        TrainerSettings(
            store=directory / "store",
            datasets=directory / "datasets",
            weights=directory / "weights",
            weights_url="http://127.0.0.1:1",
            redis_url=redis_url,
        )
    )


def test_every_answer_is_documented(app):
    from tests.support.processes.contract import document_of, failures

    assert failures(lambda: document_of(app)) == ""
