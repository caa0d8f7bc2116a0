"""Layers around one call: transports that are clients themselves, and instrumentations that silence those beneath them."""

from __future__ import annotations

import httpx
from opentelemetry.instrumentation.utils import suppress_instrumentation

from spectra_otel.demo.provider import LocalProvider
from tests.recording import Recorder

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


class ClientTransport(httpx.BaseTransport):
    """Sends through another client, as fal-client does to fall back on a second host."""

    def __init__(self) -> None:
        self.client = httpx.Client()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.client.send(request, stream=True)

    def close(self) -> None:
        self.client.close()


def test_a_client_within_a_transport_is_one_call(recorder: Recorder, provider: LocalProvider) -> None:
    """A request that passes through two clients is one record."""
    with httpx.Client(transport=ClientTransport()) as client:
        client.post(provider.url("openai") + "/v1/chat/completions", json=BODY)
    assert recorder.only["prompt_tokens"] == provider.ledger[0].usage["prompt_tokens"]


def test_an_instrumentation_of_the_call_does_not_silence_its_record(
    recorder: Recorder, provider: LocalProvider
) -> None:
    """Where a span for the model call asks those beneath it to be quiet, as Logfire's does, the wire is read for that span."""
    tracer = recorder.provider.get_tracer("logfire.openai")
    with (
        tracer.start_as_current_span("chat", attributes={"gen_ai.request.model": "gpt-4o"}) as span,
        suppress_instrumentation(),
    ):
        httpx.post(provider.url("openai") + "/v1/chat/completions", json=BODY)
    assert recorder.only["_span"].get_span_context() == span.get_span_context()
