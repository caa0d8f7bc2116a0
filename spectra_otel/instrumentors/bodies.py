"""What a request's body says, as one flat or nested object: JSON, a form, or the text parts of a multipart form."""

from __future__ import annotations

from urllib.parse import parse_qsl

import orjson

from spectra_otel.providers.base import Json

_FIELD_LIMIT = 64 * 1024
"""Bytes of a multipart part without a file name that we still take for a field."""


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
    """The text fields; files are left out."""
    boundary = content_type.partition("boundary=")[2].partition(";")[0].strip().strip('"')
    if not boundary:
        return {}
    fields: Json = {}
    for part in raw.split(b"--" + boundary.encode()):
        head, blank, value = part.partition(b"\r\n\r\n")
        if not blank or b"filename=" in head or len(value) > _FIELD_LIMIT:
            continue
        name = head.partition(b'name="')[2].partition(b'"')[0]
        if name:
            fields[name.decode("utf-8", "replace")] = value.removesuffix(b"\r\n").decode("utf-8", "replace")
    return fields
