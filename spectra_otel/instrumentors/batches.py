"""Results of batches: each line of the file is a record at batch price, made once, by whoever first downloads it.

Starting a batch makes no record. Its id is remembered, and with OpenAI that of the file that a later look at the batch names; the
results of a batch that nobody started here make no record.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from spectra_otel import faults
from spectra_otel.instrumentors.polls import Poll
from spectra_otel.instrumentors.streams import Decompressor, EventSplitter, Tap, UsageHider
from spectra_otel.providers.base import Endpoint, Sent, Values, as_dict
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.tracking import context
from spectra_otel.tracking.reading import read_answer
from spectra_otel.tracking.request import SCOPE, known_values, span_name, start_attributes

if TYPE_CHECKING:
    from spectra_otel.instrumentors.exchange import Observer

PREFIX = "batch:"
"""Before the ids of batches and their files, among the jobs."""
_FILES = ("output_file_id", "error_file_id")


class BatchCall(Poll):
    """One request about a batch: it starts one, looks at one, or downloads its results."""

    __slots__ = ("_rows", "_splitter")

    def __init__(self, observer: Observer, row: Endpoint, sent: Sent, seed: Values) -> None:
        super().__init__(observer, row, sent, {})
        self._seed = seed
        self._splitter = EventSplitter(sse=False)
        self._rows: list[Values] = []

    def whole(self, data: bytes, content_type: str) -> None:
        """The body of an answer that was read at once. Never raises."""
        self._feed(data)
        self._over(False, None)

    def tap(self, content_type: str, decompress: Decompressor | None, hider: UsageHider | None) -> Tap:
        """A tap for a body that the app reads piece by piece."""
        return Tap(self._observer.taps, self._feed, self._over, decompress, hider)

    def _feed(self, piece: bytes) -> bytes:
        for line in self._splitter.feed(piece):
            self._take(line)
        return b""

    def _take(self, line: bytes) -> None:
        if self._row.batch == "results":
            try:
                values = _values(orjson.loads(line))
            except (ValueError, TypeError, AttributeError):
                return
            if values is not None:
                self._rows.append(values)
        else:
            self._rows.append({"line": line})

    def _over(self, aborted: bool, error: BaseException | None) -> None:
        try:
            for line in self._splitter.rest():
                self._take(line)
            if aborted or self.status is None or self.status >= 400:
                return
            if self._row.batch == "results":
                self._record_results()
            else:
                self._remember()
        except Exception as fault:
            faults.report("batches", fault)

    def _remember(self) -> None:
        """The ids that results may be downloaded by, from one JSON document of however many lines."""
        body = as_dict(orjson.loads(b"\n".join(row["line"] for row in self._rows)))
        batch = self._seed.get("id") or body.get("id")
        ids = [body.get("id")] if self._row.batch == "start" else [body.get(name) for name in _FILES]
        for found in ids:
            if isinstance(found, str) and found:
                self._observer.jobs.remember(self._sent.provider.name, PREFIX + found, {"id": str(batch)})

    def _record_results(self) -> None:
        provider = self._sent.provider.name
        if not self._observer.jobs.claim(provider, PREFIX + self._sent.places["job"]):
            return
        known = context.known_fields()
        known.pop("pricing_tier", None)
        for values in self._rows:
            metadata = {**(known.get("metadata") or {}), **values.pop("metadata", {})}
            row = {**known, **values, "provider": provider, "metadata": metadata, "endpoint": self._sent.path}
            span = _span(str(self._seed["id"]), row, self._observer.owner.resource)
            self._observer.owner.record(span, known_values(row))


def _values(row: Any) -> Values | None:
    """The fields of one line; None for a request that was never answered."""
    values: Values = {"is_streaming": False, "is_failed": False, "metadata": {"custom_id": row.get("custom_id")}}
    result, response = as_dict(row.get("result")), as_dict(row.get("response"))
    if result:  # Anthropic's
        if result.get("type") not in ("succeeded", "errored"):
            return None
        body = as_dict(result.get("message") or result.get("error"))
    else:
        values["status_code"] = response.get("status_code")
        body = as_dict(response.get("body"))
        if row.get("error"):
            body = {"error": row["error"]}
    if body.get("error") or body.get("type") == "error" or (values.get("status_code") or 0) >= 400:
        read_error(body, values)
        values["cost_status"] = "not_billed"
    else:
        read_answer(body, values)
    values["pricing_tier"] = values["requested_tier"] = "batch"
    values["model"] = values.get("snapshot")
    return values


def _span(batch: str, values: Values, resource: Resource) -> ReadableSpan:
    """A span whose ids come from those of the batch and the response, so that an import again is the same record."""
    answer = str(values.get("response_id") or values["metadata"].get("custom_id"))
    context_ = SpanContext(
        int.from_bytes(hashlib.sha256(batch.encode()).digest()[:16], "big"),
        int.from_bytes(hashlib.sha256(answer.encode()).digest()[:8], "big"),
        False,
        TraceFlags(0),
    )
    now = time.time_ns()
    return ReadableSpan(
        name=span_name(values),
        context=context_,
        resource=resource,
        kind=SpanKind.CLIENT,
        attributes=start_attributes(values),
        instrumentation_scope=InstrumentationScope(SCOPE),
        start_time=now,
        end_time=now,
    )
