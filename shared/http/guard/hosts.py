"""The names under which a service without keys answers.

A website can make a name of its own lead to 127.0.0.1 once its page is shown (DNS rebinding). For
the browser that page and this service then are one origin: only the `Host` header tells.
"""

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from typing import Self

from shared.settings import SharedSettings

#: No public DNS answers for them: RFC 6761, RFC 6762, RFC 8375, and ICANN's resolution of 2024.
RESERVED = (".localhost", ".local", ".home.arpa", ".internal")
MOST_REMEMBERED = 64
#: A name has 253 characters at most.
LONGEST = 300


class OwnHosts:
    """Tells the hosts that are this service's own from those that others may have chosen.

    Args:
        bound: what the service listens on.
        allowed: other names; `*.name` is all below a name, `*` is every host.
    """

    def __init__(self, bound: str, allowed: Collection[str]) -> None:
        self._any = "*" in allowed
        self._names = {bound.lower().removesuffix("."), *allowed}
        self._endings = (*RESERVED, *(name[1:] for name in allowed if name.startswith("*.")))
        # Clients use few hosts, and ask for each again and again.
        self.accept = lru_cache(MOST_REMEMBERED)(self._accept)

    @classmethod
    def of(cls, settings: SharedSettings) -> Self:
        """With keys every host is own, unless some are listed: no page has a key to send."""
        allowed = settings.read_allowed_hosts()
        if not allowed and settings.read_api_keys():
            allowed = ("*",)
        return cls(settings.host, allowed)

    def _accept(self, host: bytes) -> bool:
        """Tell whether the `Host` header of a request is one of them."""
        if self._any:
            return True
        if len(host) > LONGEST:
            return False
        name = name_of(host.decode("latin-1"))
        return (
            "." not in name
            or name in self._names
            or name.endswith(self._endings)
            or is_address(name)
        )


def name_of(host: str) -> str:
    """Return the name, or the address without brackets, of a `Host` header."""
    if host.startswith("[") and "]" in host:
        address, _, rest = host[1:].partition("]")
        return address if not rest or rest.startswith(":") else host
    name, _, port = host.lower().rpartition(":")
    return (name if name and port.isdecimal() else host.lower()).removesuffix(".")


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
