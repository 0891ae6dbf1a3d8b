"""EfficientNet-Lite0: the reader of its file, its network, and its agreement with PyTorch's."""

import io
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.efficientnet_lite0 import build_efficientnet_lite0, load_pth
from trainer_service.backbones.legacy_pth import read_state_dict
from trainer_service.backbones.weights import resolve
from trainer_service.settings import TrainerSettings

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"little_endian": True, "protocol_version": 1001, "type_sizes": {}}


@pytest.fixture(scope="module")
def installed():
    """The file that the package brings."""
    return resolve(find_architecture("efficientnet_lite0"), TrainerSettings()).path


class Global:
    """Pickles as the global `module.name`, which need not exist here."""

    def __init__(self, name: str) -> None:
        self.name = name


class Call:
    def __init__(self, function: Global, *arguments: object) -> None:
        self.function, self.arguments = function, arguments


class Reference:
    def __init__(self, *content: object) -> None:
        self.content = content


FLOATS = Global("torch FloatStorage")
REBUILD = Global("torch._utils _rebuild_tensor_v2")


class Pickler(pickle._Pickler):  # The Python one: its `save` can be extended.
    def persistent_id(self, value):
        return value.content if isinstance(value, Reference) else None

    def save(self, value, save_persistent_id=True):  # noqa: FBT002 - pickle's signature
        if isinstance(value, Global):
            module, name = value.name.split()
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.function)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def pickled(value: object) -> bytes:
    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def storage(count: object = 6, kind: object = FLOATS, key: str = "0") -> Reference:
    return Reference("storage", kind, key, "cpu", count, None)


def tensor(offset=0, shape=(2, 3), strides=(3, 1), source=None) -> Call:
    source = storage() if source is None else source
    return Call(REBUILD, source, offset, shape, strides, False, OrderedDict())


def state_file(tmp_path: Path, state: object, values=(0, 1, 2, 3, 4, 5), magic=MAGIC) -> Path:
    parts = [pickled(part) for part in (magic, 1001, SYSTEM, state, ["0"])]
    data = struct.pack(f"<q{len(values)}f", len(values), *values)
    path = tmp_path / "state.pth"
    path.write_bytes(b"".join(parts) + data)
    return path


def test_a_tensor_is_read_with_its_strides(tmp_path):
    state = {
        "straight": tensor(),
        "transposed": tensor(0, (3, 2), (1, 3)),
        "tail": tensor(4, (2,), (1,)),
    }

    read = read_state_dict(state_file(tmp_path, state))

    np.testing.assert_array_equal(read["straight"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(read["transposed"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(read["tail"], [4, 5])


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"w": tensor(offset=1)}, "beyond its storage"),
        ({"w": tensor(shape=(3, 3))}, "beyond its storage"),
        ({"w": tensor(strides=(4, 1))}, "beyond its storage"),
        ({"w": tensor(shape=(10**9, 10**9), strides=(0, 0))}, "beyond its storage"),
        ({"w": tensor(shape=(0, 3))}, "beyond its storage"),
        ({"w": tensor(strides=(1,))}, "does not go with strides"),
        ({"w": tensor(offset=-1)}, "should be a natural number"),
        ({"w": tensor(strides=(-3, 1))}, "should be a natural number"),
        ({"w": tensor(shape=[2, 3])}, "should be a tuple"),
        ({"w": tensor(source="no storage")}, "without a storage"),
        ({"w": tensor(source=storage(count=7))}, "says that it has 6"),
        ({"w": tensor(source=storage(kind=Global("collections OrderedDict")))}, "it refers to"),
        ({"v": tensor(), "w": "text"}, "it holds str where a tensor should be"),
        ({"w": tensor(source=storage(key="1"))}, "it has no storage '0'"),
        (["w"], "not a readable"),
    ],
)
def test_a_file_that_does_not_add_up_is_refused(tmp_path, state, reason):
    with pytest.raises(ValueError, match=reason):
        read_state_dict(state_file(tmp_path, state))


