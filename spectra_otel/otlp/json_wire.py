"""OTLP/JSON requests of any signal to protobuf: ids are hex there, where protobuf's own JSON has base64.

Names are lowerCamelCase alone, where protobuf's JSON takes the fields' own names too: what else there is is unknown, and ignored.
Enums are numbers, 64-bit integers text or numbers.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import orjson
from google.protobuf.json_format import ParseDict, ParseError

from spectra_otel.otlp.protobuf import BadRequestError
from spectra_otel.otlp.signals import Signal
from spectra_otel.otlp.text import json_with_texts

_IDS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}
"""Field → hex digits."""
_GROUPS = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}
_OWN_NAME = re.compile(rb'"\w*_\w*"\s*:')
_POINTS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")


def protobuf_of(signal: Signal, body: bytes) -> bytes:
    """The protobuf request that a JSON body describes. Raises :class:`BadRequestError`."""
    document = _document(body)
    if not isinstance(document, dict):
        raise BadRequestError("not an OTLP JSON request: an object is needed")
    try:
        for item in _with_ids(signal, document):
            _convert_ids(item)
        return ParseDict(document, signal.request(), ignore_unknown_fields=True).SerializeToString()
    except (ParseError, TypeError, ValueError, AttributeError, KeyError, OverflowError, RecursionError) as error:
        raise BadRequestError(f"not an OTLP JSON request: {str(error)[:200]}") from None


def _document(body: bytes) -> Any:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        mended = json_with_texts(body)
        if mended is None:
            raise BadRequestError(f"not JSON: {error}") from None
        return _document(mended)
    try:
        return _without_own_names(document) if _OWN_NAME.search(body) else document
    except RecursionError:
        raise BadRequestError("not an OTLP JSON request: too deep") from None


def _without_own_names(value: Any) -> Any:
    """``value`` without what stands under a name such as ``resource_spans``; OTLP has no maps whose keys are the sender's."""
    if isinstance(value, dict):
        return {name: _without_own_names(item) for name, item in value.items() if "_" not in name}
    return [_without_own_names(item) for item in value] if isinstance(value, list) else value


def _with_ids(signal: Signal, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything in a request that carries ids of traces and spans."""
    groups, scopes, items = _GROUPS[signal.name]
    for group in _objects(document, groups):
        for scope in _objects(group, scopes):
            for item in _objects(scope, items):
                if signal.name != "metrics":
                    yield item
                    yield from _objects(item, "links")
                    continue
                for kind in _POINTS:
                    data = item.get(kind)
                    for point in _objects(data, "dataPoints") if isinstance(data, dict) else ():
                        yield from _objects(point, "exemplars")


def _objects(parent: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    items = parent.get(key)
    if isinstance(items, list):
        yield from (item for item in items if isinstance(item, dict))


def _convert_ids(item: dict[str, Any]) -> None:
    for name, digits in _IDS.items():
        text = item.get(name)
        if not text:
            continue
        if not isinstance(text, str) or len(text) != digits or "_" in text:
            raise BadRequestError(f"{name} must be {digits} hex digits, got {str(text)[:40]!r}")
        try:
            item[name] = b64encode(bytes.fromhex(text)).decode()
        except ValueError:
            raise BadRequestError(f"{name} must be {digits} hex digits, got {text!r}") from None
