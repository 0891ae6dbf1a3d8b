"""What a request says for a pre-trained network to be published as it is."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, Tag, model_validator

from shared.identifiers import ModelName
from shared.models.manifest import LONGEST_LABEL
from trainer_service.requests.part import RequestPart, expected, kind_of

#: The label of the classes that are not named, if a request does not say.
REST = "other"
_MOST_CLASSES = 1000

_Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_LABEL)
]
_List = Annotated[list[_Name], Field(min_length=1, max_length=_MOST_CLASSES)]


def _kind_of_classes(value: object) -> str | None:
    return "(list)" if isinstance(value, list | tuple) else kind_of(value)


_Classes = Annotated[
    Annotated[_List, Tag("(list)")]
    | Annotated[dict[_Name, _List], Field(min_length=1, max_length=_MOST_CLASSES), Tag("(object)")]
    | Annotated[None, Tag("(none)")],
    expected(
        "Input should be a list of classes, or an object with a list of classes for each label",
        _kind_of_classes,
    ),
]


class PretrainedRequest(RequestPart):
    """A pre-trained network that is published with its own classifier for ImageNet.

    {"name": "imagenet", "pretrained": "efficientnet_lite0"}
    {"name": "fruit", "pretrained": "vgg16", "classes": ["banana", "lemon"]}
    {"name": "pets", "pretrained": "vgg16", "classes": {"cat": ["tabby cat", "tiger cat"]}}
    """

    name: ModelName = Field(description="Name of the model to publish.")
    pretrained: str = Field(min_length=1, max_length=64, description="The architecture.")
    classes: _Classes = Field(
        default=None,
        description="The classes to answer, or for each label the classes whose probabilities are "
        "summed up; left out: all 1,000.",
    )
    rest: _Name | None = Field(
        default=REST,
        description="The label that gets the probability of all classes that are not named. null: "
        "there is none, and the probabilities of the named ones are divided by their sum.",
    )

    def in_lists(self) -> Self:
        """Return a copy as lists show it, without the names of classes, which may be many."""
        return self.model_copy(update={"classes": None, "rest": REST})

    @model_validator(mode="after")
    def _rest_goes_with_classes(self) -> Self:
        if self.classes is None and self.rest != REST:
            raise ValueError(
                "rest is the label of all classes that are not named in classes, and without them "
                "all classes are answered: leave it out"
            )
        return self
