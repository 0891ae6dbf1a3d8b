"""Checks that heat is what an answer is made of."""

import numpy as np

from shared.engines import PROBABILITIES, load_version_engine
from shared.engines.explaining import load_explaining_engine

#: Largest difference in float32 between a score and the sum of its parts.
TOLERANCE = 1e-4


def check_heat(directory, engine, info, pixels, *, linear=True):
    """Check, for each picture and label, that places and rest add up to what is answered.

    Args:
        directory: of the version.
        engine: the name of the engine.
        info: what its manifest says of heatmaps.
        pixels: pictures, uint8 (n, height, width, 3).
        linear: whether logits are sums of the maps for all pictures alike. Then the rest, which
            belongs to no place, is the same for all. Behind a hidden layer they are so only near
            each picture.
    """
    served = load_version_engine(directory, engine, "f32", 2)
    plain = served.infer(pixels)[PROBABILITIES]
    explaining = load_explaining_engine(directory, served, info, 2)
    explaining.try_out(pixels[0], plain.shape[1])
    explained = [explaining.explain(one) for one in pixels]
    answers = np.concatenate([one.outputs[PROBABILITIES] for one in explained])
    np.testing.assert_allclose(answers, plain, atol=TOLERANCE)
    logarithms = np.log(answers.astype(np.float64))
    scores = logarithms - logarithms.mean(axis=1, keepdims=True)
    assert np.ptp(scores) > 0.1, "else the comparison would say nothing"
    rests = []
    for one, expected in zip(explained, scores, strict=True):
        heat = [one.heat(label) for label in range(len(expected))]
        np.testing.assert_allclose([one.score for one in heat], expected, atol=TOLERANCE)
        totals = [part.grid.sum(dtype=np.float64) + part.rest for part in heat]
        np.testing.assert_allclose(totals, expected, atol=TOLERANCE)
        rests.append([part.rest for part in heat])
    if linear:
        np.testing.assert_allclose(rests, [rests[0]] * len(rests), atol=TOLERANCE)
    return explained
