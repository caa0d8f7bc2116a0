"""Finished spans for tests, made by hand as the SDK would hand them over."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

START = 1_790_000_000_000_000_000
"""2026-09-21T14:13:20Z, in nanoseconds."""
RESOURCE = Resource({"service.name": "shop"})
MILLISECOND = 1_000_000


def made(
    scope: str,
    attributes: Mapping[str, Any],
    *,
    version: str | None = None,
    name: str = "chat gpt-4o-mini",
    parent: ReadableSpan | int | None = None,
    trace: int | None = None,
    id: int | None = None,
    start: float = 0,
    end: float = 100,
    error: str | None = None,
    events: Sequence[Event] = (),
    resource: Resource = RESOURCE,
) -> ReadableSpan:
    """A finished span; ``start`` and ``end`` are milliseconds after `START`, ``error`` makes it fail with that message.

    ``parent`` is a span, or the id of one that has not ended yet (give ``trace`` with it).
    """
    above = parent.context if isinstance(parent, ReadableSpan) else None
    trace_id = trace or (above.trace_id if above else random.getrandbits(127) + 1)
    if isinstance(parent, int):
        above = SpanContext(trace_id, parent, False, TraceFlags(1))
    return ReadableSpan(
        name,
        SpanContext(trace_id, id or random.getrandbits(63) + 1, False, TraceFlags(1)),
        parent=above,
        resource=resource,
        attributes=dict(attributes),
        events=events,
        kind=SpanKind.CLIENT,
        status=Status(StatusCode.ERROR, error) if error is not None else Status(StatusCode.UNSET),
        start_time=START + round(start * MILLISECOND),
        end_time=START + round(end * MILLISECOND),
        instrumentation_scope=InstrumentationScope(scope, version),
    )
