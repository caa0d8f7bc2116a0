"""What names mean in a condition: the fields of a span, the functions, the constants, the arithmetic."""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

import orjson
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from spectra_otel.config.durations import Duration

Value: TypeAlias = Callable[[ReadableSpan], Any]
"""What gives a value for a span."""

CONSTANTS: dict[str, Any] = {
    "true": True,
    "false": False,
    "nil": None,
    "SPAN_KIND_UNSPECIFIED": 0,
    **{f"SPAN_KIND_{kind.name}": kind.value + 1 for kind in SpanKind},
    **{f"STATUS_CODE_{code.name}": code.value for code in StatusCode},
}
_SECOND = 10**9


@cache
def pattern_of(text: str) -> re.Pattern[str]:
    """A regular expression, compiled once."""
    return re.compile(text)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _strictly(value: Any) -> str:
    """Functions of text take nothing else, and a condition with one cannot be evaluated then. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"expected string, got {type(value).__name__}")
    return value


def _divide(a: Any, b: Any) -> Any:
    """Whole numbers give a whole number, cut off towards 0."""
    if b == 0:
        raise ValueError("division by zero")
    return abs(a) // abs(b) * (1 if (a < 0) is (b < 0) else -1) if isinstance(a, int) and isinstance(b, int) else a / b


def _id(size: int) -> Callable[[Any], bytes]:
    def check(value: Any) -> bytes:
        if not isinstance(value, bytes) or len(value) != size:
            raise ValueError(f"an id of {size} bytes is expected")
        return value

    return check


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": _divide,
}  # fmt: skip
_ID, _TRACE_ID = _id(8), _id(16)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "IsMatch": lambda target, pattern: target is not None and pattern_of(pattern).search(_text(target)) is not None,
    "HasPrefix": lambda target, prefix: _strictly(target).startswith(prefix),
    "HasSuffix": lambda target, suffix: _strictly(target).endswith(suffix),
    "ContainsValue": lambda values, value: value in (values or ()),
    "Len": lambda target: len(target.encode() if isinstance(target, str) else target),  # of text: bytes
    "Concat": lambda values, between: between.join(map(_text, values)),
    "Substring": lambda target, start, length: _strictly(target)[start : start + length],
    "Double": lambda target: None if target is None else float(target),
    "Int": lambda target: None if target is None else int(target),
    "String": lambda target: None if target is None else str(target),
    "ToLowerCase": lambda target: _strictly(target).lower(),
    "ToUpperCase": lambda target: _strictly(target).upper(),
    "IsString": lambda target: isinstance(target, str),
    "IsBool": lambda target: isinstance(target, bool),
    "IsInt": lambda target: isinstance(target, int) and not isinstance(target, bool),
    "IsDouble": lambda target: isinstance(target, float),
    "IsList": lambda target: isinstance(target, (list, tuple)),
    "Duration": lambda text: round(Duration.parse(text) * _SECOND),
    "Hours": lambda duration: duration / (3600 * _SECOND),
    "Minutes": lambda duration: duration / (60 * _SECOND),
    "Seconds": lambda duration: duration / _SECOND,
    "Milliseconds": lambda duration: _divide(duration, 10**6),
    "Nanoseconds": lambda duration: duration,
    "SpanID": lambda value: _ID(value),
    "TraceID": lambda value: _TRACE_ID(value),
    "IsRootSpan": lambda: lambda span: span.parent is None,
    "Now": lambda: lambda span: time.time_ns(),
}
"""Name → the function; those without arguments are given the span."""

FIELDS: dict[str, Value] = {
    "name": lambda span: span.name,
    "kind": lambda span: span.kind.value + 1,
    "kind.string": lambda span: span.kind.name.title(),
    "status.code": lambda span: span.status.status_code.value,
    "status.message": lambda span: span.status.description or "",
    "trace_id": lambda span: (span.context.trace_id if span.context else 0).to_bytes(16, "big"),
    "span_id": lambda span: (span.context.span_id if span.context else 0).to_bytes(8, "big"),
    "parent_span_id": lambda span: (span.parent.span_id if span.parent else 0).to_bytes(8, "big"),
    "trace_id.string": lambda span: f"{span.context.trace_id:032x}" if span.context else "",
    "span_id.string": lambda span: f"{span.context.span_id:016x}" if span.context else "",
    "parent_span_id.string": lambda span: f"{span.parent.span_id if span.parent else 0:016x}",
    "start_time": lambda span: span.start_time,
    "end_time": lambda span: span.end_time,
    "start_time_unix_nano": lambda span: span.start_time,
    "end_time_unix_nano": lambda span: span.end_time,
    "scope.name": lambda span: span.instrumentation_scope.name if span.instrumentation_scope else "",
    "scope.version": lambda span: (span.instrumentation_scope.version or "") if span.instrumentation_scope else "",
}
MAPS: dict[str, Callable[[ReadableSpan], Any]] = {
    "attributes": lambda span: span.attributes or {},
    "resource.attributes": lambda span: span.resource.attributes,
}


def element(found: Any, key: str) -> Any:
    """What a map has under ``key``. Raises TypeError for what is no map."""
    if isinstance(found, str) and found.startswith("{"):
        found = orjson.loads(found)  # attributes of the SDK are flat: a map is its JSON
    if not isinstance(found, Mapping | None):
        raise TypeError(f"{type(found).__name__} has no element {key!r}")
    return None if found is None else found.get(key)


def item_at(found: Any, index: int) -> Any:
    """What a list has at ``index``. Raises TypeError for what is no list, ValueError beyond its end."""
    if not isinstance(found, list | tuple | None):
        raise TypeError(f"{type(found).__name__} has no element {index}")
    if found is not None and index >= len(found):
        raise ValueError(f"index {index} of a list of {len(found)}")
    return None if found is None else found[index]
