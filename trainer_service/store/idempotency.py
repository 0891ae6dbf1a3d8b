"""Idempotency keys: a request that is sent twice with the same key creates one record.

    idempotency/<SHA-256 of the kind of record and the key>.json    a `KeyUse`

The new record's id is stored with the key before the record is created. If the process is killed
in between, the repeated request finds the id and completes the work instead of repeating it.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from shared.documents import read_small
from shared.errors import Conflict, InvalidRequest, NotFound, Unavailable, first_fault
from shared.files import atomic_write, sha256_file
from shared.identifiers import Id, new_id
from shared.logs import get_logger
from trainer_service.errors import RecordCorrupt
from trainer_service.store.files.lease import lease
from trainer_service.store.files.small_files import is_permanent
from trainer_service.store.records.record_store import Record, RecordStore

MOST_BYTES = 2**24

log = get_logger(__name__)


class KeyReused(InvalidRequest):
    """The key was used before, for a request with different content."""

    def __init__(self, made: str) -> None:
        super().__init__(
            "Idempotency-Key: expected a new key for a request with other content. "
            f"Received: the key of the request that created {made}"
        )


class KeyUnreadable(Conflict):
    """The key was used before, but its file or the record that it led to is damaged."""

    def __init__(self) -> None:
        super().__init__(
            "Idempotency-Key: the result of the request with this key can't be read any more. "
            "Check whether its training or dataset exists; if not, send the request with a new key."
        )


class KeyUse(BaseModel):
    """The request that a key was used for.

    Attributes:
        fingerprint: the `fingerprint` of the request's content.
        id: the id of the record that the request creates.
        answer: the record as it was returned to the client; None until it was created.
    """

    fingerprint: str
    id: Id
    answer: dict[str, Any] | None = None


def fingerprint(fields: str, upload: Path | None) -> str:
    """Return a SHA-256 that is equal for two requests with the same fields and the same file."""
    digest = hashlib.sha256(fields.encode())
    digest.update(sha256_file(upload).encode() if upload else b"")
    return digest.hexdigest()


class IdempotencyKeys:
    """The idempotency keys that clients have used, and the records that they led to.

    Args:
        root: the directory of the keys' files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def was_used(self, key: str, records: RecordStore[Record]) -> bool:
        """Return whether a request with this key has come before.

        Args:
            key: the `Idempotency-Key` that the client sent.
            records: the store of the records that such a request creates.
        """
        return self._file(records.root.name, key).exists()

    def create_once(
        self, key: str, content: str, records: RecordStore[Record], make: Callable[[str], Record]
    ) -> Record:
        """Create a record, or return the answer to an earlier request with the same key.

        Args:
            key: the `Idempotency-Key` that the client sent.
            content: the request's `fingerprint`.
            records: the store of the new record.
            make: creates the record under the id that it is called with. If it raises, the key
                can be used again as if it were new, except after `Unavailable`: then the next
                request with the key continues with the same id.

        Raises:
            KeyReused: the key was used for a request with different content.
            KeyUnreadable: the file of the key, or the record that it led to, is damaged.
            Conflict: another request with this key is in progress.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        file = self._file(records.root.name, key)
        with lease(file.with_suffix(".lease")) as held:
            if held is None:
                raise Conflict("Another request with this Idempotency-Key is being answered now.")
            use = _load(file) or KeyUse(fingerprint=content, id=new_id())
            if use.fingerprint != content:
                raise KeyReused(use.id)
            if use.answer is not None:
                return _answer(records, use.answer, file)
            _save(file, use)
            try:
                record = _existing(records, use.id) or make(use.id)
            except (Unavailable, KeyUnreadable):
                raise  # keep the file: a repeated request must find what this one has created
            except BaseException:
                file.unlink(missing_ok=True)
                raise
            _save(file, use.model_copy(update={"answer": record.model_dump(mode="json")}))
            return record

    def _file(self, made: str, key: str) -> Path:
        return self.root / f"{hashlib.sha256(f'{made} {key}'.encode()).hexdigest()}.json"


def _existing(records: RecordStore[Record], record_id: str) -> Record | None:
    try:
        return records.get(record_id)
    except NotFound:
        return None
    except RecordCorrupt as corrupt:  # it was created, so creating it now would be a duplicate
        raise KeyUnreadable from corrupt


def _answer(records: RecordStore[Record], answer: dict[str, Any], file: Path) -> Record:
    try:
        return records.kind.model_validate(answer)
    except ValidationError as error:
        raise _unreadable(file, first_fault(error)) from None


def _load(file: Path) -> KeyUse | None:
    try:
        return KeyUse.model_validate_json(read_small(file, MOST_BYTES))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise _unreadable(file, first_fault(error)) from None
    except OSError as error:
        if not is_permanent(error):
            raise
        raise _unreadable(file, str(error)) from None


def _unreadable(file: Path, reason: str) -> KeyUnreadable:
    log.warning("the use of a key can't be read", file=str(file), reason=reason)
    return KeyUnreadable()


def _save(file: Path, use: KeyUse) -> None:
    atomic_write(file, use.model_dump_json().encode())
