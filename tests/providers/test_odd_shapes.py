"""Requests and answers with one part of an odd shape: no format stumbles over them, and none makes a number of what is none."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from spectra_otel.model.fields import TOKEN_FIELDS
from spectra_otel.providers import deepgram, elevenlabs, ollama
from spectra_otel.providers.base import Format, Sent
from spectra_otel.providers.registry import built_in
from spectra_otel.providers.values import JOB
from spectra_otel.providers.wire import (
    chat,
    cohere,
    conversations,
    converse,
    interactions,
    invoke,
    media,
    messages,
    responses,
    threads,
)
from spectra_otel.providers.wire.batch import Batch, Result
from tests.providers.examples import EXAMPLES, Example

ODD: list[Any] = [None, True, -1, 1.5, 10**30, "x", "", [], {}, [None], ["x"], [[]], {"x": None}, {"type": []}]
FORMATS: dict[str, tuple[Format, Example]] = {
    f"{type(row.format).__module__.rpartition('.')[2]}.{type(row.format).__name__}": (
        row.format,
        EXAMPLES[type(row.format)],
    )
    for provider in built_in().by_name.values()
    for row in provider.endpoints
    if type(row.format) in EXAMPLES
}


CHUNK = {
    "id": "c",
    "model": "m",
    "choices": [{"delta": {"content": "x", "tool_calls": [{"function": {"arguments": "{"}}]}, "finish_reason": None}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
    "service_tier": "default",
}
ANSWER = {
    "id": "r",
    "model": "m",
    "status": "completed",
    "usage": {"input_tokens": 1, "output_tokens": 2},
    "tool_usage": {"web_search": {"num_requests": 1}},
    "output": [{"type": "web_search_call", "action": {"type": "search"}}],
}
EVENTS: list[tuple[Format, list[dict[str, Any]]]] = [
    (chat.Chat(), [CHUNK]),
    (
        responses.Responses(),
        [
            {"type": "response.created", "response": ANSWER},
            {"type": "response.output_text.delta", "delta": "x"},
            {"type": "response.output_item.done", "item": ANSWER["output"]},
            {"type": "response.completed", "response": ANSWER},
        ],
    ),
    (
        messages.Messages(),
        [
            {"type": "message_start", "message": {"id": "m", "model": "x", "usage": {"input_tokens": 1}}},
            {"type": "content_block_start", "content_block": {"type": "tool_use"}},
            {"type": "content_block_delta", "delta": {"text": "x"}},
            {"type": "message_delta", "delta": {"stop_reason": "end"}, "usage": {"output_tokens": 2}},
            {"type": "message_stop"},
        ],
    ),
    (
        converse.Converse(),
        [
            {"messageStart": {"role": "a"}},
            {"contentBlockDelta": {"delta": {"text": "x"}}},
            {"messageStop": {"stopReason": "x"}},
            {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2}}},
        ],
    ),
    (
        invoke.Invoke(),
        [
            {"outputs": [{"text": "x"}]},
            {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 1, "outputTokenCount": 2}},
        ],
    ),
    (
        cohere.CohereChat(),
        [
            {"type": "content-delta", "delta": {"message": {"content": {"text": "x"}}}},
            {"event_type": "text-generation", "text": "x"},
            {
                "type": "message-end",
                "delta": {"finish_reason": "x", "usage": {"billed_units": {"input_tokens": 1, "output_tokens": 2}}},
            },
            {"event_type": "stream-end", "response": {"meta": {"billed_units": {"input_tokens": 1}}}},
        ],
    ),
    (
        conversations.Conversations(),
        [
            {"type": "message.output.delta", "content": {"text": "x"}, "id": "e"},
            {"type": "function.call.delta", "arguments": "{"},
            {
                "type": "conversation.response.done",
                "usage": {"prompt_tokens": 1, "connector_tokens": 1, "connectors": {"web_search": 1}},
            },
        ],
    ),
    (
        threads.Runs(),
        [{"object": "thread.run", "status": "completed", "usage": {"prompt_tokens": 1}, "last_error": {"code": "x"}}],
    ),
    (
        media.Images(),
        [
            {
                "type": "image_generation.completed",
                "b64_json": "x",
                "usage": {"input_tokens": 1, "output_tokens": 2},
                "size": "1x1",
            }
        ],
    ),
    (media.Speech(), [{"type": "speech.audio.done", "usage": {"input_tokens": 1}}]),
    (
        media.Transcription(),
        [{"type": "transcript.text.done", "text": "x", "usage": {"type": "duration", "seconds": 2}}],
    ),
    (
        interactions.Interactions(),
        [
            {"event_type": "step.delta", "delta": {"text": "x"}},
            {
                "event_type": "interaction.completed",
                "interaction": {
                    "id": "i",
                    "usage": {"total_input_tokens": 1, "total_output_tokens": 2, "total_thought_tokens": 1},
                },
            },
        ],
    ),
    (ollama.Generate("chat"), [{"message": {"content": "x", "tool_calls": []}, "done": True, "eval_count": 1}]),
]


def variants(value: Any) -> Iterator[Any]:
    """``value`` with each of its parts in turn replaced by each odd thing."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        for odd in (*ODD, *variants(part)):
            changed = copy.copy(value)
            changed[key] = odd
            yield changed


