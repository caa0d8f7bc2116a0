"""What an answer brought besides text: images, videos and sounds, listed without keeping them. Only where content is kept.

What came inside the answer has its size and digest, what is to be fetched its address. Only the addresses of answers that are
media are listed: those in a text are the text's.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

from spectra_otel.providers.values import Json

_MEDIA_TYPES = frozenset({"image", "video", "tts"})
_INLINE = frozenset(
    {"b64_json", "bytesBase64Encoded", "audioContent", "audio_base64", "audio_base_64", "data", "result"}
)
_ADDRESSES = frozenset(
    {
        "url",
        "uri",
        "gcsUri",
        "s3Uri",
        "content_url",
        "image_url",
        "video_url",
        "audio_url",
        "output",
        "urls",
        "unsigned_urls",
    }
)
_ECHOES = frozenset({"input", "prompt", "annotations", "citations", "tools", "error"})
"""Parts of an answer that repeat the request or quote others."""
_MAGIC = (
    (b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"), (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"), (b"ID3", "audio/mpeg"), (b"\xff\xfb", "audio/mpeg"), (b"\x1aE\xdf\xa3", "video/webm"),
)  # fmt: skip
_SHORTEST = 32
"""A text shorter than this is no medium in base64."""
_DEEPEST = 24


class Media:
    """Collects the media of one answer, from its whole body, its events, or the pieces of a body that is one medium."""

    def __init__(self) -> None:
        self._inline: dict[str, Json] = {}
        """By digest: an event may repeat what another had."""
        self._addresses: dict[str, str | None] = {}
        self._digest = hashlib.sha256()
        self._size = 0
        self._type = ""

    def piece(self, data: bytes, content_type: str) -> None:
        """A piece of a body that is itself a medium."""
        self._type = content_type.partition(";")[0].strip()
        self._digest.update(data)
        self._size += len(data)

    def read(self, body: Any) -> None:
        """One answer, or one event of it. A partial image is none."""
        if isinstance(body, dict) and str(body.get("type")).endswith("partial_image"):
            return
        for key, value, holder in _texts(body, {}, 0):
            if key in _ADDRESSES and value.startswith(("http://", "https://", "gs://", "s3://")):
                self._addresses.setdefault(value, _said_type(holder))
            elif value.startswith("data:") and ";base64," in value[:100]:
                kind, _, text = value.partition(";base64,")
                self._add(text, kind[5:] or None)
            elif key in _INLINE and len(value) >= _SHORTEST and _is_medium(key, holder):
                self._add(value, _said_type(holder))

    def listed(self, model_type: str | None) -> list[Json]:
        """The media of the answer, in the order they came."""
        found = list(self._inline.values())
        if self._size:
            found.append({"mime_type": self._type, "bytes": self._size, "sha256": self._digest.hexdigest()})
        if model_type in _MEDIA_TYPES:
            found += [{"uri": uri, **({"mime_type": kind} if kind else {})} for uri, kind in self._addresses.items()]
        return found

    def _add(self, text: str, kind: str | None) -> None:
        try:
            data = base64.b64decode(text)
        except ValueError:
            return
        if data:
            digest = hashlib.sha256(data).hexdigest()
            medium = {"mime_type": kind or _type_of(data), "bytes": len(data), "sha256": digest}
            self._inline.setdefault(digest, {name: value for name, value in medium.items() if value})


def _texts(value: Any, holder: Json, depth: int, key: str = "") -> Iterator[tuple[str, str, Json]]:
    """Each text of a body, with its key and the object that holds it. A list's texts have the key of the list."""
    if isinstance(value, str):
        yield key, value, holder
    elif depth < _DEEPEST and isinstance(value, dict):
        for name, item in value.items():
            if name not in _ECHOES:
                yield from _texts(item, value, depth + 1, str(name))
    elif depth < _DEEPEST and isinstance(value, list):
        for item in value:
            yield from _texts(item, holder, depth + 1, key)


def _is_medium(key: str, holder: Json) -> bool:
    """Whether a text under a common name is one: ``data`` beside a type or as spoken words, ``result`` of an image tool."""
    if key == "data":
        return _said_type(holder) is not None or "transcript" in holder
    return key != "result" or holder.get("type") == "image_generation_call"


def _said_type(holder: Json) -> str | None:
    """The media type that the object says it has."""
    for name in ("mimeType", "mime_type", "content_type", "content_mime_type"):
        if isinstance(holder.get(name), str):
            return str(holder[name]).partition(";")[0]
    image = holder.get("output_format")
    return f"image/{image}" if isinstance(image, str) and image in ("png", "jpeg", "webp") else None


def _type_of(data: bytes) -> str | None:
    """The media type that the first bytes tell."""
    if data.startswith(b"RIFF"):
        return "image/webp" if data[8:12] == b"WEBP" else "audio/wav"
    if data[4:8] == b"ftyp":
        return "video/mp4"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)
