"""Hosts that nobody named: what has a known path and a known shape is recorded, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from spectra_otel.providers import custom
from tests.recording import Recorder, recording

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
GEMINI = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
          "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 3}}  # fmt: skip


@pytest.fixture
def recorder(tmp_path, monkeypatch) -> Iterator[Recorder]:
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    with recording() as recorder:
        yield recorder
    custom.configure({})


def send(url: str, answer: Any = None, **content: Any) -> None:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer or {}).encode()
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=raw))) as client:
        client.request(content.pop("method", "POST"), url, **content)


SPOKEN: list[tuple[str, dict[str, Any], Any, dict[str, Any]]] = [
    ("/v1/chat/completions", {"model": "m", "messages": []}, {"choices": [], "usage": USAGE}, {"prompt_tokens": 12}),
    ("/v1/embeddings", {"model": "m", "input": "x"}, {"data": [], "usage": {"total_tokens": 12}}, {"prompt_tokens": 12}),
    ("/v1/images/generations", {"model": "m", "prompt": "x"}, {"data": [{}, {}]}, {"image_count": 2}),
    ("/v1/audio/speech", {"model": "m", "input": "hello", "voice": "v"}, {}, {"input_characters": 5}),
    ("/v1/rerank", {"model": "m", "query": "q", "documents": ["a"]}, {"usage": {"total_tokens": 12}}, {"prompt_tokens": 12}),
    ("/gw/google-ai-studio/v1beta/models/gemini-2.5-flash:generateContent", {"contents": []}, GEMINI,
     {"prompt_tokens": 12, "model": "gemini-2.5-flash"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "ask", "answer", "want"), SPOKEN, ids=[row[0] for row in SPOKEN])
def test_what_speaks_a_known_format_is_recorded(path, ask, answer, want, recorder):
    """By its path and its shape together; whose prices hold is not known."""
    send(f"https://gateway.corp{path}", answer, json=ask)
    record = recorder.only
    assert {"provider": record["provider"], **{name: record[name] for name in want}} == {
        "provider": "openai_compatible",
        **want,
    }


def test_a_form_with_a_file_is_a_transcription(recorder):
    """The model beside it says so."""
    send(
        "https://gateway.corp/v1/audio/transcriptions",
        {"text": "x", "duration": 9.5},
        data={"model": "whisper"},
        files={"file": b"x"},
    )
    assert (recorder.only["model_type"], recorder.only["duration_seconds"]) == ("stt", 9.5)


STRANGE: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/images/generations", {"json": {"prompt": 5}}),
    ("POST", "/audio/speech", {"json": {"input": "x"}}),
    ("POST", "/v1/audio/transcriptions", {"files": {"file": b"x"}}),
    ("POST", "/search/rerank", {"json": {"query": "q"}}),
    ("POST", "/v1/moderations", {"json": {"model": "m", "input": "x"}}),
    ("POST", "/videos", {"json": {"model": "m", "prompt": "x"}}),
    ("POST", "/batches", {"json": {"model": "m"}}),
    ("GET", "/v1/responses/r1", {}),
    ("POST", "/v1/models/m:generateContent", {"json": {"contents": "x"}}),
]


@pytest.mark.parametrize(("method", "path", "content"), STRANGE)
def test_what_only_looks_like_it_is_left_alone(method, path, content, recorder):
    """Paths that other services have, too."""
    send(f"https://shop.corp{path}", {"id": "x", "status": "queued"}, method=method, **content)
    assert recorder.records == recorder.spans == []


def test_a_provider_of_the_configuration_has_all_of_it(recorder):
    """Named by its hosts alone: bodies of any shape, jobs and batches."""
    custom.configure({"mine": {"hosts": ["llm.corp"]}})
    recorder.install()
    send("https://llm.corp/v1/moderations", {"id": "m", "usage": USAGE}, json={"input": "x"})
    send("https://llm.corp/v1/videos", {"id": "v", "status": "queued"}, json={"model": "m", "seconds": "4"})
    send("https://llm.corp/v1/videos/v", {"id": "v", "status": "completed"}, method="GET")
    assert [record["provider"] for record in recorder.records] == ["mine", "mine"]
    assert recorder.completed[0]["video_count"] == 1


def test_a_gateway_that_says_what_it_charged_is_believed(recorder):
    """OpenRouter, in Anthropic's format."""
    usage = {"input_tokens": 12, "output_tokens": 3, "cost": 0.5}
    send(
        "https://openrouter.ai/api/v1/messages",
        {"type": "message", "usage": usage},
        json={"model": "m", "messages": []},
    )
    assert (recorder.only["cost_status"], recorder.only["total_cost_in_cents"]) == ("provider", 50)
