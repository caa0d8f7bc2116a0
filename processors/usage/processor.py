"""The `usage` processor: spans in any dialect to records, one per response."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Lock
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from spectra_otel import faults
from spectra_otel.dialects import _providers as providers
from spectra_otel.dialects._base import CALL, WRAPPER, Draft
from spectra_otel.dialects._reader import Reader, Readers
from spectra_otel.forks import in_forked_child
from spectra_otel.model.attributes import (
    COST_AMOUNT,
    COST_CURRENCY,
    COST_SOURCE,
    COST_STATUS,
    ROLLUP,
    WRITTEN,
    usage_attributes,
)
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import UNTRACKED, Handoff, TrackedSpan, facts_of, handoff, starts
from spectra_otel.processors.usage.config import Config
from spectra_otel.processors.usage.election import Call, Election
from spectra_otel.tracking.context import attribute

_log = logging.getLogger("spectra_otel.usage")
_STREAM_END = "#stream"
"""Marks the scope of a record at the end of a stream: it is another span than the request's, of the same instrumentation."""
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_PLACES = Decimal("1e-8")
_MAX_USD = 1e8
_LONGEST_SECONDS = 86_400
"""A stream that lasted longer is not one: a log of the app's own may say anything under the name."""
_COST_FIELDS = (
    "total_cost_in_cents", "prompt_cost_in_cents", "completion_cost_in_cents", "media_cost_in_cents", "tool_cost_in_cents",
    "estimated_cost_in_cents", "current_cost_in_cents", "current_cost_status", "cost_status", "cost_source", "price_id",
    "price_version", "price_disputed",
)  # fmt: skip
_USAGE_FIELDS = (
    "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "audio_prompt_tokens", "audio_completion_tokens", "usage_raw", "tool_call_counts", "is_reasoning",
)  # fmt: skip
_FILLED_LATE = (
    "response_id", "conversation_id", "model", "snapshot", "provider", "provider_account", "endpoint", "pricing_tier",
    "requested_tier", "status_code", "finish_reason", "is_streaming", "time_to_first_token_ms", "user_id", "trackable_type",
    "trackable_id", "tags", "metadata", "error_type", "error_message", "is_aborted", *_USAGE_FIELDS,
)  # fmt: skip
"""What a later span of a response may add to its record."""
_FILLED_BY_WIRE = (
    *_FILLED_LATE,
    "attempt",
    "has_tool_calls",
    "tokens_per_second",
    "request_body",
    "response_body",
    "media",
)
"""And one whose exchange an instrumentor of ours saw."""


