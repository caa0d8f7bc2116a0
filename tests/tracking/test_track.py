"""``track``, ``start_request`` and ``stream``: calls as the app's code names them."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion

import spectra_otel as spectra
from spectra_otel.tracking import context

ASK: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello there"}]}
ANSWER = {
    "id": "r1", "model": "gpt-4o-2024-08-06", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 20}},
}  # fmt: skip
CHUNKS = [
    {"id": "r1", "model": "gpt-4o-2024-08-06", "choices": [{"index": 0, "delta": {"content": "four char"}}]},
    {"id": "r1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "r1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}},
]


@pytest.fixture
def client(server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url("openai") + "/v1", api_key="x", max_retries=0) as client:
        yield client


def test_an_instrumented_call_inside_is_the_record(client, recorder):
    """The block's own span wraps; the call is its child and carries what the block knows."""
    with spectra.track(
        "openai", "gpt-4o", metadata={"a": {"b": 1}}, tags=["x"], user="u1", trackable=("team", 7), conversation_id="c1",
        pricing_tier="batch",
    ) as request:  # fmt: skip
        request.add_metadata("tenant_id", "t1")
        request.add_tag("beta")
        client.chat.completions.create(**ASK)
    call, block = recorder.spans
    record = recorder.only
    assert call.parent.span_id == block.context.span_id
    assert block.attributes["spectra.rollup"] is True
    assert "gen_ai.operation.name" not in block.attributes
    assert record["metadata"] == {"a": {"b": 1}, "tenant_id": "t1"}
    assert (record["tags"], record["user_id"], record["conversation_id"]) == (["x", "beta"], "u1", "c1")
    assert (record["trackable_type"], record["trackable_id"], record["pricing_tier"]) == ("team", "7", "batch")


def test_a_response_of_an_uninstrumented_client_is_the_record(recorder):
    """record(response) reads the usage of a dict."""
    with spectra.track("openai", "gpt-4o", tags="a") as request:
        request.record(ANSWER)
    record = recorder.only
    assert (record["provider"], record["model"], record["snapshot"]) == ("openai", "gpt-4o", "gpt-4o-2024-08-06")
    assert (record["prompt_tokens"], record["completion_tokens"], record["cached_tokens"]) == (100, 50, 20)
    assert (record["operation"], record["tags"], record["is_failed"]) == ("chat", ["a"], False)
    assert recorder.spans[0].attributes["gen_ai.usage.input_tokens"] == 100


def test_a_response_object_is_read_as_its_json(recorder):
    """An SDK's response object tells what its JSON does."""
    whole = ANSWER | {"object": "chat.completion", "created": 1}
    with spectra.track("openai", "gpt-4o") as request:
        request.record(ChatCompletion.model_construct(**whole))
    assert recorder.only["prompt_tokens"] == 100


@pytest.mark.parametrize("answer", [
    json.dumps(ANSWER), json.dumps(ANSWER).encode(), httpx2.Response(200, json=ANSWER),
    SimpleNamespace(http_response=httpx2.Response(200, json=ANSWER)),
], ids=["text", "bytes", "response", "raw response"])  # fmt: skip
def test_an_http_clients_response_is_read_too(answer, recorder):
    """As it came, or as a client that is not instrumented holds it."""
    with spectra.track("openai", "gpt-4o") as request:
        request.record(answer)
    assert recorder.only["prompt_tokens"] == 100


@pytest.mark.parametrize("answer", ["no JSON", b"[1]", 5, object()])
def test_what_is_no_answer_tells_nothing(answer, recorder):
    """And does no harm, as a record or in a stream of texts."""
    with spectra.track("openai", "gpt-4o") as request:
        request.record(answer)
    assert list(spectra.stream("openai", "gpt-4o").wrap([answer])) == [answer]
    assert [record.get("prompt_tokens") for record in recorder.records] == [None, None]


def test_a_block_without_a_call_is_no_record(recorder):
    """A block in which nothing was called costs nothing."""
    with spectra.track("openai", "gpt-4o"):
        pass
    assert recorder.records == []
    assert recorder.spans[0].attributes["spectra.rollup"] is True


