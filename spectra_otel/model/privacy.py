"""What must not stand in an error's words: keys and tokens, and what was said where nobody asked to keep it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

REDACTED = "[redacted]"
MOST_CHARACTERS = 1000
"""Of an error's words, as far as they are kept."""
SECRET_TEXT = re.compile(
    r"\b(?:sk|pk|rk|xai|gsk|r8|hf|ghp|gho|github_pat|xox[abprs]|AIza|key)[-_][\w-]{12,}|\bAIza[\w-]{20,}|\bAKIA[A-Z0-9]{12,}"
    r"|\bBearer\s+[\w.~+/=-]{8,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?<=[?&])((?i:(?:[\w-]*[-_])?(?:key|api_?key|token|sig|signature|secret|password|credential))=)[^&\s'\"<>)]+"
)
"""A key, a token, or what stands for one in a URL; group 1 is the parameter's name, which may stay."""
_NOT_SAID = frozenset({
    "model", "modelId", "tools", "functions", "tool_choice", "response_format", "responseFormat", "role", "type", "name", "id",
    "user", "metadata", "tool_call_id", "media_type", "mime_type", "mimeType",
})  # fmt: skip
"""Names of what tells nothing of a prompt, and is what errors are about."""
_SAID = frozenset(
    {"content", "text", "prompt", "input", "inputs", "message", "query", "system", "instructions", "texts"}
)
_SHORTEST = 6
"""Characters of a text whose echo can be told from a word of the error."""
_LONG = 40
_PIECE = 20
"""Characters in a row that an echo shares with what was said."""
_MOST_SAID = 64 * 1024


def without_secrets(text: str) -> str:
    """The text without keys and tokens."""
    return SECRET_TEXT.sub(lambda found: (found[1] or "") + REDACTED, text)


def words(error: Any) -> str | None:
    """What an error says, to keep: without secrets, and no longer than need be. Never raises, whatever its ``__str__`` does."""
    try:
        text = str(error)
    except Exception:
        return None
    return without_secrets(text[: 4 * MOST_CHARACTERS])[:MOST_CHARACTERS] or None


_CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "xi-api-key")


def without_credentials(message: str, headers: Mapping[str, str]) -> str:
    """An error's words without the key that the request was sent with."""
    for name in _CREDENTIALS:
        key = (headers.get(name) or "").rpartition(" ")[2]
        if len(key) >= _SHORTEST:
            message = message.replace(key, REDACTED)
    return message


def without_echo(message: str, body: Any) -> str:
    """An error's words without those of the request ``body`` that they repeat, whole or in a piece."""
    said = sorted(set(_texts(body, "", 30)), key=len, reverse=True)
    for text in said:
        if text in message:
            message = message.replace(text, REDACTED)
    for text in said:
        if len(text) >= _PIECE:
            message = _without_pieces(message, text)
    return message


def _without_pieces(message: str, text: str) -> str:
    start = 0
    while start + _PIECE <= len(message):
        at = text.find(message[start : start + _PIECE])
        if at < 0:
            start += _PIECE // 2
            continue
        begin, end = start, start + _PIECE
        before, after = at, at + _PIECE
        while begin and before and message[begin - 1] == text[before - 1]:
            begin, before = begin - 1, before - 1
        while end < len(message) and after < len(text) and message[end] == text[after]:
            end, after = end + 1, after + 1
        message = message[:begin] + REDACTED + message[end:]
        start = begin + len(REDACTED)
    return message


def _texts(value: Any, key: str, depth: int) -> Iterator[str]:
    """What was said in a request: texts of some length, but names and settings."""
    if isinstance(value, str):
        if len(value) >= _SHORTEST and (key in _SAID or len(value) > _LONG or " " in value):
            yield value[:_MOST_SAID]
    elif depth and isinstance(value, dict):
        for name, item in value.items():
            if name not in _NOT_SAID:
                yield from _texts(item, str(name), depth - 1)
    elif depth and isinstance(value, list):
        for item in value:
            yield from _texts(item, key, depth - 1)
