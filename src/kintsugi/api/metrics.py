"""The control plane's own measurements, for ``GET /metrics``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ApiMetrics:
    """One registry per application, so that several run in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "kintsugi_api_requests",
            "Requests answered, by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self.events_stored = Counter(
            "kintsugi_api_events_stored", "Decision events stored.", registry=self._registry
        )
        self.events_duplicate = Counter(
            "kintsugi_api_events_duplicate",
            "Decision events that were sent again and stored already.",
            registry=self._registry,
        )
        self.spans = Counter(
            "kintsugi_api_spans",
            "Spans received, by what became of them: stored, duplicate or rejected.",
            ("outcome",),
            registry=self._registry,
        )
        self.escalations = Gauge(
            "kintsugi_escalations",
            "Escalations that wait for a person: pending or claimed.",
            ("status",),
            registry=self._registry,
        )
        self.streams = Gauge(
            "kintsugi_api_streams",
            "Open event streams, by kind.",
            ("kind",),
            registry=self._registry,
        )

        self.relaxed = Gauge(
            "kintsugi_api_relaxed_settings",
            "Settings of the control plane that are weaker than they could be, by state: in_time "
            "or overdue.",
            ("state",),
            registry=self._registry,
        )

    def exposition(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self._registry)


class CountRequests:
    """Counts every answer under the route that gave it, never under the address that was asked:
    addresses are the caller's words and would grow without bound."""

    def __init__(self, app: ASGIApp, *, metrics: ApiMetrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("kintsugi.route", "")
                method = scope["method"] if route else ""
                self._metrics.requests.labels(method, route, message["status"]).inc()
            await send(message)

        await self.app(scope, receive, send_counted)