def test_an_error_inside_is_a_failed_record_and_goes_on(recorder):
    """The app's exception passes; without an instrumented call the block is the failed record."""
    with pytest.raises(ValueError, match="boom"), spectra.track("openai", "gpt-4o"):
        raise ValueError("boom")
    record = recorder.only
    assert (record["is_failed"], record["error_type"], record["error_message"]) == (True, "ValueError", "boom")
    assert record["cost_status"] == "billed_unknown"


def test_an_error_that_cannot_say_what_it_is_goes_on_too(recorder):
    """The app gets its own, and nothing that we met on the way."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(Odd), spectra.track("openai", "gpt-4o"):
        raise Odd
    assert recorder.only["error_type"].endswith("Odd")
    assert recorder.only.get("error_message") is None


def test_as_a_decorator_of_functions_of_both_kinds(client, recorder):
    """Each call of a tracked function is tracked for itself."""

    @spectra.track("openai", "gpt-4o", tags=["sync"])
    def plain(number: int) -> int:
        client.chat.completions.create(**ASK)
        return number

    @spectra.track("openai", "gpt-4o", tags=["async"])
    async def later(number: int) -> int:
        client.chat.completions.create(**ASK)
        return number

    assert (plain(1), asyncio.run(later(2)), plain(3)) == (1, 2, 3)
    assert [r["tags"] for r in recorder.records] == [["sync"], ["async"], ["sync"]]
    assert plain.__name__ == "plain"


def test_async_blocks_do_not_mix(recorder):
    """Concurrent tasks keep their own user."""

    async def one(user: str) -> None:
        async with spectra.track("openai", "gpt-4o", user=user) as request:
            await asyncio.sleep(0.01)
            request.record(ANSWER)

    async def main() -> None:
        await asyncio.gather(*(one(f"u{i}") for i in range(5)))

    asyncio.run(main())
    assert sorted(r["user_id"] for r in recorder.records) == [f"u{i}" for i in range(5)]


@pytest.mark.parametrize("make", [str, lambda u: u.hex])
def test_a_trace_id_of_the_apps_own(recorder, make):
    """The block is the root of that trace, linked to the span it was made in."""
    wanted = uuid.uuid4()
    with (
        recorder.provider.get_tracer("app").start_as_current_span("app") as outer,
        spectra.track("openai", "gpt-4o", trace_id=make(wanted)) as request,
    ):
        request.record(ANSWER)
    span = recorder.only["_span"]
    assert span.context.trace_id == wanted.int
    assert span.parent is None
    assert span.links[0].context.span_id == outer.get_span_context().span_id


def test_a_trace_id_that_is_none_does_no_harm(recorder):
    """A bad trace id is said once; the call is recorded in a trace of its own."""
    with spectra.track("openai", "gpt-4o", trace_id="nonsense") as request:
        request.record(ANSWER)
    assert recorder.only["prompt_tokens"] == 100


def test_a_manual_request_succeeds(recorder):
    """start_request and record_success, with usage apart."""
    request = spectra.start_request("openai", "gpt-4o", pricing_tier="batch", metadata={"batch": "b1"})
    spectra.record_success(request, ANSWER, usage={"prompt_tokens": 9, "completion_tokens": 4})
    spectra.record_success(request, ANSWER)
    record = recorder.only
    assert (record["prompt_tokens"], record["completion_tokens"], record["pricing_tier"]) == (9, 4, "batch")
    assert record["metadata"] == {"batch": "b1"}


@pytest.mark.parametrize("usage", [
    {"prompt_tokens": 30, "completion_tokens": 5, "cached_tokens": 10},
    {"input_tokens": 20, "cache_read_input_tokens": 10, "output_tokens": 5},
    {"input_tokens": 30, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 10}},
    {"promptTokenCount": 30, "candidatesTokenCount": 5, "cachedContentTokenCount": 10},
])  # fmt: skip
def test_usage_in_anybodys_words(recorder, usage):
    """Usage is understood under the record's names and under each provider's."""
    spectra.record_success(spectra.start_request("openai", "gpt-4o"), usage=usage)
    record = recorder.only
    assert (record["prompt_tokens"], record["completion_tokens"], record["cached_tokens"]) == (30, 5, 10)


def test_what_is_added_to_a_manual_request_is_of_no_other_call(client, recorder):
    """It is no block: what is made beside it, or after it, has nothing to do with it."""
    request = spectra.start_request("openai", "gpt-4o", tags=["own"])
    request.add_metadata("job", 7)
    request.add_tag("late")
    client.chat.completions.create(**ASK)
    spectra.record_success(request, ANSWER)
    with spectra.track("openai", "gpt-4o") as block:
        block.add_tag("inside")
        client.chat.completions.create(**ASK)
    block.add_tag("after")
    client.chat.completions.create(**ASK)
    said = [(record.get("tags"), record.get("metadata")) for record in recorder.records]
    assert said == [(None, None), (["own", "late"], {"job": 7}), (["inside"], None), (None, None)]


def test_a_manual_request_fails(recorder):
    """record_failure keeps what went wrong."""
    spectra.record_failure(spectra.start_request("openai", "gpt-4o"), TimeoutError("too late"))
    assert (recorder.only["error_type"], recorder.only["error_message"]) == ("TimeoutError", "too late")


def test_a_stream_by_hand(recorder):
    """The app gets its chunks; the record has their usage and the time to the first."""
    got = list(spectra.stream("openai", "gpt-4o", metadata={"m": 1}).wrap(iter(CHUNKS)))
    assert got == CHUNKS
    record = recorder.only
    assert (record["prompt_tokens"], record["completion_tokens"], record["metadata"]) == (7, 5, {"m": 1})
    assert record["is_streaming"] is True
    assert record["time_to_first_token_ms"] >= 0


def test_a_stream_by_hand_that_is_left(recorder):
    """Left early, it is one aborted record."""
    chunks = spectra.stream("openai", "gpt-4o").wrap(iter(CHUNKS))
    next(chunks)
    del chunks
    gc.collect()
    recorder.settle()
    assert recorder.only["is_aborted"] is True
    assert recorder.only["completion_tokens"] == 3
    assert recorder.only.get("prompt_tokens") is None
    assert recorder.only["cost_status"] == "partial"


def test_a_stream_by_hand_that_is_left_says_what_was_asked(recorder):
    """Where the request is known its input is estimated, as an instrumented call's is."""
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "twelve chars"}]}
    chunks = spectra.stream("openai", "gpt-4o", request=asked).wrap(iter(CHUNKS))
    next(chunks)
    chunks.close()
    assert recorder.only["prompt_tokens"] == 3
    assert recorder.only.get("cost_status") is None


