"""Every row of every provider's table, called once: one record, with what the wire format of that row tells."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.registry import built_in
from tests.providers.examples import EXAMPLES, JOB, Example

PROVIDERS = {name: found for name, found in built_in().by_name.items() if found.hosts}


def send(
    method: str, url: str, ask: Any, answer: Any, headers: dict[str, str] | None = None, status: int = 200
) -> None:
    body: dict[str, Any] = {"content": answer} if isinstance(answer, bytes) else {"json": answer}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, headers=headers or {}, **body))
    with httpx2.Client(transport=transport) as client:
        client.request(method, url, json=ask)


def url_of(provider: Provider, row: Endpoint) -> str:
    host = re.sub(r"\{\w+\}", "x", provider.hosts[0])
    path = re.sub(
        r"\{(\w+)(\.\.\.)?\}", lambda place: JOB if place[1] == "job" else "/m" if place[2] else "m", row.template
    )
    return f"https://{host}{'/v1' if not path.startswith('/v') else ''}{path}"


def example_of(row: Endpoint) -> Example:
    return EXAMPLES[type(row.format)]


def agree(record: dict[str, Any], want: dict[str, Any], where: str) -> None:
    assert {name: record.get(name) for name in want} == want, where


@pytest.mark.parametrize("name", PROVIDERS)
def test_each_endpoint_that_is_billed_is_one_record(name, recorder):
    """A plain answer of each row that starts a call."""
    provider = PROVIDERS[name]
    rows = [row for row in provider.endpoints if not row.batch and not row.completes]
    for row in rows:
        example = example_of(row)
        send(row.method, url_of(provider, row), example.ask, example.answer, example.headers)
        record = recorder.only
        agree(record, {**example.want, "provider": name, "is_failed": False}, row.template)
        recorder.records.clear()


@pytest.mark.parametrize(
    "name", [name for name, found in PROVIDERS.items() if any(r.completes for r in found.endpoints)]
)
def test_each_job_is_completed_once_by_the_row_that_asks_after_it(name, recorder):
    """Started by a row with an answer that says it is a job, looked at twice while it runs, and twice when it is done."""
    provider = PROVIDERS[name]
    for row in (row for row in provider.endpoints if row.completes):
        example = example_of(row)
        start = next(r for r in provider.endpoints if isinstance(r.format, type(row.format)) and not r.completes)
        pending = example.pending or example_of(start).pending
        assert pending is not None, row.template
        assert example.done is not None, row.template
        send(start.method, url_of(provider, start), example_of(start).ask, pending)
        assert recorder.only["cost_status"] == "billed_unknown", row.template
        for answer in (pending, pending, example.done, example.done):
            send(row.method, url_of(provider, row), example.asks_after, answer)
        [done] = recorder.completed
        agree(done, example.want, row.template)
        assert done.get("cost_status") != "billed_unknown", row.template
        recorder.records.clear()
        recorder.completed.clear()


NOT_BILLED = [
    ("POST", "https://api.openai.com/v1/responses/input_tokens"), ("POST", "https://api.openai.com/v1/realtime/client_secrets"),
    ("POST", "https://api.openai.com/v1/videos/characters"), ("GET", "https://api.openai.com/v1/videos/v/content"),
    ("POST", "https://api.openai.com/v1/responses/r/cancel"), ("POST", "https://api.openai.com/v1/conversations"),
    ("GET", "https://api.openai.com/v1/models"), ("POST", "https://api.openai.com/v1/files"),
    ("POST", "https://api.anthropic.com/v1/messages/count_tokens"), ("POST", "https://api.anthropic.com/v1/skills"),
    ("POST", "https://api.anthropic.com/v1/files"), ("GET", "https://api.anthropic.com/v1/messages/batches/b"),
    ("POST", "https://generativelanguage.googleapis.com/v1beta/models/m:countTokens"),
    ("POST", "https://generativelanguage.googleapis.com/v1beta/cachedContents"),
    ("POST", "https://generativelanguage.googleapis.com/v1beta/auth_tokens"),
    ("POST", "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/m:countTokens"),
    ("POST", "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/batchPredictionJobs"),
    ("POST", "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/count-tokens"),
    ("GET", "https://bedrock-runtime.us-east-1.amazonaws.com/async-invoke"),
    ("POST", "https://api.cohere.com/v1/tokenize"), ("POST", "https://api.cohere.com/v1/embed-jobs"),
    ("GET", "https://api.mistral.ai/v1/conversations/c/history"), ("POST", "https://api.mistral.ai/v1/agents"),
    ("POST", "https://api.elevenlabs.io/v1/text-to-voice"), ("POST", "https://api.elevenlabs.io/v1/voices/add"),
    ("POST", "https://api.elevenlabs.io/v1/music/plan"), ("GET", "https://api.elevenlabs.io/v1/speech-to-text/transcripts/t"),
    ("GET", "https://queue.fal.run/fal-ai/flux/requests/r/status"), ("PUT", "https://queue.fal.run/fal-ai/flux/requests/r/cancel"),
    ("GET", "https://openrouter.ai/api/v1/generation?id=g"), ("GET", "https://openrouter.ai/api/v1/models"),
    ("POST", "https://api.x.ai/v1/tokenize-text"), ("GET", "https://api.x.ai/v1/chat/deferred-completion/d"),
    ("POST", "https://api.replicate.com/v1/predictions/p/cancel"), ("GET", "https://api.perplexity.ai/v1/async/sonar"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "url"), NOT_BILLED, ids=[f"{method} {url[8:]}" for method, url in NOT_BILLED])
def test_what_is_not_billed_is_no_record(method, url, recorder):
    """Neither a record nor a span."""
    send(method, url, {"model": "m", "input": "x"}, {"id": "x", "usage": {"prompt_tokens": 5}})
    assert recorder.records == recorder.spans == []


@pytest.mark.parametrize("status", [202, 204])
def test_an_empty_answer_to_a_look_says_the_job_is_not_done(status, recorder):
    """xAI answers so while a deferred completion is being made."""
    url = "https://api.x.ai/v1/chat"
    send("POST", f"{url}/completions", {"model": "grok-4", "deferred": True, "messages": []}, {"request_id": "d1"})
    send("GET", f"{url}/deferred-completion/d1", None, b"", status=status)
    assert recorder.completed == []


EVENTS = b'data: {"images": []}\n\ndata: {"images": [{"width": 64, "height": 64}], "seed": 1}\n\n'


def test_a_stream_of_a_format_without_one_of_its_own_is_read_as_answers(recorder):
    """fal streams whole answers so far: the last one counts."""
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, content=EVENTS, headers={"content-type": "text/event-stream"})
    )
    with (
        httpx2.Client(transport=transport) as client,
        client.stream("POST", "https://fal.run/fal-ai/flux/stream", json={"prompt": "x"}) as response,
    ):
        assert b"".join(response.iter_bytes()) == EVENTS
    record = recorder.only
    assert (record["image_count"], record["model"], record.get("is_aborted")) == (1, "fal-ai/flux", None)
