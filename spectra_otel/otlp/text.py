"""Requests whose texts are not UTF-8: senders cut texts in the middle of a character, and one such text shall not cost the batch.

Protobuf and JSON refuse the whole request; here what is no character becomes U+FFFD, as other receivers have it.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from spectra_otel.otlp.signals import Signal

_LONGEST = 4 << 20
"""Bytes of a request that is looked through: that is slow, and whoever sends more can send it right."""
_DEEPEST = 100
"""Messages within messages, as protobuf has it."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_HALF_PAIR = re.compile(rb"(?is)\\(?:ud[89ab]..\\ud[c-f]..|(ud[89a-f]..)|.)")


def with_texts(signal: Signal, body: bytes) -> bytes | None:
    """``body`` with texts that are UTF-8; None where that is not what is wrong with it."""
    if len(body) > _LONGEST:
        return None
    try:
        mended = _message(signal.request.DESCRIPTOR, body, 0)
    except (IndexError, ValueError):  # no protobuf at all
        return None
    return None if mended == body else mended


def json_with_texts(body: bytes) -> bytes | None:
    """A JSON body whose texts are UTF-8 without halves of surrogate pairs; None where that is not what is wrong with it."""
    if len(body) > _LONGEST:
        return None
    text = body.decode(errors="replace").encode()
    mended = _HALF_PAIR.sub(lambda match: b"\\ufffd" if match[1] else match[0], text)
    return None if mended == body else mended


def _message(descriptor: Any, data: bytes, depth: int) -> bytes:
    """The wire format of a message, its texts mended. Raises ValueError or IndexError where it is none."""
    if depth > _DEEPEST:
        raise ValueError("too deep")
    out = bytearray()
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _BYTES:
            head = data[start:at]
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("truncated")
            content = _content(descriptor.fields_by_number.get(tag >> 3), data[at : at + size], depth)
            at += size
            out += head + _written(len(content)) + content
            continue
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("no wire type")
        out += data[start:at]
    return bytes(out)


def _content(field: Any, content: bytes, depth: int) -> bytes:
    if field is None:
        return content
    if field.message_type is not None:
        return _message(field.message_type, content, depth + 1)
    if field.type == FieldDescriptor.TYPE_STRING:
        return content.decode(errors="replace").encode()
    return content


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("no varint")


def _written(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
