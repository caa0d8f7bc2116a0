"""Models that cost by where they run: Ollama's cloud, hosts of a region, and fal's router, which says itself what a call cost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from spectra_otel import instrumentors
from spectra_otel.dialects._reader import Readers
from spectra_otel.pricing import calculate, estimate_request, places
from tests.made_spans import made
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


def completion(model: str) -> dict[str, Any]:
    return {"id": "c", "model": model, "choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}


@pytest.mark.parametrize(("host", "model", "in_cents", "place"), [
    ("api.openai.com", "gpt-5.4", "0.4", None),
    ("eu.api.openai.com", "gpt-5.4", "0.44", "eu"),
    ("eu.api.openai.com", "gpt-5.4-2026-03-05", "0.44", "eu"),
    ("us.api.openai.com", "gpt-5.3-codex", "0.315", None),
    ("eu.api.openai.com", "gpt-4o", "0.35", None),
    ("eu.api.openai.com", "o4-mini", "0.154", None),
    ("gov.api.openai.com", "gpt-5.4", "0.44", "gov"),
    ("gov.api.openai.com", "gpt-4o", "0.385", "gov"),
    ("us.api.x.ai", "grok-4.6", "0.286", "us"),
    ("eu-west-1.api.x.ai", "grok-4.6", "0.26", None),
])  # fmt: skip
def test_a_host_of_a_region_costs_a_tenth_more(post, host: str, model: str, in_cents: str, place: str | None) -> None:
    """For OpenAI's models from 5 March 2026 on, for all at its host for FedRAMP, and at xAI's in the US; the usage says where."""
    record = post(f"https://{host}/v1/chat/completions", {"model": model, "messages": []}, completion(model))
    assert record["total_cost_in_cents"] == Decimal(in_cents)
    assert record["usage_raw"].get("inference_geo") == place


@pytest.mark.parametrize("model", [
    "gpt-3.5-turbo", "gpt-4", "gpt-4.1-mini", "gpt-4o-mini-tts", "gpt-5", "gpt-5-mini-2025-08-07", "gpt-5-2", "gpt-5.3-codex",
    "gpt-5-search-api", "gpt-image-1.5", "gpt-audio-mini", "gpt-oss-120b", "chatgpt-4o-latest", "o1", "o3-mini", "o4-mini",
    "sora-2-pro", "dall-e-3", "tts-1-hd", "whisper-1", "text-embedding-3-large", "omni-moderation-latest", "ft:gpt-4.1-mini:org",
    "davinci-002", "gpt-realtime-1.5", "GPT-4o",
])  # fmt: skip
def test_openais_earlier_models_cost_the_same_everywhere(model: str) -> None:
    """They are known; a name that nobody knew then is a later one's."""
    assert places.premium("openai", model, {}, "", "eu") is None


@pytest.mark.parametrize(
    "model",
    [
        "gpt-5.4",
        "gpt-5-5",
        "gpt-5.6-sol",
        "gpt-6-luna",
        "gpt-6.1-terra",
        "gpt-image-2",
        "gpt-realtime-2",
        "gpt-transcribe",
    ],
)
def test_openais_later_models_do_not(model: str) -> None:
    """Those released on or after 5 March 2026."""
    assert places.premium("openai", model, {}, "", "eu") == places.OF_MODELS


@pytest.mark.parametrize(("host", "model", "in_cents"), [
    ("api.openai.com", "gpt-transcribe", "0.45"),
    ("eu.api.openai.com", "gpt-transcribe", "0.495"),
    ("eu.api.openai.com", "whisper-1", "0.6"),
])  # fmt: skip
def test_minutes_cost_a_tenth_more_too(post, host: str, model: str, in_cents: str) -> None:
    """OpenAI asks it for all that a model is sold by."""
    answer = {"text": "hi", "usage": {"type": "duration", "seconds": 60}}
    record = post(f"https://{host}/v1/audio/transcriptions", {"model": model}, answer)
    assert (record["duration_seconds"], record["total_cost_in_cents"]) == (60, Decimal(in_cents))


def test_tools_cost_the_same_everywhere() -> None:
    """The tenth is on what a model is sold by; a search costs a cent wherever it is."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "tool_call_counts": {"web_search": 2}}
    here = calculate("openai", "gpt-5.4", usage)
    there = calculate("openai", "gpt-5.4", usage | {"usage_raw": {"inference_geo": "eu"}})
    assert (here.tool_cost_in_cents, there.tool_cost_in_cents) == (2, 2)
    assert there.total_cost_in_cents == Decimal("2.44")


def test_a_failed_call_to_a_region_has_a_bound_of_that_region() -> None:
    """What it may have cost at most is a tenth more, too."""
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
    anywhere = estimate_request("openai", body, model="gpt-5.4").upper_in_cents
    there = estimate_request("openai", body, model="gpt-5.4", region="eu").upper_in_cents
    assert anywhere is not None
    assert there is not None
    assert there == anywhere * Decimal("1.1")


@pytest.mark.parametrize(("host", "provider", "model", "place"), [
    ("eu.api.openai.com", "openai", "gpt-5.4", "eu"),
    ("api.openai.com", "openai", "gpt-5.4", None),
    ("eu.api.openai.com", "openai", "gpt-4o", None),
    ("us-east5-aiplatform.googleapis.com", "gcp.vertex_ai", "claude-sonnet-4-6", "us-east5"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai", "claude-sonnet-4-6", None),
])  # fmt: skip
def test_other_peoples_spans_say_where_by_their_host(host: str, provider: str, model: str, place: str | None) -> None:
    """The server's address is all there is; the second span of the same names says the same as the first."""
    attributes = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": model,
        "server.address": host, "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100,
    }  # fmt: skip
    readers = Readers()
    for _ in range(3):
        span = made("opentelemetry.instrumentation.openai_v2", attributes)
        reader = readers.claim(span)
        assert reader is not None
        assert (reader.read(span)[1].fields.get("usage_raw") or {}).get("inference_geo") == place
