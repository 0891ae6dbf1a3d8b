"""What a request for a comparison may say, and the trainings that follow from it."""

import pytest
from pydantic import ValidationError

from shared.errors import InvalidRequest
from trainer_service.requests.comparison import ComparisonRequest, trainings_of
from trainer_service.requests.training import TrainingRequest
from trainer_service.requests.tune import TuneRequest

BOTH = ["mobilenet_v2", "vgg16"]


def test_a_training_is_made_of_each_combination():
    request = ComparisonRequest(taps=["last", "all"], tune=["off", "tail"], seed=3, model="pets")

    found = trainings_of(request, BOTH)

    assert list(found)[:3] == [
        "mobilenet_v2, taps last, tune off",
        "mobilenet_v2, taps last, tune tail",
        "mobilenet_v2, taps all, tune off",
    ]
    assert len(found) == 8
    assert found["vgg16, taps all, tune tail"] == TrainingRequest(
        architecture="vgg16", taps="all", tune="tail", head="regression", seed=3, model="pets"
    )


def test_what_is_not_varied_is_not_in_the_names():
    assert list(trainings_of(ComparisonRequest(taps="last"), BOTH)) == BOTH


def test_a_form_has_texts_in_place_of_lists():
    request = ComparisonRequest(
        architectures="vgg16, mobilenet_v2", taps="last,all", tune="off,tail", head="regression"
    )

    assert request.architectures == ["vgg16", "mobilenet_v2"]
    assert (request.taps, request.tune, request.head) == (
        ["last", "all"],
        ["off", "tail"],
        ["regression"],
    )
    assert ComparisonRequest(architectures="available").architectures == "available"
    assert ComparisonRequest(tune={"blocks": 2}).tune == [TuneRequest(blocks=2)]


def test_values_that_come_twice_are_trained_once():
    assert len(trainings_of(ComparisonRequest(taps=["last", "last"]), ["vgg16"])) == 1


def test_at_most_64_trainings_are_made():
    request = ComparisonRequest(taps=["auto", "last", "late", "all"], tune=["off", "tail"])

    with pytest.raises(InvalidRequest, match=r"at most 64 trainings. Received: 72 \(9 archit"):
        trainings_of(request, [str(number) for number in range(9)])


def test_fields_of_layers_choose_them_and_stay_with_them():
    assert ComparisonRequest(epochs=3).head == ["layers"]

    found = trainings_of(ComparisonRequest(epochs=3, head=["regression", "layers"]), ["vgg16"])

    assert found["vgg16, head layers"].epochs == 3
    assert found["vgg16, head regression"].epochs == 50


def test_values_that_do_not_go_together_are_refused_by_name():
    request = ComparisonRequest(tune=["off", "tail"], head="layers")

    with pytest.raises(InvalidRequest, match=r"vgg16, tune tail can't be trained: .*solved head"):
        trainings_of(request, ["vgg16"])


@pytest.mark.parametrize(
    "fields",
    [
        {"architectures": []},
        {"architectures": 3},
        {"architectures": [""]},
        {"architectures": ["vgg16"] * 65},
        {"taps": ["first"]},
        {"taps": []},
        {"rounds": "three"},
        {"publish": "all"},
        {"promote": "if_better"},
        {"architecture": "vgg16"},
    ],
)
def test_anything_else_is_refused(fields):
    with pytest.raises(ValidationError):
        ComparisonRequest(**fields)


def test_a_stored_request_is_read_as_it_was():
    request = ComparisonRequest(architectures=BOTH, tune=["off", {"from": "x"}], epochs=2)

    assert ComparisonRequest.model_validate_json(request.model_dump_json()) == request
