"""The API keys, and sessions that are signed with them."""

import hashlib
import hmac
import time
from typing import Self

from shared.settings import SharedSettings

SESSION_SECONDS = 7 * 86_400

#: Nothing else is ever signed with a key.
_PURPOSE = b"headstart session until "


class ApiKeys:
    """Keys of which any one opens the service; none at all, and it is open to everybody.

    Only their hashes are kept: they are all as long as each other, so that comparing them takes
    the same time whatever a key looks like, and no key can leak from here.
    """

    def __init__(self, *keys: str) -> None:
        self._digests = [_digest(key) for key in keys]

    @classmethod
    def of(cls, settings: SharedSettings) -> Self:
        return cls(*settings.read_api_keys())

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, key: str) -> bool:
        """Tell whether this is one of the keys, in the same time whichever it is."""
        digest = _digest(key)
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0

    def new_session(self, key: str) -> str:
        """Return a text that stands for a key for `SESSION_SECONDS`, and that only it can make."""
        until = str(int(time.time()) + SESSION_SECONDS)
        return f"{until}.{_signature(_digest(key), until)}"

    def accept_session(self, session: str) -> bool:
        """Tell whether a session was signed with one of the keys and has not ended."""
        until, _, signature = session.partition(".")
        given = _digest(signature)
        signed = sum(
            hmac.compare_digest(given, _digest(_signature(known, until))) for known in self._digests
        )
        # What was signed here is a number.
        return signed > 0 and int(until) > time.time()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _signature(digest: bytes, until: str) -> str:
    message = _PURPOSE + until.encode(errors="surrogatepass")
    return hmac.new(digest, message, hashlib.sha256).hexdigest()
