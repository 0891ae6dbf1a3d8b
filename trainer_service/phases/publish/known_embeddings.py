"""Remembers the embeddings of pictures that are shown to each version in the making.

The embedding of a backbone that is as it was does not depend on the head. So after a correction of
labels, a worker that is warm need not have it computed again for the same pictures.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import numpy as np

from shared.engines import EMBEDDING, Engine, EngineName, Outputs, Pixels, Precision
from shared.models.unknown import Embeddings
from trainer_service.phases.head.network import Network

#: How many bytes of embeddings a process keeps: those of some hundred pictures.
KEPT_BYTES = 4 << 20


class EmbeddingEngine:
    """An engine that gives only embeddings, and computes those that it does not know.

    Args:
        engine: computes them.
        network: says which backbone they are of, in whichever version.
    """

    outputs = (EMBEDDING,)

    def __init__(self, engine: Engine, network: str) -> None:
        self._engine = engine
        self._network = f"{network} {engine.name} {engine.precision}".encode()

    @property
    def name(self) -> EngineName:
        return self._engine.name

    @property
    def precision(self) -> Precision:
        return self._engine.precision

    def infer(self, pixels: Pixels) -> Outputs:
        """Return the embeddings of pictures, as `Engine.infer`."""
        keys = [self._key(picture) for picture in pixels]
        found = [_known.get(key) for key in keys]
        missing = [place for place, one in enumerate(found) if one is None]
        if missing:
            asked = np.ascontiguousarray(pixels[missing])
            computed = self._engine.infer(asked)[EMBEDDING]
            for place, embedding in zip(missing, computed, strict=True):
                found[place] = _known.keep(keys[place], embedding)
        return {EMBEDDING: np.stack([one for one in found if one is not None])}

    def infer_batches(self, batches: Iterable[Pixels]) -> Iterator[Outputs]:
        """Return the embeddings of one batch after another, as `Engine.infer_batches`."""
        return map(self.infer, batches)

    def _key(self, picture: Pixels) -> bytes:
        said = hashlib.blake2b(self._network, digest_size=16)
        said.update(np.ascontiguousarray(picture).data)
        return said.digest()


class _Known:
    """The embeddings that were needed last, by the picture and the network."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[bytes, Embeddings] = OrderedDict()
        self._bytes = 0

    def get(self, key: bytes) -> Embeddings | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: bytes, embedding: Embeddings) -> Embeddings:
        """Keep an embedding, and return it."""
        own = embedding.copy()  # of its batch it would keep all
        self._bytes += own.nbytes
        self._kept[key] = own
        while self._bytes > self._most_bytes:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return own

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0


_known = _Known(KEPT_BYTES)


def remembering(engine: Engine, network: Network) -> Engine:
    """Return an engine that gives the embeddings of a network, and computes none of them twice.

    If the network has learnt its embeddings, that is the engine itself.
    """
    if network.embedding_is_learnt:
        return engine
    return EmbeddingEngine(engine, f"{network.architecture.id} {network.weights.sha256}")
