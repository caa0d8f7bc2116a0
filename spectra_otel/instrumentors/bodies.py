"""What a request's body says, as one flat or nested object: JSON, a form, or the parts of a multipart form."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from spectra_otel.providers.base import Upload
from spectra_otel.providers.values import Json

_FIELD_LIMIT = 64 * 1024
"""Bytes of a multipart part without a file name that we still take for a field."""


AWS_SIGNATURE = "AWS4-HMAC-SHA256"
"""How the authorization of a signed request to AWS begins."""
_SIGNS = re.compile("signature|sha256|digest|hmac|content-md5")
"""In names of headers, or of a scheme of authorization, by which a request is signed: AWS's, RFC 9421's, a gateway's own."""
_EDGE = 16 * 1024
"""Bytes of a file that are looked at, from its begin and from its end: enough for the headers that tell a length."""


def upload_of(data: bytes) -> Upload:
    """A file that is in memory."""
    return Upload(data[:_EDGE], data[-_EDGE:], len(data))


def form_value(value: Any) -> Any:
    """A value of a form that an HTTP client has not encoded yet: text as it is, a file as an :class:`Upload`.

    An open file is read at both ends and left at the position where it was; one that cannot go back is not touched.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return upload_of(value)
    try:
        if isinstance(value, io.TextIOBase) or not value.seekable():
            return None
        here = value.tell()
        size = value.seek(0, os.SEEK_END)
        value.seek(max(0, size - _EDGE))
        tail = value.read(_EDGE)
        value.seek(0)
        head = value.read(_EDGE)
        value.seek(here)
    except (AttributeError, OSError, ValueError):
        return None
    return Upload(head, tail, size)


def read_request_body(raw: bytes | Json | None, content_type: str) -> Json:
    """The fields of a body; empty where it has none or cannot be read. ``raw`` may be the fields already."""
    if not raw:
        return {}
    if isinstance(raw, dict):
        return raw
    if content_type.startswith("multipart/"):
        return _multipart(raw, content_type)
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(raw.decode("utf-8", "replace")))
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _multipart(raw: bytes, content_type: str) -> Json:
    """The fields: text as text, files as uploads."""
    boundary = content_type.partition("boundary=")[2].partition(";")[0].strip().strip('"')
    if not boundary:
        return {}
    fields: Json = {}
    for part in raw.split(b"--" + boundary.encode()):
        head, blank, value = part.partition(b"\r\n\r\n")
        if not blank:  # some recordings of forms have their line breaks shortened
            head, blank, value = part.partition(b"\n\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode("utf-8", "replace")
        if not blank or not name:
            continue
        value = value.removesuffix(b"\n").removesuffix(b"\r")
        if b"filename=" in head:
            fields[name] = upload_of(value)
        elif len(value) <= _FIELD_LIMIT:
            fields[name] = value.decode("utf-8", "replace")
    return fields


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether a signature or a digest covers the body, so that it cannot be changed."""
    scheme = (headers.get("authorization") or "").partition(" ")[0].lower()
    return _SIGNS.search(" ".join((*headers, scheme))) is not None
