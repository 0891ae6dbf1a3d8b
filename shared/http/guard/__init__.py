"""The checks before the routes of both services: keys, origins, sizes, and security headers."""

from collections.abc import Collection

from fastapi import FastAPI

from shared.http.guard.access import Access
from shared.http.guard.allowed_origins import AllowedOrigins
from shared.http.guard.body_limit import BodyLimit
from shared.http.guard.concurrent_uploads import ConcurrentUploads
from shared.http.guard.document import describe_access
from shared.http.guard.hosts import OwnHosts
from shared.http.guard.keys import ApiKeys
from shared.http.guard.origin import SameOrigin
from shared.http.guard.paths import Paths
from shared.http.guard.session import router
from shared.http.guard.silence_timeout import SilenceTimeout
from shared.http.security_headers import SecurityHeaders
from shared.http.server.draining import Gate, RefuseWhileEnding
from shared.settings import SharedSettings


def add_guard(
    app: FastAPI,
    settings: SharedSettings,
    *,
    streamed: Collection[str],
    concurrent_uploads: str,
    held_bytes: int | None = None,
) -> None:
    """Add all checks to `app`, and the routes by which browsers sign in.

    Args:
        app: a service with all its routes.
        settings: the settings of the service.
        streamed: paths, as routes write them (`/v1/models/{name}:predict`), whose routes read their
            bodies piece by piece and have limits of their own. Pages of listed origins may post to
            these only.
        concurrent_uploads: the name of the setting that limits how many such bodies are received
            at once.
        held_bytes: HEADSTART_MAX_HELD_BYTES for a service that keeps bodies in memory, else None.
    """
    keys = ApiKeys.of(settings)
    app.state.api_keys = keys
    uploads = Paths(streamed)
    app.include_router(router)
    describe_access(app)
    # A request meets the one that is added last first.
    app.add_middleware(SilenceTimeout, seconds=settings.silence_seconds)
    app.add_middleware(BodyLimit, max_bytes=settings.max_json_bytes, streamed=uploads)
    app.add_middleware(
        ConcurrentUploads,
        most=getattr(settings, concurrent_uploads),
        setting=f"HEADSTART_{concurrent_uploads.upper()}",
        paths=uploads,
        most_bytes=held_bytes,
        bytes_setting="HEADSTART_MAX_HELD_BYTES",
    )
    app.add_middleware(Access, keys=keys)
    app.state.gate = Gate()
    app.add_middleware(RefuseWhileEnding, gate=app.state.gate)
    # Around whatever answers, so that the page of another origin can read it.
    app.state.allowed_origins = AllowedOrigins(settings.read_allowed_origins(), uploads)
    app.add_middleware(SameOrigin, hosts=OwnHosts.of(settings), allowed=app.state.allowed_origins)
    app.add_middleware(SecurityHeaders)
