"""What both HTTP services count, and the route where Prometheus reads it."""

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import Scope

METRICS_PATH = "/metrics"

#: Seconds; from a healthy answer to a request that waits for the end of a training.
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class HttpMetrics:
    """Counts answers by method, route and status; a route is a template, never a path."""

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
        route = route_of(scope)
        self._requests.labels(scope["method"], route, str(status or "none")).inc()
        self._seconds.labels(route).observe(seconds)


def route_of(scope: Scope) -> str:
    """Return the template that the request's path has matched."""
    route = scope.get("route")
    if route is not None:
        return str(route.path)
    mounted = scope.get("root_path", "") != scope.get("app_root_path", scope.get("root_path", ""))
    return "static" if mounted else "none"


def add_metrics(app: FastAPI, registry: CollectorRegistry, *, blocking: bool) -> None:
    """Answer `GET /metrics`; in a thread if collecting is `blocking`, else in the event loop's."""
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
