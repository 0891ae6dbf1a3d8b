"""The route `/v1/session`: a browser sends its key once, and gets a cookie in return.

A page can't add headers to the requests of `<img>` and `EventSource`, but they do send cookies. No
script can read this cookie.
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from shared.errors import Unauthorized
from shared.http.guard.access import SESSION_COOKIE, SESSION_PATH
from shared.http.guard.keys import SESSION_SECONDS, ApiKeys
from shared.http.problems import responses

router = APIRouter(tags=["session"])


class Session(BaseModel):
    """The state of the client's session."""

    signed_in: bool = Field(description="Whether the request came with a session that is valid.")


class SignIn(BaseModel):
    """The API key to sign in with."""

    model_config = ConfigDict(extra="forbid")

    key: SecretStr = Field(max_length=1024)


@router.get(SESSION_PATH, responses=responses(422))
def get_session(request: Request) -> Session:
    """Return whether the request has a valid session; a page can't see its own cookie."""
    keys: ApiKeys = request.app.state.api_keys
    return Session(signed_in=keys.accept_session(request.cookies.get(SESSION_COOKIE, "")))


@router.post(SESSION_PATH, status_code=204, responses=responses(401, 422))
def sign_in(body: SignIn, request: Request) -> Response:
    """Check an API key and set a cookie that replaces it, for a week and for this service."""
    keys: ApiKeys = request.app.state.api_keys
    response = Response(status_code=204)
    if not keys:
        return response
    key = body.key.get_secret_value()
    if not keys.accept(key):
        raise Unauthorized("This API key is not valid.")
    response.set_cookie(
        SESSION_COOKIE,
        keys.new_session(key),
        max_age=SESSION_SECONDS,
        path=_root(request),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


@router.delete(SESSION_PATH, status_code=204, responses=responses(422))
def sign_out(request: Request) -> Response:
    """Remove the cookie."""
    response = Response(status_code=204)
    response.delete_cookie(SESSION_COOKIE, path=_root(request), httponly=True, samesite="strict")
    return response


def _root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return f"{root}/"
