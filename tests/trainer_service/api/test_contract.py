"""The trainer answers whatever its OpenAPI document allows to ask as the document says."""

import pytest

from tests.support.trainer.builders import trainer_settings
from trainer_service.app import create_app

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def app(tmp_path_factory, redis_url):
    return create_app(trainer_settings(tmp_path_factory.mktemp("contract"), redis_url))


def test_every_answer_is_documented(app):
    from tests.support.processes.contract import document_of, failures

    assert failures(lambda: document_of(app)) == ""
