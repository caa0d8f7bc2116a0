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
_HEAD = 5
"""Bytes before the value itself, beside the name: tag and length of the name, tag and length of the value, tag of its kind."""
_ONE_BYTE, _TWO_BYTES = -1, -2
"""How long a small number is, where a text has its length."""
_ROOM = 3
_MOST_ALIKE = 64
"""Pairs with one head that are remembered, and pairs with one name that have none."""


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

    It remembers short ones that nobody can change, so many of each kind: what never comes again would push out of the processor's
    cache what does. For one thread.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, list[Any]] = {}
        """What stands before a short text or a small number → its name, the length of all, what the value begins with, and how
        many more to remember. Lengths are in it, and were found to agree with each other."""
        self._room: dict[str, int] = {}
        """How many more to remember of a name, of values that are read by protobuf's class."""

    def __missing__(self, encoded: bytes) -> tuple[str, Any] | None:
        size = len(encoded)
        end = encoded[1] + _HEAD if size >= _SHORTEST else 0
        head = self._heads.get(encoded[:end])
        if head is None:
            return self._slowly(encoded)
        # By now it is sure to begin with a name, and with the length and the kind of a value that ends where that says.
        name, whole, rest, room = head
        if size != whole:
            return self._slowly(encoded)
        first = encoded[end]
        found: tuple[str, Any]
        if first == rest:
            found = name, encoded[end + 1 :].decode()
        elif rest == _ONE_BYTE and first < 0x80:
            found = name, first
        elif rest == _TWO_BYTES and first >= 0x80 > encoded[end + 1]:
            found = name, first & 0x7F | encoded[end + 1] << 7
        else:
            return self._slowly(encoded)
        if room:
            head[_ROOM] = room - 1
            self._remember(encoded, found)
        return found

    def _slowly(self, encoded: bytes) -> tuple[str, Any] | None:
        """By protobuf's own class, which takes four times as long; others that begin like it are read by hand from now on."""
        found = read_pair(KeyValue.FromString(encoded))
        if len(encoded) > _LONGEST or (found and type(found[1]) is list):
            return found
        name = found[0] if found else ""
        room = self._room.get(name, _MOST_ALIKE)
        if room:
            self._remember(encoded, found)
            self._room[name] = room - 1
            self._learn(encoded, name)
        return found

    def _remember(self, encoded: bytes, found: tuple[str, Any] | None) -> None:
        if len(self) + len(self._heads) >= _MOST:
            self.clear()
            self._heads.clear()
            self._room.clear()
        self[encoded] = found

    def _learn(self, encoded: bytes, name: str) -> None:
        """Keep the head of a short name and its short text or small number in the usual order; of nothing else."""
        size = len(encoded)
        if size < _SHORTEST or encoded[0] != _FIRST or size <= (end := encoded[1] + _HEAD):
            return
        # Behind the name: tag and length of the value, then tag and length (or number) of what the value is.
        if encoded[end - 3] != _SECOND or encoded[end - 2] != size - end + 1:
            return
        kind, left = encoded[end - 1], size - end
        if kind == _TEXT and left <= 0x80:
            rest = left - 1
        elif kind == _INTEGER and left in (1, 2):
            rest = _ONE_BYTE if left == 1 else _TWO_BYTES
        else:
            return
        self._heads[encoded[:end]] = [name, size, rest, _MOST_ALIKE]

    def read(self, attributes: Any) -> dict[str, Any]:
        """Attributes as the SDK has them."""
        pairs: Any = map(self.__getitem__, attributes)
        try:
            return dict(pairs)
        except TypeError:  # one has no value
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
