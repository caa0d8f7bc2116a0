"""Helpers of the tests that start real processes."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spectra_otel.component import Kind, registry
from tests.serving import Handler, serving

APPS = Path(__file__).parent / "apps"
BIN = Path(sys.executable).parent
SPECTRA = [str(BIN / "spectra")]
INSTRUMENT = [str(BIN / "opentelemetry-instrument")]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of an app: nothing of OpenTelemetry's or ours but what the test says."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "SPECTRA_", "PYTHONPATH"))}
    return {**kept, "SPECTRA_HOME": str(home), "PYTHONWARNINGS": "", **more}


def stored(home: Path, sql: str = "select * from spectra_requests order by started_at") -> list[dict[str, Any]]:
    """What the store of ``home`` answers, pending records included."""
    factory = registry(Kind.EXPORTER)["duckdb"]
    assert factory.store is not None
    store = factory.store(type(factory.default_config())(path=str(home / "spectra.duckdb")))
    store.merge_pending()
    columns, rows = store.query(sql)
    return [dict(zip(columns, row, strict=True)) for row in rows]


class OtlpReceiver:
    """A real OTLP/HTTP endpoint that remembers the attributes of every span, by trace."""

    def __init__(self) -> None:
        self.traces: dict[bytes, list[Mapping[str, object]]] = {}

    def costs_by_trace(self, key: str = "gen_ai.usage.cost.amount") -> list[int]:
        return sorted(sum(key in attributes for attributes in spans) for spans in self.traces.values())

    def _take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    attributes = {item.key: item.value for item in span.attributes}
                    self.traces.setdefault(span.trace_id, []).append(attributes)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The base address while it serves."""
        receiver = self

        class Otlp(Handler):
            def do_POST(self) -> None:
                body = self.body()
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path.endswith("/v1/traces"):
                    receiver._take(body)
                self.reply(200)

        with serving(Otlp) as port:
            yield f"http://127.0.0.1:{port}"
