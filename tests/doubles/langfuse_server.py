"""A server that speaks what Langfuse's SDK sends: OTLP traces as protobuf, and scores as JSON; or hangs."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.doubles.serving import Handler, Serving


@dataclass
class LangfuseServer(Serving):
    """Keeps what arrives. Starts on entering the context."""

    port: int = 0
    hangs: bool = False
    asked: int = 0
    """Requests so far, of any kind."""
    logins: set[str] = field(default_factory=set[str])
    spans: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The attributes of each span, with its `name`."""
    scores: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    disconnects: int = 0

    def __post_init__(self) -> None:
        self.handler = _Langfuse

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def everything(self) -> str:
        """All that arrived, as one text."""
        return json.dumps([self.spans, self.scores], ensure_ascii=False)


class _Langfuse(Handler):
    def do_GET(self) -> None:
        double: Any = self.server.double
        with double.lock:
            double.asked += 1
        if double.hangs:
            return self.hang()
        if self.path == "/api/public/projects":
            whose = {"id": "org", "name": "Org"}
            found = {"data": [{"id": "bench", "name": "Bench", "metadata": {}, "organization": whose}]}
            return self.send(json.dumps(found).encode(), "application/json")
        return self.send(b"{}", "application/json", 404)

    def do_POST(self) -> None:
        double: Any = self.server.double
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with double.lock:
            double.asked += 1
            double.logins.add(self.headers.get("Authorization", ""))
        if double.hangs:
            return self.hang()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/api/public/otel/v1/traces":
            found = _spans(body)
            with double.lock:
                double.spans += found
            return self.send(b"", "application/x-protobuf")
        if self.path.startswith("/api/public/scores"):
            told = json.loads(body)
            several = told if isinstance(told, list) else told.get("scores", [told])
            with double.lock:
                double.scores += several
            results = [{"id": each["id"], "status": 201} for each in several]
            return self.send(json.dumps({"results": results, "errors": []}).encode(), "application/json", 207)
        return self.send(b"{}", "application/json", 404)


def _spans(body: bytes) -> list[dict[str, Any]]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        {"name": span.name, "trace": span.trace_id.hex()}
        | {attribute.key: _value(attribute.value) for attribute in span.attributes}
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None
