"""The manifest of a published version: `manifest.json`."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.identifiers import ModelName

MANIFEST_FILE = "manifest.json"
#: The largest length of a label, in characters.
LONGEST_LABEL = 1024
#: The largest height and width of an input, in pixels: a predictor holds batches of such arrays.
LARGEST_SIDE = 1024

Format = Literal["saved_model", "keras", "openvino", "openvino_int8"]

#: The main file of each format of a network, relative to the version's directory.
FILE_OF: dict[Format, str] = {
    "saved_model": "saved_model.pb",
    "keras": "model.keras",
    "openvino": "openvino/model.xml",
    "openvino_int8": "openvino/int8.xml",
}

#: The number formats that a network is computed in.
Precision = Literal["int8", "bf16", "f32", "mixed"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class FileEntry(_Record):
    """A file of a version; `path` is relative to the version's directory."""

    path: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class InputSpec(_Record):
    """The pixels that the exported graph takes: uint8 RGB of shape (n, height, width, 3)."""

    height: int = Field(gt=0, le=LARGEST_SIDE)
    width: int = Field(gt=0, le=LARGEST_SIDE)
    channels: Literal[3] = 3
    dtype: Literal["uint8"] = "uint8"
    color: Literal["RGB"] = "RGB"


class DatasetInfo(_Record):
    """The dataset that a version was trained on; `labels` are the numbers of images."""

    id: str
    digest: str
    images: int
    labels: dict[str, int]


class PretrainedInfo(_Record):
    """What a version is that is a pre-trained network with its own classifier for ImageNet.

    Attributes:
        classes: for each label, the classes that it stands for; empty if the labels are the
            classes.
        rest: the label of all classes that no other one stands for; None if there is none.
        no_heatmaps: why there are no heatmaps, as a sentence; "" if there are.
        detail: what it is, in sentences.
    """

    classes: dict[str, list[str]] = Field(default_factory=dict)
    rest: str | None = None
    no_heatmaps: str = ""
    detail: str


class WeightsInfo(_Record):
    """The pre-trained weights of the backbone, or of the network if it has its own classifier."""

    source: str
    sha256: str


class Artifact(_Record):
    """A format that a version holds its network in.

    Attributes:
        path: its main file, relative to the version's directory.
        difference: the largest difference of a golden image's probabilities, in float32 or INT8,
            from those that the trained network gave; None if the worker could not run it.
    """

    path: str
    difference: float | None = None


class NearInfo(_Record):
    """What a head was searched near: what another training chose among all heads.

    Attributes:
        training: its id.
        differ: how many images have another label than there, or are only in one of the two.
        images: how many there are here.
    """

    training: str
    differ: int
    images: int


class HeadInfo(_Record):
    """The head of a version, and what it was chosen by.

    Attributes:
        kind: "regression" or "layers"; "pretrained" if it is the network's own classifier.
        taps: the layers of the backbone that it sees: "last", "late" or "all".
        features: the length of its input.
        strength: of a regression, the strength of its L2 regularisation.
        cross_validated: whether it was chosen by cross-validation over the training and the
            validation images, and then learnt from both.
        temperature: of layers, what their logits were divided by, so that they are not too sure.
        views: how many views of each image it has learnt from; 1: the image itself.
        val_losses: the smallest validation loss with each of the taps that were tried, without
            further views.
        view_losses: if further views were tried, the smallest validation loss with the chosen taps
            by how many views were learnt from.
        near: what it was searched near; None if all heads were tried.
        detail: what was chosen and why, as a sentence.
    """

    kind: str
    taps: str
    features: int
    strength: float | None = None
    cross_validated: bool = False
    temperature: float | None = None
    views: int = 1
    val_losses: dict[str, float] = Field(default_factory=dict)
    view_losses: dict[int, float] = Field(default_factory=dict)
    near: NearInfo | None = None
    detail: str = ""


class TuneMeasure(_Record):
    """How well a network answers the validation images: mean cross-entropy, and a share of 1."""

    loss: float
    accuracy: float


class TuneInfo(_Record):
    """What came of fine-tuning the last layers of the backbone.

    Attributes:
        cut: the layer behind which everything was trained, or "pixels".
        published: whether the version has the tuned network. If not, it has the one whose backbone
            is as it was.
        frozen: the network that tuning began with, on the validation images; None if it was not
            measured, as tuning did not get that far.
        tuned: the same of the best epoch; None if no epoch was trained, or the first diverged.
        margin: by how much the loss of the tuned network has to be smaller to be published; None if
            it is not smaller.
        best_epoch: the epoch, from 1, whose weights are published; 0 if they are not.
        epochs: how many were trained.
        views: how many views of each training image there were.
        augment: how these differ from the image: some of "mirror", "crop" and "colour".
        learning_rate: the highest one of the backbone's layers.
        seconds: how long the phase took, with all tries after a fault.
        reason: why the tuned network was published or not, as a sentence with both figures.
    """

    cut: str
    published: bool
    frozen: TuneMeasure | None = None
    tuned: TuneMeasure | None = None
    margin: float | None = None
    best_epoch: int = 0
    epochs: int = 0
    views: int = 1
    augment: list[str] = Field(default_factory=list)
    learning_rate: float
    seconds: float = 0.0
    reason: str = ""


class Quantization(_Record):
    """Whether the version has an INT8 graph, and the measurements that decided it.

    Attributes:
        accepted: whether the version has the graph; OpenVINO then serves it.
        detail: the reason, as a sentence.
        accuracy: accuracy of the INT8 graph on the validation images, 0 to 1.
        reference_accuracy: accuracy of the trained head on the same images, 0 to 1.
        speedup: images per second of the INT8 graph, divided by those of the fastest other
            precision, as the worker measured them.
    """

    accepted: bool
    detail: str
    accuracy: float
    reference_accuracy: float
    speedup: float


