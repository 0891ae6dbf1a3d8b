"""What a published version says of itself: `manifest.json`."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.identifiers import ModelName

MANIFEST_FILE = "manifest.json"

Format = Literal["saved_model", "keras", "openvino", "openvino_int8"]

#: Where each format of a network lies in a version.
FILE_OF: dict[Format, str] = {
    "saved_model": "saved_model.pb",
    "keras": "model.keras",
    "openvino": "openvino/model.xml",
    "openvino_int8": "openvino/int8.xml",
}

#: What numbers a network is computed in.
Precision = Literal["int8", "bf16", "f32", "mixed"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class FileEntry(_Record):
    path: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class InputSpec(_Record):
    """The pixels that the exported graph takes: uint8 RGB of shape (n, height, width, 3)."""

    height: int = Field(gt=0, le=4096)
    width: int = Field(gt=0, le=4096)
    channels: Literal[3] = 3
    dtype: Literal["uint8"] = "uint8"
    color: Literal["RGB"] = "RGB"


class DatasetInfo(_Record):
    id: str
    digest: str
    images: int
    labels: dict[str, int]


class WeightsInfo(_Record):
    source: str
    sha256: str


class Artifact(_Record):
    """A format that a version holds its network in.

    Attributes:
        path: its main file, relative to the version.
        difference: the largest difference of a golden image's probabilities, in float32 or INT8,
            from those that the trained network gave; None if the worker could not run it.
    """

    path: str
    difference: float | None = None


class Quantization(_Record):
    """Whether an INT8 graph is part of the version, and what decided it.

    Attributes:
        accepted: it is there and is served where OpenVINO serves.
        detail: why, in words.
        accuracy: of the INT8 graph on the validation images.
        reference_accuracy: of the trained head on the same images.
        speedup: images/s of the INT8 graph over those of the fastest other precision, measured
            by the worker.
    """

    accepted: bool
    detail: str
    accuracy: float
    reference_accuracy: float
    speedup: float


class Manifest(_Record):
    """Everything that is known of one version of a model.

    Attributes:
        labels: in the order of the graph's outputs.
        precision: what the bottleneck features and the metrics were computed in.
        outputs: the names of the network's outputs.
        artifacts: the formats that the version has; of versions made before they were noted, those
            whose files it has.
        quantization: None unless INT8 was asked for.
        golden_tolerance: the largest absolute difference from the recorded probabilities with
            which a golden image still counts as answered right.
        files: every file of the version except the manifest itself.
    """

    schema_version: Literal[1] = 1
    model: ModelName
    version: int = Field(ge=0)
    labels: list[str] = Field(min_length=2)
    architecture: str
    input: InputSpec
    preprocessing_version: int
    precision: str = "f32"
    outputs: list[str] = Field(default_factory=lambda: ["probabilities"])
    artifacts: dict[Format, Artifact] = Field(default_factory=dict)
    quantization: Quantization | None = None
    metrics: dict[str, Any]
    dataset: DatasetInfo
    weights: WeightsInfo
    training: dict[str, Any]
    training_id: str
    seed: int
    libraries: dict[str, str]
    golden_tolerance: float = Field(default=0.05, gt=0, lt=1)
    created_at: datetime
    files: list[FileEntry] = Field(default_factory=list)

    @model_validator(mode="after")
    def _find_artifacts(self) -> Self:
        if not self.artifacts:
            paths = {entry.path for entry in self.files}
            found = {kind: Artifact(path=path) for kind, path in FILE_OF.items() if path in paths}
            self.artifacts.update(found)
        return self

    @property
    def quantized(self) -> bool:
        return self.quantization is not None and self.quantization.accepted


class GoldenImage(_Record):
    """A test image and the probabilities, one per label, that the trainer got for it.

    Attributes:
        probabilities: computed in float32.
        reduced: computed in a lower precision, by its name; none where the trainer used none.
    """

    file: str
    label: str
    probabilities: list[float]
    reduced: dict[str, list[float]] = Field(default_factory=dict)

    def expected(self, precision: str) -> list[float]:
        """Return what an engine of that precision should answer, as near as is known."""
        return self.reduced.get(precision, self.probabilities)


GOLDEN_FOLDER = "golden"
GOLDEN_FILE = f"{GOLDEN_FOLDER}/golden.json"
