"""Which paths a limit is for."""

from collections.abc import Iterable

from starlette.routing import compile_path


class Paths:
    """Paths as routes write them: `/v1/models/{name}:predict`, or `/v2/{rest:path}`.

    They match what the router matches, so that no other spelling leads around a limit.

    Args:
        patterns: the paths.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._expressions = [compile_path(pattern)[0] for pattern in patterns]

    def __contains__(self, path: str) -> bool:
        return any(expression.match(path) for expression in self._expressions)