class UsageProcessor:
    """Claims GenAI spans and puts a record on the one that stands for each response.

    A claimed call becomes a :class:`TrackedSpan` with its record; an agent or another span of a response already recorded
    becomes one without, marked `spectra.rollup`. All other spans are passed on as they are. What an instrumentor of ours saw on
    the wire wins over what the span says. A late span that knows more completes the record it belongs to: it carries the record
    again, with the id it had and the next `rev`. Thread-safe; never raises: a span that cannot be read is passed on.
    """

    def __init__(self, config: Config | None = None, handoff: Handoff = handoff) -> None:
        config = config or Config()
        providers.know_hosts()
        self._readers = Readers()
        self._election = Election(config.remember, config.remember_minutes * 60_000_000_000)
        self._handoff = handoff
        self._fresh_lock()
        in_forked_child(self._fresh_lock)
        self._origins: dict[int, tuple[Resource, InstrumentationScope | None, dict[str, Any]]] = {}
        """id of a scope → it, the resource it was last seen with, and what a record has of the two."""
        self.writes_attributes = True
        """Whether what it finds becomes attributes of the span, too; False where all that follows reads the record."""
        self.failures = 0
        """Spans that were passed on because reading them failed."""
        self.inconsistent = 0
        """Records whose usage was refused."""

    def _fresh_lock(self) -> None:
        self._lock = Lock()

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """The same spans in the same order, with records."""
        batch = _Batch()
        for span in spans:
            try:
                batch.spans.append(self._process(span, batch))
            except Exception as error:
                self.failures += 1
                faults.report("processor usage, a span is passed on as it is", error)
                batch.spans.append(span)
        return batch.spans

    def _process(self, span: ReadableSpan, batch: _Batch) -> ReadableSpan:
        if isinstance(span, TrackedSpan):  # a later state of a record, whole as it is
            return span
        wire, started = self._handoff.take_of(span), starts.take_of(span)
        reader = self._readers.claim(span)
        if wire is None and started is not None and UNTRACKED in started:
            reader = None
        if wire is not None:  # which knows who it is for
            role, draft = CALL, _with_wire(span, reader, wire)
        elif reader is None:
            self._pass(span, is_boundary=False)
            return span
        else:
            role, draft = reader.read(span)
            if role is CALL and attribute(draft.fields, started):
                draft.unsaid = WRITTEN
        if role is CALL:
            return self._call(span, draft, wire, batch)
        self._pass(span, is_boundary=role is WRAPPER and "operation" in draft.fields)
        if role is WRAPPER and (draft.fields.keys() & _USAGE_FIELDS or _wraps_usage(draft)):
            return _rollup(span)
        return span

    def _pass(self, span: ReadableSpan, is_boundary: bool) -> None:
        if self._election.knows_below() and span.context is not None:
            with self._lock:
                key = (span.context.trace_id, span.context.span_id)
                self._election.end_other(key, span.parent.span_id if span.parent else 0, is_boundary)

    def _call(self, span: ReadableSpan, draft: Draft, wire: dict[str, Any] | None, batch: _Batch) -> ReadableSpan:
        new = self._new_call(span, draft)
        new.has_wire = wire is not None
        if draft.fields.get("error_type") == "usage_inconsistent":
            self._report_inconsistent(draft)
        with self._lock:
            known = self._election.find(new)
            if known is None:
                self._election.add(new)
                # By place: a class that is called with names takes half as long again.
                tracked = TrackedSpan(span, TrackedRequest(new.fields), True, draft.attributes)
                if self.writes_attributes:
                    tracked.set_attributes(usage_attributes(draft.fields, draft.attributes, draft.unsaid))
                batch.made[id(new)] = len(batch.spans)
                return tracked
            place = batch.made.get(id(known))
            if place is None:  # its record is with others by now: theirs must not change under their hands
                known.fields = dict(known.fields)
            had_id = "response_id" in known.fields
            changed = _complete(known, new)
            self._election.join(known, new)
            if place is not None:
                return self._same_batch(span, known, new, place, batch, keep=had_id or known.key[0] == new.key[0])
            tracked = _rollup(span)
            if changed:
                known.rev += 1
                tracked.record = TrackedRequest(dict(known.fields), tracked, rev=known.rev)
            return tracked

    def _same_batch(
        self, span: ReadableSpan, known: Call, new: Call, place: int, batch: _Batch, keep: bool
    ) -> ReadableSpan:
        """The record was made in this very batch, and nobody has seen it yet: it is completed in place.

        Where two traces were joined without an id, the outer span takes it over: it is the one the app knows of.
        """
        first = batch.spans[place]
        if keep or new.end - new.start < known.end - known.start:
            if isinstance(first, TrackedSpan):
                first.set_attributes(usage_attributes(known.fields, first.attributes or {}))
            return _rollup(span)
        known.fields.update({name: new.fields.get(name) for name in _OWN_FIELDS})
        batch.spans[place] = _rollup(first)
        batch.made[id(known)] = len(batch.spans)
        tracked = TrackedSpan(span, TrackedRequest(known.fields), bears_cost=True)
        tracked.set_attributes(usage_attributes(known.fields, span.attributes or {}))
        return tracked

    def _new_call(self, span: ReadableSpan, draft: Draft) -> Call:
        context, parent, resource, scope, start, end = facts_of(span)
        assert context is not None  # a finished span of the SDK has one
        key = trace, own = context[:2]
        start, end = start or 0, end or 0
        fields = self._origin(resource, scope).copy()
        name = emitter = fields["instrumentation"] or ""
        if draft.attributes.get("logfire.span_type") == "log":  # the end of a stream, so many seconds after its begin
            lasted = draft.attributes.get("duration")
            if isinstance(lasted, (int, float)) and 0 <= lasted < _LONGEST_SECONDS:
                start, emitter = end - round(lasted * 1e9), name + _STREAM_END
        trace_id, span_id = trace.to_bytes(16, "big").hex(), own.to_bytes(8, "big").hex()
        parent_id = parent.span_id if parent else 0
        fields["id"] = f"{trace_id}-{span_id}"
        fields["trace_id"], fields["span_id"] = trace_id, span_id
        if parent_id:
            fields["parent_span_id"] = parent_id.to_bytes(8, "big").hex()
        fields["started_at"] = _EPOCH + start // 1000 * _MICROSECOND
        fields["completed_at"] = _EPOCH + end // 1000 * _MICROSECOND
        fields["latency_ms"] = (end - start) // 1_000_000 if end > start else 0
        fields.update(draft.fields)  # the wire knows the call's own times better than the span does
        if "time_to_first_token_ms" in fields:
            _add_pace(fields)
        _take_cost(fields, draft)
        call = Call(fields, emitter, key, parent_id, start, end)
        call.is_exact = draft.doubt is None and "prompt_tokens" in fields
        return call

    def _origin(self, resource: Resource, scope: InstrumentationScope | None) -> dict[str, Any]:
        """What every record of a resource and a scope has, with places for what is its own; not to be changed."""
        known = self._origins.get(id(scope))
        if known is not None and known[0] is resource and known[1] is scope:
            return known[2]
        attributes = resource.attributes
        process_id = attributes.get("process.pid")
        found = {
            "service_name": attributes.get("service.name"),
            "environment": attributes.get("deployment.environment.name") or attributes.get("deployment.environment"),
            "host_id": attributes.get("host.id") or attributes.get("host.name"),
            "process_id": None if process_id is None else str(process_id),
        }
        fields: dict[str, Any] = {name: str(value) for name, value in found.items() if value is not None}
        fields.update(dict.fromkeys(_IDENTITY))  # a copy has them then: to make it grow takes longer
        fields["instrumentation"] = (scope.name or None) if scope else None
        fields["instrumentation_version"] = (scope.version or None) if scope else None
        if len(self._origins) >= 256:
            self._origins.clear()
        self._origins[id(scope)] = (resource, scope, fields)
        return fields

    def _report_inconsistent(self, draft: Draft) -> None:
        self.inconsistent += 1
        if self.inconsistent == 1:
            raw = str(draft.fields.get("usage_raw"))[:200]
            _log.warning(
                "Spectra: usage that contradicts itself is not priced (said once): span %r: %s",
                draft.span.name[:200],
                raw,
            )


