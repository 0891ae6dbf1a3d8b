"""The addresses of services: as URLs, and who can reach them."""

import ipaddress


def base_url(host: str, port: int) -> str:
    """Return the URL of a service, with an IPv6 address in brackets.

    Example:
        base_url("::1", 8000)  # http://[::1]:8000
    """
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a service that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
