"""The same calls through every HTTP client, plain and streamed: one record each, and the app reads what was sent."""

from __future__ import annotations

import asyncio
import gc
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import boto3
import botocore.config
import httpx
import httpx2
import pytest
import requests
from opentelemetry.instrumentation.utils import suppress_instrumentation

from tests.serving import Handler, serving

ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is the capital of Portugal?"}]}
USAGE = {"prompt_tokens": 1200, "completion_tokens": 300, "cached_tokens": 1024}
HEADERS = {"authorization": "Bearer sk-secret", "x-demo-usage": json.dumps(USAGE)}


def with_httpx(url: str, body: dict[str, Any], stop_after: int | None) -> bytes:
    with httpx.Client() as client, client.stream("POST", url, json=body, headers=HEADERS) as response:
        return _some(response.iter_bytes(), stop_after)


def with_httpx2(url: str, body: dict[str, Any], stop_after: int | None) -> bytes:
    with httpx2.Client() as client, client.stream("POST", url, json=body, headers=HEADERS) as response:
        return _some(response.iter_bytes(), stop_after)


def with_requests(url: str, body: dict[str, Any], stop_after: int | None) -> bytes:
    with requests.Session() as session, session.post(url, json=body, headers=HEADERS, stream=True) as response:
        return _some(response.iter_content(256), stop_after)


def with_requests_at_once(url: str, body: dict[str, Any], stop_after: int | None) -> bytes:
    with requests.Session() as session:
        return session.post(url, json=body, headers=HEADERS).content


def with_aiohttp(url: str, body: dict[str, Any], stop_after: int | None) -> bytes:
    async def call() -> bytes:
        async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=HEADERS) as response:
            found = []
            async for piece in response.content.iter_chunked(256):
                found.append(piece)
                if len(found) == stop_after:
                    break
            return b"".join(found)

    return asyncio.run(call())


def with_aiohttp_lines(url: str, body: dict[str, Any], stop_after: int | None) -> bytes:
    async def call() -> bytes:
        async with aiohttp.ClientSession() as session:
            response = await session.post(url, data=json.dumps(body), headers=HEADERS)
            return b"".join([line async for line in response.content])

    return asyncio.run(call())


def with_aiohttp_at_once(url: str, body: dict[str, Any], stop_after: int | None) -> bytes:
    async def call() -> bytes:
        async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=HEADERS) as response:
            return await response.read()

    return asyncio.run(call())


def _some(pieces: Iterator[bytes], stop_after: int | None) -> bytes:
    found = []
    for piece in pieces:
        found.append(piece)
        if len(found) == stop_after:
            break
    return b"".join(found)


Call = Callable[[str, dict[str, Any], int | None], bytes]
CALLS: list[Call] = [
    with_httpx, with_httpx2, with_requests, with_requests_at_once, with_aiohttp, with_aiohttp_lines, with_aiohttp_at_once,
]  # fmt: skip
PIECEWISE: list[Call] = [with_httpx, with_httpx2, with_requests, with_aiohttp]


@pytest.fixture
def url(provider) -> str:
    return provider.url("openai") + "/v1/chat/completions"


@pytest.mark.parametrize("call", CALLS)
def test_a_plain_answer_is_one_record(call, url, agree):
    """Whatever client sends it."""
    assert json.loads(call(url, ASK, None))["usage"]["prompt_tokens"] == 1200
    agree(provider="openai", cached_tokens=1024, is_failed=False, is_streaming=False, operation="chat")


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("call", CALLS)
def test_a_stream_is_one_record_and_holds_no_more_than_was_asked_for(call, asks, url, agree):
    """Usage is asked for where the app did not, and the chunk with it is kept from the app."""
    options = {"stream_options": {"include_usage": True}} if asks else {}
    seen = call(url, {**ASK, "stream": True, **options}, None)
    assert (b'"prompt_tokens"' in seen) is asks
    assert seen.endswith(b"data: [DONE]\n\n")
    agree(cached_tokens=1024, is_streaming=True, finish_reason="stop", is_aborted=None)


@pytest.mark.parametrize("call", PIECEWISE)
def test_a_stream_that_is_left_early_is_an_aborted_record(call, url, recorder):
    """What was delivered is estimated."""
    call(url, {**ASK, "stream": True}, 1)
    gc.collect()
    recorder.settle()
    assert recorder.only["is_aborted"] is True
    assert recorder.only["prompt_tokens"] > 0


@pytest.mark.parametrize("call", CALLS)
def test_an_error_is_a_record_that_says_so(call, url, recorder, monkeypatch):
    """A refusal costs nothing."""
    monkeypatch.setitem(HEADERS, "x-demo-error", "429")
    call(url, ASK, None)
    assert (recorder.only["status_code"], recorder.only["is_failed"]) == (429, True)
    assert recorder.only["cost_status"] == "not_billed"


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_is_not_there_is_not_billed(call, provider, recorder, monkeypatch):
    """Nothing reached the provider, and the app gets its client's own error."""
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", "127.0.0.1:9=openai")
    recorder.install()
    with pytest.raises(Exception, match="onnect") as raised:
        call("http://127.0.0.1:9/v1/chat/completions", ASK, None)
    assert not type(raised.value).__module__.startswith("spectra")
    assert recorder.only["is_failed"] is True
    assert recorder.only["cost_status"] == "not_billed"


