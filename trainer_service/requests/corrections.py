"""What a request may say about single images of a dataset."""

from typing import Annotated

from pydantic import Field, RootModel

from shared.models.manifest import LONGEST_LABEL
from trainer_service.requests.part import RequestPart

#: The most images that one request corrects.
MOST_CORRECTIONS = 10_000

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Label = Annotated[str, Field(min_length=1, max_length=LONGEST_LABEL)]


class CorrectionsRequest(RootModel[dict[Sha256, _Label | None]]):
    """The label that each image is to have, by the hash of its bytes; null leaves it out.

    {"3f79…": "dog", "a1b2…": null}
    """

    root: dict[Sha256, _Label | None] = Field(min_length=1, max_length=MOST_CORRECTIONS)


class AddedImages(RequestPart):
    """The fields of a request that adds images to a dataset.

    Attributes:
        label: the label of all of them; None if each lies in a folder that is called like its own.
    """

    label: _Label | None = None
