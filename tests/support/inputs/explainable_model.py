"""The tiny classifier of colours with what heatmaps are made of: its map is the picture itself."""

from pathlib import Path

from PIL import Image

from shared.engines import PROBABILITIES
from shared.engines.openvino_runtime import load_openvino, read_network
from shared.models.manifest import HeatmapInfo
from shared.models.model_store import OPENVINO_MODEL
from tests.support.inputs import hostile_images as hostile
from tests.support.inputs.tiny_model import COLORS, save_network, tiny_manifest, write_golden
from trainer_service.backbones.heat_parts import name_parts
from trainer_service.store.publishing import WritableModelStore


def halves(left: str, right: str) -> bytes:
    """Return an image file of two colours side by side."""
    image = Image.new("RGB", (40, 20), COLORS[right])
    image.paste(COLORS[left], (0, 0, 20, 20))
    return hostile.saved(image, "PNG")


def name_the_parts(path: Path) -> HeatmapInfo:
    """Give names to the parts of the network in a file, as the trainer does."""
    network = read_network(path)
    network.output(0).get_tensor().set_names({PROBABILITIES})
    info = HeatmapInfo(maps=name_parts(network))
    load_openvino().save_model(network, path, compress_to_fp16=False)
    return info


def publish_explainable_model(store: Path, model: str = "colours", **misstated: int) -> int:
    """Publish the classifier and return its version.

    `misstated` is said of the sizes of its map in their place.
    """
    models = WritableModelStore(store)
    with models.stage(model) as staging:
        save_network(staging / OPENVINO_MODEL)
        heatmaps = name_the_parts(staging / OPENVINO_MODEL)
        said = [one.model_copy(update=misstated) for one in heatmaps.maps]
        heatmaps = HeatmapInfo(maps=said)
        write_golden(staging)
        manifest = tiny_manifest(model).model_copy(update={"heatmaps": heatmaps})
        return models.publish(staging, manifest)