@pytest.mark.parametrize(
    "name",
    [
        "os system",
        "posix system",
        "builtins eval",
        "builtins getattr",
        "numpy load",
        "torch load",
        "torch._utils _rebuild_parameter",
        "collections OrderedDict.update",
        "trainer_service.backbones.legacy_pth read_state_dict",
    ],
)
def test_no_other_global_is_called(tmp_path, name):
    witness = tmp_path / "witness"
    state = {"w": Call(Global(name), f"touch {witness}")}

    with pytest.raises(ValueError, match=f"it asks for {name.replace(' ', '.')}"):
        read_state_dict(state_file(tmp_path, state))

    assert not witness.exists()


def test_another_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="header is of another format"):
        read_state_dict(state_file(tmp_path, {"w": tensor()}, magic=1))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file", os.urandom(1000)])
def test_bytes_that_are_no_pickle_are_refused(tmp_path, content):
    path = tmp_path / "other.pth"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=f"{path} is not a readable PyTorch state dict"):
        read_state_dict(path)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, installed, share):
    data = installed.read_bytes()
    path = tmp_path / "truncated.pth"
    path.write_bytes(data[: int(len(data) * share)])

    with pytest.raises(ValueError, match="not a readable PyTorch state dict"):
        read_state_dict(path)


def test_the_installed_file_holds_the_network(installed):
    state = read_state_dict(installed)

    assert len(state) == 296
    assert state["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert state["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(value).all() for value in state.values())


@pytest.mark.slow
def test_logits_equal_those_of_a_plain_computation(installed):
    """The reference knows the published network only from its description, in float64."""
    network = build_efficientnet_lite0(include_top=True)
    load_pth(network, installed)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3))
    inputs = (pixels - 127.0) / 128

    logits = np.asarray(network(inputs.astype(np.float32), training=False))

    np.testing.assert_allclose(logits, reference(read_state_dict(installed), inputs), atol=1e-4)


@pytest.mark.slow
def test_weights_of_another_network_are_refused(tmp_path):
    path = state_file(tmp_path, {"_conv_stem.weight": tensor()})

    with pytest.raises(ValueError, match="stem_conv does not fit EfficientNet-Lite0"):
        load_pth(build_efficientnet_lite0(), path)


def reference(state, x):
    """Compute the logits of EfficientNet-Lite0 in NumPy."""
    stages = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)]
    stages += [(3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]
    x = relu6(norm(state, "_bn0", convolve(state["_conv_stem.weight"], x, 2)))
    index = 0
    for repeats, _, first_stride, expansion, filters in stages:
        for repeat in range(repeats):
            x = block(
                state,
                f"_blocks.{index}",
                x,
                stride=1 if repeat else first_stride,
                expansion=expansion,
                filters=filters,
            )
            index += 1
    x = relu6(norm(state, "_bn1", convolve(state["_conv_head.weight"], x, 1)))
    return x.mean((1, 2)) @ state["_fc.weight"].T + state["_fc.bias"]


def block(state, name, inputs, *, stride, expansion, filters):
    x = inputs
    if expansion > 1:
        x = relu6(norm(state, f"{name}._bn0", convolve(state[f"{name}._expand_conv.weight"], x, 1)))
    x = depthwise(state[f"{name}._depthwise_conv.weight"], x, stride)
    x = relu6(norm(state, f"{name}._bn1", x))
    x = norm(state, f"{name}._bn2", convolve(state[f"{name}._project_conv.weight"], x, 1))
    return x + inputs if stride == 1 and inputs.shape[-1] == filters else x


def windows(x, kernel, stride):
    """Return the windows of a convolution with TensorFlow's "same" padding."""
    pads = []
    for length in x.shape[1:3]:
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x.astype(np.float64), [(0, 0), *pads, (0, 0)])
    view = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (1, 2))
    return view[:, ::stride, ::stride]


def convolve(weight, x, stride):
    return np.einsum(
        "nhwcij,ocij->nhwo", windows(x, weight.shape[2], stride), weight, optimize=True
    )


def depthwise(weight, x, stride):
    return np.einsum("nhwcij,cij->nhwc", windows(x, weight.shape[2], stride), weight[:, 0])


def norm(state, name, x):
    scale = state[f"{name}.weight"] / np.sqrt(
        state[f"{name}.running_var"].astype(np.float64) + 1e-3
    )
    return (x - state[f"{name}.running_mean"]) * scale + state[f"{name}.bias"]


def relu6(x):
    return np.clip(x, 0, 6)
