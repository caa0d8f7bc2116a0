"""Prompts and answers: kept only where asked, without secrets and media, within a limit, and never past a redactor that fails."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
import requests

from spectra_otel import faults, instrumentors
from tests.recording import Recorder

URL = "https://api.openai.com/v1/chat/completions"
KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz"
PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 100
ASK = {
    "model": "gpt-4o", "api_key": "hush", "tools": [{"type": "mcp", "headers": {"X-Team-Token": "hush", "clientSecret": "hush"}}],
    "metadata": {"authorization": "Basic dXNlcg=="},
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

    def call(ask: Any = ASK, answer: Any = ANSWER, status: int = 200, **settings: str) -> dict[str, Any]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        recorder = Recorder()
        recorder.install()
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        with httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(status, content=raw))) as client:
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
    assert "hush" not in repr(request)


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


SAID = "What the patient told us stays here."
ECHOES = [
    {"error": {"message": f"Incorrect API key provided: {KEY}", "type": "invalid_request_error"}},
    {"error": {"message": f"Invalid value: '{SAID}'"}},
    {"detail": [{"loc": ["body", "messages", 0], "msg": "Field required", "input": {"role": "user", "content": SAID}}]},
    {"message": f"cannot be read: {SAID}"},
]


@pytest.mark.parametrize("answer", ECHOES)
def test_an_error_that_repeats_what_was_sent_is_kept_without_it(record, answer):
    """Neither the key nor the prompt, on the record and on the span; the app's bytes are as they were."""
    found = record({"model": "gpt-4o", "messages": [{"role": "user", "content": SAID}]}, answer, 422)
    words = f"{found['error_message']} {found['_span'].to_json()}"
    assert found["error_message"]
    assert KEY not in words
    assert SAID not in words


def test_an_error_may_repeat_the_prompt_where_content_is_kept(record):
    """Then it is on the record anyway; a key never is."""
    ask = {"model": "gpt-4o", "messages": [{"role": "user", "content": SAID}]}
    found = record(ask, {"error": {"message": f"{SAID} {KEY}"}}, SPECTRA_CAPTURE_CONTENT="true")
    assert found["error_message"] == f"{SAID} [redacted]"


def test_the_key_in_a_url_is_in_no_error(monkeypatch):
    """requests says the whole address of a host that it cannot reach."""
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", "127.0.0.1:9=google")
    recorder = Recorder()
    recorder.install()
    try:
        with pytest.raises(requests.ConnectionError):
            requests.post(
                "http://127.0.0.1:9/v1beta/models/m:generateContent?key=hush-hush", json={"contents": []}, timeout=9
            )
    finally:
        instrumentors.uninstall()
    assert "?key=[redacted]" in recorder.only["error_message"]
    assert "hush" not in str(recorder.only) + recorder.spans[-1].to_json()
