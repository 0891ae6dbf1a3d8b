"""Published models: the contract between the trainer and the predictor.

    models/<name>/<version>/     an integer, staged as .staging-<id> and renamed into place
    models/<name>/pin.json       {"version": n}, only while a version is pinned
    models/<name>/annotations.json    notes and aliases, if there are some
    models/<name>/promotions.json    which versions were decided to be served, see `promotions`

A directory whose name is an integer is complete. TensorFlow Serving has the same rule.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.documents import MOST_BYTES, Unreadable, read_document, reason
from shared.errors import (
    AnnotationsUnreadable,
    ModelNotFound,
    ModelUnreadable,
    PinUnreadable,
    PromotionsUnreadable,
    VersionCorrupt,
    VersionNotFound,
    first_fault,
)
from shared.files import is_fault_of_the_file, sha256_file
from shared.identifiers import is_model_name
from shared.models.annotations import Annotations, read_annotations
from shared.models.manifest import (
    FILE_OF,
    GOLDEN_FILE,
    GOLDEN_FOLDER,
    MANIFEST_FILE,
    FileEntry,
    GoldenImage,
    Manifest,
)
from shared.models.promotions import (
    MOST_PROMOTIONS_BYTES,
    PROMOTIONS_FILE,
    Decision,
    Promotions,
    by_preference,
)

SAVED_MODEL = "."
OPENVINO_MODEL = FILE_OF["openvino"]
OPENVINO_INT8_MODEL = FILE_OF["openvino_int8"]
KERAS_MODEL = FILE_OF["keras"]
REPORT_FILE = "report/evaluation.json"
REPORT_PAGE = "report/index.html"

PIN_FILE = "pin.json"
#: The largest size of a pin, and of the file with the highest number of a removed version.
MOST_NOTE_BYTES = 4096

#: At most 15 digits: JavaScript keeps such integers exact.
VERSION = re.compile(r"0|[1-9][0-9]{0,14}")

_golden_images = TypeAdapter(list[GoldenImage])


class Pin(BaseModel):
    """The contents of `pin.json`.

    Attributes:
        version: the version that is served.
        shadow: whether the newest version answers some of the pictures beside it, unseen.
    """

    model_config = ConfigDict(strict=True)

    version: int = Field(ge=0)
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """The state of a model's directory at one moment.

    Attributes:
        name: the name of the model.
        versions: the published versions, oldest first; None if the directory can't be listed.
        pinned: the version that the model is pinned to; None if there is no pin or it can't be
            read.
        fault: what could not be read, in sentences; None if everything could.
        decisions: those that say which version is preferred, newest last; none if they can't be
            read.
        pin_known: whether the pin, or that there is none, could be read.
        decisions_known: whether the decisions, or that there are none, could be read.
        shadow: whether the newest version is to answer beside the pinned one.
        annotations: what is said of the model; None if that can't be read.
        annotations_fault: why it can't; this does not keep the model from being served.
    """

    name: str
    versions: list[int] | None
    pinned: int | None = None
    fault: str | None = None
    decisions: tuple[Decision, ...] = ()
    pin_known: bool = True
    decisions_known: bool = True
    shadow: bool = False
    annotations: Annotations | None = field(default_factory=Annotations, compare=False)
    annotations_fault: str | None = field(default=None, compare=False)

    @property
    def settled(self) -> bool:
        """Whether it is known which versions are preferred; with a pin, no decision matters."""
        return self.pin_known and (self.decisions_known or self.pinned is not None)

    @property
    def preferred(self) -> list[int]:
        """The versions in the order in which to serve them."""
        return by_preference(self.versions or [], self.pinned, self.decisions)


class ModelStore:
    """Reads the `models/` directory of a store; a subclass in the trainer also writes to it."""

    def __init__(self, store: Path) -> None:
        self.root = store / "models"

    def names(self) -> list[str]:
        """Return the names, sorted, of the models that have a version or can't be listed."""
        try:
            names = sorted(filter(is_model_name, os.listdir(self.root)))  # noqa: PTH208 - names
        except FileNotFoundError:
            return []
        return [name for name in names if self._may_have_versions(self.root / name)]

    def snapshot(self, name: str) -> ModelSnapshot:
        """Return versions, pin and decisions of a model; what can't be read takes nothing else.

        The versions are listed first: the decision about one is there before it is.

        Raises:
            ModelNotFound: the model has no version.
        """
        try:
            versions = self.versions(name)
        except ModelUnreadable as error:
            return ModelSnapshot(name, None, fault=error.detail)
        pin, decisions, faults = None, list[Decision](), []
        pin_known = decisions_known = True
        try:
            pin = self.read_pin(name)
        except PinUnreadable as error:
            pin_known = False
            faults.append(error.detail)
        try:
            decisions = self.decisions(name)
        except PromotionsUnreadable as error:
            decisions_known = False
            faults.append(error.detail)
        return ModelSnapshot(
            name,
            versions,
            pin.version if pin else None,
            " ".join(faults) or None,
            tuple(decision for decision in decisions if decision.counts),
            pin_known,
            decisions_known,
            pin is not None and pin.shadow,
            *self._annotations(name, versions),
        )

    def _annotations(self, name: str, versions: list[int]) -> tuple[Annotations | None, str | None]:
        try:
            return read_annotations(self.model_directory(name)).present(versions), None
        except AnnotationsUnreadable as error:
            return None, error.detail

    def versions(self, name: str) -> list[int]:
        """Return the published versions of a model, oldest first.

        Raises:
            ModelNotFound: the model has no version.
            ModelUnreadable: its directory can't be listed.
        """
        versions = self.integers(self.model_directory(name))
        if not versions:
            raise ModelNotFound(name, self.names())
        return versions

    def directory(self, name: str, version: int) -> Path:
        """Return the directory of a version.

        Raises:
            ModelNotFound: the model has no version, or the name is not valid.
            VersionNotFound: the model has other versions only.
            ModelUnreadable: the model's directory can't be listed.
        """
        directory = self.model_directory(name) / str(version)
        with suppress(OSError):
            if VERSION.fullmatch(directory.name) and directory.is_dir():
                return directory
        versions = self.versions(name)
        if version not in versions:
            raise VersionNotFound(name, version, versions)
        return directory

    def model_directory(self, name: str) -> Path:
        """Return the directory of a model, which need not exist.

        Raises:
            ModelNotFound: the name is not valid for a model, so it never becomes a path.
        """
        if not is_model_name(name):
            raise ModelNotFound(name, self.names())
        return self.root / name

    def manifest(self, name: str, version: int) -> Manifest:
        """Return the manifest of a version.

        Raises:
            ModelNotFound, VersionNotFound, ModelUnreadable: as `directory`.
            VersionCorrupt, OSError: as `read_manifest`.
        """
        return read_manifest(self.directory(name, version))

    def pinned(self, name: str) -> int | None:
        """Return the version that the model is pinned to, if any.

        Raises:
            ModelNotFound, PinUnreadable: as `read_pin`.
        """
        pin = self.read_pin(name)
        return None if pin is None else pin.version

    def read_pin(self, name: str) -> Pin | None:
        """Return the pin of a model, if it has one.

        Raises:
            ModelNotFound: the name is not valid for a model.
            PinUnreadable: there is a pin file, but the version can't be read from it.
        """
        try:
            data = read_document(self.model_directory(name) / PIN_FILE, MOST_NOTE_BYTES)
            return Pin.model_validate_json(data)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Unreadable as error:
            raise PinUnreadable(name, error.detail) from error
        except ValidationError as error:
            raise PinUnreadable(name, f"{PIN_FILE}: {first_fault(error)}") from error
        except OSError as error:
            raise PinUnreadable(name, f"{PIN_FILE} can't be read: {reason(error)}") from error

    def decisions(self, name: str) -> list[Decision]:
        """Return which versions were decided to be served, and what was pinned, newest last.

        Raises:
            ModelNotFound: the name is not valid for a model.
            PromotionsUnreadable: there is a file of decisions, but it can't be read.
        """
        file = PROMOTIONS_FILE
        try:
            data = read_document(self.model_directory(name) / file, MOST_PROMOTIONS_BYTES)
            return Promotions.model_validate_json(data).decisions
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Unreadable as error:
            raise PromotionsUnreadable(name, error.detail) from error
        except ValidationError as error:
            raise PromotionsUnreadable(name, f"{file}: {first_fault(error)}") from error
        except OSError as error:
            raise PromotionsUnreadable(name, f"{file} can't be read: {reason(error)}") from error

    def _may_have_versions(self, directory: Path) -> bool:
        try:
            return bool(self.integers(directory))
        except ModelUnreadable:
            return True

    @staticmethod
    def integers(directory: Path) -> list[int]:
        """Return the numbers of the versions in a model's directory, oldest first."""
        entries = (entry for entry in scan(directory) if VERSION.fullmatch(entry.name))
        return sorted(int(entry.name) for entry in entries if _may_be_directory(entry))


