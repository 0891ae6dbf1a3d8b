"""The HTTP metrics of both services, and the route where Prometheus reads all metrics."""

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import Scope

METRICS_PATH = "/metrics"

#: In seconds, from a fast answer to a request that waits for the end of a training.
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class HttpMetrics:
    """Counts answers by method, route and status. A route is a template, not a path."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "headstart_http_requests_total",
            "Requests answered; status none: the client left, or the process ended.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "headstart_http_request_duration_seconds",
            "From the request's headers to the last byte of the answer.",
            ["route"],
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )

    def observe(self, scope: Scope, status: int | None, seconds: float) -> None:
        """Count an answer.

        Args:
            scope: the ASGI scope of the request.
            status: the status of the answer; None if there was none.
            seconds: how long the request took.
        """
        route = route_of(scope)
        self._requests.labels(scope["method"], route, str(status or "none")).inc()
        self._seconds.labels(route).observe(seconds)


def route_of(scope: Scope) -> str:
    """Return the template of the route that a request's path matches.

    Returns:
        For example `/v1/models/{name}`; "static" for files of the pages, "none" for unknown paths.
    """
    route = scope.get("route")
    if route is not None:
        return str(route.path)
    mounted = scope.get("root_path", "") != scope.get("app_root_path", scope.get("root_path", ""))
    return "static" if mounted else "none"


def add_metrics(app: FastAPI, registry: CollectorRegistry, *, blocking: bool) -> None:
    """Add the route `GET /metrics`.

    Args:
        app: the service.
        registry: the metrics to show.
        blocking: whether collecting them may block; then it is done outside of the event loop.
    """
    ProcessCollector(registry=registry)
    own_thread = CapacityLimiter(1)
    app.state.registry = registry

    @app.get(METRICS_PATH, include_in_schema=False)
    async def metrics() -> Response:
        if blocking:
            text = await run_sync(generate_latest, registry, limiter=own_thread)
        else:
            text = generate_latest(registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)
