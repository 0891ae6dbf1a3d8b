"""Writes the address of a service as a URL."""


def base_url(host: str, port: int) -> str:
    """Return the URL of a service, with an IPv6 address in brackets.

    Example:
        base_url("::1", 8000)  # http://[::1]:8000
    """
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
