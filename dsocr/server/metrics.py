"""What the server tells those who watch it: requests, pages, tokens and seconds, in Prometheus' own words."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from dsocr.document.blocks import STATUSES
from dsocr.engine.request import Stats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)


class Metrics:
    """Counts for one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter("http_requests", "Requests that were answered.", "route", "status")
        self._pages = self._counter("pages", "Pages of documents that were read, by how that ended.", "status")
        self._tokens = self._counter("tokens", "Tokens: prompt places read, vision tokens among them, written.", "kind")
        self._spent = self._counter("work_seconds", "Seconds of work on pages and answers, shared or not.", "kind")
        self._seconds = self._histogram("http_request_seconds", "From a request to the end of its answer.", "route")
        self._first = self._histogram("first_token_seconds", "From a chat's arrival to its first token.")
        for status in STATUSES:
            self._pages.labels(status)

    def watch(self, name: str, meaning: str, ask: Callable[[], float]) -> None:
        """A number that is asked for whenever somebody looks."""
        Gauge(f"dsocr_{name}", meaning, registry=self.registry).set_function(ask)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def page(self, status: str, stats: Stats) -> None:
        """A page of a document is read."""
        self._pages.labels(status).inc()
        self._work(stats)

    def answer(self, stats: Stats, seconds_to_first: float | None) -> None:
        """A chat is answered, or given up; its first token came so long after it, where any came."""
        if seconds_to_first is not None:
            self._first.observe(seconds_to_first)
        self._work(stats)

    def _work(self, stats: Stats) -> None:
        """What a page or an answer took."""
        for kind, tokens in (
            ("prompt", stats.prompt_places),
            ("vision", stats.vision_tokens),
            ("written", stats.tokens_out),
        ):
            self._tokens.labels(kind).inc(tokens)
        for kind, seconds in (
            ("render", stats.render_seconds),
            ("encode", stats.encode_seconds),
            ("prefill", stats.prefill_seconds),
            ("decode", stats.decode_seconds),
        ):
            self._spent.labels(kind).inc(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"dsocr_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        return Histogram(f"dsocr_{name}", meaning, labels, registry=self.registry, buckets=_SECONDS)
