"""Published models: the contract between the trainer and the predictor.

    models/<name>/<version>/     an integer, staged as .staging-<id> and renamed into place
    models/<name>/pin.json       {"version": n}, only while a version is pinned

A directory with an integer for a name is complete: that is also TensorFlow Serving's rule.
"""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.documents import Unreadable, read_document, reason
from shared.errors import (
    Conflict,
    ModelNotFound,
    ModelUnreadable,
    ModelUnwritable,
    PinUnreadable,
    Unavailable,
    VersionCorrupt,
    VersionNotFound,
    first_fault,
)
from shared.files import (
    atomic_write,
    is_disk_full,
    is_fault_of_the_file,
    locked_briefly,
    sha256_file,
    sync_directory,
    sync_tree,
)
from shared.identifiers import is_model_name
from shared.manifest import GOLDEN_FILE, MANIFEST_FILE, FileEntry, GoldenImage, Manifest
from shared.work_in_progress import working_directory

SAVED_MODEL = "."
OPENVINO_MODEL = "openvino/model.xml"
OPENVINO_INT8_MODEL = "openvino/int8.xml"
KERAS_MODEL = "model.keras"
REPORT_FILE = "report/evaluation.json"
REPORT_PAGE = "report/index.html"

STAGING = ".staging-"
REMOVED = ".removed-"
PIN_FILE = "pin.json"
HIGHEST_FILE = ".highest"
#: Of a pin, and of the note of removed numbers.
MOST_NOTE_BYTES = 4096
#: Numbering a version and renaming it takes well under a second; who takes so long hangs.
PUBLISHING_SECONDS = 60.0

#: Browsers tell whole numbers of up to 15 digits from each other.
_VERSION = re.compile(r"0|[1-9][0-9]{0,14}")
HIGHEST_VERSION = 10**15 - 1

_golden_images = TypeAdapter(list[GoldenImage])


