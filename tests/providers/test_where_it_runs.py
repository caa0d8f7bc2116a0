"""Models that cost by where they run: Ollama's cloud, and the router of fal, which says itself what a call cost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from spectra_otel import instrumentors
from spectra_otel.pricing import calculate
from tests.recording import Recorder

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
DONE = {
    "model": "gpt-oss:120b",
    "message": {"content": "x"},
    "done": True,
    "prompt_eval_count": 1000,
    "eval_count": 100,
}
COMPLETION = {
    "id": "c",
    "model": "gpt-oss:120b",
    "choices": [],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
}
IN_CENTS = Decimal("0.021")
"""0.15 and 0.60 dollars a million: ollama.com/pricing (2026-09-15)."""
ASKED = {"model": "gpt-oss:120b", "stream": False, "messages": []}


@pytest.fixture
def post(monkeypatch, tmp_path):
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    recorder = Recorder()
    recorder.install()

    def post(url: str, ask: Any, answer: Any) -> dict[str, Any]:
        body: dict[str, Any] = {"content": answer} if isinstance(answer, bytes) else {"json": answer}
        with httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, **body))) as client:
            client.post(url, json=ask)
        record = recorder.only
        if record.get("cost_status") is None:
            names = (record["provider"], record.get("snapshot") or record["model"])
            record.update(calculate(*names, record, pricing_tier=record.get("pricing_tier"), at=AT)._asdict())
        return record

    yield post
    instrumentors.uninstall()


@pytest.mark.parametrize(("url", "answer"), [
    ("https://ollama.com/api/chat", DONE),
    ("https://ollama.com/v1/chat/completions", COMPLETION),
    ("https://ollama.com/v1/responses", {
        "id": "r", "model": "gpt-oss:120b", "status": "completed", "service_tier": "default",
        "usage": {"input_tokens": 1000, "output_tokens": 100}}),
    ("http://localhost:11434/api/chat", DONE | {"remote_model": "gpt-oss:120b", "remote_host": "https://ollama.com:443"}),
    ("http://localhost:11434/api/chat", DONE | {
        "model": "mine", "remote_model": "gpt-oss:120b", "remote_host": "https://ollama.com:443"}),
])  # fmt: skip
def test_ollamas_cloud_costs_and_ones_own_machine_does_not(post, url: str, answer: dict[str, Any]) -> None:
    """The cloud's models have plain names there, too: it is the host that tells, or the server that passed it on."""
    record = post(url, ASKED, answer)
    assert (record["provider"], record["pricing_tier"], record["snapshot"]) == ("ollama", "cloud", "gpt-oss:120b")
    assert (record["cost_status"], record["total_cost_in_cents"]) == ("priced", IN_CENTS)


def test_a_machine_of_ones_own_is_free(post) -> None:
    """The same model, the same name."""
    record = post("http://localhost:11434/api/chat", ASKED, DONE)
    assert (record.get("pricing_tier"), record["cost_status"], record["total_cost_in_cents"]) == (None, "free", 0)


def test_a_model_of_the_cloud_that_nobody_knows_is_not_free(post) -> None:
    """It has no price that we read."""
    record = post("https://ollama.com/api/chat", ASKED | {"model": "new:1t"}, DONE | {"model": "new:1t"})
    assert (record["cost_status"], record["total_cost_in_cents"]) == ("unpriced", None)


ROUTED = {"output": "x", "usage": {"prompt_tokens": 9, "completion_tokens": 63, "total_tokens": 72, "cost": 0.0005595}}
AS_ROUTED = {"model": "google/gemini-2.5-flash", "model_type": "text", "prompt_tokens": 9, "completion_tokens": 63,
             "cost_status": "provider", "total_cost_in_cents": Decimal("0.05595")}  # fmt: skip


@pytest.mark.parametrize(("path", "ask", "answer", "expected"), [
    ("openrouter/router", {"prompt": "hi"}, ROUTED, AS_ROUTED),
    ("openrouter/router/vision", {"prompt": "hi", "image_urls": []}, ROUTED, AS_ROUTED),
    ("openrouter/router/stream", {"prompt": "hi"},
     b'data: {"output": "x", "partial": true}\n\ndata: ' + json.dumps(ROUTED).encode() + b"\n\n",
     AS_ROUTED | {"is_streaming": True, "is_aborted": None}),
    ("openrouter/router/openai/v1/embeddings", {"input": "hi"}, {"data": [], "usage": {"prompt_tokens": 9, "cost": 0.001}},
     {"model_type": "embedding", "prompt_tokens": 9, "total_cost_in_cents": Decimal("0.1")}),
    ("fal-ai/moondream3-preview/query", {"prompt": "hi"},
     {"output": "x", "usage_info": {"input_tokens": 1_000_000, "output_tokens": 1_000_000, "ttft_ms": 91.5}},
     {"model_type": "text", "cost_status": "priced", "total_cost_in_cents": 390}),
    ("fal-ai/elevenlabs/speech-to-text/scribe-v2", {"audio_url": "u"},
     {"text": "hi", "words": [{"text": "hi", "start": 0.1, "end": 60.0, "type": "word"}]},
     {"model_type": "stt", "duration_seconds": 60.0, "total_cost_in_cents": Decimal("0.8")}),
    ("fal-ai/got-ocr/v2", {"input_image_urls": ["u", "v"], "multi_page": True}, {"outputs": ["x"]},
     {"model_type": "ocr", "pages": 2, "total_cost_in_cents": 10}),
    ("fal-ai/x-ailab/nsfw", {"image_urls": ["u"]}, {"has_nsfw_concepts": [False]},
     {"model_type": "moderation", "image_count": 1, "total_cost_in_cents": Decimal("0.1")}),
])  # fmt: skip
def test_what_fal_sells_beside_media(
    post, path: str, ask: dict[str, Any], answer: Any, expected: dict[str, Any]
) -> None:
    """Texts and vectors by token, transcripts by the second, pages, and images that are looked at."""
    record = post(f"https://fal.run/{path}", ask | {"model": "google/gemini-2.5-flash"}, answer)
    assert {name: record.get(name) for name in expected} == expected
