"""Which head and which taps a request asks for."""

import pytest
from pydantic import ValidationError

from shared.http.problems import describe_validation
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
        *("model", "architecture", "dataset", "reading", "taps", "head", "tune"),
        *("class_weights", "quantize", "promote", "split", "seed"),
    }
    regression = {"views", "augment"}

    others = TrainingRequest.model_fields.keys() - set(LAYERS_FIELDS)
    assert others == any_training | regression


@pytest.mark.parametrize("field", LAYERS_FIELDS)
def test_a_field_that_only_layers_have_chooses_them(field):
    default = TrainingRequest.model_fields[field].get_default(call_default_factory=True)

    assert TrainingRequest(**{field: default}).head == "layers"


def test_fields_of_layers_are_refused_beside_a_regression_each_by_its_name():
    with pytest.raises(ValidationError) as refused:
        TrainingRequest(head="regression", epochs=5, dropout=0.5, batch_size=32)

    problems = describe_validation(refused.value.errors())
    assert [problem.field for problem in problems] == ["epochs", "dropout"]
    assert problems[0].detail == (
        "only a head of layers has this. Send head: layers, or leave it out. Received: 5"
    )


@pytest.mark.parametrize(
    "request_",
    [TrainingRequest(), TrainingRequest(epochs=3), TrainingRequest(views=2, augment=["crop"])],
)
def test_a_request_is_read_from_a_record_as_it_was(request_):
    assert TrainingRequest.model_validate_json(request_.model_dump_json()) == request_


def test_there_are_no_views_by_default_and_any_change_is_allowed():
    request = TrainingRequest()

    assert (request.views, request.augment) == (1, ["mirror", "crop", "colour"])


@pytest.mark.parametrize("views", [2, 4, "2", "4"])
def test_views_may_be_the_text_of_a_form(views):
    assert TrainingRequest(views=views).views == int(views)


@pytest.mark.parametrize(
    ("augment", "expected"),
    [
        (["colour", "crop"], ["crop", "colour"]),
        ("crop,colour", ["crop", "colour"]),
        ("colour, mirror,colour", ["mirror", "colour"]),
        (["mirror", "crop", "colour"], ["mirror", "crop", "colour"]),
    ],
)
def test_changes_are_named_once_and_in_the_same_order(augment, expected):
    """So the same request has the same features."""
    assert TrainingRequest(views=2, augment=augment).augment == expected


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"views": 3}, "views", "Input should be 1, 2 or 4. Received: 3"),
        ({"views": "many"}, "views", "Input should be 1, 2 or 4"),
        ({"views": True}, "views", "neither true nor false"),
        ({"views": 2, "augment": "flip"}, "augment.0", "'mirror', 'crop' or 'colour'"),
        ({"views": 2, "augment": [["crop"]]}, "augment.0", "'mirror', 'crop' or 'colour'"),
        ({"views": 2, "augment": []}, "augment", "at least 1 item"),
        ({"views": 2, "augment": 3}, "augment", "valid list"),
        ({"augment": "crop"}, "augment", "with views: 1 there are none. Send views: 2 or 4"),
        ({"views": 4, "augment": "mirror"}, "augment", "mirror alone gives two views"),
        ({"views": 2, "head": "layers"}, "views", "only a regression has this"),
        ({"views": 2, "epochs": 5}, "views", "none of the fields that layers have. Received: 2"),
    ],
)
def test_views_that_can_not_be_had_are_refused_with_the_reason(fields, field, message):
    with pytest.raises(ValidationError) as refused:
        TrainingRequest(**fields)

    [problem] = describe_validation(refused.value.errors())
    assert problem.field == field
    assert message in problem.detail


def test_a_record_of_an_earlier_release_has_layers_on_the_last_tap():
    record = new_record().model_dump(mode="json")
    del record["request"]["head"], record["request"]["taps"]

    request = TrainingRecord.model_validate(record).request

    assert (request.head, request.computed_taps) == ("layers", "last")