def test_a_stream_by_hand_is_what_it_was(recorder):
    """An SDK's stream has more than its chunks: the app finds it on the wrapped one."""

    class Stream:
        response = "the head"

        def __iter__(self) -> Iterator[Any]:
            return iter(CHUNKS)

    wrapped = spectra.stream("openai", "gpt-4o").wrap(Stream())
    assert (wrapped.response, list(wrapped)) == ("the head", CHUNKS)
    assert recorder.only["prompt_tokens"] == 7


def test_an_async_stream_by_hand(recorder):
    """Async chunks are wrapped as async chunks."""

    async def chunks():
        for chunk in CHUNKS:
            yield chunk

    async def main() -> list[object]:
        return [chunk async for chunk in spectra.stream("openai", "gpt-4o").wrap(chunks())]

    assert asyncio.run(main()) == CHUNKS
    assert recorder.only["prompt_tokens"] == 7


def test_the_stream_of_an_instrumented_client_is_one_record(client, recorder):
    """Wrapping it adds who it is for, and no second record."""
    for _ in spectra.stream("openai", "gpt-4o", tags=["t"]).wrap(client.chat.completions.create(**ASK, stream=True)):
        pass
    assert recorder.only["tags"] == ["t"]
    assert recorder.only["completion_tokens"] == 16


def test_the_stream_of_an_instrumented_client_adds_to_what_is_said(client, recorder):
    """Tags and metadata join those of the process and the request; the tier is the app's word. Whichever was made first."""
    spectra.with_tags("all")
    spectra.with_metadata({"nested": {"a": 1}})
    streamed = client.chat.completions.create(**ASK, stream=True, metadata={"request": "1"})
    tracker = spectra.stream("openai", "gpt-4o", tags=["mine"], metadata={"nested": {"b": 2}}, pricing_tier="batch")
    for _ in tracker.wrap(streamed):
        pass
    record = recorder.only
    assert record["tags"] == ["all", "mine"]
    assert record["metadata"] == {"request": "1", "nested": {"a": 1, "b": 2}}
    assert (record["pricing_tier"], record["requested_tier"]) == ("batch", "batch")


