"""Published models: the contract between the trainer and the predictor.

    models/<name>/<version>/     an integer, staged as .staging-<id> and renamed into place
    models/<name>/pin.json       {"version": n}, only while a version is pinned

A directory with an integer for a name is complete: that is also TensorFlow Serving's rule.
"""

import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from shared.errors import Conflict, ModelNotFound, VersionCorrupt, VersionNotFound, first_fault
from shared.files import (
    atomic_write,
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
HIGHEST_FILE = ".highest"
#: Numbering a version and renaming it takes well under a second; who takes so long hangs.
PUBLISHING_SECONDS = 60.0

_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")

_golden_images = TypeAdapter(list[GoldenImage])


class ModelStore:
    """The `models/` directory of a store."""

    def __init__(self, store: Path) -> None:
        self.root = store / "models"

    def names(self) -> list[str]:
        """Return the names of the models that have at least one version, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(
            path.name
            for path in self.root.iterdir()
            if is_model_name(path.name) and self._integers(path)
        )

    def versions(self, name: str) -> list[int]:
        """Return the published versions of a model, oldest first.

        Raises:
            ModelNotFound: the model has no version.
        """
        versions = self._integers(self._model(name))
        if not versions:
            raise ModelNotFound(name, self.names())
        return versions

    def directory(self, name: str, version: int) -> Path:
        """Return where a version lies.

        Raises:
            ModelNotFound, VersionNotFound: it does not exist.
        """
        versions = self.versions(name)
        if version not in versions:
            raise VersionNotFound(name, version, versions)
        return self.root / name / str(version)

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
        """Return the version that the model is pinned to, if any."""
        try:
            version = json.loads((self._model(name) / "pin.json").read_bytes())["version"]
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None
        return version if isinstance(version, int) else None

    def pin(self, name: str, version: int | None) -> None:
        """Pin a model to one of its versions, or un-pin it with None.

        Raises:
            ModelNotFound, VersionNotFound: there is no such version.
        """
        self.versions(name)
        model = self._model(name)
        file = model / "pin.json"
        with locked_briefly(model / ".lock", PUBLISHING_SECONDS):
            if version is None:
                file.unlink(missing_ok=True)
            else:
                self.directory(name, version)
                atomic_write(file, json.dumps({"version": version}).encode())

    @contextmanager
    def stage(self, name: str) -> Iterator[Path]:
        """Yield an empty directory for a version in the making; what is left of it is removed."""
        with working_directory(self._model(name) / f"{STAGING}{secrets.token_hex(6)}") as directory:
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
        """
        model = self._model(manifest.model)
        files = _describe(staging)
        sync_tree(staging)  # the most of it, before others have to wait
        with locked_briefly(model / ".lock", PUBLISHING_SECONDS):
            if (existing := self.published_by(manifest.model, manifest.training_id)) is not None:
                return existing
            version = max([self._highest_removed(model), *self._integers(model)]) + 1
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
            Conflict: it is what is to be served: the pinned version, or else the newest.
        """
        self.versions(name)
        model = self._model(name)
        with (
            working_directory(model / f"{REMOVED}{secrets.token_hex(6)}") as removed,
            locked_briefly(model / ".lock", PUBLISHING_SECONDS),
        ):
            versions, directory = self.versions(name), self.directory(name, version)
            self._require_not_served(name, version, versions)
            highest = max(versions[-1], self._highest_removed(model))
            atomic_write(model / HIGHEST_FILE, str(highest).encode())
            directory.rename(removed / str(version))

    def _require_not_served(self, name: str, version: int, versions: list[int]) -> None:
        pinned = self.pinned(name)
        if version == pinned:
            raise Conflict(f"Version {version} of model {name!r} is pinned: un-pin it first.")
        # A pin to a version that is gone pins nothing.
        if pinned not in versions and version == versions[-1]:
            raise Conflict(
                f"Version {version} of model {name!r} is the newest, and so the one that is "
                "served: pin another one first."
            )

    def published_by(self, name: str, training_id: str) -> int | None:
        """Return the version that a training has published, if it has."""
        for version in reversed(self._integers(self._model(name))):
            try:
                manifest = read_manifest(self._model(name) / str(version))
            except VersionCorrupt:
                continue
            if manifest.training_id == training_id:
                return version
        return None

    @staticmethod
    def _highest_removed(model: Path) -> int:
        """Return the highest number that a version had when one was removed, 0 if none was."""
        try:
            return int((model / HIGHEST_FILE).read_text())
        except (FileNotFoundError, ValueError):
            return 0

    @staticmethod
    def _integers(directory: Path) -> list[int]:
        if not directory.is_dir():
            return []
        names = (entry.name for entry in os.scandir(directory) if entry.is_dir())
        return sorted(int(name) for name in names if _VERSION.fullmatch(name))


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a version.

    Raises:
        VersionCorrupt: it is missing or does not say what a manifest says.
    """
    try:
        return Manifest.model_validate_json((directory / MANIFEST_FILE).read_bytes())
    except FileNotFoundError:
        raise VersionCorrupt(f"{MANIFEST_FILE} is missing.") from None
    except ValidationError as error:
        raise VersionCorrupt(f"{MANIFEST_FILE}: {first_fault(error)}.") from None


def read_golden(directory: Path, manifest: Manifest) -> list[GoldenImage]:
    """Read the golden images of a version.

    Raises:
        VersionCorrupt: the list is missing, malformed, or does not fit the manifest's labels.
    """
    try:
        golden = _golden_images.validate_json((directory / GOLDEN_FILE).read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise VersionCorrupt(f"{GOLDEN_FILE} is missing or malformed.") from error
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
    manifest = read_manifest(directory)
    if str(manifest.version) != directory.name or manifest.model != directory.parent.name:
        raise VersionCorrupt(f"The manifest is that of {manifest.model} {manifest.version}.")
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
