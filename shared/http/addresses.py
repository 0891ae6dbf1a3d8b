"""How an address of this service is written in URLs."""


def base_url(host: str, port: int) -> str:
    """Return the URL of what listens there; addresses of IPv6 stand in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