def test_a_stream_that_begins_with_its_first_chunk_is_one_record(client, recorder):
    """As a generator's does: the client's record is the one, with what was said."""

    def lazy() -> Iterator[Any]:
        yield from client.chat.completions.create(**ASK, stream=True)

    async def lazy_too() -> AsyncIterator[Any]:
        for chunk in client.chat.completions.create(**ASK, stream=True):
            yield chunk

    async def read() -> None:
        async for _ in spectra.stream("openai", "gpt-4o", tags=["async"]).wrap(lazy_too()):
            pass

    for _ in spectra.stream("openai", "gpt-4o", tags=["sync"]).wrap(lazy()):
        pass
    asyncio.run(read())
    assert [record["tags"] for record in recorder.records] == [["sync"], ["async"]]
    assert all(record["status_code"] == 200 for record in recorder.records)
    client.chat.completions.create(**ASK)
    assert recorder.records[-1].get("tags") is None


def test_chunks_of_the_apps_own_are_a_record_beside_other_calls(client, recorder):
    """A call before they are wrapped, or on the way to the first of them, has nothing to do with them."""

    def chunks() -> Iterator[Any]:
        client.chat.completions.create(**ASK)
        yield from CHUNKS

    tracker = spectra.stream("openai", "gpt-4o", tags=["own"])
    client.chat.completions.create(**ASK)
    for _ in tracker.wrap(chunks()):
        pass
    assert [record.get("is_streaming") for record in recorder.records] == [False, False, True]
    assert recorder.records[-1]["tags"] == ["own"]


def test_globals_hold_until_they_are_cleared(client, recorder):
    """with_metadata, with_tags and with_user are of every call of the process."""
    spectra.with_metadata({"region": "eu"})
    spectra.with_tags("a", "b")
    spectra.with_user("u9")
    client.chat.completions.create(**ASK)
    spectra.clear_globals()
    client.chat.completions.create(**ASK)
    first, second = recorder.records
    assert (first["metadata"], first["tags"], first["user_id"]) == ({"region": "eu"}, ["a", "b"], "u9")
    assert not {"metadata", "tags", "user_id"} & second.keys()


def test_settings_of_the_process_are_in_every_record(client, recorder, monkeypatch):
    """SPECTRA_TAGS and SPECTRA_METADATA."""
    monkeypatch.setenv("SPECTRA_TAGS", "prod,eu")
    monkeypatch.setenv("SPECTRA_METADATA", '{"team": "blue"}')
    recorder.install()
    client.chat.completions.create(**ASK)
    assert (recorder.only["tags"], recorder.only["metadata"]) == (["prod", "eu"], {"team": "blue"})
    monkeypatch.undo()
    recorder.install()


def test_without_a_host_nothing_happens(monkeypatch):
    """Where Spectra does not run, the same code runs on and leaves nothing."""
    from spectra_otel.sdk import runtime

    monkeypatch.setattr(runtime, "current_host", lambda: None)
    with spectra.track("openai", "gpt-4o") as request:
        request.add_tag("a")
        request.record(ANSWER)
    assert list(spectra.stream("openai", "gpt-4o").wrap(iter(CHUNKS))) == CHUNKS
    spectra.record_failure(spectra.start_request("openai", "gpt-4o"), "no")


def in_new_contexts(generator: Iterator[Any]) -> list[Any]:
    """As web frameworks read a streamed answer on threads: each step in a context of its own."""
    found = []
    while True:
        try:
            found.append(contextvars.copy_context().run(next, generator))
        except StopIteration:
            return found


