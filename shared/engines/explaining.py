"""Loads what heatmaps are made of, beside a version that is served."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.engines.engine import FEATURES, Engine, Outputs, Pixels
from shared.engines.openvino_engine import OpenVINOEngine
from shared.engines.openvino_runtime import load_openvino, read_network
from shared.engines.tensorflow_engine import TensorFlowEngine
from shared.errors import VersionCorrupt
from shared.heatmaps.heat import Heat, TapMap, heat_of
from shared.heatmaps.parts import KERNEL, PARTS, Floats, HeadWeights, map_name, slope_name
from shared.models.manifest import HeatmapInfo, MapInfo, Precision
from shared.models.model_store import OPENVINO_MODEL

#: The signatures of a SavedModel that give the parts of the network, and the weights of its head.
EXPLAIN, EXPLAIN_HEAD = "explain", "explain_head"
#: How the names of maps and slopes begin.
_MANY = (map_name(0)[:-1], slope_name(0)[:-1])


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The answer to one picture, and what it was made of.

    Attributes:
        outputs: those that the network that is served has, too, with one row each.
        features: float32 (features,).
        maps: what each tap pooled.
        head: what turned the features into the probabilities.
    """

    outputs: Outputs
    features: Floats
    maps: list[TapMap]
    head: HeadWeights

    def heat(self, label: int) -> Heat:
        """Return the heat for a label, by its index."""
        return heat_of(self.maps, self.features, self.head, label)


class ExplainingEngine:
    """A network that also gives the maps that its features are the averages of.

    Args:
        engine: the network; its outputs are those of the network that is served, the features, the
            maps and the slopes.
        answers: which of them the network that is served has.
        head: the weights of its head.
        info: the sizes of its maps.
    """

    def __init__(
        self, engine: Engine, answers: Collection[str], head: HeadWeights, info: HeatmapInfo
    ) -> None:
        self._engine = engine
        self._answers = answers
        self._head = head
        self._info = info

    def explain(self, pixels: Pixels) -> Explanation:
        """Run the network on one picture, uint8 (height, width, 3).

        Raises:
            ValueError: as `Engine.infer`.
            MemoryError: there is no memory for it now.
        """
        outputs = self._engine.infer(pixels[np.newaxis])
        maps = [_tap_map(outputs, number, one) for number, one in enumerate(self._info.maps)]
        served = {name: outputs[name] for name in self._answers}
        return Explanation(served, outputs[FEATURES][0], maps, self._head)

    def try_out(self, pixels: Pixels, labels: int) -> None:
        """Check with one picture, uint8 (height, width, 3), that all parts fit together.

        Args:
            pixels: the picture.
            labels: how many labels the version has.

        Raises:
            VersionCorrupt: a part has another shape than the others and the manifest say.
            ValueError, MemoryError: as `explain`.
        """
        found = self.explain(pixels)
        channels = sum(one.values.shape[1] for one in found.maps)
        if found.features.shape != (channels,):
            raise VersionCorrupt(
                f"The maps should have a channel for each feature. Received: {channels} channels "
                f"and features of shape {found.features.shape}."
            )
        self._head.check(channels, labels)
        found.heat(labels - 1)


def load_explaining_engine(
    version_directory: Path, served: Engine, info: HeatmapInfo, threads: int = 0
) -> ExplainingEngine:
    """Load what heatmaps of a version are made of.

    With OpenVINO this is the network again, in memory of its own; with TensorFlow it is another
    function of the network that is served. It computes in the same precision, so that the answers
    are the same; a quantized version is explained by the network that it was made from.

    Args:
        version_directory: `models/<name>/<version>` of the store.
        served: the engine that serves the version.
        info: of its manifest.
        threads: CPU threads; 0 means all cores.

    Raises:
        VersionCorrupt: the network lacks parts that the manifest says it has.
        OSError, MemoryError: the machine can't load it now.
    """
    if isinstance(served, TensorFlowEngine):
        engine, weights = _tensorflow_parts(served)
    else:
        engine, weights = _openvino_parts(
            version_directory / OPENVINO_MODEL, served.precision, threads
        )
    wanted = {*served.outputs, FEATURES, *(map_name(number) for number in range(len(info.maps)))}
    missing = sorted(wanted - set(engine.outputs)) + [KERNEL] * (KERNEL not in weights)
    if missing:
        raise VersionCorrupt(f"The network should have a part {missing[0]!r} for heatmaps.")
    return ExplainingEngine(engine, served.outputs, HeadWeights.of(weights), info)


def _tensorflow_parts(served: TensorFlowEngine) -> tuple[Engine, dict[str, Floats]]:
    try:
        return served.other(EXPLAIN), served.constants(EXPLAIN_HEAD)
    except KeyError as error:
        raise VersionCorrupt(
            f"The SavedModel should have a signature {error} for heatmaps."
        ) from None


def _openvino_parts(
    path: Path, precision: Precision, threads: int
) -> tuple[Engine, dict[str, Floats]]:
    network = read_network(path)
    named = dict(_named_tensors(network))
    own = {name for output in network.outputs for name in output.get_names()}
    outputs = tuple(name for name in named if name in {*own, FEATURES} or name.startswith(_MANY))
    engine = OpenVINOEngine(
        load_openvino().Model([named[name] for name in outputs], network.get_parameters()),
        outputs=outputs,
        precision=None if precision == "int8" else precision,
        threads=threads,
    )
    return engine, {name: _constant(named[name]) for name in PARTS if name in named}


def _named_tensors(network: Any) -> Iterator[tuple[str, Any]]:
    for node in network.get_ops():
        if node.get_type_name() == "Result":
            continue  # its tensor is that of the node before it
        for output in node.outputs():
            for name in output.get_names():
                yield name, output


def _constant(output: Any) -> Floats:
    """Return a copy of a constant, with what it is multiplied with along its first axis.

    The second operand of a product may be stored transposed; then the product says so.
    """
    value = np.array(output.get_node().get_data(), np.float32)
    (target,) = output.get_target_inputs()
    attributes = target.get_node().get_attributes()
    return value.T if attributes.get("transpose_b") else value


def _tap_map(outputs: Outputs, number: int, info: MapInfo) -> TapMap:
    """Return a map of one picture.

    Raises:
        VersionCorrupt: it has another shape than the manifest says.
    """
    values = outputs[map_name(number)][0]
    if values.shape == (info.channels, info.height, info.width):
        values = values.reshape(info.channels, -1).T
    elif values.shape == (info.height, info.width, info.channels):
        values = values.reshape(-1, info.channels)
    else:
        raise VersionCorrupt(
            f"{map_name(number)!r} should have {info.channels} channels of {info.height} x "
            f"{info.width} places, as the manifest says. Received: shape {values.shape}."
        )
    slope = outputs.get(slope_name(number))
    return TapMap(values, info.height, info.width, None if slope is None else slope[0])
