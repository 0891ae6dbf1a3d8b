"""The layers that each backbone can be cut at for fine-tuning. It does not import TensorFlow."""

import math
from dataclasses import dataclass

from shared.errors import InvalidRequest
from trainer_service.requests.tune import Tune, TuneRequest

#: The cut before the first layer: all of the network is trained.
PIXELS = "pixels"


@dataclass(frozen=True, slots=True)
class Cut:
    """A place to divide a backbone at.

    Attributes:
        layer: the name of the last layer that stays as it is, or `PIXELS`.
        shape: height, width and channels of its output.
        multiply_adds: those of the layers behind it for one image.
    """

    layer: str
    shape: tuple[int, int, int]
    multiply_adds: int

    @property
    def numbers(self) -> int:
        """How many numbers its output has for one image."""
        return math.prod(self.shape)


#: By the id of an architecture, early to late: what `cuts.find_cuts` finds in its network.
CUTS: dict[str, tuple[Cut, ...]] = {
    "mobilenet_v2": (
        Cut(PIXELS, (224, 224, 3), 299_494_272),
        Cut("expanded_conv_project_BN", (112, 112, 16), 278_621_056),
        Cut("block_1_project_BN", (56, 56, 24), 249_418_624),
        Cut("block_2_add", (56, 56, 24), 223_678_336),
        Cut("block_3_project_BN", (28, 28, 32), 208_211_584),
        Cut("block_4_add", (28, 28, 32), 197_223_040),
        Cut("block_5_add", (28, 28, 32), 186_234_496),
        Cut("block_6_project_BN", (14, 14, 64), 178_670_464),
        Cut("block_7_add", (14, 14, 64), 168_359_296),
        Cut("block_8_add", (14, 14, 64), 158_048_128),
        Cut("block_9_add", (14, 14, 64), 147_736_960),
        Cut("block_10_project_BN", (14, 14, 96), 135_017_344),
        Cut("block_11_add", (14, 14, 96), 112_325_248),
        Cut("block_12_add", (14, 14, 96), 89_633_152),
        Cut("block_13_project_BN", (7, 7, 160), 74_025_280),
        Cut("block_14_add", (7, 7, 160), 58_549_120),
        Cut("block_15_add", (7, 7, 160), 43_072_960),
        Cut("block_16_project_BN", (7, 7, 320), 20_070_400),
    ),
    "vgg16": (
        Cut(PIXELS, (224, 224, 3), 15_346_630_656),
        Cut("block3_pool", (28, 28, 256), 6_011_486_208),
        Cut("block4_pool", (14, 14, 512), 1_387_266_048),
        Cut("block5_conv1", (14, 14, 512), 924_844_032),
        Cut("block5_conv2", (14, 14, 512), 462_422_016),
    ),
    "inception_v3": (
        Cut(PIXELS, (299, 299, 3), 5_711_168_096),
        Cut("mixed0", (35, 35, 256), 4_058_042_880),
        Cut("mixed1", (35, 35, 288), 3_719_354_880),
        Cut("mixed2", (35, 35, 288), 3_371_258_880),
        Cut("mixed3", (17, 17, 768), 2_969_321_472),
        Cut("mixed4", (17, 17, 768), 2_595_258_368),
        Cut("mixed5", (17, 17, 768), 2_107_555_840),
        Cut("mixed6", (17, 17, 768), 1_619_853_312),
        Cut("mixed7", (17, 17, 768), 1_001_938_944),
        Cut("mixed8", (8, 8, 1280), 710_934_528),
        Cut("mixed9", (8, 8, 2048), 388_497_408),
    ),
    "resnet50_v2": (
        Cut(PIXELS, (224, 224, 3), 3_480_207_360),
        Cut("conv2_block1_preact_relu", (56, 56, 64), 3_362_193_408),
        Cut("conv2_block3_out", (28, 28, 256), 2_819_489_792),
        Cut("conv3_block4_out", (14, 14, 512), 1_994_194_944),
        Cut("conv4_block1_out", (14, 14, 1024), 1_698_758_656),
        Cut("conv4_block2_out", (14, 14, 1024), 1_480_392_704),
        Cut("conv4_block3_out", (14, 14, 1024), 1_262_026_752),
        Cut("conv4_block4_out", (14, 14, 1024), 1_043_660_800),
        Cut("conv4_block5_out", (14, 14, 1024), 825_294_848),
        Cut("conv4_block6_out", (7, 7, 1024), 732_168_192),
        Cut("conv5_block1_out", (7, 7, 2048), 436_731_904),
        Cut("conv5_block2_out", (7, 7, 2048), 218_365_952),
    ),
    "resnet101_v2": (
        Cut(PIXELS, (224, 224, 3), 7_192_428_544),
        Cut("conv2_block1_preact_relu", (56, 56, 64), 7_074_414_592),
        Cut("conv2_block3_out", (28, 28, 256), 6_531_710_976),
        Cut("conv3_block4_out", (14, 14, 512), 5_706_416_128),
        Cut("conv4_block1_out", (14, 14, 1024), 5_410_979_840),
        Cut("conv4_block2_out", (14, 14, 1024), 5_192_613_888),
        Cut("conv4_block3_out", (14, 14, 1024), 4_974_247_936),
        Cut("conv4_block4_out", (14, 14, 1024), 4_755_881_984),
        Cut("conv4_block5_out", (14, 14, 1024), 4_537_516_032),
        Cut("conv4_block6_out", (14, 14, 1024), 4_319_150_080),
        Cut("conv4_block7_out", (14, 14, 1024), 4_100_784_128),
        Cut("conv4_block8_out", (14, 14, 1024), 3_882_418_176),
        Cut("conv4_block9_out", (14, 14, 1024), 3_664_052_224),
        Cut("conv4_block10_out", (14, 14, 1024), 3_445_686_272),
        Cut("conv4_block11_out", (14, 14, 1024), 3_227_320_320),
        Cut("conv4_block12_out", (14, 14, 1024), 3_008_954_368),
        Cut("conv4_block13_out", (14, 14, 1024), 2_790_588_416),
        Cut("conv4_block14_out", (14, 14, 1024), 2_572_222_464),
        Cut("conv4_block15_out", (14, 14, 1024), 2_353_856_512),
        Cut("conv4_block16_out", (14, 14, 1024), 2_135_490_560),
        Cut("conv4_block17_out", (14, 14, 1024), 1_917_124_608),
        Cut("conv4_block18_out", (14, 14, 1024), 1_698_758_656),
        Cut("conv4_block19_out", (14, 14, 1024), 1_480_392_704),
        Cut("conv4_block20_out", (14, 14, 1024), 1_262_026_752),
        Cut("conv4_block21_out", (14, 14, 1024), 1_043_660_800),
        Cut("conv4_block22_out", (14, 14, 1024), 825_294_848),
        Cut("conv4_block23_out", (7, 7, 1024), 732_168_192),
        Cut("conv5_block1_out", (7, 7, 2048), 436_731_904),
        Cut("conv5_block2_out", (7, 7, 2048), 218_365_952),
    ),
    "efficientnet_lite0": (
        Cut(PIXELS, (224, 224, 3), 383_907_552),
        Cut("block0_project_bn", (112, 112, 16), 363_034_336),
        Cut("block1_project_bn", (56, 56, 24), 333_831_904),
        Cut("block2_add", (56, 56, 24), 308_091_616),
        Cut("block3_project_bn", (28, 28, 40), 289_915_360),
        Cut("block4_add", (28, 28, 40), 270_158_560),
        Cut("block5_project_bn", (14, 14, 80), 258_445_600),
        Cut("block6_add", (14, 14, 80), 242_546_080),
        Cut("block7_add", (14, 14, 80), 226_646_560),
        Cut("block8_project_bn", (14, 14, 112), 206_231_200),
        Cut("block9_add", (14, 14, 112), 173_434_912),
        Cut("block10_add", (14, 14, 112), 140_638_624),
        Cut("block11_project_bn", (7, 7, 192), 118_741_504),
        Cut("block12_add", (7, 7, 192), 95_654_272),
        Cut("block13_add", (7, 7, 192), 72_567_040),
        Cut("block14_add", (7, 7, 192), 49_479_808),
        Cut("block15_project_bn", (7, 7, 320), 20_070_400),
    ),
    "efficientnet_v2_b0": (
        Cut(PIXELS, (224, 224, 3), 716_806_176),
        Cut("block1a_project_activation", (112, 112, 16), 648_165_408),
        Cut("block2a_project_bn", (56, 56, 32), 612_841_504),
        Cut("block2b_add", (56, 56, 32), 484_390_944),
        Cut("block3a_project_bn", (28, 28, 48), 450_672_672),
        Cut("block4a_project_bn", (14, 14, 96), 367_237_920),
        Cut("block4b_add", (14, 14, 96), 352_091_424),
        Cut("block4c_add", (14, 14, 96), 336_944_928),
        Cut("block5a_project_bn", (14, 14, 112), 312_418_848),
        Cut("block5b_add", (14, 14, 112), 281_692_320),
        Cut("block5c_add", (14, 14, 112), 250_965_792),
        Cut("block5d_add", (14, 14, 112), 220_239_264),
        Cut("block5e_add", (14, 14, 112), 189_512_736),
        Cut("block6a_project_bn", (7, 7, 192), 168_104_832),
        Cut("block6b_add", (7, 7, 192), 145_810_176),
        Cut("block6c_add", (7, 7, 192), 123_515_520),
        Cut("block6d_add", (7, 7, 192), 101_220_864),
        Cut("block6e_add", (7, 7, 192), 78_926_208),
        Cut("block6f_add", (7, 7, 192), 56_631_552),
        Cut("block6g_add", (7, 7, 192), 34_336_896),
        Cut("block6h_add", (7, 7, 192), 12_042_240),
    ),
    "mobilenet_v3_large": (
        Cut(PIXELS, (224, 224, 3), 214_080_960),
        Cut("expanded_conv_add", (112, 112, 16), 203_644_352),
        Cut("expanded_conv_1_project_bn", (56, 56, 24), 184_176_064),
        Cut("expanded_conv_3_project_bn", (28, 28, 40), 162_214_336),
        Cut("expanded_conv_4_add", (28, 28, 40), 152_328_256),
        Cut("expanded_conv_5_add", (28, 28, 40), 142_442_176),
        Cut("expanded_conv_6_project_bn", (14, 14, 80), 130_729_216),
        Cut("expanded_conv_7_add", (14, 14, 80), 124_104_416),
        Cut("expanded_conv_8_add", (14, 14, 80), 118_009_600),
        Cut("expanded_conv_9_add", (14, 14, 80), 111_914_784),
        Cut("expanded_conv_10_project_bn", (14, 14, 112), 92_889_504),
        Cut("expanded_conv_11_add", (14, 14, 112), 61_974_816),
        Cut("expanded_conv_12_project_bn", (7, 7, 160), 40_905_600),
        Cut("expanded_conv_13_add", (7, 7, 160), 24_216_000),
        Cut("expanded_conv_14_add", (7, 7, 160), 7_526_400),
    ),
    "convnext_tiny": (
        Cut(PIXELS, (224, 224, 3), 4_454_763_264),
        Cut("convnext_tiny_stem", (56, 56, 96), 4_440_312_576),
        Cut("convnext_tiny_downsampling_block_0", (28, 28, 192), 3_644_621_568),
        Cut("convnext_tiny_downsampling_block_1", (14, 14, 384), 2_871_058_176),
        Cut("convnext_tiny_downsampling_block_2", (7, 7, 768), 699_164_928),
    ),
}