def test_a_stream_that_breaks_while_we_read_it_is_closed(recorder):
    """What the client does where it reads a body, we do where we read it for the client: no connection is left open."""

    class Breaking(httpx.SyncByteStream):
        is_closed = False

        def __iter__(self) -> Iterator[bytes]:
            yield b"data: {}\n\n"
            raise httpx.ReadTimeout("slow")

        def close(self) -> None:
            self.is_closed = True

    body = Breaking()
    answer = httpx.MockTransport(lambda _: httpx.Response(200, stream=body))
    with httpx.Client(transport=answer) as client, pytest.raises(httpx.ReadTimeout):
        client.post("https://api.openai.com/v1/chat/completions", json={**ASK, "stream": True})
    assert body.is_closed
    assert recorder.only["error_type"] == "httpx.ReadTimeout"


@pytest.mark.parametrize("call", CALLS)
def test_suppressed_instrumentation_is_left_alone(call, url, recorder):
    """OpenTelemetry's own switch counts."""
    with suppress_instrumentation():
        call(url, ASK, None)
    assert recorder.records == []


def test_tasks_of_a_group_are_each_a_record(url, recorder):
    """Fifty calls at once through one session are fifty records with a span each."""

    async def run() -> None:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:

            async def one() -> None:
                async with session.post(url, json=ASK, headers=HEADERS) as response:
                    await response.json()

            for _ in range(50):
                group.create_task(one())

    asyncio.run(run())
    assert len(recorder.records) == 50
    assert len({record["_span"].context.span_id for record in recorder.records}) == 50


# -- AWS ---------------------------------------------------------------------------------------------------------------


def frame(kind: str, payload: bytes, name: str = ":event-type") -> bytes:
    """One frame of an AWS event stream."""
    headers = b"".join(
        bytes([len(n)]) + n.encode() + b"\x07" + len(v).to_bytes(2, "big") + v.encode()
        for n, v in ((name, kind), (":content-type", "application/json"), (":message-type", "event"))
    )
    prelude = (len(headers) + len(payload) + 16).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    head = prelude + zlib.crc32(prelude).to_bytes(4, "big") + headers + payload
    return head + zlib.crc32(head).to_bytes(4, "big")


CONVERSED = b'{"output":{"message":{"role":"assistant","content":[{"text":"Lisbon"}]}},"stopReason":"end_turn",' + (
    b'"usage":{"inputTokens":11,"outputTokens":3,"totalTokens":42,"cacheReadInputTokens":20,"cacheWriteInputTokens":8}}'
)
STREAMED = b"".join([
    frame("messageStart", b'{"role":"assistant"}'),
    frame("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"Lisbon"}}'),
    frame("messageStop", b'{"stopReason":"end_turn"}'),
    frame("metadata", b'{"metrics":{"latencyMs":5},"usage":{"inputTokens":11,"outputTokens":3,"totalTokens":14}}'),
])  # fmt: skip
CLAUDE = b'{"type":"message","id":"msg_1","model":"claude-x","content":[{"type":"text","text":"Lisbon"}],' + (
    b'"stop_reason":"end_turn","usage":{"input_tokens":11,"output_tokens":3}}'
)


class Bedrock(Handler):
    """Answers as Bedrock does, by the end of the path."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.body()
        streamed = self.path.endswith("-stream")
        body = STREAMED if streamed else CLAUDE if self.path.endswith("/invoke") else CONVERSED
        kind = "application/vnd.amazon.eventstream" if streamed else "application/json"
        self.reply(200, body, content_type=kind)


@pytest.fixture
def bedrock(recorder, monkeypatch) -> Iterator[Any]:
    with serving(Bedrock) as port:
        host = f"127.0.0.1:{port}"
        monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{host}=bedrock")
        recorder.install()
        client = boto3.client(
            "bedrock-runtime", region_name="us-east-1", endpoint_url=f"http://{host}", aws_access_key_id="AKIAX",
            aws_secret_access_key="secret", config=botocore.config.Config(retries={"max_attempts": 0}),
        )  # fmt: skip
        yield client
        client.close()


MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
TURN = [{"role": "user", "content": [{"text": "What is the capital of Portugal?"}]}]


def test_converse_counts_the_cache_into_the_prompt(bedrock, recorder):
    """boto3's ``converse``: what the cache served and took is part of the prompt."""
    bedrock.converse(modelId=MODEL, messages=TURN)
    record = recorder.only
    assert (record["provider"], record["model"], record["endpoint"]) == ("bedrock", MODEL, f"/model/{MODEL}/converse")
    assert (record["prompt_tokens"], record["cached_tokens"], record["cache_write_tokens"]) == (39, 20, 8)
    assert record["completion_tokens"] == 3
    assert "secret" not in repr(record)


def test_converse_stream_is_settled_by_its_metadata(bedrock, recorder):
    """The app reads every event, and the counts come with the last."""
    events = list(bedrock.converse_stream(modelId=MODEL, messages=TURN)["stream"])
    assert [next(iter(event)) for event in events] == ["messageStart", "contentBlockDelta", "messageStop", "metadata"]
    assert (recorder.only["prompt_tokens"], recorder.only["is_streaming"]) == (11, True)
    assert recorder.only.get("is_aborted") is None


def test_invoke_model_is_read_in_its_makers_format(bedrock, recorder):
    """A body that the app reads from a ``StreamingBody``."""
    answer = bedrock.invoke_model(modelId=MODEL, body=json.dumps({"messages": TURN, "max_tokens": 9}))["body"].read()
    assert answer == CLAUDE
    assert (recorder.only["response_id"], recorder.only["prompt_tokens"]) == ("msg_1", 11)


def test_a_converse_stream_left_early_is_aborted(bedrock, recorder):
    """Closed after the first event."""
    stream = bedrock.converse_stream(modelId=MODEL, messages=TURN)["stream"]
    next(iter(stream))
    stream.close()
    assert recorder.only["is_streaming"] is True
