"""Generated media: listed where content is kept, and until when they can be fetched."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

PNG = b"\x89PNG\r\n\x1a\n" + bytes(400)
TEXT = base64.b64encode(PNG).decode()
LISTED = {"mime_type": "image/png", "bytes": len(PNG), "sha256": hashlib.sha256(PNG).hexdigest()}
OPENAI = "https://api.openai.com/v1"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-3-pro-image:generateContent"


@pytest.fixture(autouse=True)
def kept(monkeypatch) -> None:
    monkeypatch.setenv("SPECTRA_CAPTURE_CONTENT", "true")


def call(url: str, ask: Any, answer: Any, *, stream: bool = False, kind: str = "", method: str = "POST") -> None:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=raw, headers={"content-type": kind}))
    with httpx2.Client(transport=transport) as client:
        response = client.send(client.build_request(method, url, json=ask), stream=stream)
        assert response.read() == raw


def events(*found: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in found)


INLINE: list[tuple[str, dict[str, Any], Any]] = [
    (f"{OPENAI}/images/generations", {"model": "gpt-image-1"}, {"data": [{"b64_json": TEXT}]}),
    (f"{OPENAI}/responses", {"model": "gpt-5", "input": "x"}, {"id": "r", "status": "completed", "output": [
        {"type": "image_generation_call", "status": "completed", "result": TEXT, "output_format": "png"}]}),
    (f"{OPENAI}/images/generations", {"model": "gpt-image-1", "stream": True}, events(
        {"type": "image_generation.partial_image", "b64_json": base64.b64encode(PNG + b"x").decode()},
        {"type": "image_generation.completed", "b64_json": TEXT, "usage": {"input_tokens": 1, "output_tokens": 2}})),
    (GEMINI, {"contents": []}, {"candidates": [{"content": {"parts": [
        {"inlineData": {"mimeType": "image/png", "data": TEXT}}]}, "finishReason": "STOP"}]}),
    ("https://fal.run/fal-ai/flux", {"prompt": "x"}, {"images": [{"url": f"data:image/png;base64,{TEXT}"}]}),
]  # fmt: skip


@pytest.mark.parametrize(("url", "ask", "answer"), INLINE)
def test_media_within_an_answer_are_listed_by_size_and_digest(url, ask, answer, recorder):
    """Wherever providers put them; a partial image is not one, and the bytes themselves are not kept."""
    call(url, ask, answer, kind="text/event-stream" if isinstance(answer, bytes) else "application/json")
    assert recorder.only["media"] == [LISTED]
    assert TEXT not in repr(recorder.only)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_a_medium_itself_is_listed(stream, recorder):
    """However it is read."""
    call(f"{OPENAI}/audio/speech", {"model": "tts-1", "input": "x"}, PNG, stream=stream, kind="audio/mpeg")
    assert recorder.only["media"] == [{**LISTED, "mime_type": "audio/mpeg"}]


def test_an_address_is_listed_of_media_alone(recorder):
    """The addresses in a text are the text's, and those in the request's echo the app's own."""
    url = "https://cdn.example.com/1.png"
    call(
        "https://fal.run/fal-ai/flux",
        {"prompt": "x"},
        {"images": [{"url": url, "content_type": "image/png"}], "input": {"url": "https://x"}},
    )
    message = {"content": "x", "annotations": [{"url": "https://y"}], "link": {"url": "https://z"}}
    call(f"{OPENAI}/chat/completions", {"model": "gpt-4o", "messages": []}, {"choices": [{"message": message}]})
    assert [record.get("media") for record in recorder.records] == [[{"uri": url, "mime_type": "image/png"}], None]


def test_nothing_is_listed_unless_content_is_kept(recorder, monkeypatch):
    """Off by default."""
    monkeypatch.delenv("SPECTRA_CAPTURE_CONTENT")
    recorder.install()
    call(*INLINE[0])
    assert recorder.only.get("media") is None


SOON = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SIGNED = [
    f"https://x.blob.core.windows.net/1.png?se={SOON:%Y-%m-%dT%H:%M:%SZ}&sig=s",
    f"https://x.s3.amazonaws.com/1.png?X-Amz-Date={SOON - timedelta(hours=1):%Y%m%dT%H%M%SZ}&X-Amz-Expires=3600",
    f"https://storage.googleapis.com/1.png?X-Goog-Date={SOON - timedelta(hours=1):%Y%m%dT%H%M%SZ}&X-Goog-Expires=3600",
    f"https://cdn.example.com/1.png?Expires={int(SOON.timestamp())}",
]


@pytest.mark.parametrize("address", SIGNED)
def test_a_signed_address_says_when_it_ends(address, recorder):
    """In each of the ways that addresses are signed."""
    call(f"{OPENAI}/images/generations", {"model": "dall-e-3"}, {"data": [{"url": address}]})
    assert recorder.only["media_expires_at"] == SOON


@pytest.mark.parametrize(
    "address", ["https://x/1.png", "https://x/1.png?Expires=soon", "https://x/1.png?X-Amz-Date=x&X-Amz-Expires=1"]
)
def test_a_provider_that_documents_a_term_keeps_media_so_long(address, recorder):
    """OpenAI: images for an hour."""
    call(f"{OPENAI}/images/generations", {"model": "dall-e-3"}, {"data": [{"url": address}]})
    left = recorder.only["media_expires_at"] - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


def test_a_video_says_when_it_expires(recorder):
    """The look that completes the job brings it."""
    video = {"id": "v", "status": "queued", "model": "sora-2", "seconds": "4"}
    call(f"{OPENAI}/videos", {"model": "sora-2"}, video)
    call(
        f"{OPENAI}/videos/v", None, {**video, "status": "completed", "expires_at": int(SOON.timestamp())}, method="GET"
    )
    assert recorder.completed[0]["media_expires_at"] == SOON


def test_an_image_within_the_answer_does_not_expire(recorder):
    """It is here."""
    call(*INLINE[0])
    assert recorder.only.get("media_expires_at") is None