#: Where `tail` cuts: behind it lie 6 to 31 % of the multiply-adds, and the activations are small.
TAILS = {
    "mobilenet_v2": "block_12_add",
    "vgg16": "block4_pool",
    "inception_v3": "mixed9",
    "resnet50_v2": "conv4_block6_out",
    "resnet101_v2": "conv4_block23_out",
    "efficientnet_lite0": "block11_project_bn",
    "efficientnet_v2_b0": "block6a_project_bn",
    "mobilenet_v3_large": "expanded_conv_12_project_bn",
    "convnext_tiny": "convnext_tiny_downsampling_block_2",
}


def cut_of(architecture: str, tune: Tune) -> Cut | None:
    """Return the cut that a request asks for; None if it asks for no tuning.

    Args:
        architecture: the id of an architecture.
        tune: the field of the request.

    Raises:
        InvalidRequest: the architecture can't be cut there.
    """
    if tune == "off":
        return None
    if isinstance(tune, TuneRequest) and tune.cut is not None:
        return find_cut(architecture, tune.cut)
    if isinstance(tune, TuneRequest) and tune.blocks is not None:
        return cut_before(architecture, tune.blocks)
    return tail_cut(architecture)


def tail_cut(architecture: str) -> Cut:
    """Return the cut of `tune: tail`."""
    return find_cut(architecture, TAILS[architecture])


def find_cut(architecture: str, layer: str) -> Cut:
    """Return the cut at a layer.

    Args:
        architecture: the id of an architecture.
        layer: the name of one of its layers, or `PIXELS`.

    Raises:
        InvalidRequest: the architecture can't be cut there.
    """
    for cut in CUTS[architecture]:
        if cut.layer == layer:
            return cut
    layers = ", ".join(cut.layer for cut in CUTS[architecture])
    raise InvalidRequest(
        f"`tune.from` should be a layer that {architecture} can be tuned from: {layers}. "
        f"Received: {layer!r}."
    )


def cut_before(architecture: str, blocks: int) -> Cut:
    """Return the cut that leaves the last blocks to be trained.

    Args:
        architecture: the id of an architecture.
        blocks: how many, at least 1; a block lies between two cuts, and the last one behind all.

    Raises:
        InvalidRequest: the architecture has fewer blocks.
    """
    cuts = CUTS[architecture]
    if blocks > len(cuts):
        raise InvalidRequest(
            f"`tune.blocks` should be at most {len(cuts)}, as {architecture} has no more. "
            f"Received: {blocks}."
        )
    return cuts[-blocks]
