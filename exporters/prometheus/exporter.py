"""Records as metrics: tokens and durations as the GenAI semantic conventions have them, and what calls cost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spectra_otel.exporters.prometheus.config import PrometheusConfig
from spectra_otel.model.spans import record_of
from spectra_otel.service.exposition import CONTENT_TYPE, Answer, Labels, Metrics, SmallServer, labels

_TOKEN_BOUNDS = tuple(4**power for power in range(14))
_DURATION_BOUNDS = tuple(0.01 * 2**power for power in range(14))
_OVERFLOW = {"otel_metric_overflow": "true"}
_LABELS = {
    "gen_ai_operation_name": "operation", "gen_ai_provider_name": "provider", "gen_ai_request_model": "model",
    "gen_ai_response_model": "snapshot",
}  # fmt: skip


class PrometheusExporter(SpanExporter):
    """Counts each record once and serves ``/metrics``. Spans without a record are skipped, and so are later revisions."""

    def __init__(self, config: PrometheusConfig) -> None:
        self._config = config
        self._const = labels(config.const_labels)
        self._metrics = Metrics(expiration=float(config.metric_expiration) or None)
        self._seen: dict[str, set[Labels]] = {}
        with_suffixes = config.translation_strategy == "UnderscoreEscapingWithSuffixes"
        self._tokens = self._declare(
            "gen_ai_client_token_usage", "histogram", "Number of input and output tokens used.", bounds=_TOKEN_BOUNDS
        )
        self._duration = self._declare(
            "gen_ai_client_operation_duration" + ("_seconds" if with_suffixes else ""),
            "histogram", "GenAI operation duration.", bounds=_DURATION_BOUNDS,
        )  # fmt: skip
        end = "_total" if with_suffixes else ""
        self._cost = self._declare(f"spectra_cost{end}", "counter", "What calls cost, in `currency`, by model.")
        self._by_user = self._declare(f"spectra_cost_by_user{end}", "counter", "What calls cost, by user.")
        self._by_tag = self._declare(f"spectra_cost_by_tag{end}", "counter", "What calls cost, by tag.")
        self._requests = self._declare(f"spectra_requests{end}", "counter", "Calls, by model and cost status.")
        self._server = SmallServer(config.endpoint, self._answer)

    @property
    def port(self) -> int:
        """The port it got."""
        return self._server.port

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Count the records of ``spans``."""
        for span in spans:
            record = record_of(span)
            if record is not None and not record.rev:
                self._count(record.values_by_field)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is buffered."""
        return True

    def shutdown(self) -> None:
        """Stop serving."""
        self._server.close()

    def _count(self, record: Mapping[str, Any]) -> None:
        call = {name: record.get(field) for name, field in _LABELS.items()}
        for kind, field in (("input", "prompt_tokens"), ("output", "completion_tokens")):
            if record.get(field) is not None:
                key = self._key(self._tokens, call, gen_ai_token_type=kind)
                self._metrics.observe(self._tokens, record[field], key)
        if record.get("latency_ms") is not None:
            key = self._key(self._duration, {**call, "error_type": record.get("error_type")})
            self._metrics.observe(self._duration, record["latency_ms"] / 1000, key)
        self._metrics.add(self._requests, 1, self._key(self._requests, call, cost_status=record.get("cost_status")))
        cents = record.get("total_cost_in_cents")
        if cents is None:
            return
        amount, currency = cents / 100, record.get("currency") or "USD"
        self._metrics.add(self._cost, amount, self._key(self._cost, call, currency=currency))
        if (user := record.get("user_id")) is not None:
            self._metrics.add(self._by_user, amount, self._key(self._by_user, {"user_id": user}, currency=currency))
        for tag in record.get("tags") or ():
            self._metrics.add(self._by_tag, amount, self._key(self._by_tag, {"tag": tag}, currency=currency))

    def _key(self, name: str, chosen: Mapping[str, Any], **few: str | None) -> Labels:
        """Labels of a series. What senders choose makes so many series at most; beyond, there is one for each of the ``few``."""
        own = labels(chosen)
        seen = self._seen.setdefault(name, set())
        if own not in seen:
            if len(seen) >= self._config.max_series:
                return (*self._const, *labels({**few, **_OVERFLOW}))
            seen.add(own)
        return (*self._const, *labels({**chosen, **few}))

    def _declare(self, name: str, kind: str, help: str, bounds: Sequence[float] = ()) -> str:
        full = f"{self._config.namespace}_{name}" if self._config.namespace else name
        full = re.sub(r"[^a-zA-Z0-9_:]", "_", full)
        self._metrics.declare(full, kind, help, bounds)
        return full

    def _answer(self, path: str) -> Answer:
        if path != "/metrics":
            return 404, "text/plain", "404 page not found\n"
        return 200, CONTENT_TYPE, self._metrics.text()