class _Pin(BaseModel):
    model_config = ConfigDict(strict=True)

    version: int = Field(ge=0)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a model's directory found.

    Attributes:
        versions: oldest first; None if the directory can't be listed.
        pinned: the version that the model is pinned to, if any is known.
        fault: what could not be read, in words; None if all could.
    """

    name: str
    versions: list[int] | None
    pinned: int | None = None
    fault: str | None = None


class ModelStore:
    """The `models/` directory of a store."""

    def __init__(self, store: Path) -> None:
        self.root = store / "models"

    def names(self) -> list[str]:
        """Return the names of the models that have a version, or can't be listed, sorted."""
        try:
            names = sorted(filter(is_model_name, os.listdir(self.root)))  # noqa: PTH208 - names
        except FileNotFoundError:
            return []
        return [name for name in names if self._may_have_versions(self.root / name)]

    def look(self, name: str) -> Look:
        """Return what is known of a model; what can't be read takes nothing from the rest.

        Raises:
            ModelNotFound: the model has no version.
        """
        try:
            versions = self.versions(name)
        except ModelUnreadable as error:
            return Look(name, None, fault=error.detail)
        try:
            return Look(name, versions, self.pinned(name))
        except PinUnreadable as error:
            return Look(name, versions, fault=error.detail)

    def versions(self, name: str) -> list[int]:
        """Return the published versions of a model, oldest first.

        Raises:
            ModelNotFound: the model has no version.
            ModelUnreadable: its directory can't be listed.
        """
        versions = self._integers(self._model(name))
        if not versions:
            raise ModelNotFound(name, self.names())
        return versions

    def directory(self, name: str, version: int) -> Path:
        """Return where a version lies.

        Raises:
            ModelNotFound, VersionNotFound: it does not exist.
            ModelUnreadable: nobody knows whether it does.
        """
        directory = self._model(name) / str(version)
        with suppress(OSError):
            if _VERSION.fullmatch(directory.name) and directory.is_dir():
                return directory
        versions = self.versions(name)
        if version not in versions:
            raise VersionNotFound(name, version, versions)
        return directory

    def _model(self, name: str) -> Path:
        """Return the directory of a model; what is no model's name never becomes a path.

        Raises:
            ModelNotFound: the name is none.
        """
        if not is_model_name(name):
            raise ModelNotFound(name, self.names())
        return self.root / name

    def manifest(self, name: str, version: int) -> Manifest:
        return read_manifest(self.directory(name, version))

    def pinned(self, name: str) -> int | None:
        """Return the version that the model is pinned to, if any.

        Raises:
            PinUnreadable: there is a pin, but nobody can tell to which version.
        """
        try:
            data = read_document(self._model(name) / PIN_FILE, MOST_NOTE_BYTES)
            return _Pin.model_validate_json(data).version
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Unreadable as error:
            raise PinUnreadable(name, error.detail) from error
        except ValidationError as error:
            raise PinUnreadable(name, f"{PIN_FILE}: {first_fault(error)}") from error
        except OSError as error:
            raise PinUnreadable(name, f"{PIN_FILE} can't be read: {reason(error)}") from error

    def pin(self, name: str, version: int | None) -> None:
        """Pin a model to one of its versions, or un-pin it with None.

        Raises:
            ModelNotFound, VersionNotFound: there is no such version.
            ModelUnwritable: the machine does not let it.
        """
        self.versions(name)
        model = self._model(name)
        file = model / PIN_FILE
        with _unwritable_named(name), locked_briefly(model / ".lock", PUBLISHING_SECONDS):
            if version is not None:
                self.directory(name, version)
            if version is None or file.is_dir():
                _clear(file)
            if version is not None:
                atomic_write(file, _Pin(version=version).model_dump_json().encode())

    @contextmanager
    def stage(self, name: str) -> Iterator[Path]:
        """Yield an empty directory for a version in the making; what is left of it is removed.

        Raises:
            Conflict: it could have no number.
        """
        model = self._model(name)
        self._next_number(model)
        with working_directory(model / f"{STAGING}{secrets.token_hex(6)}") as directory:
            yield directory

    def publish(
        self,
        staging: Path,
        manifest: Manifest,
        complete: Callable[[Manifest], None] = lambda _: None,
    ) -> int:
        """Make a staged directory the next version of `manifest.model` and return its number.

        A training publishes once: if one of the versions already carries the manifest's
        `training_id`, that version is returned and nothing is written.

        Args:
            staging: a directory from `stage`, complete but for its manifest.
            manifest: its `version` and `files` are filled in here.
            complete: called once the version is known, with the manifest as it will be; it may
                add files to the directory.

        Raises:
            Conflict: it can have no number.
        """
        model = self._model(manifest.model)
        # The most of it, before others have to wait.
        files = _describe(staging)
        sync_tree(staging)
        before = set(self._integers(model))
        existing = _published_by(manifest.training_id, model, before)
        with locked_briefly(model / ".lock", PUBLISHING_SECONDS):
            versions = self._integers(model)
            if existing not in versions:
                since = [version for version in versions if version not in before]
                existing = _published_by(manifest.training_id, model, since)
            if existing is not None:
                return existing
            version = self._next_number(model)
            final = manifest.model_copy(update={"version": version, "files": files})
            complete(final)
            final = final.model_copy(update={"files": _describe(staging, known=files)})
            (staging / MANIFEST_FILE).write_text(final.model_dump_json(indent=2))
            sync_tree(staging)
            staging.rename(model / str(version))
            sync_directory(model)
        return version

    def remove(self, name: str, version: int) -> None:
        """Remove a version; its number is not given out again.

        Raises:
            ModelNotFound, VersionNotFound: there is no such version.
            Conflict: it is what is to be served: the pinned version, or else the newest sound one.
            Unavailable: the machine can't tell now what is to be served.
            ModelUnwritable: the machine does not let it.
        """
        self.directory(name, version)
        model, pinned = self._model(name), self.pinned(name)
        served = self._served_instead(name, version, pinned)
        with (
            _unwritable_named(name),
            working_directory(model / f"{REMOVED}{secrets.token_hex(6)}") as removed,
            locked_briefly(model / ".lock", PUBLISHING_SECONDS),
        ):
            versions, directory = self.versions(name), self.directory(name, version)
            if self.pinned(name) != pinned or served not in {None, *versions}:
                raise Conflict(f"What is served of model {name!r} has just changed: ask again.")
            highest = max(versions[-1], self._highest_removed(model))
            atomic_write(model / HIGHEST_FILE, str(highest).encode())
            try:
                directory.rename(removed / str(version))
            except PermissionError:  # as of a directory that may not be written
                directory.chmod(0o700)
                directory.rename(removed / str(version))

    def _served_instead(self, name: str, version: int, pinned: int | None) -> int | None:
        """Return which version is served without this one; None if it is damaged itself.

        Raises:
            Conflict: it is the one that is to be served.
            Unavailable: the machine can't tell now.
        """
        if version == pinned:
            raise Conflict(f"Version {version} of model {name!r} is pinned: un-pin it first.")
        for candidate in by_preference(self.versions(name), pinned):
            sound = self._is_sound(name, candidate)
            if sound and candidate == version:
                raise Conflict(
                    f"Version {version} of model {name!r} is the newest that is sound, and so the "
                    "one that is served: pin another one first."
                )
            if sound:
                return candidate
            if candidate == version:
                break
        return None

    def _is_sound(self, name: str, version: int) -> bool:
        try:
            return is_sound(self._model(name) / str(version))
        except OSError as error:
            raise Unavailable(
                f"Nobody can tell now what is served of model {name!r}: version {version} can't "
                f"be read: {reason(error)}."
            ) from error

    def published_by(self, name: str, training_id: str) -> int | None:
        """Return the version that a training has published, if it has."""
        model = self._model(name)
        return _published_by(training_id, model, self._integers(model))

    def _next_number(self, model: Path) -> int:
        """Return the number of the model's next version.

        Raises:
            Conflict: there is no number left, or nobody knows which were given out.
        """
        taken = [int(entry.name) for entry in _scan(model) if _VERSION.fullmatch(entry.name)]
        highest = max([self._highest_removed(model), *taken])
        if highest >= HIGHEST_VERSION:
            raise Conflict(
                f"A version of model {model.name!r} should have a number of up to "
                f"{HIGHEST_VERSION}. That number is taken: train under another model's name."
            )
        return highest + 1

    @staticmethod
    def _highest_removed(model: Path) -> int:
        """Return the highest number that a version had when one was removed, 0 if none was.

        Raises:
            Conflict: that is not what the file says.
        """
        try:
            text = read_document(model / HIGHEST_FILE, MOST_NOTE_BYTES).decode(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except Unreadable as error:
            raise Conflict(f"Model {model.name!r}: {error}") from error
        if not _VERSION.fullmatch(text.strip()):
            raise Conflict(
                f"Model {model.name!r}: {HIGHEST_FILE} should hold the highest number that a "
                f"removed version had. Received: {text[:50]!r}. Write it, or remove the file."
            )
        return int(text)

    def _may_have_versions(self, directory: Path) -> bool:
        try:
            return bool(self._integers(directory))
        except ModelUnreadable:
            return True

    @staticmethod
    def _integers(directory: Path) -> list[int]:
        entries = (entry for entry in _scan(directory) if _VERSION.fullmatch(entry.name))
        return sorted(int(entry.name) for entry in entries if _may_be_directory(entry))


def by_preference(versions: Iterable[int], pinned: int | None) -> list[int]:
    """Sort versions by which is to be served: the pinned one, then the newest."""
    return sorted(versions, key=lambda version: (version == pinned, version), reverse=True)


def _scan(model: Path) -> list["os.DirEntry[str]"]:
    """Return what is in a model's directory, nothing if there is none.

    Raises:
        ModelUnreadable: it can't be listed.
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
    except OSError:  # whoever reads it is told what is wrong with it
        return True


@contextmanager
def _unwritable_named(name: str) -> Iterator[None]:
    """Say of which model the machine does not let something be changed, and why."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise
        file = Path(error.filename or "").name
        raise ModelUnwritable(
            name, f"{file}: {reason(error)}" if file else reason(error)
        ) from error


def _clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _published_by(training_id: str, model: Path, versions: Iterable[int]) -> int | None:
    for version in sorted(versions, reverse=True):
        directory = model / str(version)
        with suppress(VersionCorrupt):
            # Most are told by a look at the bytes, a tenth of the time of reading them as JSON.
            named = training_id.encode() in _read(directory, MANIFEST_FILE)
            if named and read_manifest(directory).training_id == training_id:
                return version
    return None


def _read(directory: Path, name: str) -> bytes:
    """Return one of a version's small files.

    Raises:
        VersionCorrupt: it is missing, or none that can be read.
        OSError: the machine can't read it now.
    """
    try:
        return read_document(directory / name)
    except (FileNotFoundError, NotADirectoryError):
        raise VersionCorrupt(f"{name} is missing.") from None
    except Unreadable as error:
        raise VersionCorrupt(error.detail) from error


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a version.

    Raises:
        VersionCorrupt: it is missing, does not say what a manifest says, or is another version's.
        OSError: the machine can't read it now.
    """
    data = _read(directory, MANIFEST_FILE)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise VersionCorrupt(f"{MANIFEST_FILE}: {first_fault(error)}.") from None
    if str(manifest.version) != directory.name or manifest.model != directory.parent.name:
        raise VersionCorrupt(f"The manifest is that of {manifest.model} {manifest.version}.")
    return manifest


def read_golden(directory: Path, manifest: Manifest) -> list[GoldenImage]:
    """Read the golden images of a version.

    Raises:
        VersionCorrupt: the list is missing, malformed, or does not fit the manifest's labels.
        OSError: the machine can't read it now.
    """
    try:
        golden = _golden_images.validate_json(_read(directory, GOLDEN_FILE))
    except ValidationError as error:
        raise VersionCorrupt(f"{GOLDEN_FILE}: {first_fault(error)}.") from error
    if not golden:
        raise VersionCorrupt(f"{GOLDEN_FILE} lists no image.")
    for image in golden:
        if Path(image.file).name != image.file:
            raise VersionCorrupt(f"{GOLDEN_FILE} names a file outside of golden/.")
        answers = [image.probabilities, *image.reduced.values()]
        fit = all(len(answer) == len(manifest.labels) for answer in answers)
        if not fit or image.label not in manifest.labels:
            raise VersionCorrupt(f"{GOLDEN_FILE}: {image.file} does not fit the labels.")
    return golden


def verify(directory: Path) -> Manifest:
    """Check every file of a version against its manifest and return the manifest.

    Raises:
        VersionCorrupt: a file is missing, has another size or another hash, lies elsewhere, or is
            not in the manifest.
    """
    try:
        return _verify(directory)
    except (RuntimeError, ValueError) as error:
        # Links that lead in circles, folders too deep to walk through, a zero byte in a name.
        raise VersionCorrupt(f"It holds what nobody can read: {error}.") from error


def _verify(directory: Path) -> Manifest:
    manifest = read_manifest(directory)
    if unlisted := sorted(_visible_files(directory) - {entry.path for entry in manifest.files}):
        raise VersionCorrupt(f"{unlisted[0]} is not in the manifest.")
    for entry in manifest.files:
        path = directory / entry.path
        if not path.resolve().is_relative_to(directory.resolve()):
            raise VersionCorrupt(f"The manifest names a file outside of the version: {entry.path}")
        if not path.is_file():
            raise VersionCorrupt(f"{entry.path} is missing.")
        if path.stat().st_size != entry.bytes or sha256_file(path) != entry.sha256:
            raise VersionCorrupt(f"{entry.path} is not the file that was published.")
    return manifest


def is_sound(directory: Path) -> bool:
    """Tell whether a version is as it was published; its network is not asked.

    Raises:
        OSError: the machine can't read it now, so that nobody knows.
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


def _describe(directory: Path, known: Iterable[FileEntry] = ()) -> list[FileEntry]:
    entries = {entry.path: entry for entry in known}
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    names = ((path, path.relative_to(directory).as_posix()) for path in files)
    return [entries.get(name) or _entry(path, name) for path, name in names]


def _entry(path: Path, name: str) -> FileEntry:
    return FileEntry(path=name, bytes=path.stat().st_size, sha256=sha256_file(path))


def _visible_files(directory: Path) -> set[str]:
    """Return the files but the manifest; what file managers and NFS leave behind is hidden."""
    names = {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    return names - {MANIFEST_FILE}
