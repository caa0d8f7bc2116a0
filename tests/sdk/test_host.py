from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanContext, Tracer

from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan
from spectra_otel.pipeline import Pipeline
from spectra_otel.sdk.attach import Attachments
from spectra_otel.sdk.delivery import Delivery
from spectra_otel.sdk.host import Host
from tests.sdk.parts import COST, Pricer, Remembering, pipeline

GENAI = {"gen_ai.operation.name": "chat"}


@pytest.fixture
def attachments() -> Iterator[Attachments]:
    made = Attachments()
    yield made
    made.detach()


def host_of(
    pipelines: Sequence[Pipeline], provider: Callable[[], TracerProvider | None] = lambda: None, **options: Any
) -> Host:
    """A host of these pipelines."""
    return Host(lambda: Delivery(pipelines, **options), provider=provider)


def attached(host: Host, attachments: Attachments, provider: TracerProvider | None = None) -> Tracer:
    provider = provider or TracerProvider(shutdown_on_exit=False)
    attachments.attach(provider, host)
    return provider.get_tracer("app")


@pytest.mark.parametrize("processor", [SimpleSpanProcessor, BatchSpanProcessor])
@pytest.mark.parametrize("is_before", [True, False], ids=["tracer taken before", "tracer taken after"])
@pytest.mark.parametrize("is_added_before", [True, False], ids=["exporter added before", "exporter added after"])
def test_the_apps_exporters_get_the_cost_once(
    attachments: Attachments, processor: type[SimpleSpanProcessor], is_before: bool, is_added_before: bool
) -> None:
    """Whenever tracer and exporter came, the app's exporter gets one span with the cost, and other spans untouched."""
    app, store = Remembering(), Remembering()
    provider = TracerProvider(shutdown_on_exit=False)
    host = host_of([pipeline(store)])
    tracer = provider.get_tracer("app") if is_before else None
    if is_added_before:
        provider.add_span_processor(processor(app))
    attachments.attach(provider, host)
    if not is_added_before:
        provider.add_span_processor(processor(app))
    tracer = tracer or provider.get_tracer("app")
    with tracer.start_as_current_span("request"), tracer.start_as_current_span("chat", attributes=GENAI):
        pass
    assert provider.force_flush()
    assert [span.name for span in app.priced()] == ["chat"]
    assert [span.name for span in app.spans] == ["chat", "request"]
    assert not isinstance(app.spans[1], TrackedSpan)
    assert [span.name for span in store.spans] == ["chat"]
    provider.shutdown()


def test_a_span_is_enriched_once_however_many_look_at_it(attachments: Attachments) -> None:
    """Three exporters of the app and two pipelines of ours see the work of one enricher."""
    enricher, store, other = Pricer(), Remembering(), Remembering()
    host = host_of([pipeline(store, enricher=enricher), pipeline(None, other, name="traces/2")])
    provider = TracerProvider(shutdown_on_exit=False)
    apps = [Remembering() for _ in range(3)]
    for app in apps:
        provider.add_span_processor(SimpleSpanProcessor(app))
    tracer = attached(host, attachments, provider)
    tracer.start_span("chat", attributes=GENAI).end()
    assert host.force_flush()
    assert enricher.seen == 1
    assert [len(x.priced()) for x in (*apps, store, other)] == [1, 1, 1, 1, 1]


def test_attaching_twice_is_attaching_once(attachments: Attachments) -> None:
    """A provider that is attached to again gives each span once."""
    store = Remembering()
    host = host_of([pipeline(store)])
    provider = TracerProvider(shutdown_on_exit=False)
    attached(host, attachments, provider)
    attached(host, attachments, provider)
    tracer = attached(host, attachments, provider)
    tracer.start_span("chat", attributes=GENAI).end()
    assert host.force_flush()
    assert len(store.spans) == 1


def test_providers_made_later_are_attached_and_detach_undoes_all(attachments: Attachments) -> None:
    """A provider made after the start is attached; after detaching, providers old and new are as the SDK made them."""
    store = Remembering()
    host = host_of([pipeline(store)])
    init = TracerProvider.__init__
    attachments.attach_to_future_providers(host)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.get_tracer("app").start_span("chat", attributes=GENAI).end()
    host.force_flush()
    assert len(store.spans) == 1
    attachments.detach()
    assert TracerProvider.__init__ is init
    app = Remembering()
    provider.add_span_processor(SimpleSpanProcessor(app))
    provider.get_tracer("app").start_span("chat", attributes=GENAI).end()
    assert len(app.spans) == 1
    assert not app.priced()
    host.force_flush()
    assert len(store.spans) == 1


