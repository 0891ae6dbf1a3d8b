"""Which head and which taps a request asks for."""

import pytest
from pydantic import ValidationError

from tests.support.trainer.builders import new_record
from trainer_service.requests.training import LAYERS_FIELDS, TrainingRequest
from trainer_service.store.records.training_record import TrainingRecord


def test_a_regression_is_the_default_and_auto_computes_all_taps():
    request = TrainingRequest()

    assert (request.head, request.taps, request.computed_taps) == ("regression", "auto", "all")


@pytest.mark.parametrize("taps", ["last", "late", "all"])
def test_taps_that_are_asked_for_are_those_that_are_computed(taps):
    assert TrainingRequest(taps=taps).computed_taps == taps


def test_every_field_belongs_to_layers_or_to_any_training():
    """A field that is in neither would be ignored beside a regression, and nobody told."""
    any_training = {
        *("model", "architecture", "dataset", "reading", "taps", "head"),
        *("class_weights", "quantize", "split", "seed"),
    }

    assert TrainingRequest.model_fields.keys() - set(LAYERS_FIELDS) == any_training


@pytest.mark.parametrize("field", LAYERS_FIELDS)
def test_a_field_that_only_layers_have_chooses_them(field):
    default = TrainingRequest.model_fields[field].get_default(call_default_factory=True)

    assert TrainingRequest(**{field: default}).head == "layers"


def test_fields_of_layers_are_refused_beside_a_regression():
    with pytest.raises(ValidationError, match="epochs, dropout belong to head: layers"):
        TrainingRequest(head="regression", epochs=5, dropout=0.5)
    with pytest.raises(ValidationError, match="hidden_units belongs to head: layers"):
        TrainingRequest(head="regression", hidden_units=64)


@pytest.mark.parametrize("request_", [TrainingRequest(), TrainingRequest(epochs=3)])
def test_a_request_is_read_from_a_record_as_it_was(request_):
    assert TrainingRequest.model_validate_json(request_.model_dump_json()) == request_


def test_a_record_of_an_earlier_release_has_layers_on_the_last_tap():
    record = new_record().model_dump(mode="json")
    del record["request"]["head"], record["request"]["taps"]

    request = TrainingRecord.model_validate(record).request

    assert (request.head, request.computed_taps) == ("layers", "last")
