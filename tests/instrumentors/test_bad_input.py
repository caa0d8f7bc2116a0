"""Answers that are not what they should be: the app sees what it would have seen, the record says what is known."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator

import httpx
import httpx2
import pytest

from spectra_otel import faults

URL = "https://api.openai.com/v1/chat/completions"
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
GOOD = {
    "id": "c1", "model": "gpt-4o-2024-08-06", "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
}  # fmt: skip
CHUNK = {
    "id": "c1",
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}],
}
LAST = {"id": "c1", "model": "gpt-4o-2024-08-06", "choices": [], "usage": GOOD["usage"]}


def event(data: object) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"


class Pieces(httpx2.SyncByteStream):
    """A body in pieces of a fixed size."""

    def __init__(self, raw: bytes, size: int) -> None:
        self.pieces = [raw[i : i + size] for i in range(0, len(raw), size)]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)


def call(
    raw: bytes, *, kind: str = "application/json", stream: bool = False, size: int = 700, encoding: str = ""
) -> bytes:
    """Send one chat request to a server that answers ``raw``; what the app reads of it."""
    answer = httpx2.Response(
        200, headers={"content-type": kind, "content-encoding": encoding}, stream=Pieces(raw, size)
    )
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as client:
        body = {**ASK, "stream": True, "stream_options": {"include_usage": True}} if stream else ASK
        request = client.build_request("POST", URL, json=body)
        response = client.send(request, stream=stream)
        return b"".join(response.iter_bytes()) if stream else response.content


def test_html_instead_of_json(recorder):
    """An HTML page with status 200 is a record that knows nothing but the call."""
    page = b"<html>We are sorry</html>"
    assert call(page) == page
    record = recorder.only
    assert record["error_type"] == "response_unreadable"
    assert record.get("prompt_tokens") is None


def test_truncated_json(recorder):
    """Half a JSON document is handed on, and nothing is guessed from it."""
    raw = json.dumps(GOOD).encode()[:80]
    assert call(raw) == raw
    assert recorder.only.get("prompt_tokens") is None


@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_a_stream_under_a_wrong_content_type(recorder, kind):
    """A stream of events is one, whatever its content type says."""
    raw = event(CHUNK) + event(LAST) + event(b"[DONE]")
    assert call(raw, kind=kind, stream=True) == raw
    assert recorder.only["prompt_tokens"] == 12


def test_json_under_the_content_type_of_a_stream(recorder):
    """One JSON document is read as one, though it calls itself a stream."""
    raw = json.dumps(GOOD, indent=1).encode()
    assert call(raw, kind="text/event-stream", stream=True) == raw
    assert recorder.only["prompt_tokens"] == 12


@pytest.mark.parametrize("size", [1, 7, 700, 10**6])
def test_pieces_of_any_size(recorder, size):
    """Where the network cuts a stream changes nothing."""
    raw = event(CHUNK) * 3 + event(LAST) + event(b"[DONE]")
    assert call(raw, kind="text/event-stream", stream=True, size=size) == raw
    assert recorder.only["completion_tokens"] == 3
    assert recorder.only.get("is_aborted") is None


def test_an_event_of_two_megabytes_on_one_line(recorder):
    """A single huge event is read, and so is what follows it."""
    huge = {**CHUNK, "choices": [{"index": 0, "delta": {"content": "x" * 2_000_000}, "finish_reason": "stop"}]}
    raw = event(huge) + event(LAST) + event(b"[DONE]")
    assert call(raw, kind="text/event-stream", stream=True, size=1400) == raw
    assert recorder.only["prompt_tokens"] == 12


def test_an_event_that_is_no_json(recorder):
    """A broken event is left out; the others count."""
    raw = event(b'{"id": "c1", "cho') + event(CHUNK) + event(LAST) + event(b"[DONE]")
    assert call(raw, kind="text/event-stream", stream=True) == raw
    assert recorder.only["prompt_tokens"] == 12


def test_an_event_over_several_data_lines(recorder):
    """JSON that is spread over data lines is put together."""
    lines = json.dumps(LAST, indent=1).encode().replace(b"\n", b"\ndata: ")
    raw = event(CHUNK) + event(lines) + event(b"[DONE]")
    assert call(raw, kind="text/event-stream", stream=True) == raw
    assert recorder.only["prompt_tokens"] == 12


@pytest.mark.parametrize("ending", [b"\r\n", b"\n"])
def test_line_endings(recorder, ending):
    """Both line endings are understood."""
    raw = (event(CHUNK) + event(LAST) + event(b"[DONE]")).replace(b"\n", ending)
    assert call(raw, kind="text/event-stream", stream=True) == raw
    assert recorder.only["prompt_tokens"] == 12


@pytest.mark.parametrize("usage", [
    {"prompt_tokens": -5, "completion_tokens": 3}, {"prompt_tokens": 10**15, "completion_tokens": 3},
    {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 50}},
])  # fmt: skip
def test_usage_that_cannot_be(recorder, usage):
    """Negative, absurd or contradictory counts are not trusted; what was sent is kept."""
    call(json.dumps({**GOOD, "usage": usage}).encode())
    record = recorder.only
    assert record["error_type"] == "usage_inconsistent"
    assert record.get("prompt_tokens") is None
    assert record["usage_raw"] == usage
    assert record["is_failed"] is False


@pytest.mark.parametrize(
    "usage", [None, "many", [], {"prompt_tokens": "12"}, {"prompt_tokens": None}, {"prompt_tokens": True}]
)
def test_usage_of_a_wrong_type(recorder, usage):
    """What is no count is unknown, not zero."""
    call(json.dumps({**GOOD, "usage": usage}).encode())
    assert recorder.only.get("prompt_tokens") is None


@pytest.mark.parametrize(
    "body", [[], "text", 7, {"choices": 5}, {"choices": [7]}, {"choices": [{"message": "x"}]}, {"usage": [1]}]
)
def test_shapes_that_no_provider_sends(recorder, body):
    """JSON of another shape is one record without a fault, whole or streamed."""
    call(json.dumps(body).encode())
    call(event(body) + event(LAST) + event(b"[DONE]"), kind="text/event-stream", stream=True)
    assert len(recorder.records) == 2


def test_a_model_name_of_ten_kilobytes(recorder):
    """A huge model name is clipped where it becomes a name or an attribute."""
    raw = json.dumps({**GOOD, "model": "m" * 10_000}).encode()
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=raw))) as client:
        client.post(URL, json={**ASK, "model": "n" * 10_000})
    [span] = recorder.spans
    assert len(span.name) < 250
    assert len(span.attributes["gen_ai.request.model"]) == len(span.attributes["gen_ai.response.model"]) == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_compressed_body(recorder, stream):
    """We read what is in it; the app decompresses it as ever."""
    plain = event(CHUNK) + event(LAST) + event(b"[DONE]") if stream else json.dumps(GOOD).encode()
    kind = "text/event-stream" if stream else "application/json"
    assert call(gzip.compress(plain), kind=kind, stream=stream, encoding="gzip") == plain
    assert recorder.only["prompt_tokens"] == 12


def test_a_compressed_stream_from_which_a_chunk_is_hidden(recorder):
    """Also then the app reads what it would have, without the chunk that only we asked for: decompressed, as the headers say."""
    answer = httpx2.Response(
        200, headers={"content-type": "text/event-stream", "content-encoding": "gzip"},
        stream=Pieces(gzip.compress(event(CHUNK) + event(LAST) + event(b"[DONE]")), 30),
    )  # fmt: skip
    with (
        httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as client,
        client.stream("POST", URL, json={**ASK, "stream": True}) as response,
    ):
        assert b"".join(response.iter_bytes()) == event(CHUNK) + event(b"[DONE]")
        assert "content-encoding" not in response.headers
        assert json.loads(response.request.content).get("stream_options") is None
    assert recorder.only["prompt_tokens"] == 12


@pytest.mark.parametrize("size", [1, 9, 100, 10**6])
def test_a_hidden_chunk_leaves_every_other_byte(recorder, size):
    """Whatever the pieces, exactly the one event is missing."""
    keep = event({"choices": [], "prompt_filter_results": []}) + b": comment\n\n" + event(CHUNK)
    raw = keep + event(LAST) + event(b"[DONE]")
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(raw, size))
    with (
        httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as client,
        client.stream("POST", URL, json={**ASK, "stream": True}) as response,
    ):
        assert b"".join(response.iter_bytes()) == keep + event(b"[DONE]")
    assert recorder.only["prompt_tokens"] == 12


def test_a_stream_that_the_app_reads_at_once(recorder):
    """A plain post() that gets a stream is recorded, and its content lacks only what we asked for."""
    raw = event(CHUNK) + event(LAST) + event(b"[DONE]")
    for body in (httpx2.Response(200, content=raw), httpx2.Response(200, stream=Pieces(raw, 50))):
        with httpx2.Client(transport=httpx2.MockTransport(lambda _, body=body: body)) as client:
            assert client.post(URL, json={**ASK, "stream": True}).content == event(CHUNK) + event(b"[DONE]")
    assert [r["prompt_tokens"] for r in recorder.records] == [12, 12]


def test_a_reader_that_fails_is_said_once_and_the_app_goes_on(recorder, monkeypatch):
    """A fault of ours while reading never reaches the app; the call is still a record."""
    from spectra_otel.providers.wire.chat import Chat, ChatStream

    def explode(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(Chat, "read_response", explode)
    monkeypatch.setattr(ChatStream, "event", explode)
    before = faults.counts()
    raw = event(CHUNK) + event(LAST) + event(b"[DONE]")
    assert call(json.dumps(GOOD).encode()) == json.dumps(GOOD).encode()
    assert call(raw, kind="text/event-stream", stream=True) == raw
    assert len(recorder.records) == 2
    assert faults.counts()["instrumentor: RuntimeError"] == 1
    assert faults.counts()["event of a stream: RuntimeError"] == 2
    faults._counts.clear()
    faults._counts.update(before)


def test_both_generations_of_httpx(recorder):
    """httpx is observed as httpx2 is."""
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=GOOD))) as client:
        client.post(URL, json=ASK)
    assert recorder.only["prompt_tokens"] == 12


def unnamed(url: str, body: object, answer: Callable[[httpx2.Request], httpx2.Response]) -> None:
    with httpx2.Client(transport=httpx2.MockTransport(answer)) as client:
        client.post(url, json=body)


def test_an_unnamed_host_that_speaks_a_known_format(recorder):
    """A host nobody named, a known path and a known shape: openai_compatible."""
    unnamed("https://llm.corp/v1/chat/completions", ASK, lambda _: httpx2.Response(200, json=GOOD))
    assert recorder.only["provider"] == "openai_compatible"


@pytest.mark.parametrize(
    ("url", "body"), [("https://shop.corp/v1/responses", {"rows": 1}), ("https://shop.corp/buy", ASK)]
)
def test_other_traffic_is_left_alone(recorder, url, body):
    """Anything else is neither span nor record."""
    unnamed(url, body, lambda _: httpx2.Response(200, json={}))
    assert recorder.spans == recorder.records == []


def test_an_error_without_words_leaves_the_next_call_tracked(recorder):
    """An error of a transport whose text cannot be had reaches the app as it is, and ends the call like any other."""

    class Mute(httpx2.ReadError):
        def __str__(self) -> str:
            raise KeyError("text")

    def fail(_: object) -> httpx2.Response:
        raise Mute("")

    with httpx2.Client(transport=httpx2.MockTransport(fail)) as client, pytest.raises(Mute):
        client.post(URL, json=ASK)
    call(json.dumps(GOOD).encode())
    assert [(r["is_failed"], r.get("cost_status")) for r in recorder.records] == [
        (True, "billed_unknown"),
        (False, None),
    ]


@pytest.mark.parametrize(
    ("model", "named"), [(5, "5"), (True, "True"), ({"a": 1}, None), (["m"], None), ("", ""), (None, None)]
)
def test_a_model_that_is_no_name_costs_no_record(model, named, recorder):
    """Its provider refuses the call; the record is there."""
    refusal = httpx2.MockTransport(lambda _: httpx2.Response(400, json={"error": {"message": "no model"}}))
    with httpx2.Client(transport=refusal) as client:
        client.post(URL, json={**ASK, "model": model})
    assert (recorder.only.get("model") or None) == (named or None)
    assert recorder.only["error_message"] == "no model"