def test_the_provider_for_our_spans_is_the_one_somebody_exports(
    attachments: Attachments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several providers, ours are made by the one that has an exporter of the app's, until it is shut down."""
    monkeypatch.setattr(
        trace, "get_tracer_provider", trace.ProxyTracerProvider
    )  # other tests may have set a global one
    host = host_of([pipeline(Remembering())], provider=attachments.provider)
    silent, watched = TracerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
    attached(host, attachments, watched)
    attached(host, attachments, silent)
    assert attachments.provider() is silent
    watched.add_span_processor(SimpleSpanProcessor(Remembering()))
    assert attachments.provider() is watched
    assert host.resource is watched.resource
    watched.shutdown()
    assert attachments.provider() is silent


class _RecordOnly(Sampler):
    def should_sample(self, *args: object, **kwargs: object) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY, attributes=GENAI)

    def get_description(self) -> str:
        return "record only"


def test_what_the_sampler_drops_is_stored_and_not_exported(attachments: Attachments) -> None:
    """A call of a dropped span reaches the store and neither the app's exporters nor our other ones."""
    app, store, other = Remembering(), Remembering(), Remembering()
    host = host_of([pipeline(store, other)])
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(app))
    tracer = attached(host, attachments, provider)
    span = tracer.start_span("chat")
    assert not span.is_recording()
    made = ReadableSpan(name="chat", context=span.get_span_context(), start_time=1, end_time=2)
    host.record(made, {"prompt_tokens": 3})
    assert host.force_flush()
    record = store.spans[0].record  # type: ignore[attr-defined]
    assert record["prompt_tokens"] == 3
    assert record["id"].startswith(f"{span.get_span_context().trace_id:032x}")
    assert app.spans == other.spans == []


def test_a_recording_span_without_the_sampled_flag_is_stored_and_not_exported(attachments: Attachments) -> None:
    """RECORD_ONLY spans reach the store alone."""
    store, other = Remembering(), Remembering()
    host = host_of([pipeline(store, other)])
    tracer = attached(host, attachments, TracerProvider(sampler=_RecordOnly(), shutdown_on_exit=False))
    tracer.start_span("chat").end()
    host.force_flush()
    assert len(store.spans) == 1
    assert other.spans == []


def test_an_enricher_that_raises_leaves_the_span_as_it_was(attachments: Attachments) -> None:
    """A fault of ours costs the app nothing: its exporter gets the original span."""

    class Broken(Pricer):
        def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
            raise RuntimeError("broken")

    app = Remembering()
    host = host_of([pipeline(Remembering(), enricher=Broken())])
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(app))
    attached(host, attachments, provider).start_span("chat", attributes=GENAI).end()
    assert [span.name for span in app.spans] == ["chat"]


def test_sync_is_on_disk_when_the_call_returns(attachments: Attachments) -> None:
    """With ``sync`` the record is stored when ``end`` returns, though the store is called on the worker."""
    store = Remembering()
    host = host_of([pipeline(store)], persistence="sync")
    attached(host, attachments).start_span("chat", attributes=GENAI).end()
    assert len(store.spans) == 1
    assert threading.current_thread().name not in store.threads


def test_a_background_record_is_stored_soon_without_a_flush(attachments: Attachments) -> None:
    """With ``background`` the record is stored within a second, in one batch with its neighbours."""
    store = Remembering()
    host = host_of([pipeline(store)])
    tracer = attached(host, attachments)
    for _ in range(5):
        tracer.start_span("chat", attributes=GENAI).end()
    deadline = time.monotonic() + 2
    while not store.spans and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.batches == [5]


def test_who_makes_thousands_of_records_can_wait_for_room() -> None:
    """A store that is slower than they are made gets all of them, where ``make_room`` is asked now and then."""
    store = Remembering()
    host = host_of([pipeline(store)])
    host.delivery._records.limit = 400
    store.gate.clear()
    threading.Timer(0.2, store.gate.set).start()
    for number in range(1000):
        if number % 100 == 0:
            host.make_room()
        context = SpanContext(number + 1, 1, False)
        host.record(ReadableSpan(name="chat", context=context, start_time=1, end_time=2), {"prompt_tokens": 3})
    assert host.force_flush()
    assert len(store.spans) == 1000


