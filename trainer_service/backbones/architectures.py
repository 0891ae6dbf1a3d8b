"""The catalogue of architectures, with a row for each. It does not import TensorFlow."""

from dataclasses import dataclass
from typing import Literal

from shared.errors import InvalidRequest
from trainer_service.requests.training import TapSet

Preprocessing = Literal["identity", "unit_range", "caffe", "efficientnet_lite"]

#: The name that the last layer of every network is given: its output after global average pooling.
OUTPUT = "output"

_TAPS_IN: dict[TapSet, int | None] = {"last": 1, "late": 3, "all": None}

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
        taps: the names of the layers that features can be taken from, early to late; the last one
            is `OUTPUT`.
        tap_widths: how many channels each of them has.
        parameters: the number of its weights, without the classifier.
        multiply_adds: the multiply-adds of its convolutions and dense layers for one image.
        download: the path below `HEADSTART_WEIGHTS_URL` of Keras' file of its weights; None if
            Keras has none.
        download_hash: the hex MD5 or SHA-256 of that file, as Keras states it; None if it states
            none.
        top_download: the same path of its weights with the classifier for ImageNet.
        top_hash: the hash of that file.
    """

    id: str
    builder: str | None
    input_size: int
    preprocessing: Preprocessing
    taps: tuple[str, ...]
    tap_widths: tuple[int, ...]
    parameters: int
    multiply_adds: int
    download: str | None
    download_hash: str | None
    top_download: str | None
    top_hash: str | None

    @property
    def feature_size(self) -> int:
        """How many features its output gives, without other taps."""
        return self.feature_size_of("last")

    def taps_of(self, taps: TapSet) -> tuple[str, ...]:
        """Return the names of the layers of a tap set, early to late."""
        return self.taps[_first(taps) :]

    def widths_of(self, taps: TapSet) -> tuple[int, ...]:
        """Return how many features come from each layer of a tap set, early to late."""
        return self.tap_widths[_first(taps) :]

    def feature_size_of(self, taps: TapSet) -> int:
        """Return the length of the features of a tap set.

        The features of a smaller set are the last ones of a larger set.
        """
        return sum(self.widths_of(taps))


def _first(taps: TapSet) -> int:
    """Return the index of a tap set's first layer among all taps."""
    count = _TAPS_IN[taps]
    return 0 if count is None else -count


