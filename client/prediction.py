"""Sends images to the predictor."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from client.errors import ClientError
from client.service import Record, Service

#: The predictor's own limit is 64 files in a request.
FILES_PER_REQUEST = 32


def predict(
    predictor: Service, images: Sequence[Path], parameters: Mapping[str, Any]
) -> list[Record]:
    """Return a prediction for each image, or under `error` the reason why there is none.

    Args:
        predictor: the connection to the predictor.
        images: image files.
        parameters: of the request, such as `model`, `top`, `false_alarms` and `coverage`; one that
            is None is left to the predictor.

    Raises:
        ClientError: the predictor refuses the request, for example since no model has this name.
        Unreachable: the predictor does not answer.
    """
    predictions: list[Record] = []
    for start in range(0, len(images), FILES_PER_REQUEST):
        part = images[start : start + FILES_PER_REQUEST]
        predictions += _predict(predictor, part, parameters)
    return [
        {**prediction, "file": str(image)}
        for image, prediction in zip(images, predictions, strict=True)
    ]


def _predict(
    predictor: Service, images: Sequence[Path], parameters: Mapping[str, Any]
) -> list[Record]:
    given = {name: value for name, value in parameters.items() if value is not None}
    with ExitStack() as stack:
        files = [("file", (image.name, stack.enter_context(image.open("rb")))) for image in images]
        try:
            answer = predictor.post("/v1/predict", params=given, files=files)
        except ClientError as error:
            problems = error.problem.get("errors", [])
            # If no image of a request can be used, the answer to the request is an error.
            if len(problems) != len(images) or problems[0]["field"] in given:
                raise
            return [{"error": {"detail": problem["detail"]}} for problem in problems]
    predictions: list[Record] = answer["predictions"]
    return predictions
