"""What was said, where the app asked to keep it: bodies without secrets and media, cut to a limit, through the user's redactor.

Off unless ``SPECTRA_CAPTURE_CONTENT`` says otherwise. Whatever goes wrong on the way keeps the content out of the record.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from spectra_otel import faults
from spectra_otel.model.privacy import REDACTED, without_secrets
from spectra_otel.providers.base import Upload
from spectra_otel.providers.values import Json

Redactor = Callable[[Json, str], Json | None]
"""``redactor(body, "request" | "response")`` gives the body to keep, or None for nothing."""
_CUT = "[cut]"
_BASE64_LENGTH = 256
_SECRET_KEY = re.compile(
    r"(api|access|secret|private)[-_]?key|authorization|password|passwd|cookie|credential|(access|auth|refresh|session|bearer|id)[-_]?token"
    r"|token$|secret$",
    re.IGNORECASE,
)
_DATA_URI = re.compile(r"data:([\w.+/-]+)?(?:;[\w=.-]+)*;base64,[A-Za-z0-9+/=_-]+")
_BASE64 = re.compile(rf"[A-Za-z0-9+/_-]{{{_BASE64_LENGTH},}}={{0,2}}")


class Content:
    """Makes what is kept of bodies. ``limit``: characters of text of one body; ``redactor``: ``package.module:function``."""

    def __init__(self, limit: int, redactor: str | None) -> None:
        self.limit = limit
        self._redact = _loaded(redactor) if redactor else _as_it_is

    def keep(self, body: Any, kind: str) -> Json | None:
        """The part of ``body`` to keep; None where there is none, or where a redactor failed."""
        if not isinstance(body, dict) or not body:
            return None
        try:
            kept = self._redact(_Stripper(self.limit).strip(body), kind)
        except Exception as error:  # the user's code, and ours: the content stays out
            faults.report("content capture, the content is left out", error)
            return None
        return kept if isinstance(kept, dict) else None


class _Stripper:
    """Copies one body without what must not be kept."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def strip(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if self._left <= 0 and isinstance(value, (dict, list)):
            return _CUT
        if isinstance(value, dict):
            return {str(key): self._entry(str(key), item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.strip(item) for item in value]
        if isinstance(value, Upload):
            return f"[file, {value.size} bytes]"
        self._left -= 8
        return value if isinstance(value, (int, float, bool)) or value is None else str(value)

    def _entry(self, key: str, item: Any) -> Any:
        self._left -= len(key)
        return REDACTED if isinstance(item, str) and _SECRET_KEY.search(key) else self.strip(item)

    def _text(self, text: str) -> str:
        if len(text) > 64 * 1024:
            text = _shortened(text, max(0, self._left))
        if len(text) > _BASE64_LENGTH:
            text = _DATA_URI.sub(lambda found: f"[{found[1] or 'data'}, {len(found[0])} characters]", text)
            text = _BASE64.sub(lambda found: f"[base64, {len(found[0])} characters]", text)
        text = without_secrets(text)
        if len(text) > self._left:
            text = text[: max(0, self._left)] + _CUT
        self._left -= len(text)
        return text


def _shortened(text: str, left: int) -> str:
    """The beginning of a text so long that looking through all of it would take its time."""
    limit = 4 * left + 64 * 1024
    if len(text) <= limit or text.startswith("data:"):
        return text
    return text[:limit] + _CUT


def _loaded(path: str) -> Redactor:
    """The user's redactor; where it cannot be had nothing is kept."""
    module, _, name = path.partition(":")
    try:
        found: Redactor = getattr(importlib.import_module(module), name)
        return found
    except Exception as error:
        faults.report("SPECTRA_CONTENT_REDACTOR, no content is kept", error)
        return _nothing


def _as_it_is(body: Json, _kind: str) -> Json:
    return body


def _nothing(_body: Json, _kind: str) -> None:
    return None
