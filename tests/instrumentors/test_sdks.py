"""More of the real SDKs: groq, mistralai and cohere, plain, streamed, left early and failing; cost to the last digit."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import cohere
import groq
import httpx
import mistralai.client
import pytest

from spectra_otel import pricing
from tests.serving import Handler, serving

ASK: Any = [{"role": "user", "content": "What is the capital of Portugal?"}]
USAGE = {"prompt_tokens": 1200, "completion_tokens": 300, "cached_tokens": 1024}
STEERED = {"x-demo-usage": json.dumps(USAGE)}


class CohereServer(Handler):
    """Answers ``/v2/chat`` as Cohere does."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.body())
        usage = {
            "billed_units": {"input_tokens": 7, "output_tokens": 3},
            "tokens": {"input_tokens": 70, "output_tokens": 4},
        }
        text = {"content": [{"type": "text", "text": "Lisbon"}], "role": "assistant"}
        if asked["model"] == "gone":
            self.answer(404, "application/json", {"id": "e", "message": "model 'gone' was removed"})
        elif asked.get("stream"):
            self.answer(200, "text/event-stream", *(
                {"type": "message-start", "id": "r1", "delta": {"message": {"role": "assistant"}}},
                {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
                {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Lisbon"}}}},
                {"type": "content-end", "index": 0},
                {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
            ))  # fmt: skip
        else:
            self.answer(
                200, "application/json", {"id": "r1", "message": text, "finish_reason": "COMPLETE", "usage": usage}
            )

    def answer(self, status: int, kind: str, *bodies: dict[str, Any]) -> None:
        body = json.dumps(bodies[0]).encode()
        if kind == "text/event-stream":
            body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in bodies) + b"data: [DONE]\n\n"
        self.reply(status, body, content_type=kind)


@pytest.fixture
def cohere_client(recorder, monkeypatch) -> Iterator[cohere.ClientV2]:
    with serving(CohereServer) as port, httpx.Client() as http:
        monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"127.0.0.1:{port}=cohere")
        recorder.install()
        yield cohere.ClientV2(api_key="x", base_url=f"http://127.0.0.1:{port}", httpx_client=http)


def speaks(provider: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> str:
    """The local provider's OpenAI side, known as another provider."""
    base: str = provider.url("openai")
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{base.removeprefix('http://').partition('/')[0]}={name}")
    recorder.install()
    return base


@pytest.fixture
def groq_call(provider, recorder, monkeypatch) -> Iterator[Callable[..., Any]]:
    base = speaks(provider, recorder, monkeypatch, "groq")
    with groq.Groq(api_key="x", base_url=base, max_retries=0) as client:
        yield lambda headers=STEERED, **options: client.chat.completions.create(
            model="llama-3.3-70b-versatile", messages=ASK, extra_headers=headers, **options
        )


def assert_priced(record: dict[str, Any], **usage: int) -> None:
    """What the catalog says of the same usage, to the last digit; and it says something."""
    model = record.get("snapshot") or record["model"]
    cost = pricing.calculate(record["provider"], model, usage)
    have = pricing.calculate(record["provider"], model, {name: record.get(name) for name in usage})
    assert have.total_cost_in_cents == cost.total_cost_in_cents
    assert cost.total_cost_in_cents is None or cost.total_cost_in_cents > Decimal(0)


@pytest.mark.parametrize("stream", [False, True])
def test_groq(groq_call, recorder, stream):
    """Provider, snapshot and every bucket."""
    asked = {"stream": True, "extra_body": {"stream_options": {"include_usage": True}}} if stream else {}
    answer = groq_call(**asked)
    if stream:
        assert len(list(answer)) > 1
    record = recorder.only
    assert (record["provider"], record["is_streaming"]) == ("groq", stream)
    assert {name: record[name] for name in USAGE} == USAGE
    assert_priced(record, **USAGE)


def test_groq_left_early(groq_call, recorder):
    """An aborted record."""
    stream = groq_call(stream=True)
    next(iter(stream))
    stream.close()
    assert recorder.only["is_aborted"] is True


def test_groq_refused(groq_call, recorder):
    """A failed record that was not billed."""
    with pytest.raises(groq.RateLimitError):
        groq_call(headers={"x-demo-error": "429"})
    assert (recorder.only["is_failed"], recorder.only["cost_status"]) == (True, "not_billed")


@pytest.fixture
def mistral(provider, recorder, monkeypatch) -> mistralai.client.Mistral:
    base = speaks(provider, recorder, monkeypatch, "mistral")
    return mistralai.client.Mistral(api_key="x", server_url=base)


def test_mistral(mistral, recorder):
    """Provider, snapshot and every bucket."""
    mistral.chat.complete(model="mistral-large-latest", messages=ASK, http_headers=STEERED)
    assert recorder.only["provider"] == "mistral"
    assert {name: recorder.only[name] for name in USAGE} == USAGE
    assert_priced(recorder.only, **USAGE)


def test_mistral_left_early(mistral, recorder):
    """An aborted record."""
    with mistral.chat.stream(model="mistral-large-latest", messages=ASK) as stream:
        next(iter(stream))
    del stream
    gc.collect()
    recorder.settle()
    assert recorder.only["is_aborted"] is True


def test_cohere(cohere_client, recorder):
    """Billed units are what is counted."""
    cohere_client.chat(model="command-a-03-2025", messages=ASK)
    record = recorder.only
    assert (record["provider"], record["response_id"], record["finish_reason"]) == ("cohere", "r1", "COMPLETE")
    assert (record["prompt_tokens"], record["completion_tokens"]) == (7, 3)
    assert_priced(record, prompt_tokens=7, completion_tokens=3)


def test_cohere_streamed(cohere_client, recorder):
    """The last event carries the counts."""
    events = list(cohere_client.chat_stream(model="command-a-03-2025", messages=ASK))
    assert events[-1].type == "message-end"
    assert (recorder.only["prompt_tokens"], recorder.only["is_streaming"]) == (7, True)
    assert recorder.only.get("is_aborted") is None


def test_cohere_refused(cohere_client, recorder):
    """A failed record that was not billed."""
    with pytest.raises(cohere.errors.NotFoundError):
        cohere_client.chat(model="gone", messages=ASK)
    assert (recorder.only["status_code"], recorder.only["cost_status"]) == (404, "not_billed")
    assert recorder.only["error_message"] == "model 'gone' was removed"
