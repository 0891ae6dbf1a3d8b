"""What a request may say about fine-tuning, and what it is told if it says something else."""

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from trainer_service.requests.tune import Tune, TuneRequest


class Request(BaseModel):
    tune: Tune = "off"


def errors(tune):
    with pytest.raises(ValidationError) as refusal:
        Request(tune=tune)
    return [(error["loc"][-1], error["msg"]) for error in refusal.value.errors()]


@pytest.mark.parametrize("tune", ["off", "tail"])
def test_a_word_is_enough(tune):
    assert Request(tune=tune).tune == tune


def test_an_object_has_defaults_for_all_it_leaves_out():
    tune = Request(tune={"from": "block_12_add", "views": 3}).tune

    assert tune == TuneRequest(cut="block_12_add", views=3)
    assert (tune.blocks, tune.augment, Request(tune={}).tune.cut) == (None, "auto", None)


def test_a_record_is_read_back_as_it_was_written():
    request = Request(tune={"from": "mixed9", "augment": ["mirror"], "epochs": 3})

    written = TypeAdapter(Request).dump_json(request)

    assert b'"from":"mixed9"' in written
    assert TypeAdapter(Request).validate_json(written) == request


@pytest.mark.parametrize(
    ("augment", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        (["crop", "colour"], ["crop", "colour"]),
        ("mirror", ["mirror"]),
        ("mirror, crop", ["mirror", "crop"]),
    ],
)
def test_changes_may_be_a_word_a_list_or_the_text_of_a_form(augment, expected):
    assert Request(tune={"augment": augment}).tune.augment == expected


@pytest.mark.parametrize(
    ("tune", "field", "message"),
    [
        ("all", "(text)", "Input should be 'off' or 'tail'"),
        (3, "tune", "Input should be 'off', 'tail', or an object"),
        ({"from": "mixed9", "blocks": 2}, "(object)", "expected one of them"),
        ({"blocks": 0}, "blocks", "greater than or equal to 1"),
        ({"views": 17}, "views", "less than or equal to 16"),
        ({"epochs": True}, "epochs", "neither true nor false"),
        ({"learning_rate": 0}, "learning_rate", "greater than 0"),
        ({"layers": 3}, "layers", "Extra inputs are not permitted"),
        ({"augment": "flip"}, 0, "'mirror', 'crop' or 'colour'"),
        ({"augment": []}, "(list)", "at least 1 item"),
        ({"augment": 1}, "augment", "'auto', 'none', or a list of mirror, crop and colour"),
    ],
)
def test_anything_else_is_refused_with_the_reason(tune, field, message):
    ((place, said),) = errors(tune)

    assert place == field
    assert message in said