def test_a_block_in_a_generator_may_end_in_another_context(recorder, caplog):
    """Nothing is raised into the answer that it streams, and nothing is logged: the call is a record."""

    def streamed() -> Iterator[str]:
        with spectra.track("openai", "gpt-4o", user="u1") as request, spectra.context(tags=["t"]), spectra.untracked():
            yield "a"
            request.record(ANSWER)
            yield "b"
        with spectra.budget("answer", usd=1):
            yield "c"

    assert in_new_contexts(streamed()) == ["a", "b", "c"]
    assert (recorder.only["prompt_tokens"], recorder.only["user_id"]) == (100, "u1")
    assert not caplog.records


def test_a_generator_is_tracked_while_it_runs(client, recorder):
    """Its calls are the block's, and it stays a generator, which takes what is sent into it."""

    @spectra.track("openai", "gpt-4o", user="u1")
    def streamed() -> Any:
        got = yield client.chat.completions.create(**ASK).id
        yield got
        return "end"

    assert inspect.isgeneratorfunction(streamed)
    running = streamed()
    assert next(running)
    assert running.send("x") == "x"
    with pytest.raises(StopIteration, match="end"):
        next(running)
    assert recorder.only["user_id"] == "u1"


def test_an_async_generator_is_tracked_while_it_runs(recorder):
    """Left early, it is closed, and the call is over."""
    closed = []

    @spectra.track("openai", "gpt-4o")
    async def streamed() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def read() -> list[int]:
        pieces = streamed()
        found = [await anext(pieces)]
        await pieces.aclose()  # type: ignore[attr-defined]
        return [*found, *[piece async for piece in streamed()]]

    assert inspect.isasyncgenfunction(streamed)
    assert asyncio.run(read()) == [1, 1, 2]
    assert closed == [True, True]
    assert len(recorder.spans) == 2
    assert recorder.records == []


def test_what_holds_in_a_generator_does_not_hold_where_it_is_read(client, recorder):
    """A call between two pieces is the reader's; one in the body is the block's, wherever each piece is read."""

    @spectra.track("openai", "gpt-4o", user="body")
    def streamed() -> Any:
        for _ in range(2):
            yield client.chat.completions.create(**ASK).id

    for _ in streamed():
        client.chat.completions.create(**ASK)
    assert [record.get("user_id") for record in recorder.records] == ["body", None, "body", None]
    assert len({record["_span"].context.trace_id for record in recorder.records}) == 3
    recorder.records.clear()
    pieces = streamed()
    while contextvars.copy_context().run(next, pieces, None):
        pass
    assert [record.get("user_id") for record in recorder.records] == ["body", "body"]


def test_what_holds_in_an_async_generator_does_not_hold_where_it_is_read(recorder):
    """And it takes what is sent and thrown into it, as it would without us."""

    @spectra.track("openai", "gpt-4o", user="body")
    async def streamed() -> AsyncGenerator[Any, Any]:
        await asyncio.sleep(0)
        got = yield context.known().user
        try:
            yield got, context.known().user
        except KeyError:
            yield "caught"
        raise ValueError("its own")

    async def read() -> None:
        pieces = streamed()
        assert await anext(pieces) == "body"
        assert context.known().user is None
        assert await pieces.asend("sent") == ("sent", "body")
        assert await pieces.athrow(KeyError()) == "caught"
        with pytest.raises(ValueError, match="its own"):
            await anext(pieces)
        left = streamed()
        await anext(left)
        task = asyncio.create_task(anext(left))
        await asyncio.sleep(0)
        await task
        await left.aclose()

    asyncio.run(read())
    assert [span.status.is_ok for span in recorder.spans] == [False, True]


CYCLE: dict[str, Any] = {}
CYCLE["again"] = CYCLE


@pytest.mark.parametrize(
    "options", [{"metadata": [1, 2]}, {"metadata": CYCLE}, {"trackable": "team"}, {"trackable": (1, 2, 3)}, {"tags": 5}]
)
def test_what_cannot_be_used_is_said_and_left(options, recorder):
    """The app's block runs as it would, and a model of any type has a name."""
    with spectra.track("openai", 5, **options) as request:  # type: ignore[arg-type]
        request.add_metadata("again", CYCLE)
        request.record(ANSWER)
    assert (recorder.only["model"], recorder.only["prompt_tokens"]) == ("5", 100)
    with spectra.track("openai", 5, **options):  # type: ignore[arg-type]
        pass
