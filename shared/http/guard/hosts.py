"""The names under which a service without keys answers.

A website can let its own name lead to 127.0.0.1 after its page is shown (DNS rebinding). To the
browser, page and service then have the same origin; only the `Host` header shows the difference.
"""

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from typing import Self

from shared.settings import SharedSettings

#: No public DNS has these names: RFC 6761, RFC 6762, RFC 8375, and ICANN's resolution of 2024.
RESERVED = (".localhost", ".local", ".home.arpa", ".internal")
MOST_REMEMBERED = 64
#: A name has 253 characters at most.
LONGEST = 300


class OwnHosts:
    """Decides which hosts are this service's own, and not names that a stranger may have chosen.

    Args:
        bound: the host that the service listens on.
        allowed: more names; `*.name` allows all names below `name`, `*` allows every host.
    """

    def __init__(self, bound: str, allowed: Collection[str]) -> None:
        self._any = "*" in allowed
        self._names = {bound.lower().removesuffix("."), *allowed}
        self._endings = (*RESERVED, *(name[1:] for name in allowed if name.startswith("*.")))
        # Clients use few different hosts, so their verdicts are remembered.
        self.accept = lru_cache(MOST_REMEMBERED)(self._accept)

    @classmethod
    def of(cls, settings: SharedSettings) -> Self:
        """Return the hosts that the settings allow.

        With keys, and no names listed, every host is allowed: another website's page has no key.
        """
        allowed = settings.read_allowed_hosts()
        if not allowed and settings.read_api_keys():
            allowed = ("*",)
        return cls(settings.host, allowed)

    def _accept(self, host: bytes) -> bool:
        """Return whether the `Host` header of a request names one of these hosts."""
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
    """Return the name in a `Host` header, in lower case and without port, dot and brackets.

    Example:
        name_of("[::1]:8000")  # ::1
    """
    if host.startswith("[") and "]" in host:
        address, _, rest = host[1:].partition("]")
        return address if not rest or rest.startswith(":") else host
    name, _, port = host.lower().rpartition(":")
    return (name if name and port.isdecimal() else host.lower()).removesuffix(".")


def is_address(name: str) -> bool:
    """Return whether a host is an IP address, not a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
