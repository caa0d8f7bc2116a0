"""A :class:`~spectra_otel.cli.documents.SpanReader` in a process of its own, for long imports on more than one core.

JSON is parsed there; spans come over a pipe as plain tuples (:mod:`marshal`, both ends being this Python), which costs the
importing process a third of what parsing would. ``python -m spectra_otel.cli.reading FILE…`` is the other end.
"""

from __future__ import annotations

import marshal
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from spectra_otel.cli.documents import SpanReader
from spectra_otel.errors import SpectraError

_LENGTH = struct.Struct("<Q")
_SAMPLED, _NO_STATE, _UNSET = TraceFlags(TraceFlags.SAMPLED), TraceState(), Status(StatusCode.UNSET)
_KINDS = {kind.value: kind for kind in SpanKind}


@dataclass(slots=True)
class RemoteSpanReader:
    """Iterates as a :class:`SpanReader` does, and gathers the same ``faults``."""

    paths: Sequence[Path]
    on_bytes: Callable[[int], None] = lambda _: None
    faults: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[list[ReadableSpan]]:
        command = [sys.executable, "-m", __name__, *map(str, self.paths)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            try:
                while (frame := _receive(process.stdout)) is not None:
                    count, faults, *packed = frame
                    self.on_bytes(count)
                    self.faults += faults
                    yield unpack(*packed)
            finally:
                process.stdout.close()  # ends it, if it has not ended
        if process.returncode:
            raise SpectraError(f"reading {self.paths[0]} … ended with status {process.returncode}")


def _receive(pipe: IO[bytes]) -> Any:
    head = pipe.read(_LENGTH.size)
    return marshal.loads(pipe.read(_LENGTH.unpack(head)[0])) if head else None


def main(paths: Sequence[str]) -> None:
    """Read files and write frames to stdout: (bytes read, faults, resources, scopes, rows)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    read = 0

    def count(size: int) -> None:
        nonlocal read
        read += size

    reader = SpanReader([Path(path) for path in paths], count)
    try:
        for spans in reader:
            frame = marshal.dumps((read, reader.faults, *pack(spans)))
            sys.stdout.buffer.write(_LENGTH.pack(len(frame)) + frame)
            sys.stdout.buffer.flush()
            reader.faults, read = [], 0
    except BrokenPipeError:  # nobody listens any more
        sys.stderr.close()


def pack(spans: Sequence[ReadableSpan]) -> tuple[list[Any], list[Any], list[Any]]:
    """Resources, scopes and spans as what :mod:`marshal` can write; a span names its resource and scope by index."""
    resources: dict[int, int] = {}
    scopes: dict[int, int] = {}
    made: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    for span in spans:
        resource, scope = span.resource, span.instrumentation_scope
        if id(resource) not in resources:
            resources[id(resource)] = len(made[0])
            made[0].append(dict(resource.attributes))
        if id(scope) not in scopes:
            scopes[id(scope)] = len(made[1])
            made[1].append((scope.name, scope.version, scope.schema_url) if scope else ("", None, None))
        made[2].append((resources[id(resource)], scopes[id(scope)], *_row(span)))
    return made


def _row(span: ReadableSpan) -> tuple[Any, ...]:
    context, parent, status = span.context, span.parent, span.status
    assert context is not None
    return (
        span.name,
        context.trace_id,
        context.span_id,
        context.trace_state.to_header() if context.trace_state else "",
        parent.span_id if parent else 0,
        span.kind.value,
        span.start_time,
        span.end_time,
        dict(span.attributes or {}),
        (status.status_code.value, status.description) if status is not _UNSET else None,
        [(event.name, dict(event.attributes or {}), event.timestamp) for event in span.events],
        [(link.context.trace_id, link.context.span_id, dict(link.attributes or {})) for link in span.links],
    )


def unpack(resources: list[Any], scopes: list[Any], rows: list[Any]) -> list[ReadableSpan]:
    """The spans that :func:`pack` took apart."""
    all_resources = [Resource(attributes) for attributes in resources]
    all_scopes = [InstrumentationScope(*parts) for parts in scopes]
    return [_span(all_resources[row[0]], all_scopes[row[1]], *row[2:]) for row in rows]


def _span(
    resource: Resource, scope: InstrumentationScope, name: str, trace_id: int, span_id: int, state: str, parent: int, kind: int,
    start: int, end: int, attributes: dict[str, Any], status: Any, events: list[Any], links: list[Any],
) -> ReadableSpan:  # fmt: skip
    made = ReadableSpan.__new__(ReadableSpan)
    made.__dict__ = {
        "_name": name,
        "_context": SpanContext(
            trace_id, span_id, False, _SAMPLED, TraceState.from_header([state]) if state else _NO_STATE
        ),
        "_kind": _KINDS[kind],
        "_instrumentation_info": None,
        "_instrumentation_scope": scope,
        "_parent": SpanContext(trace_id, parent, True, _SAMPLED, _NO_STATE) if parent else None,
        "_start_time": start,
        "_end_time": end,
        "_attributes": attributes,
        "_events": [Event(*event) for event in events] if events else (),
        "_links": [_link(*link) for link in links] if links else (),
        "_resource": resource,
        "_status": Status(StatusCode(status[0]), status[1]) if status else _UNSET,
    }
    return made


def _link(trace_id: int, span_id: int, attributes: dict[str, Any]) -> Link:
    return Link(SpanContext(trace_id, span_id, True, _SAMPLED), attributes)


if __name__ == "__main__":
    main(sys.argv[1:])
