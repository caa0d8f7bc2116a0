"""Whom a call is for, where only another instrumentation sees the call: its span's context says it when the span starts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from opentelemetry import baggage
from opentelemetry import context as context_api
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, Tracer

import spectra_otel as spectra
from spectra_otel import faults
from spectra_otel.model.spans import TrackedSpan, starts
from spectra_otel.processors.usage.processor import UsageProcessor
from spectra_otel.sdk.attach import Attachments
from spectra_otel.sdk.delivery import Delivery
from spectra_otel.sdk.host import Host
from spectra_otel.tracking import context
from spectra_otel.tracking.attribution import attribution
from tests.sdk.parts import Remembering, pipeline

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 2}  # fmt: skip


class App:
    """A tracer of another instrumentation, and the records of its spans."""

    def __init__(self, tracer: Tracer, host: Host, store: Remembering) -> None:
        self.tracer, self._host, self._store = tracer, host, store

    def start(self, **attributes: Any) -> Span:
        return self.tracer.start_span("chat gpt-4o", attributes={**CHAT, **attributes})

    @property
    def records(self) -> list[dict[str, Any]]:
        assert self._host.force_flush()
        return [span.record.known() for span in self._store.spans if isinstance(span, TrackedSpan) and span.record]


@pytest.fixture
def app() -> Iterator[App]:
    attachments, store = Attachments(), Remembering()
    provider = TracerProvider(shutdown_on_exit=False)
    host = Host(lambda: Delivery([pipeline(store, enricher=cast(Any, UsageProcessor()))]))
    attachments.attach(provider, host)
    yield App(provider.get_tracer("opentelemetry.instrumentation.openai_v2"), host, store)
    attachments.detach()
    context.clear_globals()
    context.set_process_defaults(attribution())


def test_a_context_reaches_the_spans_that_start_in_it(app: App) -> None:
    """User, tags, metadata, trackable and conversation, as they reach calls that we see ourselves."""
    with spectra.context(
        user="ada", tags=["a"], metadata={"team": {"id": 7}}, trackable=("doc", 3), conversation_id="c"
    ):
        app.start().end()
    app.start().end()
    first, second = app.records
    assert (first["user_id"], first["tags"], first["metadata"]) == ("ada", ["a"], {"team": {"id": 7}})
    assert (first["trackable_type"], first["trackable_id"], first["conversation_id"]) == ("doc", "3", "c")
    assert not {"user_id", "tags", "metadata"} & second.keys()


def test_a_span_that_ends_elsewhere_keeps_what_it_started_with(app: App) -> None:
    """A stream that is read after the block, in another context, on another thread."""
    with spectra.context(user="ada"):
        span = app.start()
    with spectra.context(user="eve"):
        thread = threading.Thread(target=span.end)
        thread.start()
        thread.join()
    assert [record["user_id"] for record in app.records] == ["ada"]


def test_tasks_at_once_do_not_mix(app: App) -> None:
    """Each has its own."""

    async def call(user: str) -> None:
        with spectra.context(user=user):
            span = app.start()
            await asyncio.sleep(0.001)
            span.end()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(call(f"u{number}"))

    asyncio.run(run())
    assert {record["user_id"] for record in app.records} == {f"u{number}" for number in range(20)}


def test_what_the_process_says_holds_for_all(app: App) -> None:
    """Globals, and the tags and metadata of the settings; inner blocks add to them."""
    context.set_process_defaults(attribution(tags=["prod"], metadata={"region": "eu"}))
    spectra.with_tags("web")
    with spectra.context(tags=["a"], metadata={"tenant": "t"}):
        app.start().end()
    app.start().end()
    first, second = app.records
    assert (first["tags"], first["metadata"]) == (["prod", "web", "a"], {"region": "eu", "tenant": "t"})
    assert (second["tags"], second["metadata"]) == (["prod", "web"], {"region": "eu"})


def test_the_app_wins_over_the_span_and_adds_to_it(app: App) -> None:
    """What a span says stays where the app says nothing else."""
    with spectra.context(user="ada", tags=["a"]):
        app.start(**{"user.id": "someone", "spectra.tags": ["own"], "session.id": "s"}).end()
    [record] = app.records
    assert (record["user_id"], record["tags"], record["conversation_id"]) == ("ada", ["own", "a"], "s")


@pytest.mark.parametrize("is_explicit", [True, False])
def test_baggage_names_who_it_is_for(app: App, is_explicit: bool) -> None:
    """In the current context, or in the one that the span is started with."""
    carried = baggage.set_baggage("user.id", "ada")
    token = None if is_explicit else context_api.attach(carried)
    try:
        app.tracer.start_span("chat", context=carried if is_explicit else None, attributes=CHAT).end()
    finally:
        if token is not None:
            context_api.detach(token)
    assert [record["user_id"] for record in app.records] == ["ada"]


def test_an_untracked_block_leaves_no_record(app: App) -> None:
    """Its spans are the app's own all the same."""
    with spectra.untracked():
        app.start().end()
    assert app.records == []


def test_a_tier_that_the_app_names_holds(app: App) -> None:
    """A span of a batch does not know that it is one."""
    with spectra.context(pricing_tier="batch"):
        app.start().end()
    assert (app.records[0]["pricing_tier"], app.records[0]["requested_tier"]) == ("batch", "batch")


def test_nothing_is_kept_of_spans_that_are_nobodys(app: App) -> None:
    """A span that is no call of a model takes its note away with it."""
    with spectra.context(user="ada"):
        app.tracer.start_span("GET /").end()
        app.start().end()
    assert len(app.records) == 1
    assert not starts._entries


def test_a_baggage_that_breaks_never_reaches_the_app(app: App) -> None:
    """Its fault is said, and the span starts as ever."""

    class Broken(dict[str, object]):
        def __contains__(self, key: object) -> bool:
            raise RuntimeError("no")

    before = faults.counts()
    parent = context_api.set_value("baggage-key", "x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context.baggage, "get_all", lambda _: Broken(a=1))
        app.tracer.start_span("chat", context=parent, attributes=CHAT).end()
    assert len(app.records) == 1
    assert faults.counts() != before
    faults._counts.clear()
    faults._counts.update(before)