def scan(model: Path) -> list["os.DirEntry[str]"]:
    """Return the entries of a model's directory; none if there is no such directory.

    Raises:
        ModelUnreadable: the directory can't be listed.
    """
    try:
        with os.scandir(model) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ModelUnreadable(model.name, reason(error)) from error


def _may_be_directory(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # reading the version will report what is wrong
        return True


def read_version_file(directory: Path, name: str, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of one of a version's small files.

    Args:
        directory: `models/<name>/<version>` of the store.
        name: the path of the file, relative to it.
        most: the largest size that is read, in bytes.

    Raises:
        VersionCorrupt: the file is missing, is larger, or can never be read.
        OSError: the machine can't read the file now.
    """
    try:
        return read_document(directory / name, most)
    except (FileNotFoundError, NotADirectoryError):
        raise VersionCorrupt(f"{name} is missing.") from None
    except Unreadable as error:
        raise VersionCorrupt(error.detail) from error


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a version; that of a renamed model gets the name that it has now.

    Raises:
        VersionCorrupt: the manifest is missing, malformed, or that of another version.
        OSError: the machine can't read the manifest now.
    """
    data = read_version_file(directory, MANIFEST_FILE)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise VersionCorrupt(f"{MANIFEST_FILE}: {first_fault(error)}.") from None
    model = directory.parent
    ours = manifest.model == model.name or manifest.model in _former_names(model)
    if not ours or str(manifest.version) != directory.name:
        raise VersionCorrupt(
            f"The manifest belongs to model {manifest.model}, version {manifest.version}."
        )
    return manifest.model_copy(update={"model": model.name})


def _former_names(model: Path) -> list[str]:
    try:
        return read_annotations(model).formerly
    except AnnotationsUnreadable as error:
        raise VersionCorrupt(error.detail) from error


def read_golden(directory: Path, manifest: Manifest) -> list[GoldenImage]:
    """Read the golden images of a version.

    Raises:
        VersionCorrupt: the list is missing, malformed, or does not fit the manifest's labels
            or files.
        OSError: the machine can't read the list now.
    """
    try:
        golden = _golden_images.validate_json(read_version_file(directory, GOLDEN_FILE))
    except ValidationError as error:
        raise VersionCorrupt(f"{GOLDEN_FILE}: {first_fault(error)}.") from error
    if not golden:
        raise VersionCorrupt(f"{GOLDEN_FILE} lists no image.")
    listed = {entry.path for entry in manifest.files}
    for image in golden:
        if f"{GOLDEN_FOLDER}/{image.file}" not in listed:
            raise VersionCorrupt(f"{GOLDEN_FILE}: {image.file} is not in the manifest.")
        answers = [image.probabilities, *image.reduced.values()]
        fit = all(len(answer) == len(manifest.labels) for answer in answers)
        if not fit or image.label not in manifest.labels:
            raise VersionCorrupt(f"{GOLDEN_FILE}: {image.file} does not fit the labels.")
    return golden


def verify(directory: Path) -> Manifest:
    """Check every file of a version against its manifest and return the manifest.

    Raises:
        VersionCorrupt: a file is missing, has another size or hash than in the manifest, is
            outside of the directory, or is not in the manifest.
        OSError: the machine can't read a file now.
    """
    try:
        return _verify(directory)
    except (RuntimeError, ValueError) as error:
        # Links that lead in circles, folders too deep to walk through, a zero byte in a name.
        raise VersionCorrupt(f"The version has a file that can't be read: {error}.") from error


def _verify(directory: Path) -> Manifest:
    manifest = read_manifest(directory)
    if unlisted := sorted(_visible_files(directory) - {entry.path for entry in manifest.files}):
        raise VersionCorrupt(f"{unlisted[0]} is not in the manifest.")
    for entry in manifest.files:
        _verify_file(directory, entry)
    return manifest


def _verify_file(directory: Path, entry: FileEntry) -> None:
    path = directory / entry.path
    if not path.resolve().is_relative_to(directory.resolve()):
        raise VersionCorrupt(f"The manifest names a file outside of the version: {entry.path}")
    if not path.is_file():
        raise VersionCorrupt(f"{entry.path} is missing.")
    if path.stat().st_size != entry.bytes or sha256_file(path) != entry.sha256:
        raise VersionCorrupt(f"{entry.path} is not the file that was published.")


def verify_graph(directory: Path, manifest: Manifest) -> None:
    """Check the OpenVINO model of a version, without the rest of its files.

    Raises:
        VersionCorrupt, OSError: as `verify`.
    """
    folder = PurePosixPath(OPENVINO_MODEL).parent
    for entry in manifest.files:
        if PurePosixPath(entry.path).parent == folder:
            _verify_file(directory, entry)


def is_sound(directory: Path) -> bool:
    """Return whether all files of a version are as they were published; its network is not run.

    Raises:
        OSError: the machine can't read the version now.
    """
    try:
        read_golden(directory, verify(directory))
    except VersionCorrupt:
        return False
    except OSError as error:
        if not is_fault_of_the_file(error):
            raise
        return False
    return True


def _visible_files(directory: Path) -> set[str]:
    """Return the paths of a version, without folders, the manifest and hidden files.

    File managers and NFS leave hidden files behind. Pipes and devices are listed: opening one could
    block for ever.
    """
    names = {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if not path.is_dir() and not path.name.startswith(".")
    }
    return names - {MANIFEST_FILE}
