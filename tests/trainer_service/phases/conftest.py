"""A training whose features are computed by a network of one operation."""

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from shared.engines import OpenVINOEngine
from shared.images.decoding import ImageLimits
from tests.support.inputs.bottleneck_training import BottleneckTraining
from trainer_service.backbones import weights
from trainer_service.backbones.architectures import OUTPUT, find_architecture
from trainer_service.backbones.weights import Weights
from trainer_service.phases import backbone
from trainer_service.phases.bottleneck import shard
from trainer_service.phases.bottleneck.feature_computer import FeatureComputer
from trainer_service.phases.bottleneck.view_computer import ViewComputer


@pytest.fixture
def computing(tmp_path, redis_url, monkeypatch):
    pixels = ops.parameter([-1, 8, 8, 3], np.uint8)
    mean = ops.reduce_mean(ops.convert(pixels, np.float32), ops.constant([1, 2]))
    engine = OpenVINOEngine(ov.Model([mean], [pixels]), outputs=("features",), precision="f32")
    computer = FeatureComputer(
        engine,
        output="features",
        input_size=8,
        batch_size=16,
        threads=2,
        limits=ImageLimits(1 << 20, 1 << 20),
    )
    monkeypatch.setattr(shard, "feature_computer_for", lambda *_: computer)

    def view_computer_for(work, backbone):
        views = replace(backbone.views, size=8)
        return ViewComputer(engine, views, threads=2, limits=ImageLimits(1 << 20, 1 << 20))

    monkeypatch.setattr(shard, "view_computer_for", view_computer_for)
    small = replace(find_architecture("efficientnet_lite0"), taps=(OUTPUT,), tap_widths=(3,))
    monkeypatch.setattr(backbone, "find_architecture", lambda _: small)
    found = Weights("x", tmp_path / "x", "0" * 64)
    monkeypatch.setattr(weights, "resolve", lambda *_: found)
    return BottleneckTraining(tmp_path, redis_url)