def sent(body: dict[str, Any]) -> Sent:
    provider = built_in().by_name["openai"]
    return Sent(provider, "POST", "/v1/x", "", {}, body, {"model": "m", "conversation": "c"})


@pytest.mark.parametrize("name", FORMATS)
def test_a_request_with_an_odd_part_is_read(name):
    """Whatever an app sends."""
    format_, example = FORMATS[name]
    for body in variants(example.ask):
        values = format_.read_request(sent(body))
        assert isinstance(values, dict)
        format_.accepts(sent(body))
        format_.asked_job(body)


@pytest.mark.parametrize("name", FORMATS)
def test_an_answer_with_an_odd_part_is_read(name):
    """Whatever a provider answers, whole or as an event of a stream; a count is a whole number or is not there."""
    format_, example = FORMATS[name]
    for answer in (example.answer, example.pending, example.done):
        for body in variants(answer):
            values = format_.read_request(sent(example.ask))
            format_.read_response(body, values)
            reader = format_.open_stream(dict(values))
            reader.event(body)
            for found in (values, reader.finish()):
                for field in TOKEN_FIELDS:
                    assert found.get(field) is None or type(found[field]) is int, (field, found[field], body)


@pytest.mark.parametrize(("format_", "events"), EVENTS, ids=[type(row[0]).__name__ for row in EVENTS])
def test_an_event_with_an_odd_part_is_read(format_, events):
    """One odd event among good ones; the reader goes on."""
    for place, event in enumerate(events):
        for odd in variants(event):
            reader = format_.open_stream({})
            for found in (*events[:place], odd, *events[place + 1 :]):
                reader.event(found)
            values = reader.finish()
            assert type(reader.characters) is int
            for field in TOKEN_FIELDS:
                assert values.get(field) is None or type(values[field]) is int, (field, values[field], odd)


@pytest.mark.parametrize(
    "address",
    [
        "http://[bad/x.png",
        "http://h/x?Expires=%C2%B2",
        "http://h/x?Expires=" + "9" * 5000,
        "http://h/x?se=0001-01-01T00:00:00%2B10:00",
    ],
)
def test_an_odd_address_of_a_medium_costs_no_usage(address):
    """What is no address, or signed until a time that cannot be, has no end; what the answer counts is still read."""
    values: dict[str, Any] = {}
    usage = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}
    media.Images().read_response({"data": [{"url": address}], "usage": usage}, values)
    assert (values["image_count"], values["prompt_tokens"], values.get("media_expires_at")) == (1, 10, None)


def test_work_without_counts_is_not_counted_as_none():
    """Deepgram's reading whose answer counts no tokens: how many there were is not known, and not 0."""
    values: dict[str, Any] = {}
    deepgram.Read().read_response({"metadata": {"request_id": "r", "summary_info": {"model_uuid": "m"}}}, values)
    assert not values.keys() & set(TOKEN_FIELDS)


def test_an_interaction_that_was_streamed_to_its_end_is_no_job():
    """Its first event says that it is in progress, as the answer of a job does; the last one has it whole."""
    reader = interactions.Interactions().open_stream({})
    reader.event({"interaction": {"id": "v1", "status": "in_progress"}})
    assert reader.values[JOB] == "v1"
    reader.event({"interaction": {"id": "v1", "status": "completed", "usage": {"total_input_tokens": 5}}})
    assert not {JOB, "cost_status"} & reader.finish().keys()


@pytest.mark.parametrize("dollars", [1e30, "1e30", float("inf"), -1, "x", True])
def test_an_amount_beyond_reason_is_no_cost(dollars):
    """What cannot have been charged for one call is not taken as its cost: an exporter could not even send it."""
    assert chat.cents(dollars) is None


def test_a_batch_result_with_an_odd_status_is_one():
    """A gateway that writes the status as text costs none of the results beside it."""
    result = Batch().result({"custom_id": "a", "response": {"status_code": "200", "body": {"id": "x"}}})
    assert result == Result("a", None, {"id": "x"})


def test_a_gateway_answer_with_odd_choices_is_read():
    """The cost that a gateway adds is looked for in choices; what is no list of them has none."""
    row = built_in().by_name["vercel-gateway"].endpoint("POST", "/v1/chat/completions")
    values: dict[str, Any] = {}
    assert row is not None
    row[0].format.read_response({"choices": 5, "usage": {"prompt_tokens": 3}}, values)
    assert values["prompt_tokens"] == 3


@pytest.mark.parametrize("format_", [elevenlabs.speak, invoke.Invoke()], ids=lambda value: type(value).__name__)
def test_a_header_with_an_odd_digit_is_no_count(format_):
    """A superscript is a digit that is no number: a count that is written with it is none, and nothing is raised."""
    values: dict[str, Any] = {}
    format_.read_headers({"character-cost": "²", "x-amzn-bedrock-input-token-count": "²"}, values)
    assert values.get("usage_raw") is None
