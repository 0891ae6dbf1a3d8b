"""Refuses query parameters that a route does not have, instead of ignoring them.

Ignored, a misspelt `?versoin=3` gets the answer of another version, and nobody notices.

Only the routes of the API are strict. Pages and probes take no parameters, so none can be
misunderstood there, and others add some: proxies and monitors against caches, Prometheus `name[]`.
"""

from difflib import get_close_matches

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from shared.http.problems import UNKNOWN_PARAMETER
from shared.http.requests import PROBED


async def refuse_unknown_parameters(request: Request) -> None:
    """Refuse a request whose query names a parameter that its route does not declare.

    A dependency of whole applications: `FastAPI(dependencies=[Depends(...)])`.

    Raises:
        RequestValidationError: names each unknown parameter, and those that the route has.
    """
    if not request.url.query:
        return
    route = request.scope["route"]
    if not isinstance(route, APIRoute) or not route.include_in_schema or route.path in PROBED:
        return
    known = parameters_of(route)
    unknown = dict.fromkeys(name for name in request.query_params if name not in known)
    if unknown:
        raise RequestValidationError([_error(name, known) for name in unknown])


def parameters_of(route: APIRoute) -> tuple[str, ...]:
    """Return the names of the query parameters that a route declares, sorted."""
    return tuple(sorted(_declared(route.dependant)))


def _declared(dependant: Dependant) -> set[str]:
    names: set[str] = set()
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names |= {inner.alias or name for name, inner in kind.model_fields.items()}
        else:
            names.add(field.alias)
    return names.union(*map(_declared, dependant.dependencies))


def _error(name: str, known: tuple[str, ...]) -> dict[str, object]:
    near = get_close_matches(name, known, n=1)
    meant = f"; perhaps {near[0]} is meant" if near else ""
    have = f"Expected one of: {', '.join(known)}" if known else "This route takes none"
    message = f"there is no such query parameter{meant}. {have}"
    return {"type": UNKNOWN_PARAMETER, "loc": ("query", name), "msg": message, "input": name}