class MapInfo(_Record):
    """The map that a tap of the network pools: height x width places of some channels each."""

    channels: int = Field(gt=0)
    height: int = Field(gt=0)
    width: int = Field(gt=0)


class HeatmapInfo(_Record):
    """What heatmaps are made of: parts of the network that are named (`shared.heatmaps.parts`).

    Attributes:
        maps: those of all taps, in the order of the features.
    """

    maps: list[MapInfo] = Field(min_length=1)


class _Measured(_Record):
    """What services answer as JSON, which has neither NaN nor infinity."""

    model_config = ConfigDict(allow_inf_nan=False)


class Share(_Measured):
    """How many of some pictures something is true of; `low` and `high` are its 95 % interval."""

    count: int = Field(ge=0)
    pictures: int = Field(gt=0)
    low: float
    high: float


class UnknownInfo(_Measured):
    """How well a version tells which pictures are unlike those that it was trained on.

    Each share is of pictures that it calls unknown.

    Attributes:
        images: how many training images it carries.
        distances: of how many known pictures it carries the distance from these.
        compared: which pictures these are: "validation", or "validation and training".
        rate: the rate of false alarms at which the shares were measured.
        false_alarms: of the test images; None if there are too few distances for a verdict.
        other_datasets: of pictures of other datasets in the store.
        probes: of drawn pictures, by what is in them.
        left_out: of the test images of each label, compared without the images of that label.
        change: the largest change of `known` of a golden image in lower precisions, by precision.
        detail: what all that means, in sentences.
    """

    images: int = Field(ge=0)
    distances: int = Field(ge=0)
    compared: str
    rate: float
    false_alarms: Share | None = None
    other_datasets: Share | None = None
    probes: dict[str, Share] = Field(default_factory=dict)
    left_out: Share | None = None
    change: dict[str, float] = Field(default_factory=dict)
    detail: str = ""


class CoverageInfo(_Measured):
    """How often the right label is among those that a version answers.

    Attributes:
        images: how many pictures, which the network has not learnt from, decide how many labels.
        coverage: what was asked for; None if that takes more pictures.
        right: the share of the test images whose right label was among those answered.
        labels: how many labels were answered on average.
    """

    images: int = Field(ge=0)
    coverage: float | None = None
    right: Share | None = None
    labels: float | None = None


class Manifest(_Record):
    """The description of one version of a model.

    Attributes:
        labels: the labels, in the order of the graph's outputs.
        precision: the precision of the bottleneck features and the metrics.
        outputs: the names of the network's outputs.
        artifacts: the formats that the version has. Older manifests do not list them; then they
            are found by the names of the files.
        pretrained: what it is if nothing was trained; then there is no dataset, and no metrics.
        head: None in manifests of earlier releases.
        tune: None unless the training asked for fine-tuning.
        quantization: None unless the training asked for INT8.
        heatmaps: None if none can be made, as of versions of earlier releases.
        unknown: None in manifests of earlier releases.
        coverage: None in manifests of earlier releases.
        golden_tolerance: how far, at most, a probability of a golden image may be from the
            recorded one.
        files: every file of the version except the manifest itself.
    """

    schema_version: Literal[1] = 1
    model: ModelName
    version: int = Field(ge=0)
    labels: list[Annotated[str, Field(max_length=LONGEST_LABEL)]] = Field(min_length=2)
    architecture: str
    input: InputSpec
    preprocessing_version: int
    precision: str = "f32"
    outputs: list[str] = Field(default_factory=lambda: ["probabilities"])
    artifacts: dict[Format, Artifact] = Field(default_factory=dict)
    head: HeadInfo | None = None
    tune: TuneInfo | None = None
    quantization: Quantization | None = None
    heatmaps: HeatmapInfo | None = None
    unknown: UnknownInfo | None = None
    coverage: CoverageInfo | None = None
    metrics: dict[str, Any]
    dataset: DatasetInfo | None
    pretrained: PretrainedInfo | None = None
    weights: WeightsInfo
    training: dict[str, Any]
    training_id: str
    seed: int
    libraries: dict[str, str]
    golden_tolerance: float = Field(default=0.05, gt=0, lt=1)
    created_at: datetime
    files: list[FileEntry] = Field(default_factory=list)

    @field_validator("labels")
    @classmethod
    def _are_distinct(cls, labels: list[str]) -> list[str]:
        if len(set(labels)) < len(labels):
            raise ValueError("each label should be there once")
        return labels

    @model_validator(mode="after")
    def _find_artifacts(self) -> Self:
        if not self.artifacts:
            paths = {entry.path for entry in self.files}
            found = {kind: Artifact(path=path) for kind, path in FILE_OF.items() if path in paths}
            self.artifacts.update(found)
        return self

    @property
    def quantized(self) -> bool:
        """Whether the version has an INT8 graph."""
        return self.quantization is not None and self.quantization.accepted


class GoldenImage(_Record):
    """An image and the probabilities, one per label, that the trainer got for it.

    Attributes:
        file: the name of the image's file in `golden/`.
        label: the label that the dataset gives the image. Of a version without a dataset the images
            are drawn, and this is the likeliest label.
        probabilities: as computed in float32.
        reduced: as computed in lower precisions, by the name of the precision.
    """

    file: str
    label: str
    probabilities: list[float]
    reduced: dict[str, list[float]] = Field(default_factory=dict)

    def expected(self, precision: str) -> list[float]:
        """Return the probabilities for a precision; those in float32 if it was not recorded."""
        return self.reduced.get(precision, self.probabilities)


GOLDEN_FOLDER = "golden"
GOLDEN_FILE = f"{GOLDEN_FOLDER}/golden.json"