_ROWS = (
    Architecture(
        id="mobilenet_v2",
        builder="MobileNetV2",
        input_size=224,
        preprocessing="unit_range",
        taps=(
            "block_3_depthwise_relu",
            "block_6_depthwise_relu",
            "block_10_depthwise_relu",
            "block_13_depthwise_relu",
            "block_14_depthwise_relu",
            "block_15_depthwise_relu",
            "block_16_depthwise_relu",
            OUTPUT,
        ),
        tap_widths=(144, 192, 384, 576, 960, 960, 960, 1280),
        parameters=2_257_984,
        multiply_adds=299_494_272,
        download="keras-applications/mobilenet_v2/"
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        download_hash=None,
        top_download="keras-applications/mobilenet_v2/"
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5",
        top_hash=None,
    ),
    Architecture(
        id="vgg16",
        builder="VGG16",
        input_size=224,
        preprocessing="caffe",
        taps=(
            "block2_conv2",
            "block3_conv2",
            "block3_conv3",
            "block4_conv2",
            "block4_conv3",
            "block5_conv1",
            "block5_conv2",
            OUTPUT,
        ),
        tap_widths=(128, 256, 256, 512, 512, 512, 512, 512),
        parameters=14_714_688,
        multiply_adds=15_346_630_656,
        download="keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        download_hash="6d6bbae143d832006294945121d1f1fc",
        top_download="keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        top_hash="64373286793e3c8b2b4e3219cbf3544b",
    ),
    Architecture(
        id="inception_v3",
        builder="InceptionV3",
        input_size=299,
        preprocessing="unit_range",
        taps=(
            "mixed2",
            "mixed4",
            "mixed6",
            "mixed7",
            "mixed8",
            "mixed9",
            OUTPUT,
        ),
        tap_widths=(288, 768, 768, 768, 1280, 2048, 2048),
        parameters=21_802_784,
        multiply_adds=5_711_168_096,
        download="keras-applications/inception_v3/"
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        download_hash="bcbd6486424b2319ff4ef7d526e38f63",
        top_download="keras-applications/inception_v3/"
        "inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
        top_hash="9a0d58056eeedaa3f26cb7ebd46da564",
    ),
    Architecture(
        id="resnet50_v2",
        builder="ResNet50V2",
        input_size=224,
        preprocessing="unit_range",
        taps=(
            "conv3_block1_preact_relu",
            "conv4_block1_preact_relu",
            "conv4_block4_preact_relu",
            "conv5_block1_preact_relu",
            "conv5_block2_preact_relu",
            "conv5_block3_preact_relu",
            OUTPUT,
        ),
        tap_widths=(256, 512, 1024, 1024, 2048, 2048, 2048),
        parameters=23_564_800,
        multiply_adds=3_480_207_360,
        download="keras-applications/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        download_hash="fac2f116257151a9d068a22e544a4917",
        top_download="keras-applications/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels.h5",
        top_hash="3ef43a0b657b3be2300d5770ece849e0",
    ),
    Architecture(
        id="resnet101_v2",
        builder="ResNet101V2",
        input_size=224,
        preprocessing="unit_range",
        taps=(
            "conv3_block1_preact_relu",
            "conv4_block1_preact_relu",
            "conv4_block12_preact_relu",
            "conv5_block1_preact_relu",
            "conv5_block2_preact_relu",
            "conv5_block3_preact_relu",
            OUTPUT,
        ),
        tap_widths=(256, 512, 1024, 1024, 2048, 2048, 2048),
        parameters=42_626_560,
        multiply_adds=7_192_428_544,
        download="keras-applications/resnet/"
        "resnet101v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        download_hash="c0ed64b8031c3730f411d2eb4eea35b5",
        top_download="keras-applications/resnet/resnet101v2_weights_tf_dim_ordering_tf_kernels.h5",
        top_hash="6343647c601c52e1368623803854d971",
    ),
    Architecture(
        id="efficientnet_lite0",
        builder=None,
        input_size=224,
        preprocessing="efficientnet_lite",
        taps=(
            "block3_depthwise_relu",
            "block4_depthwise_relu",
            "block7_depthwise_relu",
            "block10_depthwise_relu",
            "block12_depthwise_relu",
            "block13_depthwise_relu",
            "block14_depthwise_relu",
            "block15_depthwise_relu",
            OUTPUT,
        ),
        tap_widths=(144, 240, 480, 672, 1152, 1152, 1152, 1152, 1280),
        parameters=3_413_024,
        multiply_adds=383_907_552,
        download=None,
        download_hash=None,
        top_download=None,
        top_hash=None,
    ),
    Architecture(
        id="efficientnet_v2_b0",
        builder="EfficientNetV2B0",
        input_size=224,
        preprocessing="identity",
        taps=(
            "block3b_expand_activation",
            "block4c_se_squeeze",
            "block5c_se_squeeze",
            "block5e_se_squeeze",
            "block6c_se_squeeze",
            "block6g_se_squeeze",
            "block6h_se_squeeze",
            OUTPUT,
        ),
        tap_widths=(192, 384, 672, 672, 1152, 1152, 1152, 1280),
        parameters=5_919_312,
        multiply_adds=716_806_176,
        download="keras-applications/efficientnet_v2/efficientnetv2-b0_notop.h5",
        download_hash="893217f2bb855e2983157299931e43ff",
        top_download="keras-applications/efficientnet_v2/efficientnetv2-b0.h5",
        top_hash="21ecbf6da12460d5c40bb2f29ceb2188",
    ),
    Architecture(
        id="mobilenet_v3_large",
        builder="MobileNetV3Large",
        input_size=224,
        preprocessing="identity",
        taps=(
            "expanded_conv_3_squeeze_excite_avg_pool",
            "expanded_conv_5_squeeze_excite_avg_pool",
            "expanded_conv_10_squeeze_excite_avg_pool",
            "expanded_conv_11_squeeze_excite_avg_pool",
            "expanded_conv_12_squeeze_excite_avg_pool",
            "expanded_conv_13_squeeze_excite_avg_pool",
            "expanded_conv_14_squeeze_excite_avg_pool",
            OUTPUT,
        ),
        tap_widths=(72, 120, 480, 672, 672, 960, 960, 960),
        parameters=2_996_352,
        multiply_adds=214_080_960,
        download="keras-applications/mobilenet_v3/"
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        download_hash="07fb09a5933dd0c8eaafa16978110389",
        top_download="keras-applications/mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float.h5",
        top_hash="59e551e166be033d707958cf9e29a6a7",
    ),
    Architecture(
        id="convnext_tiny",
        builder="ConvNeXtTiny",
        input_size=224,
        preprocessing="identity",
        taps=(
            "convnext_tiny_stage_1_block_2_gelu",
            "convnext_tiny_stage_2_block_2_gelu",
            "convnext_tiny_stage_2_block_8_gelu",
            "convnext_tiny_stage_3_block_0_layernorm",
            "convnext_tiny_stage_3_block_1_layernorm",
            "convnext_tiny_stage_3_block_2_layernorm",
            OUTPUT,
        ),
        tap_widths=(768, 1536, 1536, 768, 768, 768, 768),
        parameters=27_820_128,
        multiply_adds=4_454_763_264,
        download="keras-applications/convnext/convnext_tiny_notop.h5",
        download_hash="d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
        top_download="keras-applications/convnext/convnext_tiny.h5",
        top_hash="8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff",
    ),
)

CATALOGUE: dict[str, Architecture] = {row.id: row for row in _ROWS}

#: All of them, by the accuracy on ImageNet that comes with their weights, the best first.
BEST_FIRST = (
    "convnext_tiny",
    "efficientnet_v2_b0",
    "inception_v3",
    "resnet101_v2",
    "resnet50_v2",
    "mobilenet_v3_large",
    "efficientnet_lite0",
    "mobilenet_v2",
    "vgg16",
)

ALIASES = {
    "googlenet": "inception_v3",
    "inception": "inception_v3",
    "mobilenet": "mobilenet_v2",
    "resnet": "resnet50_v2",
}


def find_architecture(name: str, field: str = "architecture") -> Architecture:
    """Return the architecture with an id or alias; `MobileNetV2` also finds `mobilenet_v2`.

    Args:
        name: the id or alias.
        field: the field of the request that it comes from.

    Raises:
        InvalidRequest: the catalogue has no architecture of this name.
    """
    spelling = _plain(name)
    for known, id_ in [*((id_, id_) for id_ in CATALOGUE), *ALIASES.items()]:
        if spelling == _plain(known):
            return CATALOGUE[id_]
    raise InvalidRequest(
        f"`{field}` should be one of {', '.join(CATALOGUE)}, "
        f"or an alias ({', '.join(ALIASES)}). Received: {name!r}."
    )


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
