"""The predictor answers whatever its OpenAPI document allows to ask as the document says."""

import pytest
import schemathesis

from tests.contract import contract_failures

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def document(shared_predictor):
    return lambda: schemathesis.openapi.from_url(f"{shared_predictor.url}/openapi.json")


def test_every_answer_is_documented(document):
    assert contract_failures(document) == ""
