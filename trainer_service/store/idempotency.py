"""A request that is sent twice makes one thing: what the keys of clients have led to.

    idempotency/<SHA-256 of what is made and the key>.json    a `KeyUse`

The id is written before anything is made under it, so that a request whose process was killed in
between is finished, not repeated, when it comes again.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ValidationError

from shared.errors import Conflict, InvalidRequest, NotFound, Unavailable, first_fault
from shared.files import atomic_write, sha256_file
from shared.identifiers import is_id, new_id
from shared.logs import get_logger
from trainer_service.errors import RecordCorrupt
from trainer_service.store.lease import lease
from trainer_service.store.records.record_store import Record, RecordStore
from trainer_service.store.small_files import read_small, stays

MOST_BYTES = 2**24

log = get_logger(__name__)


class KeyReused(InvalidRequest):
    def __init__(self, made: str) -> None:
        super().__init__(
            "Idempotency-Key: expected a new key for a request of another content. "
            f"Received: the one that has led to {made}"
        )


class KeyUnreadable(Conflict):
    def __init__(self) -> None:
        super().__init__(
            "Idempotency-Key: what the request with this key has led to can't be read any more. "
            "Look whether it was made; if not, send the request with a new key."
        )


def _require_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("Input should be an id")
    return text


class KeyUse(BaseModel):
    """What a key was used for.

    Attributes:
        fingerprint: of the request's content.
        id: what the thing that it makes is called.
        answer: the record as it was answered, null until then.
    """

    fingerprint: str
    id: Annotated[str, AfterValidator(_require_id)]
    answer: dict[str, Any] | None = None


def fingerprint(fields: str, upload: Path | None) -> str:
    """Return what two requests of the same content have in common: their fields and their file."""
    digest = hashlib.sha256(fields.encode())
    digest.update(sha256_file(upload).encode() if upload else b"")
    return digest.hexdigest()


class IdempotencyKeys:
    """The keys that were used, and for what.

    Args:
        root: the directory that they lie in.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def was_used(self, key: str, records: RecordStore[Record]) -> bool:
        """Return whether a request with this key has come before.

        Args:
            key: as the client sent it.
            records: where what such a request makes lies.
        """
        return self._file(records.root.name, key).exists()

    def once(
        self, key: str, content: str, records: RecordStore[Record], make: Callable[[str], Record]
    ) -> Record:
        """Return what the first request with this key was answered; if it is this one, make it.

        Args:
            key: as the client sent it.
            content: the request's fingerprint.
            records: where what is made lies.
            make: makes it under the id that it gets; if it raises, the key is as good as new,
                unless it was `Unavailable`.

        Raises:
            KeyReused: the key came with another content before.
            KeyUnreadable: what is known of the key is damaged.
            Conflict: another request with this key is being answered now.
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
                raise  # the same request may come again, and finds what was made before
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
    except RecordCorrupt as corrupt:  # made it was, and making it again would make a second one
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
        if not stays(error):
            raise
        raise _unreadable(file, str(error)) from None


def _unreadable(file: Path, reason: str) -> KeyUnreadable:
    log.warning("the use of a key can't be read", file=str(file), reason=reason)
    return KeyUnreadable()


def _save(file: Path, use: KeyUse) -> None:
    atomic_write(file, use.model_dump_json().encode())
