"""Answers that the recorded traffic does not have: what each endpoint's format reads of request, headers and answer."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from spectra_otel import instrumentors
from spectra_otel.providers.wire import containers, responses
from tests.recording import Recorder


@pytest.fixture
def call(monkeypatch, tmp_path):
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    recorder = Recorder()
    recorder.install()

    def call(url: str, ask: Any, answer: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {"content": answer} if isinstance(answer, bytes) else {"json": answer}
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers or {}, **body))
        with httpx2.Client(transport=transport) as client:
            client.post(
                url, json=ask, headers={"authorization": "AWS4-HMAC-SHA256 Credential=AKIAX/20261121/x, Signature=1"}
            )
        return recorder.only

    yield call
    instrumentors.uninstall()


SPENT = {"web_search": {"num_requests": 0}, "image_gen": {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14}}
DRAWN = {
    "id": "r", "status": "completed", "usage": {"input_tokens": 1, "output_tokens": 2}, "output": [
        {"type": "image_generation_call", "status": "completed", "result": "aGk=", "size": "1024x1024", "quality": "high"},
        {"type": "image_generation_call", "status": "completed", "result": "aGk="},
        {"type": "image_generation_call", "status": "failed"},
        {"type": "web_search_call", "status": "completed", "action": {"type": "search"}},
        {"type": "web_search_call", "status": "completed", "action": {"type": "open_page"}},
        {"type": "code_interpreter_call", "container_id": "c1"}, {"type": "code_interpreter_call", "container_id": "c1"},
    ],
}  # fmt: skip
GEMINI = "https://generativelanguage.googleapis.com/v1beta"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
COUNTS = {"x-amzn-bedrock-input-token-count": "9", "x-amzn-bedrock-output-token-count": "4"}
VERTEX = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1"
CHAT = {"id": "c", "model": "m-1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}
OVERLOADED = b"".join(
    b"data: " + json.dumps(event).encode() + b"\n\n"
    for event in (
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 500, "output_tokens": 1}}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hello"}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    )
)
CHAT_READ = {"provider": "vertex", "snapshot": "m-1", "prompt_tokens": 9, "completion_tokens": 4}
ROWS: list[tuple[str, Any, Any, dict[str, str], dict[str, Any]]] = [
    ("https://fal.run/fal-ai/flux/dev", {"prompt": "x"}, {"images": [{"width": 512, "height": 256}] * 2}, {},
     {"provider": "fal", "model": "fal-ai/flux/dev", "model_type": "image", "image_count": 2, "image_size": "512x256"}),
    ("https://queue.fal.run/fal-ai/kling-video/v2", {"duration": "5"}, {"request_id": "q", "status": "IN_QUEUE"}, {},
     {"model_type": "video", "duration_seconds": 5.0, "cost_status": "billed_unknown", "response_id": "q"}),
    ("https://fal.run/fal-ai/whisper", {"audio_url": "u"}, {"text": "hi", "chunks": [{"timestamp": [0, 3.5]}]}, {},
     {"model_type": "stt", "duration_seconds": 3.5}),
    ("https://api.replicate.com/v1/models/meta/llama-3/predictions", {"input": {}}, {
        "id": "p", "status": "succeeded", "metrics": {"predict_time": 1.5, "input_token_count": 7, "output_token_count": 8}}, {},
     {"model": "meta/llama-3", "model_type": "text", "prompt_tokens": 7, "completion_tokens": 8, "compute_seconds": 1.5}),
    ("https://api.mistral.ai/v1/ocr", {"model": "mistral-ocr-latest"}, {"pages": [{}], "usage_info": {"pages_processed": 3}}, {},
     {"model_type": "ocr", "pages": 3, "tool_call_counts": None}),
    ("https://api.mistral.ai/v1/ocr", {"model": "mistral-ocr-latest", "document_annotation_format": {"type": "json_schema"}},
     {"pages": [{}], "usage_info": {"pages_processed": 3}, "document_annotation": "{}"}, {},
     {"model_type": "ocr", "pages": 3, "tool_call_counts": {"annotation": 3}}),
    ("https://api.mistral.ai/v1/ocr", {"model": "mistral-ocr-latest", "bbox_annotation_format": {"type": "json_schema"}},
     {"pages": [], "usage_info": {"pages_processed": None}}, {}, {"pages": None, "tool_call_counts": None}),
    ("https://api.perplexity.ai/chat/completions", {"model": "sonar-deep-research", "messages": []}, {
        "id": "r", "model": "sonar-deep-research", "choices": [], "usage": {
            "prompt_tokens": 33, "completion_tokens": 7163, "total_tokens": 7196, "citation_tokens": 20016,
            "num_search_queries": 18, "reasoning_tokens": 73997}}, {},
     {"prompt_tokens": 33, "completion_tokens": 81160, "reasoning_tokens": 73997,
      "tool_call_counts": {"web_search": 18, "citation_tokens": 20016}}),
    ("https://api.elevenlabs.io/v1/text-to-speech/v1", {"text": "héllo"}, b"\xff\xfb\x00",
     {"content-type": "audio/mpeg", "character-cost": "5"},
     {"input_characters": 5, "snapshot": "eleven_multilingual_v2", "usage_raw": {"character_cost": 5}}),
    ("https://api.deepgram.com/v1/listen?model=nova-3", {"url": "u"}, {"metadata": {"request_id": "r", "duration": 9.5}}, {},
     {"model": "nova-3", "duration_seconds": 9.5, "response_id": "r"}),
    ("https://api.x.ai/v1/videos/generations", {"model": "grok-imagine-video", "duration": 6}, {"request_id": "v"}, {},
     {"model_type": "video", "duration_seconds": 6.0, "cost_status": "billed_unknown"}),
    ("https://generativelanguage.googleapis.com/v1beta/models/veo-3:predictLongRunning", {"parameters": {"durationSeconds": 8}},
     {"name": "models/veo-3/operations/op1"}, {}, {"model": "veo-3", "duration_seconds": 8.0, "response_id": "op1"}),
    ("https://generativelanguage.googleapis.com/v1beta/models/imagen-4:predict", {},
     {"predictions": [{"bytesBase64Encoded": "x"}]}, {},
     {"model_type": "image", "image_count": 1}),
    (f"{BEDROCK}/cohere.rerank-v3-5:0/invoke", {"documents": ["a"] * 101}, {"results": []}, {},
     {"model_type": "rerank", "search_units": 2}),
    (f"{BEDROCK}/amazon.titan-embed-text-v2:0/invoke", {"inputText": "a"},
     {"embedding": [0.1], "inputTextTokenCount": 3}, {},
     {"model_type": "embedding", "operation": "embeddings", "prompt_tokens": 3}),
    (f"{BEDROCK}/mistral.mistral-7b-instruct-v0:2/invoke", {"prompt": "a"},
     {"outputs": [{"text": "b", "stop_reason": "stop"}]}, COUNTS,
     {"prompt_tokens": 9, "completion_tokens": 4, "finish_reason": "stop"}),
    (f"{BEDROCK}/m/converse", {}, {"stopReason": "end_turn", "serviceTier": {"type": "flex"}, "usage": {
        "inputTokens": 1, "outputTokens": 2, "cacheWriteInputTokens": 30,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 30}]}}, {},
     {"prompt_tokens": 31, "cache_write_1h_tokens": 30, "pricing_tier": "flex"}),
    ("https://api.openai.com/v1/responses", {"model": "gpt-5", "input": "draw"}, DRAWN, {},
     {"model_type": "text", "image_count": 2, "image_size": "1024x1024", "image_quality": "high",
      "tool_call_counts": {"image_generation": 2, "web_search": 1, "code_interpreter": 1}}),
    ("https://api.openai.com/v1/responses", {"model": "gpt-5", "input": "run"}, {**DRAWN, "tools": [
        {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}]}, {}, {"cost_status": "partial"}),
    ("https://api.openai.com/v1/responses", {"model": "gpt-5", "input": "run"}, {"id": "r", "status": "completed", "output": [
        {"type": "shell_call", "environment": {"type": "container_reference", "container_id": "c1"}},
        {"type": "shell_call", "environment": {"type": "container_reference", "container_id": "c1"}}]}, {},
     {"tool_call_counts": {"code_interpreter": 1}, "has_tool_calls": False}),
    ("https://api.openai.com/v1/responses", {"model": "gpt-5", "input": "run"},
     {"id": "r", "status": "completed", "output": [{"type": "shell_call", "environment": {"type": "local"}}]}, {},
     {"tool_call_counts": None, "has_tool_calls": True}),
    ("https://api.openai.com/v1/responses", {"model": "gpt-5", "input": "look"},
     {**DRAWN, "tool_usage": SPENT}, {}, {"tool_call_counts": {"image_generation": 2, "code_interpreter": 1},
      "prompt_tokens": 1, "usage_raw": {"input_tokens": 1, "output_tokens": 2, "tool_usage": SPENT}}),
    ("https://api.openai.com/v1/responses", {"model": "gpt-4o", "input": "look"},
     {**DRAWN, "output": DRAWN["output"][3:5], "tools": [{"type": "function"}, {"type": "web_search_preview_2025_03_11"}]}, {},
     {"tool_call_counts": {"web_search": 1}, "usage_raw": {
         "input_tokens": 1, "output_tokens": 2, "tool_usage": {"web_search": {"type": "web_search_preview"}}}}),
    ("https://api.openai.com/v1/responses", {"model": "gpt-4o", "input": "look"},
     {**DRAWN, "output": DRAWN["output"][3:5], "tools": [{"type": "web_search"}]}, {},
     {"tool_call_counts": {"web_search": 1}, "usage_raw": {"input_tokens": 1, "output_tokens": 2}}),
    ("https://api.openai.com/v1/responses", {"model": "gpt-5", "input": "draw"},
     {**DRAWN, "tool_usage": SPENT, "tools": [{"type": "image_generation", "model": "gpt-image-2"}]}, {},
     {"usage_raw": {"input_tokens": 1, "output_tokens": 2,
                    "tool_usage": {**SPENT, "image_gen": {**SPENT["image_gen"], "model": "gpt-image-2"}}}}),
    ("https://api.anthropic.com/v1/messages", {"model": "claude-opus-4-8", "messages": [], "speed": "fast"},
     {"id": "m", "content": [], "usage": {
         "input_tokens": 9, "output_tokens": 4, "service_tier": "standard", "speed": "fast"}}, {}, {"pricing_tier": "fast"}),
    (f"{GEMINI}/models/gemini-3-flash:generateContent", {"contents": []}, {"modelVersion": "gemini-3-flash", "candidates": [
        {"finishReason": "STOP", "groundingMetadata": {
            "webSearchQueries": ["a", "b", "a", ""], "imageSearchQueries": ["c"]}}]}, {},
     {"tool_call_counts": {"grounding": 3}}),
    (f"{GEMINI}/models/gemini-2.5-flash:generateContent", {"contents": []}, {"candidates": [
        {"groundingMetadata": {"webSearchQueries": ["a", "b"], "groundingChunks": [{"maps": {"uri": "u"}}]}}],
        "usageMetadata": {"promptTokenCount": 9, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}],
                          "toolUsePromptTokenCount": 4, "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}]}},
     {}, {"tool_call_counts": {"grounding": 1, "maps": 1}, "audio_prompt_tokens": 7, "prompt_tokens": 13}),
    (f"{GEMINI}/interactions", {"model": "gemini-3-flash", "input": "x", "response_modalities": ["image"]}, {
        "id": "v1", "status": "completed", "model": "gemini-3-flash", "service_tier": "flex", "usage": {
            "total_input_tokens": 9, "total_output_tokens": 4, "total_thought_tokens": 2.0, "total_tool_use_tokens": 3,
            "input_tokens_by_modality": [{"modality": "image", "tokens": 5}],
            "output_tokens_by_modality": [{"modality": "image", "tokens": 4}],
            "grounding_tool_count": [{"type": "google_search", "count": 2}, {"type": "google_maps", "count": 1}]},
        "steps": [{"type": "model_output", "content": [{"type": "image", "data": "aGk="}]}]}, {},
     {"model_type": "image", "image_count": 1, "prompt_tokens": 12, "completion_tokens": 6, "reasoning_tokens": 2,
      "image_prompt_tokens": 5, "image_completion_tokens": 4, "pricing_tier": "flex",
      "tool_call_counts": {"grounding": 2, "maps": 1}}),
    (f"{GEMINI}/interactions", {"agent": "deep-research", "input": "x"}, {"id": "v2", "status": "queued"}, {},
     {"model": "deep-research", "cost_status": "billed_unknown"}),
    ("https://api.openai.com/v1/audio/transcriptions", {"model": "whisper-1", "response_format": "srt"}, b"1\n00:00 --> 00:02\n",
     {"content-type": "text/plain; charset=utf-8"}, {"model_type": "stt", "error_type": None}),
    ("https://api.anthropic.com/v1/messages", {"model": "claude-opus-4-8", "messages": [], "stream": True}, OVERLOADED,
     {"content-type": "text/event-stream"}, {"is_failed": True, "prompt_tokens": 500, "completion_tokens": None}),
    (f"{BEDROCK}/amazon.nova-canvas-v1:0/invoke", {"imageGenerationConfig": {"width": 512, "height": 768}},
     {"images": ["aGk="]}, {}, {"image_size": "512x768", "image_quality": "standard", "image_count": 1}),
    (f"{BEDROCK}/stability.sd3-5-large-v1:0/invoke", {"prompt": "x"}, {"images": ["aGk="]}, {}, {"image_size": None}),
    ("https://api.groq.com/openai/v1/chat/completions", {"model": "openai/gpt-oss-120b", "messages": []}, {**CHAT, "choices": [
        {"message": {"executed_tools": [{"index": 0, "type": "search"}, {"index": 1, "type": "search"},
                                        {"index": 2, "type": "python"}]}}]}, {},
     {"tool_call_counts": {"web_search": 2, "code_interpreter": 1}}),
    ("https://api.fireworks.ai/inference/v1/workflows/accounts/fireworks/models/flux-1-schnell-fp8/text_to_image",
     {"prompt": "x"}, b"\xff\xd8", {"content-type": "image/jpeg"},
     {"model": "accounts/fireworks/models/flux-1-schnell-fp8", "image_count": 1}),
    ("https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi/chat/completions",
     {"model": "google/gemini-2.5-flash", "messages": []},
     {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40,
                               "completion_tokens_details": {"reasoning_tokens": 25}}}, {},
     {"completion_tokens": 30, "reasoning_tokens": 25}),
    ("https://aws-external-anthropic.us-east-1.api.aws/v1/messages", {"model": "m", "messages": [], "max_tokens": 1},
     {"id": "m", "content": [], "usage": {"input_tokens": 9, "output_tokens": 4}}, {},
     {"provider": "anthropic", "prompt_tokens": 9}),
    ("https://claude.googleapis.com/v1/projects/p/locations/global/workspaces/w/invoke/v1/messages",
     {"model": "m", "messages": [], "max_tokens": 1}, {"id": "m", "content": [], "usage": {"input_tokens": 9}}, {},
     {"provider": "anthropic", "prompt_tokens": 9}),
    ("https://api.deepgram.com/v1/listen?model=nova-3&diarize=true", {"url": "u"}, {"metadata": {"duration": 9.5}}, {},
     {"duration_seconds": 9.5, "cost_status": "partial"}),
    ("https://api.together.xyz/v1/images/generations", {"model": "m", "prompt": "x", "width": 1024, "height": 768},
     {"data": [{"url": "u"}]}, {}, {"image_size": "1024x768", "image_count": 1}),
    ("https://ai-gateway.vercel.sh/v1/embeddings", {"model": "m", "input": "x"}, {"data": [], "usage": {"prompt_tokens": 6},
        "providerMetadata": {"gateway": {"cost": "0.001"}}}, {}, {"prompt_tokens": 6, "cost_status": "provider"}),
    ("https://router.huggingface.co/fal-ai/fal-ai/flux/dev", {"prompt": "x"}, {"images": [{"url": "u"}]}, {},
     {"provider": "huggingface", "model": "fal-ai/flux/dev", "image_count": 1}),
    ("https://router.huggingface.co/together/v1/images/generations", {"model": "m", "prompt": "x"}, {"data": [{"url": "u"}]}, {},
     {"provider": "huggingface", "model_type": "image", "image_count": 1}),
    ("https://api.x.ai/v1/chat/completions", {"model": "grok-3", "messages": []},
     {**CHAT, "usage": {**CHAT["usage"], "num_sources_used": 15}}, {}, {"tool_call_counts": {"live_search": 15}}),
    ("https://api.mistral.ai/v1/responses", {"model": "mistral-medium-latest", "input": "x"},
     {"id": "r", "object": "response", "status": "completed", "model": "mistral-medium-2508", "output": [],
      "usage": {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}}, {},
     {"provider": "mistral", "snapshot": "mistral-medium-2508", "prompt_tokens": 9, "completion_tokens": 4}),
    ("https://api.openai.com/v1/images/generations", {"model": "gpt-image-2.6-flare", "prompt": "x", "output_format": "svg"},
     {"data": [{"b64_json": "aGk="}], "usage": {"input_tokens": 9, "output_tokens": 4},
      "svg_usage": {"model": "gpt-5.6", "input_tokens": 1}}, {},
     {"image_count": 1, "usage_raw": {"input_tokens": 9, "output_tokens": 4,
                                      "svg_usage": {"model": "gpt-5.6", "input_tokens": 1}}}),
    ("https://api.x.ai/v1/responses", {"model": "grok-4", "input": "look"}, {"id": "r", "output": [], "usage": {
        "input_tokens": 1, "output_tokens": 2, "server_side_tool_usage_details": {
            "web_search_calls": 2, "x_search_calls": 0, "document_search_calls": 1}}}, {},
     {"tool_call_counts": {"web_search": 2, "collections_search": 1}}),
    (f"{VERTEX}/publishers/ai21/models/jamba-1.5:rawPredict", {"model": "jamba-1.5", "messages": []}, CHAT, {}, CHAT_READ),
    (f"{VERTEX}/publishers/mistralai/models/mistral-ocr-2505:rawPredict", {"model": "mistral-ocr-2505"},
     {"pages": [{}], "usage_info": {"pages_processed": 3}}, {}, {"model_type": "ocr", "pages": 3}),
    (f"{VERTEX}/endpoints/123/chat/completions", {"model": "", "messages": []}, CHAT, {}, CHAT_READ),
    (f"{VERTEX}/endpoints/123:generateContent", {"contents": []},
     {"modelVersion": "gemini-2.5-flash", "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4}}, {},
     {"provider": "vertex", "snapshot": "gemini-2.5-flash", "prompt_tokens": 9, "completion_tokens": 4}),
    ("https://generativelanguage.googleapis.com/v1beta/models/gemini-omni-1.1-flash:generateContent", {"contents": []},
     {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 40, "candidatesTokensDetails": [
         {"modality": "TEXT", "tokenCount": 4}, {"modality": "VIDEO", "tokenCount": 36}]}}, {},
     {"completion_tokens": 40, "cost_status": "partial"}),
    ("https://api.openai.com/v1/audio/transcriptions", {"model": "gpt-4o-transcribe"}, {"text": "x", "usage": {
        "type": "tokens", "input_tokens": 9, "output_tokens": 4, "input_token_details": {"audio_tokens": 8}}}, {},
     {"model_type": "stt", "prompt_tokens": 9, "audio_prompt_tokens": 8, "completion_tokens": 4}),
    ("https://openrouter.ai/api/v1/chat/completions", {"model": "google/gemini-3-pro-image", "messages": []}, {"choices": [
        {"message": {"content": "", "images": [{"image_url": {"url": "data:image/png;base64,aGk="}}] * 2}}],
        "usage": {"cost": 0.04}}, {},
     {"model_type": "image", "image_count": 2, "cost_status": "provider"}),
    ("https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/lyria-002:predict",
     {"instances": [{"prompt": "x"}]}, {"predictions": [{"bytesBase64Encoded": "x", "mimeType": "audio/wav"}]}, {},
     {"model_type": "tts", "model": "lyria-002", "image_count": None}),
    ("https://codestral.mistral.ai/v1/fim/completions", {"model": "codestral-latest"}, {"usage": {"prompt_tokens": 5}}, {},
     {"provider": "mistral", "prompt_tokens": 5}),
    ("https://api.openai.com/v1/chat/completions", {"model": "gpt-4o-search-preview", "messages": []}, CHAT, {},
     {"tool_call_counts": {"web_search": 1}, "prompt_tokens": 9}),
    ("https://api.openai.com/v1/chat/completions", {"model": "gpt-4o", "messages": []}, CHAT, {}, {"tool_call_counts": None}),
    ("https://api.mistral.ai/v1/moderations", {"model": "mistral-moderation-latest"}, {"id": "m", "results": []}, {},
     {"model_type": "moderation", "cost_status": None}),
    ("https://api.openai.com/v1/moderations", {"model": "omni", "input": "x"}, {"id": "m", "results": []}, {},
     {"model_type": "moderation", "cost_status": "free"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "ask", "answer", "headers", "want"), ROWS, ids=[row[0].partition("//")[2] for row in ROWS]
)
def test_an_answer_is_read(call, url, ask, answer, headers, want):
    """Each field that the provider told."""
    record = call(url, ask, answer, headers)
    assert {name: record.get(name) for name in want} == want


def test_the_account_of_a_signed_request_is_its_key(call):
    """Signatures differ by request; the id of the key in them does not, and it is not written down as it is."""
    record = call(f"{BEDROCK}/m/converse", {}, {"usage": {"inputTokens": 1, "outputTokens": 2}})
    assert record["provider_account"].startswith("key-")
    assert "AKIAX" not in repr(record)


PARTIAL = {
    "type": "response.image_generation_call.partial_image",
    "partial_image_index": 0,
    "partial_image_b64": "aGk=",
}
DONE = {"type": "response.output_item.done", "item": DRAWN["output"][0]}


@pytest.mark.parametrize(
    ("events", "images", "aborted"),
    [
        ([PARTIAL, PARTIAL, DONE, {"type": "response.completed", "response": DRAWN}], 2, None),
        ([PARTIAL, DONE, PARTIAL], 1, True),
        ([PARTIAL, PARTIAL], None, True),
    ],
)
def test_images_of_a_streamed_response_are_counted_when_they_are_whole(call, events, images, aborted):
    """A partial image is none; of a stream that breaks off, those that were delivered count."""
    answer = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    record = call("https://api.openai.com/v1/responses", {"model": "gpt-5", "stream": True, "input": "x"}, answer)
    assert (record.get("image_count"), record.get("is_aborted")) == (images, aborted)


def test_images_of_a_streamed_chat_are_counted(call):
    """Beside the text or without any."""
    image = {"image_url": {"url": "data:image/png;base64,aGk="}}
    deltas = [{"content": "", "images": [image]}, {"content": "here", "images": [image]}, {"content": "!"}]
    chunks = [{"id": "c", "choices": [{"delta": delta, "finish_reason": None}]} for delta in deltas]
    answer = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    record = call(
        "https://openrouter.ai/api/v1/chat/completions", {"model": "m", "stream": True, "messages": []}, answer
    )
    assert (record["image_count"], record["model_type"]) == (2, "image")


def test_a_container_is_paid_for_once_in_twenty_minutes(monkeypatch):
    """Responses that go on in it run in the same session; the same answer, read again, still is the one that paid."""
    seconds = [1000.0]
    monkeypatch.setattr(containers, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    monkeypatch.setattr(responses, "sessions", containers.Sessions())

    def counted(response: str | None, *used: str) -> int | None:
        output = [{"type": "code_interpreter_call", "container_id": name} for name in used]
        values: dict[str, Any] = {}
        responses.Responses().read_response({"id": response, "status": "completed", "output": output}, values)
        return values.get("tool_call_counts", {}).get("code_interpreter")

    assert counted("first", "shared") == 1
    assert counted("second", "shared") is None
    assert counted("third", "shared", "own") == 1
    assert counted("first", "shared") == 1
    assert counted(None, "shared") == 1
    seconds[0] += containers.SESSION_SECONDS
    assert counted("fourth", "shared") == 1
    assert counted("first", "shared") is None


MADE = 0x6ABF9290
CONTAINER = "cntr_6abf9290ddd881909b1563293d7c0d9609a6aff72865cc09"
AUTO, NAMED = {"type": "auto"}, CONTAINER


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize(("container", "began", "asked", "billed"), [
    (CONTAINER, MADE - 4, AUTO, (1, None)),
    ("cntr_08f3d96c87a58539006abf92904f7481a088b16cda7d9415fe", MADE, AUTO, (1, None)),
    (CONTAINER, MADE + 60, AUTO, (None, None)),
    (CONTAINER, MADE + 1199, AUTO, (None, None)),
    (CONTAINER, MADE + 1200, AUTO, (1, "estimated")),
    (CONTAINER, MADE + 60, NAMED, (1, "estimated")),
    ("c1", MADE + 60, AUTO, (1, "estimated")),
])  # fmt: skip
def test_a_container_is_paid_for_by_the_response_that_made_it(
    monkeypatch, container: str, began: int, asked: object, billed: tuple[object, object], is_known: bool
):
    """In whatever process: its id says when it was made. Where that leaves it open, this process has seen it or estimates."""
    sessions = containers.Sessions()
    monkeypatch.setattr(responses, "sessions", sessions)
    if is_known:
        sessions.pays(container, "before", containers.Beginning(MADE))

    def read(events: list[dict[str, Any]]) -> tuple[object, object]:
        stream = responses.Responses().open_stream({})
        for event in events:
            stream.event(event)
        values = stream.finish()
        return values.get("tool_call_counts", {}).get("code_interpreter"), values.get("cost_status")

    item = {"type": "code_interpreter_call", "container_id": container, "status": "completed"}
    tools = [{"type": "code_interpreter", "container": asked}]
    start = {"id": "r", "status": "in_progress", "created_at": began, "previous_response_id": "before", "tools": tools}
    cut = [{"type": "response.created", "response": start}, {"type": "response.output_item.done", "item": item}]
    whole = {"type": "response.completed", "response": {**start, "status": "completed", "output": [item]}}
    expected = (None, None) if is_known else billed
    assert read(cut) == read([*cut, whole]) == expected
