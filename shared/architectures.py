"""The catalogue of architectures: one row each. Nothing here imports TensorFlow."""

from dataclasses import dataclass
from typing import Literal

Preprocessing = Literal["identity", "unit_range", "caffe", "efficientnet_lite"]

#: Raised whenever decoding, resizing or normalisation changes what a backbone sees.
PREPROCESSING_VERSION = 1

DEFAULT_ARCHITECTURE = "mobilenet_v2"


@dataclass(frozen=True, slots=True)
class Architecture:
    """A pre-trained network without its classifier.

    Attributes:
        id: the name in requests, manifests and file names.
        builder: the function of `keras.applications` that builds it, or None for our own.
        input_size: height and width of its input, in pixels.
        preprocessing: how uint8 RGB becomes what the backbone was trained on; part of the
            exported graph.
        feature_size: length of its bottleneck features (global average pooling).
        parameters: number of weights, without the top.
        download: path below `HEADSTART_WEIGHTS_URL` of Keras' own file, or None.
        download_sha256: hash of that file as Keras states it, or None if it states none.
    """

    id: str
    builder: str | None
    input_size: int
    preprocessing: Preprocessing
    feature_size: int
    parameters: int
    download: str | None
    download_hash: str | None
