"""What OpenAPI says of keys, and of the answers that the guard gives before any route."""

from typing import Any

from fastapi import FastAPI

from shared.http.guard.access import SESSION_COOKIE, is_open
from shared.http.guard.origin import SAFE_METHODS
from shared.http.problems import PROBLEM_TYPE, responses
from shared.http.requests import HEALTH

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
}
#: The empty one is for services without keys.
SECURITY: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"header": []}, {"session": []}]


def describe_access(app: FastAPI) -> None:
    """Have the OpenAPI document of `app` tell of keys and refusals, for all routes."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document.setdefault("components", {})["securitySchemes"] = SCHEMES
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _describe(operation, path, method)
        return document

    # The way that FastAPI documents.
    app.openapi = openapi  # type: ignore[method-assign]


def _describe(operation: dict[str, Any], path: str, method: str) -> None:
    statuses = []
    if not is_open(path):
        operation["security"] = SECURITY
        statuses.append(401)
    if path not in HEALTH:
        statuses.append(421)
    if method.upper() not in SAFE_METHODS:
        statuses += [403, 413]
    if "requestBody" in operation:
        statuses.append(400)  # not even text
    described = operation["responses"].get("422", {})
    if described and PROBLEM_TYPE not in described["content"]:
        # FastAPI's description of an answer that shared.http.problems gives otherwise.
        del operation["responses"]["422"]
        statuses.append(422)
    for status, response in responses(*statuses).items():
        operation["responses"].setdefault(str(status), response)
