"""The predictor answers whatever its OpenAPI document allows to ask as the document says."""

import pytest

pytestmark = pytest.mark.integration


def test_every_answer_is_documented(shared_predictor):
    from tests.support.processes.contract import document_at, failures

    assert failures(lambda: document_at(f"{shared_predictor.url}/openapi.json")) == ""
