"""Metrics for Prometheus: counts, times, the queue. None of them tells what pictures show."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mien_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mien_request_seconds",
            "From a request's headers to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.pictures = Counter("mien_pictures", "Pictures analysed.", registry=self._registry)
        self.faces = Counter("mien_faces", "Faces answered.", registry=self._registry)
        self.skipped = Counter(
            "mien_stream_frames_skipped",
            "Frames of streams that a newer one overtook.",
            registry=self._registry,
        )
        self.streams = Gauge("mien_streams", "Open streams.", registry=self._registry)
        self.queue = Gauge(
            "mien_queue_places",
            "Places taken by pictures that are analysed or wait.",
            registry=self._registry,
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        known = method if method in ("GET", "HEAD", "POST", "DELETE", "WS") else "other"
        self._requests.labels(route, known, str(status)).inc()
        if route != "/v1/stream":
            self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
