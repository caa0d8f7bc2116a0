"""The OTLP messages of traces once more, with a span's attributes left as bytes: most are like those of the span before.

Reading an attribute through protobuf's classes takes half a microsecond, and a GenAI span has twenty. As bytes, which protobuf
gives away all at once, the pair it stands for is looked up where it was seen before.
"""

from __future__ import annotations

import sys
from typing import Any

import orjson
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

_PACKAGE = "spectra.lean"
_MOST, _LONGEST = 8_192, 260
"""Pairs that are remembered, and bytes of one: two megabytes as they usually are, ten at the worst. Longer than what is read
by hand, whose names are remembered as long."""
_FIRST, _SECOND = 0x0A, 0x12
"""Tags of a pair's key and value; every known encoder writes them in this order."""
_TEXT, _INTEGER = 0x0A, 0x18
"""Tags of a value that is a text or a whole number."""
_SHORTEST = 6


def _make() -> Any:
    """The class of ``TracesData``, on the wire the same as a request, whose spans have ``attributes`` as bytes."""
    file = FileDescriptorProto()
    trace_pb2.DESCRIPTOR.CopyToProto(file)
    official, file.name, file.package = f".{file.package}.", "spectra/lean.proto", _PACKAGE
    for message in file.message_type:
        _rename(message, official)
        for field in message.field:
            if (message.name, field.name) == ("Span", "attributes"):
                field.type = FieldDescriptorProto.TYPE_BYTES
                field.ClearField("type_name")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.TracesData"))


def _rename(message: DescriptorProto, official: str) -> None:
    for field in message.field:
        if field.type_name.startswith(official):
            field.type_name = f".{_PACKAGE}." + field.type_name.removeprefix(official)
    for nested in message.nested_type:
        _rename(nested, official)


LeanRequest: Any = _make()
"""Decodes what ``ExportTraceServiceRequest`` decodes. It does not look into attributes: let the official class check first."""


class Pairs(dict[bytes, tuple[str, Any] | None]):
    """Encoded attribute → its name and value, None for one without a value; decoded when it is asked for.

    It remembers short ones that nobody can change. For one thread.
    """

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}

    def __missing__(self, encoded: bytes) -> tuple[str, Any] | None:
        found = self._quickly(encoded) or read_pair(KeyValue.FromString(encoded))
        if len(encoded) <= _LONGEST and not (found and type(found[1]) is list):
            if len(self) >= _MOST:
                self.clear()
                self._names.clear()
            self[encoded] = found
        return found

    def _quickly(self, encoded: bytes) -> tuple[str, Any] | None:
        """A short name and its short text or small number in the usual order, in a third of the time. None for all else."""
        size = len(encoded)
        if size < _SHORTEST or encoded[0] != _FIRST or size < (end := encoded[1] + 2) + 4:
            return None
        # Behind the name: tag and length of the value, then tag and length (or number) of what the value is.
        if encoded[end] != _SECOND or encoded[end + 1] != size - end - 2:
            return None
        name = encoded[2:end]
        key = self._names.get(name) or self._names.setdefault(name, sys.intern(name.decode()))
        kind, first = encoded[end + 2], encoded[end + 3]
        if kind == _TEXT and first == size - end - 4 < 0x80:
            return key, encoded[end + 4 :].decode()
        if kind == _INTEGER and size - end == 4 and first < 0x80:
            return key, first
        if kind == _INTEGER and size - end == 5 and first >= 0x80 > encoded[end + 4]:
            return key, first & 0x7F | encoded[end + 4] << 7
        return None

    def read(self, attributes: Any) -> dict[str, Any]:
        """Attributes as the SDK has them."""
        return dict(filter(None, map(self.__getitem__, attributes)))


def has_key(attributes: Any, prefixes: tuple[bytes, ...]) -> bool:
    """Whether a name among encoded attributes may begin with one of ``prefixes``; surely not where it says no."""
    for encoded in attributes:
        # The name stands behind its tag and its length, which has one byte, or two from 128 on.
        if encoded.startswith(prefixes, 2) or encoded.startswith(prefixes, 3) or encoded[:1] != b"\n":
            return True
    return False


def read_pair(pair: KeyValue) -> tuple[str, Any] | None:
    """Name and value of an attribute as the SDK has them: a nested map is JSON text, because the SDK's are flat."""
    value = pair.value
    text = value.string_value
    if text:  # most values are this
        return sys.intern(pair.key), text
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    return sys.intern(pair.key), value.int_value if kind == "int_value" else _read_value(value, kind)


def read_attributes(pairs: Any) -> dict[str, Any]:
    """Attributes as the SDK has them; those without a value are left out."""
    return dict(filter(None, map(read_pair, pairs)))


def _read_value(value: AnyValue, kind: str) -> Any:
    if kind == "array_value":
        items = ((item, item.WhichOneof("value")) for item in value.array_value.values)
        return [_read_value(item, inner) for item, inner in items if inner is not None]
    if kind == "kvlist_value":
        return orjson.dumps(read_attributes(value.kvlist_value.values), default=_bytes_as_text).decode()
    return getattr(value, kind)


def _bytes_as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(type(value).__name__)
