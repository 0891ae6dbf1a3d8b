"""Checks API keys, and signs sessions with them."""

import hashlib
import hmac
import time
from typing import Self

from shared.settings import SharedSettings

SESSION_SECONDS = 7 * 86_400

#: Part of everything that is signed, so that a signature is valid for a session only.
_PURPOSE = b"headstart session until "


class ApiKeys:
    """The keys of a service. Each of them gives full access; without keys, everybody has it.

    Only the hashes of the keys are kept, so no key can leak from here. All hashes have the same
    length, so every comparison takes the same time.
    """

    def __init__(self, *keys: str) -> None:
        self._digests = [_digest(key) for key in keys]

    @classmethod
    def of(cls, settings: SharedSettings) -> Self:
        """Return the keys of the settings."""
        return cls(*settings.read_api_keys())

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, key: str) -> bool:
        """Return whether this is one of the keys; takes the same time for every key."""
        digest = _digest(key)
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0

    def new_session(self, key: str) -> str:
        """Return a session, signed with the key, that is valid for `SESSION_SECONDS`."""
        until = str(int(time.time()) + SESSION_SECONDS)
        return f"{until}.{_signature(_digest(key), until)}"

    def accept_session(self, session: str) -> bool:
        """Return whether a session was signed with one of the keys and has not ended."""
        until, _, signature = session.partition(".")
        given = _digest(signature)
        signed = sum(
            hmac.compare_digest(given, _digest(_signature(known, until))) for known in self._digests
        )
        # With a valid signature `until` is a number, so int() can't fail.
        return signed > 0 and int(until) > time.time()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _signature(digest: bytes, until: str) -> str:
    message = _PURPOSE + until.encode(errors="surrogatepass")
    return hmac.new(digest, message, hashlib.sha256).hexdigest()