class _Batch:
    """What one call of ``process`` has made so far."""

    __slots__ = ("made", "spans")

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.made: dict[int, int] = {}
        """id of a Call elected in this batch → place of its span."""


_IDENTITY = ("id", "trace_id", "span_id", "parent_span_id", "started_at", "completed_at", "latency_ms")
_OWN_FIELDS = (
    *_IDENTITY, "instrumentation", "instrumentation_version", "service_name", "environment", "host_id", "process_id",
)  # fmt: skip


def _with_wire(span: ReadableSpan, reader: Reader | None, wire: dict[str, Any]) -> Draft:
    """What the wire said wins; where it says what was used, the dialect's own numbers and doubts are void."""
    if reader is not None and reader.dialect.name == "spectra":  # our own spans say what the wire does, as a rule
        draft = reader.unread(span, wire)
        if draft is not None:
            return draft
    draft = reader.read(span)[1] if reader is not None else Draft(span)
    if any(name in wire for name in _USAGE_FIELDS):
        draft.drop(*_USAGE_FIELDS, "cost_status")
        draft.doubt = None
    draft.unsaid = WRITTEN
    draft.fields.update(wire)
    return draft


def _rollup(span: ReadableSpan) -> TrackedSpan:
    tracked = TrackedSpan(span, None, bears_cost=False)
    tracked.set_attributes({ROLLUP: True})
    return tracked