def test_records_are_announced_on_a_worker_after_they_are_stored(attachments: Attachments) -> None:
    """A record is announced once, after the store took it, and on no thread of the app; updates are not."""
    store, told = Remembering(), list[tuple[str, bool, str]]()

    def announce(record: TrackedRequest) -> None:
        told.append((record["id"], bool(store.spans), threading.current_thread().name))

    host = host_of([pipeline(store)], announce=announce)
    attached(host, attachments).start_span("chat", attributes=GENAI).end()
    host.force_flush()
    assert [(stored, thread) for _, stored, thread in told] == [(True, "spectra-events")]
    update = TrackedSpan(store.spans[0], TrackedRequest({"id": told[0][0]}, rev=1), bears_cost=False)
    host.take(update)
    host.force_flush()
    assert len(told) == 1
    assert len(store.spans) == 2


def test_what_the_store_refuses_is_kept_and_tried_again(attachments: Attachments) -> None:
    """A store that fails for a while loses nothing; nothing is announced before it took the record."""
    store, told = Remembering(), list[TrackedRequest]()
    host = host_of([pipeline(store)], announce=told.append)
    tracer = attached(host, attachments)
    store.fail = True
    tracer.start_span("one", attributes=GENAI).end()
    assert not host.force_flush(2)
    assert told == []
    store.fail = False
    tracer.start_span("two", attributes=GENAI).end()
    assert host.force_flush(2)
    assert sorted(span.name for span in store.spans) == ["one", "two"]
    assert len(told) == 2


def test_a_dead_backend_does_not_delay_the_store(attachments: Attachments) -> None:
    """While another exporter hangs, records are stored and a flush ends in time."""
    store, dead = Remembering(), Remembering()
    dead.gate.clear()
    host = host_of([pipeline(store, dead)])
    attached(host, attachments).start_span("chat", attributes=GENAI).end()
    start = time.monotonic()
    assert not host.force_flush(0.3)
    assert time.monotonic() - start < 4
    assert len(store.spans) == 1
    dead.gate.set()
    assert host.force_flush(5)
    assert len(dead.spans) == 1


def test_open_streams_settle_before_a_flush(attachments: Attachments) -> None:
    """What a ``before_flush`` call ends is part of that flush; one that raises stops nothing."""
    store = Remembering()
    host = host_of([pipeline(store)])
    tracer = attached(host, attachments)
    span = tracer.start_span("stream", attributes=GENAI)
    host.before_flush(lambda: 1 / 0)
    host.before_flush(span.end)
    host.force_flush()
    assert [s.name for s in store.spans] == ["stream"]


def test_spans_that_nobody_asked_for_are_not_queued(attachments: Attachments) -> None:
    """Where only a store of records listens, spans without a record never enter the queue."""
    store = Remembering()
    host = host_of([pipeline(store)])
    attached(host, attachments).start_span("db.query").end()
    assert host.force_flush()
    assert store.batches == []


def test_shutdown_of_the_provider_flushes_and_ours_shuts_the_exporters_down(attachments: Attachments) -> None:
    """A provider's shutdown flushes; the exporters go down with the host."""
    store = Remembering()
    host = host_of([pipeline(store)])
    provider = TracerProvider(shutdown_on_exit=False)
    attached(host, attachments, provider).start_span("chat", attributes=GENAI).end()
    provider.shutdown()
    assert len(store.spans) == 1
    assert not store.is_shut_down
    host.shutdown()
    assert store.is_shut_down


def test_the_span_context_survives_enrichment(attachments: Attachments) -> None:
    """The enriched span has the ids, kind, resource and times of the app's."""
    app = Remembering()
    host = host_of([pipeline(Remembering())])
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(app))
    span = attached(host, attachments, provider).start_span("chat", attributes={**GENAI, "mine": "1"})
    context: SpanContext = span.get_span_context()
    span.end()
    exported = app.spans[0]
    assert exported.context == context
    assert exported.resource is provider.resource
    assert dict(exported.attributes or {}) == {**GENAI, "mine": "1", COST: 0.01}
    assert span.attributes is not None  # type: ignore[attr-defined]
    assert COST not in span.attributes  # type: ignore[attr-defined]


def test_our_span_is_made_where_its_parent_was(attachments: Attachments) -> None:
    """Beneath a current span ours is made by the same provider, whatever the global one is; tracers are asked for once."""
    host = host_of([pipeline(Remembering())], provider=attachments.provider)
    providers = [TracerProvider(shutdown_on_exit=False) for _ in range(2)]
    for provider in providers:
        provider.add_span_processor(SimpleSpanProcessor(Remembering()))
        attached(host, attachments, provider)
    for provider in providers:
        with provider.get_tracer("app").start_as_current_span("parent"):
            assert attachments.provider() is provider
            assert host.tracer() is host.tracer()
            assert host.tracer() is provider.get_tracer("spectra_otel")
