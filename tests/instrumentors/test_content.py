"""Prompts and answers: kept only where asked, without secrets and media, within a limit, and never past a redactor that fails."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from spectra_otel import faults, instrumentors
from tests.recording import Recorder

URL = "https://api.openai.com/v1/chat/completions"
KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz"
PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 100
ASK = {
    "model": "gpt-4o", "api_key": "hush", "metadata": {"authorization": "Basic dXNlcg=="},
    "messages": [{"role": "user", "content": [
        {"type": "text", "text": f"My key is {KEY}, and the token Bearer abcdefghijkl"},
        {"type": "image_url", "image_url": {"url": PICTURE}},
    ]}],
}  # fmt: skip
ANSWER = {"id": "c", "model": "m", "choices": [{"index": 0, "message": {"content": "Lisbon"}, "finish_reason": "stop"}]}
EVENTS = b"".join(
    b"data: " + json.dumps({"id": "c", "choices": [{"delta": {"content": w}}]}).encode() + b"\n\n" for w in "abc"
)


@pytest.fixture
def record(monkeypatch):
    """Make one call with these settings; the record of it."""

    def call(ask: Any = ASK, answer: Any = ANSWER, **settings: str) -> dict[str, Any]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        recorder = Recorder()
        recorder.install()
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        with httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=raw))) as client:
            assert client.post(URL, json=ask, headers={"authorization": f"Bearer {KEY}"}).content == raw
        return recorder.only

    yield call
    instrumentors.uninstall()


def redact(body: dict[str, Any], kind: str) -> dict[str, Any] | None:
    return {"kind": kind} if kind == "request" else None


def fail(body: dict[str, Any], kind: str) -> dict[str, Any]:
    raise ValueError(kind)


def test_nothing_is_kept_unless_asked_for(record):
    """Neither prompt nor answer."""
    kept = record()
    assert kept.get("request_body") is kept.get("response_body") is None
    assert "Lisbon" not in repr({key: value for key, value in kept.items() if key != "_span"})


def test_bodies_are_kept_without_secrets_and_media(record):
    """Keys, tokens and pictures stay out; the words are there."""
    kept = record(SPECTRA_CAPTURE_CONTENT="true")
    request = kept["request_body"]
    assert kept["response_body"]["choices"][0]["message"]["content"] == "Lisbon"
    assert request["messages"][0]["content"][0]["text"] == "My key is [redacted], and the token [redacted]"
    assert request["messages"][0]["content"][1]["image_url"]["url"] == f"[image/png, {len(PICTURE)} characters]"
    assert (request["api_key"], request["metadata"]["authorization"]) == ("[redacted]", "[redacted]")
    assert KEY not in repr(request)


def test_a_stream_is_kept_as_its_events(record):
    """In their order."""
    kept = record({**ASK, "stream": True}, EVENTS, SPECTRA_CAPTURE_CONTENT="true", SPECTRA_INJECT_USAGE="false")
    words = [event["choices"][0]["delta"]["content"] for event in kept["response_body"]["events"]]
    assert words == ["a", "b", "c"]


def test_a_body_is_cut_to_the_limit(record):
    """However long it is."""
    ask = {**ASK, "messages": [{"role": "user", "content": "word " * 100_000}] * 20}
    kept = record(ask, SPECTRA_CAPTURE_CONTENT="true", SPECTRA_CONTENT_LIMIT="2000")
    assert 1000 < len(json.dumps(kept["request_body"])) < 4000
    assert "[cut]" in json.dumps(kept["request_body"])


def test_a_redactor_decides(record):
    """What it gives back is kept, and nothing where it gives nothing."""
    kept = record(SPECTRA_CAPTURE_CONTENT="true", SPECTRA_CONTENT_REDACTOR=f"{__name__}:redact")
    assert (kept["request_body"], kept.get("response_body")) == ({"kind": "request"}, None)


@pytest.mark.parametrize("name", ["fail", "not_there"])
def test_a_redactor_that_fails_keeps_everything_out(record, name):
    """Closed, not open; the record is made all the same."""
    before = sum(faults.counts().values())
    kept = record(SPECTRA_CAPTURE_CONTENT="true", SPECTRA_CONTENT_REDACTOR=f"{__name__}:{name}")
    assert kept.get("request_body") is kept.get("response_body") is None
    assert kept["response_id"] == "c"
    assert sum(faults.counts().values()) > before
