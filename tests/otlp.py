"""A collector for tests: OpenTelemetry's protocol over HTTP, in a thread, that keeps what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Received:
    """`spans` by name and `metrics` by name, in the form of the protocol; `resource` as a dict."""

    url: str = ""
    spans: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)


def attributes(of: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


@contextmanager
def receiver(*, hold: threading.Event | None = None, status: int = 200) -> Iterator[Received]:
    """With `hold` it does not answer until that is set; with `status` it answers so."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if hold is not None:
                hold.wait(30)
            if self.path == "/v1/traces":
                _keep_spans(received, ExportTraceServiceRequest.FromString(body))
            else:
                _keep_metrics(received, ExportMetricsServiceRequest.FromString(body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _keep_spans(received: Received, request: ExportTraceServiceRequest) -> None:
    for of in request.resource_spans:
        received.resource = attributes(of.resource)
        received.spans |= {span.name: span for scope in of.scope_spans for span in scope.spans}


def _keep_metrics(received: Received, request: ExportMetricsServiceRequest) -> None:
    for of in request.resource_metrics:
        received.metrics |= {metric.name: metric for scope in of.scope_metrics for metric in scope.metrics}