def _wraps_usage(draft: Draft) -> bool:
    return any("usage" in key for key in draft.attributes)


def _complete(known: Call, new: Call) -> bool:
    """Let a later span of a response fill what its record lacks. True if it could."""
    mine, theirs = known.fields, new.fields
    before = len(mine)
    if new.is_exact and not known.is_exact and not _conflict(mine, theirs):
        for name in (*_USAGE_FIELDS, *_COST_FIELDS):
            mine.pop(name, None)
        before = -1
        known.is_exact = True
    same_usage = all(mine.get(name) is None or mine.get(name) == theirs.get(name) for name in _TOTALS)
    for name in _FILLED_BY_WIRE if new.has_wire else _FILLED_LATE:
        if name in theirs and mine.get(name) is None and (same_usage or name not in _USAGE_FIELDS):
            mine[name] = theirs[name]
    if len(mine) == before:
        return False
    if new.has_wire and same_usage and mine.get("cost_status") == "partial":  # who saw the bytes knows what was missing
        mine["cost_status"] = theirs.get("cost_status")
    for name in _COST_FIELDS:
        if not (name == "cost_status" and known.rev == 0 and mine.get(name) in ("estimated", "partial")):
            mine.pop(name, None)
    if not known.is_exact and new.fields.get("cost_status"):
        mine.setdefault("cost_status", new.fields["cost_status"])
    return True


_TOTALS = ("prompt_tokens", "completion_tokens")


def _conflict(mine: dict[str, Any], theirs: dict[str, Any]) -> bool:
    one, other = mine.get("response_id"), theirs.get("response_id")
    return one is not None and other is not None and one != other


def _add_pace(fields: dict[str, Any]) -> None:
    """Output tokens by second of generation, where the first token's moment is known."""
    generation_ms = fields["latency_ms"] - fields["time_to_first_token_ms"]
    if fields.get("completion_tokens") and generation_ms > 0:
        fields.setdefault("tokens_per_second", round(fields["completion_tokens"] * 1000 / generation_ms, 3))


def _take_cost(fields: dict[str, Any], draft: Draft) -> None:
    """A cost that is known before we price: the provider's own, or that of a Spectra pipeline upstream."""
    attributes = draft.attributes
    from_provider = fields.pop("provider_cost_usd", None)
    if from_provider is not None:
        if 0 <= from_provider < _MAX_USD:
            fields["total_cost_in_cents"] = _cents(from_provider)
            fields["cost_status"] = fields["cost_source"] = "provider"
    elif COST_AMOUNT in attributes:
        amount = attributes[COST_AMOUNT]
        if isinstance(amount, (int, float)) and not isinstance(amount, bool) and 0 <= amount < _MAX_USD:
            source = attributes.get("spectra.cost.source") or attributes.get(COST_SOURCE)
            fields["total_cost_in_cents"] = _cents(amount)
            fields["currency"] = attributes.get(COST_CURRENCY) or "USD"
            fields["cost_status"] = attributes.get(COST_STATUS) or ("provider" if source == "provider" else "priced")
            fields["cost_source"] = None if source == "local" else source
            fields["price_version"] = attributes.get("spectra.price.version")
    if draft.doubt is not None:
        fields.setdefault("cost_status", draft.doubt.value)


def _cents(usd: float) -> Decimal:
    """An amount in USD as cents, to 1e-8: the float's own shortest digits, not its binary tail."""
    return (Decimal(repr(usd)) * 100).quantize(_PLACES)
