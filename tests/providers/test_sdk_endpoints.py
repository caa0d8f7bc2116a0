"""Endpoints beyond chat, called by the providers' own SDKs: the paths and bodies that they really send."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.config
import cohere
import groq
import httpx
import openai
import pytest
from anthropic import Anthropic
from google import genai  # pyright: ignore[reportAttributeAccessIssue]
from google.genai import types
from google.oauth2.credentials import Credentials
from mistralai.client import Mistral

from spectra_otel import faults, instrumentors
from tests.instrumentors.servers import Handler, Server, serving
from tests.recording import Recorder

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
IN_OUT = {
    "input_tokens": 12,
    "output_tokens": 3,
    "total_tokens": 15,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}
COMPLETION = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m-1",
    "usage": USAGE,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
}
GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "x"}]}, "finishReason": "STOP"}],
    "modelVersion": "gemini-2.5-flash",
    "responseId": "g1",
    "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 3, "totalTokenCount": 15},
}
Routes = dict[str, Any]
"""``METHOD /end/of/path`` → what is answered: JSON, or bytes."""


class Provider:
    """Answers by the end of the path, and plays one provider."""

    def __init__(self) -> None:
        self.routes: Routes = {}
        self.unknown: list[str] = []

    def __call__(self, handler: Handler, _body: bytes) -> None:
        asked = f"{handler.command} {handler.path.partition('?')[0]}"
        for route, answer in self.routes.items():
            method, _, path = route.partition(" ")
            if asked.startswith(method) and asked.endswith(path):
                raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                is_file = "/files/" in path or path.endswith("/results")
                is_stream = raw.startswith((b"data:", b"event:"))
                kind = (
                    "application/octet-stream" if is_file else "text/event-stream" if is_stream else "application/json"
                )
                handler.whole(raw, content_type=kind)
                return
        self.unknown.append(asked)
        handler.whole(b"{}", 404, content_type="application/json")


@pytest.fixture
def playing(monkeypatch, tmp_path) -> Iterator[Callable[[str, Routes], tuple[str, Recorder]]]:
    """Play a provider with these routes; its address, and a recorder."""
    answers, recorder, before = Provider(), Recorder(), faults.counts()
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))

    def start(server: Server) -> Callable[[str, Routes], tuple[str, Recorder]]:
        def playing(name: str, routes: Routes) -> tuple[str, Recorder]:
            monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{server.host}={name}")
            answers.routes = routes
            recorder.install()
            return f"http://{server.host}", recorder

        return playing

    with serving(answers) as server:
        yield start(server)
    instrumentors.uninstall()
    assert faults.counts() == before
    assert not answers.unknown


def only(recorder: Recorder, **want: Any) -> dict[str, Any]:
    record = recorder.only
    assert {name: record.get(name) for name in want} == want
    return record


TOKENS = {"prompt_tokens": 12, "completion_tokens": 3}

BATCH = {
    "id": "b1", "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "i", "completion_window": "24h",
    "status": "completed", "created_at": 1, "output_file_id": "f1",
}  # fmt: skip
BATCH_ROW = {"custom_id": "a", "response": {"status_code": 200, "body": COMPLETION}, "error": None}


# -- OpenAI, Groq, Anthropic --------------------------------------------------------------------------------------------


def test_openai_batches(playing):
    """Made, looked at and downloaded."""
    url, recorder = playing(
        "openai",
        {
            "POST /batches": {**BATCH, "status": "validating", "output_file_id": None},
            "GET /batches/b1": BATCH,
            "GET /files/f1/content": json.dumps(BATCH_ROW).encode() + b"\n",
        },
    )
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x") as client:
        client.batches.create(input_file_id="i", endpoint="/v1/chat/completions", completion_window="24h")
        found = client.batches.retrieve("b1")
        assert client.files.content(found.output_file_id or "").read().endswith(b"\n")
        client.files.content("f1").read()
    only(recorder, **TOKENS, pricing_tier="batch", metadata={"custom_id": "a"})


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
def test_openai_videos(playing):
    """Made, remixed, edited, extended; each a job, the first completed by a poll."""
    video = {
        "id": "v1",
        "object": "video",
        "model": "sora-2",
        "status": "queued",
        "seconds": "4",
        "size": "720x1280",
        "created_at": 1,
        "progress": 0,
    }
    url, recorder = playing(
        "openai",
        {
            "POST /videos": video,
            "POST /videos/v1/remix": {**video, "id": "v2"},
            "POST /videos/edits": {**video, "id": "v3"},
            "POST /videos/extensions": {**video, "id": "v4"},
            "GET /videos/v1": {**video, "status": "completed", "progress": 100, "expires_at": 1_900_000_000},
            "GET /videos/v1/content": b"mp4",
        },
    )
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x") as client:
        client.videos.create(prompt="a dog", model="sora-2", seconds="4")
        client.videos.remix("v1", prompt="a cat")
        client.videos.edit(prompt="bluer", video=b"mp4")
        client.videos.extend(prompt="on", seconds="4", video=b"mp4")
        client.videos.retrieve("v1")
        client.videos.download_content("v1").read()
    assert [record["cost_status"] for record in recorder.records] == ["billed_unknown"] * 4
    [done] = recorder.completed
    assert (done["video_count"], done["duration_seconds"], done["media_expires_at"].year) == (1, 4.0, 2030)


def test_openai_images_in_a_streamed_response(playing):
    """Partial images come on the way; the tool is called once, and made one image."""
    item = {
        "type": "image_generation_call",
        "id": "ig",
        "status": "completed",
        "result": "aGk=",
        "size": "1024x1024",
        "quality": "low",
    }
    response = {
        "id": "r1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5",
        "status": "completed",
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": IN_OUT,
    }
    partial = {
        "type": "response.image_generation_call.partial_image",
        "item_id": "ig",
        "output_index": 0,
        "partial_image_index": 0,
        "partial_image_b64": "aGk=",
        "sequence_number": 1,
    }
    found = [
        {
            "type": "response.created",
            "response": {**response, "status": "in_progress", "output": []},
            "sequence_number": 0,
        },
        partial,
        {"type": "response.completed", "response": response, "sequence_number": 2},
    ]
    raw = b"".join(b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in found)  # type: ignore[attr-defined]
    url, recorder = playing("openai", {"POST /responses": raw})
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x") as client:
        tools: Any = [{"type": "image_generation", "partial_images": 1}]
        kinds = [event.type for event in client.responses.create(model="gpt-5", input="draw", tools=tools, stream=True)]
    assert kinds == [event["type"] for event in found]
    only(recorder, **TOKENS, image_count=1, image_size="1024x1024", tool_call_counts={"image_generation": 1})


def test_openai_moderation_and_decisions(playing):
    """The one is free, the other counts tokens."""
    decision = {"answers": [], "model": "gpt-5", "usage": IN_OUT}
    url, recorder = playing(
        "openai", {"POST /decisions": decision, "POST /moderations": {"id": "m", "model": "omni", "results": []}}
    )
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x") as client:
        client.post("/decisions", body={"model": "gpt-5", "input": "x"}, cast_to=object)
        client.moderations.create(input="x")
    first, second = recorder.records
    assert (first["prompt_tokens"], second["cost_status"]) == (12, "free")


def test_groq_batches(playing):
    """OpenAI's way under Groq's prefix."""
    url, recorder = playing(
        "groq",
        {
            "POST /openai/v1/batches": BATCH,
            "GET /openai/v1/batches/b1": BATCH,
            "GET /openai/v1/files/f1/content": json.dumps(BATCH_ROW).encode(),
        },
    )
    with groq.Groq(base_url=url, api_key="x") as client:
        client.batches.create(input_file_id="i", endpoint="/v1/chat/completions", completion_window="24h")
        client.batches.retrieve("b1")
        client.files.content("f1").read()
    only(recorder, **TOKENS, provider="groq", pricing_tier="batch")


def test_anthropic_batches(playing):
    """Results are iterated; counting tokens makes no record."""
    counts = {"canceled": 0, "errored": 0, "expired": 0, "processing": 0, "succeeded": 1}
    batch = {
        "id": "mb1",
        "type": "message_batch",
        "processing_status": "ended",
        "request_counts": counts,
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-01-02T00:00:00Z",
    }
    message = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 3},
    }
    row = {"custom_id": "a", "result": {"type": "succeeded", "message": message}}
    look: dict[str, Any] = dict(batch)
    url, recorder = playing(
        "anthropic",
        {
            "POST /messages/batches": batch,
            "POST /messages/count_tokens": {"input_tokens": 5},
            "GET /messages/batches/mb1/results": json.dumps(row).encode() + b"\n",
            "GET /messages/batches/mb1": look,
        },
    )
    look["results_url"] = f"{url}/v1/messages/batches/mb1/results"
    with Anthropic(base_url=url, api_key="x") as client:
        client.messages.count_tokens(model="claude-sonnet-4-5", messages=[{"role": "user", "content": "x"}])
        client.messages.batches.create(requests=[])
        for _ in range(2):
            assert [found.custom_id for found in client.messages.batches.results("mb1")] == ["a"]
    only(recorder, **TOKENS, provider="anthropic", pricing_tier="batch")


# -- Google ------------------------------------------------------------------------------------------------------------


def gemini(url: str) -> genai.Client:
    return genai.Client(api_key="x", http_options=types.HttpOptions(base_url=url))


def vertex(url: str) -> genai.Client:
    options = types.HttpOptions(base_url=url)
    credentials = Credentials(token="x")  # type: ignore[no-untyped-call]
    return genai.Client(
        vertexai=True, project="p", location="us-central1", credentials=credentials, http_options=options
    )


def test_gemini_batches(playing):
    """Inline: a look that finds it done has the results."""
    started = {"name": "batches/b1", "metadata": {"model": "models/gemini-2.5-flash", "state": "BATCH_STATE_PENDING"}}
    output = {"inlinedResponses": {"inlinedResponses": [{"response": GEMINI}]}}
    done = {
        "name": "batches/b1",
        "done": True,
        "metadata": {"model": "models/gemini-2.5-flash", "state": "BATCH_STATE_SUCCEEDED", "output": output},
        "response": output,
    }
    url, recorder = playing("google", {"POST :batchGenerateContent": started, "GET /batches/b1": done})
    client = gemini(url)
    job = client.batches.create(model="gemini-2.5-flash", src=[types.InlinedRequest(contents="x")])
    assert client.batches.get(name=job.name or "").done
    client.batches.get(name=job.name or "")
    client.close()
    only(recorder, **TOKENS, provider="google", model="gemini-2.5-flash", pricing_tier="batch")


def test_gemini_batches_in_a_file(playing):
    """The file of results is downloaded by its name."""
    started = {"name": "batches/b1", "metadata": {"model": "models/gemini-2.5-flash", "state": "BATCH_STATE_PENDING"}}
    output = {"responsesFile": "files/batch-1"}
    done = {
        **started,
        "done": True,
        "metadata": {**started["metadata"], "state": "BATCH_STATE_SUCCEEDED", "output": output},
        "response": output,
    }  # type: ignore[dict-item]
    row = {"key": "a", "response": GEMINI}
    url, recorder = playing(
        "google",
        {
            "POST :batchGenerateContent": started,
            "GET /batches/b1": done,
            "GET /files/batch-1:download": json.dumps(row).encode(),
        },
    )
    client = gemini(url)
    client.batches.create(model="gemini-2.5-flash", src="files/in")
    found = client.batches.get(name="batches/b1")
    client.files.download(file=found.dest.file_name or "")  # type: ignore[union-attr]
    client.close()
    only(recorder, **TOKENS, pricing_tier="batch", metadata={"custom_id": "a"})


def test_veo_on_vertex(playing):
    """Vertex is asked with a POST that names the operation."""
    name = "projects/p/locations/us-central1/publishers/google/models/veo-3.0-generate-001/operations/op1"
    done = {"name": name, "done": True, "response": {"videos": [{"gcsUri": "gs://b/v.mp4", "mimeType": "video/mp4"}]}}
    url, recorder = playing("vertex", {"POST :predictLongRunning": {"name": name}, "POST :fetchPredictOperation": done})
    client = vertex(url)
    operation = client.models.generate_videos(
        model="veo-3.0-generate-001",
        source=types.GenerateVideosSource(prompt="x"),
        config=types.GenerateVideosConfig(duration_seconds=8),
    )
    assert client.operations.get(operation).done
    assert client.operations.get(operation).done
    client.close()
    assert recorder.only["cost_status"] == "billed_unknown"
    [found] = recorder.completed
    assert (found["video_count"], found["duration_seconds"], found["provider"]) == (1, 8.0, "vertex")


# -- Mistral, Cohere, Bedrock ------------------------------------------------------------------------------------------

ENTRY = {
    "object": "entry",
    "type": "message.output",
    "id": "e1",
    "role": "assistant",
    "content": "x",
    "model": "mistral-medium-latest",
}
SPENT = {**USAGE, "connectors": {"web_search": 1}}


def test_mistral_conversations(playing):
    """A first turn, a next, a restart."""
    answer = {"object": "conversation.response", "conversation_id": "conv1", "outputs": [ENTRY], "usage": SPENT}
    url, recorder = playing(
        "mistral",
        {
            "POST /conversations": answer,
            "POST /conversations/conv1": answer,
            "POST /conversations/conv1/restart": answer,
            "GET /conversations/conv1/history": {
                "object": "conversation.history",
                "conversation_id": "conv1",
                "entries": [],
            },
        },
    )
    with Mistral(api_key="x", server_url=url) as client:
        client.beta.conversations.start(inputs="x", model="mistral-medium-latest")
        client.beta.conversations.append(conversation_id="conv1", inputs="y")
        client.beta.conversations.restart(conversation_id="conv1", inputs="z", from_entry_id="e1")
        client.beta.conversations.get_history(conversation_id="conv1")
    assert len(recorder.records) == 3
    for record in recorder.records:
        assert (record["prompt_tokens"], record["conversation_id"], record["snapshot"]) == (
            12,
            "conv1",
            "mistral-medium-latest",
        )
        assert record["tool_call_counts"] == {"web_search": 1}


def test_a_streamed_conversation(playing):
    """Its last event has the usage."""
    found = [
        {"type": "conversation.response.started", "conversation_id": "conv1"},
        {
            "type": "message.output.delta",
            "id": "e1",
            "content": "hello",
            "role": "assistant",
            "model": "mistral-medium-latest",
        },
        {"type": "conversation.response.done", "usage": SPENT},
    ]
    raw = b"".join(
        b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), json.dumps(event).encode()) for event in found
    )
    url, recorder = playing("mistral", {"POST /conversations": raw})
    with Mistral(api_key="x", server_url=url) as client:
        assert len(list(client.beta.conversations.start_stream(inputs="x", agent_id="ag1"))) == 3
    only(
        recorder,
        **TOKENS,
        conversation_id="conv1",
        is_streaming=True,
        snapshot="mistral-medium-latest",
        is_aborted=None,
    )


def test_mistral_batches(playing):
    """The file of results, by the name that the job gives it."""
    job = {
        "id": "j1",
        "object": "batch",
        "input_files": ["i"],
        "endpoint": "/v1/chat/completions",
        "errors": [],
        "status": "SUCCESS",
        "created_at": 1,
        "total_requests": 1,
        "completed_requests": 1,
        "succeeded_requests": 1,
        "failed_requests": 0,
        "output_file": "f1",
        "model": "mistral-small-latest",
    }
    row = {"id": "x", "custom_id": "a", "response": {"status_code": 200, "body": COMPLETION}, "error": None}
    url, recorder = playing(
        "mistral",
        {
            "POST /batch/jobs": {**job, "status": "QUEUED", "output_file": None},
            "GET /batch/jobs/j1": job,
            "GET /files/f1/content": json.dumps(row).encode(),
        },
    )
    with Mistral(api_key="x", server_url=url) as client:
        client.batch.jobs.create(input_files=["i"], endpoint="/v1/chat/completions", model="mistral-small-latest")
        client.batch.jobs.get(job_id="j1")
        client.files.download(file_id="f1").read()
    only(recorder, **TOKENS, model="mistral-small-latest", pricing_tier="batch")


def test_cohere_parse(playing):
    """Billed by the page."""
    url, recorder = playing(
        "cohere", {"POST /v2/parse": {"id": "p1", "pages": [], "meta": {"billed_units": {"pages": 2}}}}
    )
    with httpx.Client() as http:
        client = cohere.ClientV2(api_key="x", base_url=url, httpx_client=http)
        client.parse(model="parse-1", document={"type": "document_url", "document_url": "https://x/a.pdf"})  # type: ignore[arg-type]
    only(recorder, pages=2, model_type="ocr", provider="cohere")


def test_bedrock_asynchronous_calls(playing):
    """Started, and asked after by an ARN that has slashes and colons in it."""
    arn = "arn:aws:bedrock:us-east-1:123456789012:async-invoke/abcdefghijkl"
    state = {
        "invocationArn": arn,
        "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-reel-v1:1",
        "submitTime": "2026-01-01T00:00:00Z",
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://b"}},
    }
    path = "GET /async-invoke/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aasync-invoke%2Fabcdefghijkl"
    routes: Routes = {"POST /async-invoke": {"invocationArn": arn}, path: {**state, "status": "InProgress"}}
    url, recorder = playing("bedrock", routes)
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="AKIAX",
        aws_secret_access_key="secret",
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )
    config = {"durationSeconds": 6, "fps": 24, "dimension": "1280x720"}
    client.start_async_invoke(
        modelId="amazon.nova-reel-v1:1",
        modelInput={"taskType": "TEXT_VIDEO", "videoGenerationConfig": config},
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://b"}},
    )
    client.get_async_invoke(invocationArn=arn)
    assert (recorder.only["cost_status"], recorder.completed) == ("billed_unknown", [])
    routes[path] = {**state, "status": "Completed"}
    client.get_async_invoke(invocationArn=arn)
    client.close()
    [done] = recorder.completed
    assert (done["model"], done["duration_seconds"], done["video_resolution"]) == (
        "amazon.nova-reel-v1:1",
        6.0,
        "1280x720",
    )
