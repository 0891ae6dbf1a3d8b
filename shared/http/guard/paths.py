"""Matches the paths that a limit applies to."""

from collections.abc import Iterable

from starlette.routing import compile_path


class Paths:
    """A set of path patterns, written as in routes: `/v1/models/{name}:predict`, `/v2/{rest:path}`.

    A path matches exactly if the router matches it, so no other spelling gets around a limit.

    Args:
        patterns: the patterns.

    Example:
        "/v1/models/pets:predict" in Paths(["/v1/models/{name}:predict"])  # True
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._expressions = [compile_path(pattern)[0] for pattern in patterns]

    def __contains__(self, path: str) -> bool:
        return any(expression.match(path) for expression in self._expressions)
