"""Results of batches: each line of the file is a record at batch price, made once, by whoever first downloads it.

Starting a batch makes no record. Its id is remembered, and so is that of the file that a later look at the batch names. Results
that stand in the answer to such a look, perhaps before all are there, are records the first time they are seen. The results of
a batch that nobody started here make no record.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import orjson
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from spectra_otel import faults
from spectra_otel.budgets.book import on_event_loop
from spectra_otel.instrumentors.events import EVENT_LIMIT, EventSplitter
from spectra_otel.instrumentors.polls import Poll
from spectra_otel.instrumentors.streams import Decompressor, Tap, UsageHider
from spectra_otel.providers.base import Endpoint, Sent
from spectra_otel.providers.values import REGION, Json, Values, as_dict, put_region
from spectra_otel.providers.wire.batch import Batch, Result
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.tracking import context
from spectra_otel.tracking.abandoned import abandoned
from spectra_otel.tracking.reading import read_answer
from spectra_otel.tracking.request import Owner
from spectra_otel.tracking.spans import SCOPE, known_values, span_name, start_attributes

if TYPE_CHECKING:
    from spectra_otel.instrumentors.observing import Observer

Row = tuple[str, Values]
"""What tells a result from the others of its batch, and the fields of its record."""
_MANY = 1000
"""Records that are made without looking whether those before them are on disk."""
PREFIX = "batch:"
"""Before the ids of batches and their files, among the jobs."""


class BatchCall(Poll):
    """One request about a batch: it starts one, looks at one, or downloads its results."""

    __slots__ = ("_format", "_parts", "_results", "_size", "_splitter")

    def __init__(self, observer: Observer, row: Endpoint, sent: Sent, seed: Values) -> None:
        super().__init__(observer, row, sent, {})
        self._seed = seed
        self._format = cast(Batch, row.format)
        self._splitter = EventSplitter(sse=False)
        self._results: list[Row] = []
        self._parts: list[bytes] = []
        self._size = 0

    def whole(self, data: bytes, content_type: str) -> None:
        """The body of an answer that was read at once. Never raises."""
        self._feed(data)
        self._over(False, None)

    def tap(self, content_type: str, decompress: Decompressor | None, hider: UsageHider | None) -> Tap:
        """A tap for a body that the app reads piece by piece."""
        return Tap(self._observer.taps, self._feed, self._over, decompress, hider)

    def _feed(self, piece: bytes) -> bytes:
        if self._row.batch == "results":
            for line in self._splitter.feed(piece):
                self._take(line)
        elif self._size <= EVENT_LIMIT:
            self._size += len(piece)
            self._parts.append(piece)
        return b""

    def _take(self, line: bytes) -> None:
        """One line of a file of results."""
        try:
            found = self._format.result(as_dict(orjson.loads(line)))
        except (ValueError, TypeError, AttributeError, KeyError):
            return
        if found is None:
            return
        try:
            self._results.append(self._row_of(len(self._results), found))
        except Exception as fault:  # the other lines still count
            faults.report("batches", fault)

    def _over(self, aborted: bool, error: BaseException | None) -> None:
        try:
            for line in self._splitter.rest():
                self._take(line)
            if aborted or self.status is None or self.status >= 400:
                return
            if self._row.batch == "results":
                if self._claim():
                    self._record(self._results)
            elif self._size <= EVENT_LIMIT:
                self._read_document(as_dict(orjson.loads(b"".join(self._parts))))
        except Exception as fault:
            faults.report("batches", fault)

    def _read_document(self, body: Json) -> None:
        """The answer to a start, or to a look: ids of the batch and its files, or results."""
        batch = self._seed.get("id") or self._format.batch_id(body)
        if not batch:
            return
        seed = {"id": batch, "model": self._seed.get("model") or self._format.model(body)}
        if self._row.batch == "start":
            self._remember(batch, seed)
            return
        for file in self._format.result_files(body):
            self._remember(file, seed)
        results = [self._format.result(as_dict(row)) for row in self._format.entries(body)]
        jobs, name, job = self._observer.jobs, self._sent.provider.name, PREFIX + self._sent.places["job"]
        known = jobs.seen(name, job)
        rows = [self._row_of(number, found) for number, found in enumerate(results) if found is not None]
        fresh = {digest: (digest, values) for digest, values in rows if digest not in known}
        if fresh and self._claim():
            self._record(list(fresh.values()))
            if not self._format.is_over(body):
                jobs.add_seen(name, job, fresh)
                self._remember(self._sent.places["job"], seed)

    def _remember(self, job: str, seed: Values) -> None:
        self._observer.jobs.remember(self._sent.provider.name, PREFIX + job, seed)

    def _claim(self) -> bool:
        return self._observer.jobs.claim(self._sent.provider.name, PREFIX + self._sent.places["job"])

    def _row_of(self, number: int, result: Result) -> Row:
        """What is recorded of a result: without the answer's text, of which a file may have a gigabyte."""
        values = _values(result, self._sent.provider.name, self._seed.get("model"))
        put_region(values, self._sent.places.get(REGION))
        if result.name:
            values["metadata"] = {"custom_id": result.name}
        return _digest(str(self._seed.get("id")), number, result), values

    def _record(self, rows: Sequence[Row]) -> None:
        """Make the records; an event loop does not wait for them, for there may be thousands."""
        known = context.known_fields()
        known.pop("pricing_tier", None)
        recording = _Recording(self._observer.owner, str(self._seed["id"]), rows, known, self._sent)
        if on_event_loop():
            abandoned.watch()
            abandoned.put(recording)
        else:
            recording.close()


class _Recording:
    """Results that wait to be recorded."""

    def __init__(self, owner: Owner, batch: str, rows: Sequence[Row], known: Values, sent: Sent) -> None:
        self._owner, self._batch, self._rows, self._known = owner, batch, rows, known
        self._shared = {"provider": sent.provider.name, "endpoint": sent.path}

    def close(self) -> None:
        """Record them. Never raises."""
        try:
            for number, (digest, values) in enumerate(self._rows):
                if number % _MANY == 0:
                    self._owner.make_room()
                metadata = {**(self._known.get("metadata") or {}), **values.get("metadata", {})}
                row = {**self._known, **values, **self._shared, "metadata": metadata}
                self._owner.record(_span(self._batch, digest, row, self._owner.resource), known_values(row))
        except Exception as fault:
            faults.report("batches", fault)


def _values(result: Result, provider: str, model: str | None) -> Values:
    """The fields of one result."""
    values: Values = {
        "provider": provider,
        "is_streaming": False,
        "is_failed": False,
        "status_code": result.status_code,
    }
    body = result.body
    if body.get("error") or body.get("type") == "error" or (result.status_code or 0) >= 400:
        read_error(body, values)
        values["cost_status"] = "not_billed"
    else:
        read_answer(body, values)
    values["pricing_tier"] = values["requested_tier"] = "batch"
    values["model"] = model or values.get("snapshot")
    return values


def _digest(batch: str, number: int, result: Result) -> str:
    """What tells one result of a batch from the others: the answer's id, else its name, else its place."""
    answer = result.body.get("id") or result.body.get("responseId") or result.name or f"{batch}#{number}"
    return hashlib.sha256(str(answer).encode()).hexdigest()[:16]


def _span(batch: str, digest: str, values: Values, resource: Resource) -> ReadableSpan:
    """A span whose ids come from those of the batch and the response, so that an import again is the same record."""
    context_ = SpanContext(
        int.from_bytes(hashlib.sha256(batch.encode()).digest()[:16], "big"),
        int(digest, 16),
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
