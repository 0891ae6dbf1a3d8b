"""The writing half of the model store: versions are staged, published, promoted and removed.

models/<name>/.staging-<id>/   a version that is being written
models/<name>/.highest         the highest number of a removed version, if no version has a higher
models/<name>/.lock            locked while a version is published or removed, or another one is
                               decided to be served
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from shared.documents import Unreadable, read_document, reason
from shared.errors import (
    Conflict,
    ModelNotFound,
    PromotionsUnreadable,
    Unavailable,
    VersionCorrupt,
)
from shared.files import (
    atomic_write,
    is_fault_of_the_file,
    locked_briefly,
    sha256_file,
    sync_directory,
    sync_tree,
)
from shared.models.manifest import MANIFEST_FILE, FileEntry, Manifest
from shared.models.model_store import (
    MOST_NOTE_BYTES,
    PIN_FILE,
    VERSION,
    ModelSnapshot,
    ModelStore,
    Pin,
    is_sound,
    read_manifest,
    read_version_file,
    scan,
)
from shared.models.promotions import PROMOTIONS_FILE, Decision, Promotions, last_decisions, trimmed
from trainer_service.errors import ModelUnwritable
from trainer_service.store import promoting
from trainer_service.store.files.removal import remove_tree
from trainer_service.store.files.work_in_progress import REMOVED, STAGING, working_directory
from trainer_service.store.promoting import ModelChanged, Verdict

HIGHEST_FILE = ".highest"
HIGHEST_VERSION = 10**15 - 1
#: How long to wait for the lock. Holders need well under a second; one that takes longer hangs.
PUBLISHING_SECONDS = 60.0


class WritableModelStore(ModelStore):
    """The `models/` directory of a store, as the trainer and its workers change it."""

    def pin(self, name: str, version: int | None, *, shadow: bool = False) -> None:
        """Pin a model to one of its versions, or un-pin it with None.

        It is noted among the decisions, if these can be read and written.

        Args:
            name: the name of the model.
            version: the version, or None.
            shadow: whether the newest version answers some of the pictures beside it, unseen.

        Raises:
            ModelNotFound, VersionNotFound: there is no such version.
            ModelUnwritable: the file system refuses the change.
        """
        self.versions(name)
        with self.changing(name) as model:
            file = model / PIN_FILE
            if version is not None:
                self.directory(name, version)
            before = self.snapshot(name)
            if version is None or file.is_dir():
                remove_tree(file)
            if version is not None:
                pin = Pin(version=version, shadow=shadow)
                atomic_write(file, pin.model_dump_json(exclude_defaults=True).encode())
            with suppress(PromotionsUnreadable, OSError):
                self._decide(name, promoting.pinned(before, version))

    def promote(self, name: str, version: int) -> None:
        """Decide that a version is served from now on.

        Raises:
            ModelNotFound, VersionNotFound: there is no such version.
            Conflict: the model is pinned, or its pin or its decisions can't be read.
            ModelUnwritable: the file system refuses the change.
        """
        self.directory(name, version)
        with self.changing(name):
            self.directory(name, version)
            self._decide(name, promoting.promoted(self._settled(name), version))

    def roll_back(self, name: str) -> None:
        """Decide that the version is served that was so before the one that is served now.

        The latter is not chosen again, unless someone asks for it.

        Raises:
            ModelNotFound: the model has no version.
            Conflict: the model is pinned, has no earlier version, has just been changed by someone
                else, or its pin or its decisions can't be read.
            Unavailable: a version can't be read now, so it is not known which one is served.
            ModelUnwritable: the file system refuses the change.
        """
        model = self._settled(name)
        promoting.require_unpinned(model)
        made = promoting.rolled_back(model, list(islice(self._intact(model), 2)))
        with self.changing(name):
            if self.snapshot(name) != model:
                raise Conflict(f"The served version of model {name!r} has just changed: try again.")
            self._decide(name, made)

    def state(self, name: str) -> ModelSnapshot:
        """Return versions, pin and decisions of a model, which may have no version yet."""
        try:
            return self.snapshot(name)
        except ModelNotFound:
            return ModelSnapshot(name, [])

    def to_serve(self, model: ModelSnapshot) -> int | None:
        """Return the version of a model that is to be served: the first intact one; or None.

        Raises:
            Unavailable: a version can't be read now, so it is not known which one.
        """
        return next(self._intact(model), None)

    def served(self, name: str) -> set[int]:
        """Return the versions that no one may remove: the pinned one, and the one to serve.

        Raises:
            ModelNotFound, ModelUnreadable, PinUnreadable, PromotionsUnreadable, Unavailable: it is
                not known which these are.
        """
        model = self._settled(name)
        return {version for version in (model.pinned, self.to_serve(model)) if version is not None}

    def last_decision(self, name: str, version: int) -> Decision | None:
        """Return what was decided last about a version, if anything.

        Raises:
            PromotionsUnreadable: the decisions can't be read.
        """
        return last_decisions(self.decisions(name)).get(version)

    @contextmanager
    def stage(self, name: str) -> Iterator[Path]:
        """Yield an empty directory to write a version to; `publish` moves it into place.

        A directory that was not published is removed at the end.

        Raises:
            Conflict: no number is left for another version.
        """
        model = self.model_directory(name)
        self._next_number(model)
        with working_directory(model / f"{STAGING}{secrets.token_hex(6)}") as directory:
            yield directory

    def publish(
        self,
        staging: Path,
        manifest: Manifest,
        complete: Callable[[Manifest], None] = lambda _: None,
        verdict: Verdict | None = None,
        seen: ModelSnapshot | None = None,
    ) -> int:
        """Make a staged directory the next version of `manifest.model` and return its number.

        A training publishes once: if a version with the manifest's `training_id` exists already,
        its number is returned and nothing is written.

        Args:
            staging: a directory from `stage` with all files but the manifest.
            manifest: the manifest; this method sets its `version` and `files`.
            complete: called with the manifest once the version number is known; it may add files
                to the directory, such as a report that names the version.
            verdict: whether the version is to be served; None decides nothing, so that it is
                served as the newest. It is written before the version appears; if the decisions
                that are there can't be read, it is not kept.
            seen: the `state` of the model that the verdict is about.

        Raises:
            Conflict: no number is left for another version.
            ModelChanged: the model has changed since it was `seen`; nothing was published.
        """
        model = self.model_directory(manifest.model)
        # Hashing and syncing take long, so they are done before taking the lock.
        files = _describe(staging)
        sync_tree(staging)
        before = set(self.integers(model))
        existing = _published_by(manifest.training_id, model, before)
        with locked_briefly(model / ".lock", PUBLISHING_SECONDS):
            versions = self.integers(model)
            if existing not in versions:
                since = [version for version in versions if version not in before]
                existing = _published_by(manifest.training_id, model, since)
            if existing is not None:
                return existing
            if seen is not None and self.state(manifest.model) != seen:
                raise ModelChanged(f"Model {manifest.model!r} has changed: decide again.")
            version = self._next_number(model)
            final = manifest.model_copy(update={"version": version, "files": files})
            complete(final)
            final = final.model_copy(update={"files": _describe(staging, known=files)})
            (staging / MANIFEST_FILE).write_text(final.model_dump_json(indent=2))
            sync_tree(staging)
            self._decide_on_new(final, verdict)
            staging.rename(model / str(version))
            sync_directory(model)
        return version

    def remove(self, name: str, version: int) -> None:
        """Remove a version; its number is not used again.

        Raises:
            ModelNotFound, VersionNotFound: there is no such version.
            Conflict: it is the one to serve: the pinned version, or else the first intact one in
                the order of `by_preference`; or it is not known which one that is.
            Unavailable: a version can't be read now, so it is not known which one to serve.
            ModelUnwritable: the file system refuses the change.
        """
        self.directory(name, version)
        model, state = self.model_directory(name), self._settled(name)
        served = self._served_instead(state, version)
        with (
            write_errors_wrapped(name),
            working_directory(model / f"{REMOVED}{secrets.token_hex(6)}") as removed,
            locked_briefly(model / ".lock", PUBLISHING_SECONDS),
        ):
            versions = self.versions(name)
            now = self._settled(name)
            changed = (now.pinned, now.decisions) != (state.pinned, state.decisions)
            if changed or served not in {None, *versions}:
                raise Conflict(f"The served version of model {name!r} has just changed: try again.")
            self.take_out(name, version, removed)

    @contextmanager
    def changing(self, name: str) -> Iterator[Path]:
        """Hold the lock of a model, and yield its directory, which has to exist.

        Raises:
            ModelUnwritable: the file system refuses a change in the body.
        """
        model = self.model_directory(name)
        with write_errors_wrapped(name), locked_briefly(model / ".lock", PUBLISHING_SECONDS):
            yield model

    def take_out(self, name: str, version: int, removed: Path) -> None:
        """Move a version into a directory that is being removed; the caller holds the lock.

        Raises:
            ModelNotFound, VersionNotFound: there is no such version.
            OSError: the file system refuses it.
        """
        directory = self.directory(name, version)
        # Only then, so that what makes room on a full disk needs none itself.
        if version == self.versions(name)[-1]:
            self.note_removed(name, version)
        try:
            directory.rename(removed / str(version))
        except PermissionError:  # renaming a directory requires write permission on it
            directory.chmod(0o700)
            directory.rename(removed / str(version))

    def highest(self, name: str) -> int:
        """Return the highest number that a version of a model has or had; 0 if none had one.

        Raises:
            Conflict: the file with the highest number of a removed version is damaged.
        """
        model = self.model_directory(name)
        return max([self._highest_removed(model), *self.integers(model)])

    def note_removed(self, name: str, version: int) -> None:
        """Let no version of a model get a number again, up to this one; the caller holds the lock.

        Raises:
            Conflict: the file with the highest number of a removed version is damaged.
        """
        model = self.model_directory(name)
        if version > self._highest_removed(model):
            atomic_write(model / HIGHEST_FILE, str(version).encode())

    def _served_instead(self, model: ModelSnapshot, version: int) -> int | None:
        """Return the version to serve, which must be another one than `version`.

        Returns None if all versions that take precedence over `version`, and itself, are damaged.

        Raises:
            Conflict: `version` is the one to serve.
            Unavailable: a version can't be read now.
        """
        if version == model.pinned:
            raise Conflict(f"Version {version} of model {model.name!r} is pinned: un-pin it first.")
        for candidate in model.preferred:
            sound = self._is_sound(model.name, candidate)
            if sound and candidate == version:
                raise Conflict(
                    f"Version {version} of model {model.name!r} is the one that is served: promote "
                    "or pin another version first."
                )
            if sound:
                return candidate
            if candidate == version:
                break
        return None

    def _settled(self, name: str) -> ModelSnapshot:
        """Return versions, pin and decisions of a model.

        Raises:
            ModelNotFound: the model has no version.
            ModelUnreadable, PinUnreadable, PromotionsUnreadable: they can't be read.
        """
        self.versions(name)
        pinned = self.pinned(name)
        if pinned is None:
            self.decisions(name)
        return self.snapshot(name)

    def _intact(self, model: ModelSnapshot) -> Iterator[int]:
        """Yield the intact versions in the order in which to serve them."""
        return (version for version in model.preferred if self._is_sound(model.name, version))

    def _decide_on_new(self, manifest: Manifest, verdict: Verdict | None) -> None:
        """Write the verdict on a version that is about to appear, if there is one.

        What is there about its number is of a process that was killed just before, so it goes.
        """
        name, version = manifest.model, manifest.version
        with suppress(PromotionsUnreadable):
            before = self.decisions(name)
            others = [one for one in before if one.version != version]
            made = [promoting.decided(version, verdict, manifest.training_id)] if verdict else []
            if [*others, *made] != before:
                self._write_decisions(name, [*others, *made])

    def _decide(self, name: str, made: list[Decision]) -> None:
        """Append decisions to those of a model; the caller holds its lock.

        Raises:
            PromotionsUnreadable: those that are there can't be read; nothing was written.
        """
        if made:
            self._write_decisions(name, [*self.decisions(name), *made])

    def _write_decisions(self, name: str, decisions: list[Decision]) -> None:
        model = self.model_directory(name)
        versions = [*self.integers(model), decisions[-1].version] if decisions else []
        kept = Promotions(decisions=trimmed(decisions, versions))
        data = kept.model_dump_json(exclude_none=True)
        atomic_write(model / PROMOTIONS_FILE, data.encode())

    def _is_sound(self, name: str, version: int) -> bool:
        try:
            return is_sound(self.model_directory(name) / str(version))
        except OSError as error:
            raise Unavailable(
                f"The served version of model {name!r} can't be determined now: version {version} "
                f"can't be read: {reason(error)}."
            ) from error

    def published_by(self, name: str, training_id: str) -> int | None:
        """Return the number of the version that a training has published, or None."""
        model = self.model_directory(name)
        return _published_by(training_id, model, self.integers(model))

    def _next_number(self, model: Path) -> int:
        """Return the number of the model's next version.

        Raises:
            Conflict: no number is left, or `.highest` is damaged.
        """
        taken = [int(entry.name) for entry in scan(model) if VERSION.fullmatch(entry.name)]
        highest = max([self._highest_removed(model), *taken])
        if highest >= HIGHEST_VERSION:
            raise Conflict(
                f"A version of model {model.name!r} should have a number of up to "
                f"{HIGHEST_VERSION}. That number is taken: train under another model's name."
            )
        return highest + 1

    @staticmethod
    def _highest_removed(model: Path) -> int:
        """Return the highest number of a removed version, if no version has a higher; or 0.

        Raises:
            Conflict: the file can't be read or holds something else.
        """
        try:
            text = read_document(model / HIGHEST_FILE, MOST_NOTE_BYTES).decode(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except Unreadable as error:
            raise Conflict(f"Model {model.name!r}: {error}") from error
        if not VERSION.fullmatch(text.strip()):
            raise Conflict(
                f"Model {model.name!r}: {HIGHEST_FILE} should hold the highest number that a "
                f"removed version had. Received: {text[:50]!r}. Write it, or remove the file."
            )
        return int(text)


@contextmanager
def write_errors_wrapped(name: str) -> Iterator[None]:
    """Turn an OSError of the body into ModelUnwritable, unless the machine is at fault."""
    try:
        yield
    except OSError as error:
        if not is_fault_of_the_file(error):
            raise
        file = Path(error.filename or "").name
        raise ModelUnwritable(
            name, f"{file}: {reason(error)}" if file else reason(error)
        ) from error


def _published_by(training_id: str, model: Path, versions: Iterable[int]) -> int | None:
    for version in sorted(versions, reverse=True):
        directory = model / str(version)
        with suppress(VersionCorrupt):
            # Searching the bytes for the id takes a tenth of the time of parsing the JSON.
            named = training_id.encode() in read_version_file(directory, MANIFEST_FILE)
            if named and read_manifest(directory).training_id == training_id:
                return version
    return None


def _describe(directory: Path, known: Iterable[FileEntry] = ()) -> list[FileEntry]:
    entries = {entry.path: entry for entry in known}
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    names = ((path, path.relative_to(directory).as_posix()) for path in files)
    return [entries.get(name) or _entry(path, name) for path, name in names]


def _entry(path: Path, name: str) -> FileEntry:
    return FileEntry(path=name, bytes=path.stat().st_size, sha256=sha256_file(path))
