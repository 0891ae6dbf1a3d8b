"""The catalogue of architectures, with a row for each. It does not import TensorFlow."""

from dataclasses import dataclass
from typing import Literal

from shared.errors import InvalidRequest

Preprocessing = Literal["identity", "unit_range", "caffe", "efficientnet_lite"]

#: Increased with every change of decoding, resizing or normalisation that changes the input of a
#: backbone.
PREPROCESSING_VERSION = 2


@dataclass(frozen=True, slots=True)
class Architecture:
    """A pre-trained network without its classifier.

    Attributes:
        id: the name in requests, manifests and file names.
        builder: the function of `keras.applications` that builds it; None if Keras has none.
        input_size: height and width of its input, in pixels.
        preprocessing: how uint8 RGB is normalised to what the backbone was trained on. This is part
            of the exported graph.
        feature_size: the length of its bottleneck features, after global average pooling.
        parameters: the number of its weights, without the classifier.
        multiply_adds: the multiply-adds of its convolutions and dense layers for one image.
        download: the path below `HEADSTART_WEIGHTS_URL` of Keras' file of its weights; None if
            Keras has none.
        download_hash: the hex MD5 or SHA-256 of that file, as Keras states it; None if it states
            none.
    """

    id: str
    builder: str | None
    input_size: int
    preprocessing: Preprocessing
    feature_size: int
    parameters: int
    multiply_adds: int
    download: str | None
    download_hash: str | None


_ROWS = (
    Architecture(
        id="mobilenet_v2",
        builder="MobileNetV2",
        input_size=224,
        preprocessing="unit_range",
        feature_size=1280,
        parameters=2_257_984,
        multiply_adds=299_494_272,
        download="keras-applications/mobilenet_v2/"
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        download_hash=None,
    ),
    Architecture(
        id="vgg16",
        builder="VGG16",
        input_size=224,
        preprocessing="caffe",
        feature_size=512,
        parameters=14_714_688,
        multiply_adds=15_346_630_656,
        download="keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        download_hash="6d6bbae143d832006294945121d1f1fc",
    ),
    Architecture(
        id="inception_v3",
        builder="InceptionV3",
        input_size=299,
        preprocessing="unit_range",
        feature_size=2048,
        parameters=21_802_784,
        multiply_adds=5_711_168_096,
        download="keras-applications/inception_v3/"
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        download_hash="bcbd6486424b2319ff4ef7d526e38f63",
    ),
    Architecture(
        id="resnet50_v2",
        builder="ResNet50V2",
        input_size=224,
        preprocessing="unit_range",
        feature_size=2048,
        parameters=23_564_800,
        multiply_adds=3_480_207_360,
        download="keras-applications/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        download_hash="fac2f116257151a9d068a22e544a4917",
    ),
    Architecture(
        id="resnet101_v2",
        builder="ResNet101V2",
        input_size=224,
        preprocessing="unit_range",
        feature_size=2048,
        parameters=42_626_560,
        multiply_adds=7_192_428_544,
        download="keras-applications/resnet/"
        "resnet101v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        download_hash="c0ed64b8031c3730f411d2eb4eea35b5",
    ),
    Architecture(
        id="efficientnet_lite0",
        builder=None,
        input_size=224,
        preprocessing="efficientnet_lite",
        feature_size=1280,
        parameters=3_413_024,
        multiply_adds=383_907_552,
        download=None,
        download_hash=None,
    ),
    Architecture(
        id="efficientnet_v2_b0",
        builder="EfficientNetV2B0",
        input_size=224,
        preprocessing="identity",
        feature_size=1280,
        parameters=5_919_312,
        multiply_adds=716_806_176,
        download="keras-applications/efficientnet_v2/efficientnetv2-b0_notop.h5",
        download_hash="893217f2bb855e2983157299931e43ff",
    ),
    Architecture(
        id="mobilenet_v3_large",
        builder="MobileNetV3Large",
        input_size=224,
        preprocessing="identity",
        feature_size=960,
        parameters=2_996_352,
        multiply_adds=214_080_960,
        download="keras-applications/mobilenet_v3/"
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        download_hash="07fb09a5933dd0c8eaafa16978110389",
    ),
    Architecture(
        id="convnext_tiny",
        builder="ConvNeXtTiny",
        input_size=224,
        preprocessing="identity",
        feature_size=768,
        parameters=27_820_128,
        multiply_adds=4_454_763_264,
        download="keras-applications/convnext/convnext_tiny_notop.h5",
        download_hash="d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
)

CATALOGUE: dict[str, Architecture] = {row.id: row for row in _ROWS}

ALIASES = {
    "googlenet": "inception_v3",
    "inception": "inception_v3",
    "mobilenet": "mobilenet_v2",
    "resnet": "resnet50_v2",
}


def find_architecture(name: str) -> Architecture:
    """Return the architecture with an id or alias; `MobileNetV2` also finds `mobilenet_v2`.

    Raises:
        InvalidRequest: the catalogue has no architecture of this name.
    """
    spelling = _plain(name)
    for known, id_ in [*((id_, id_) for id_ in CATALOGUE), *ALIASES.items()]:
        if spelling == _plain(known):
            return CATALOGUE[id_]
    raise InvalidRequest(
        f"`architecture` should be one of {', '.join(CATALOGUE)}, "
        f"or an alias ({', '.join(ALIASES)}). Received: {name!r}."
    )


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
