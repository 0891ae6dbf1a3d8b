"""The parts of a published network that heatmaps are made of, and the names they have in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from shared.errors import VersionCorrupt

Floats = npt.NDArray[np.float32]

#: The constants of a head. Only KERNEL is in every one; each other is left out where it is not
#: needed.
FACTOR, SHIFT = "head_factor", "head_shift"
HIDDEN_KERNEL, HIDDEN_BIAS = "head_hidden_kernel", "head_hidden_bias"
KERNEL, BIAS = "head_kernel", "head_bias"
VECTORS = (FACTOR, SHIFT, HIDDEN_BIAS, BIAS)
PARTS = (*VECTORS, HIDDEN_KERNEL, KERNEL)


def map_name(number: int) -> str:
    """Return the name of the map that a tap pools, by the tap's number from 0, early to late."""
    return f"map_{number}"


def slope_name(number: int) -> str:
    """Return the name of what a normalisation behind the pooling multiplies each average by."""
    return f"slope_{number}"


class Direction(NamedTuple):
    """How the score of a label depends on the features, near those of one picture.

    Attributes:
        slope: how the score changes with each feature, float32 (features,).
        score: of this picture.
    """

    slope: Floats
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class HeadWeights:
    """The weights of a head: of a regression, or of layers with at most one hidden layer.

    The logits are `x @ kernel + bias`, where x is `features * factor + shift` and, if there is a
    hidden layer, behind that the ReLU of `x @ hidden_kernel + hidden_bias`.

    Attributes:
        kernel: float32 (inputs, labels).
        bias: float32 (labels,).
        factor: float32 (features,), or None.
        shift: float32 (features,), or None.
        hidden_kernel: float32 (features, inputs), or None.
        hidden_bias: float32 (inputs,).
        means: of the kernel over all labels, float32 (inputs,).
    """

    kernel: Floats
    bias: Floats
    factor: Floats | None
    shift: Floats | None
    hidden_kernel: Floats | None
    hidden_bias: Floats
    means: Floats

    @classmethod
    def of(cls, arrays: Mapping[str, Floats]) -> Self:
        """Return the weights by their names in the network; vectors may be of shape (1, n).

        Raises:
            KeyError: the kernel is missing.
        """
        vectors = {
            name: arrays[name].ravel()
            for name in (FACTOR, SHIFT, HIDDEN_BIAS, BIAS)
            if name in arrays
        }
        kernel, hidden = arrays[KERNEL], arrays.get(HIDDEN_KERNEL)
        return cls(
            kernel=kernel,
            bias=vectors.get(BIAS, np.zeros(kernel.shape[1], np.float32)),
            factor=vectors.get(FACTOR),
            shift=vectors.get(SHIFT),
            hidden_kernel=hidden,
            hidden_bias=vectors.get(HIDDEN_BIAS, np.zeros(len(kernel), np.float32)),
            means=kernel.mean(axis=1),
        )

    def check(self, features: int, labels: int) -> None:
        """Check that all weights are of the shapes that so many features and labels take.

        Raises:
            VersionCorrupt: one is of another shape.
        """
        inputs = features if self.hidden_kernel is None else len(self.hidden_bias)
        for name, array, shape in (
            (FACTOR, self.factor, (features,)),
            (SHIFT, self.shift, (features,)),
            (HIDDEN_KERNEL, self.hidden_kernel, (features, inputs)),
            (KERNEL, self.kernel, (inputs, labels)),
            (BIAS, self.bias, (labels,)),
        ):
            # One number may stand for all of a vector.
            if array is not None and array.shape not in {shape, (1,)}:
                raise VersionCorrupt(
                    f"{name!r} should be of shape {shape}. Received: {array.shape}."
                )

    def direction(self, features: Floats, label: int) -> Direction:
        """Return the score of a label, and how it depends on the features.

        The score is how far the logit is above the mean of all labels' logits: a softmax sees no
        more of it. With a ReLU it is linear near the features, which is all that a slope says.

        Args:
            features: of one picture, float32 (features,).
            label: the index of the label.
        """
        inputs = features if self.factor is None else features * self.factor
        inputs = inputs if self.shift is None else inputs + self.shift
        slope = self.kernel[:, label] - self.means
        if self.hidden_kernel is not None:
            hidden = inputs @ self.hidden_kernel + self.hidden_bias
            score = float(np.maximum(hidden, 0) @ slope)
            slope = self.hidden_kernel @ (slope * (hidden > 0))
        else:
            score = float(inputs @ slope)
        score += float(self.bias[label] - self.bias.mean())
        return Direction(slope if self.factor is None else slope * self.factor, score)
