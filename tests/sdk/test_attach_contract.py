"""What ``sdk/attach.py`` relies on in the SDK, name by name: run it with the lowest and the newest release that is allowed."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    TracerProvider,
)

COMPOSITES = [SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor]


@pytest.mark.parametrize("composite", COMPOSITES)
def test_tracers_of_a_provider_share_one_composite_for_good(composite: type) -> None:
    """A span calls ``on_end`` of the very composite that the provider had when its tracer was taken, found by attribute."""
    provider = TracerProvider(shutdown_on_exit=False, active_span_processor=composite())
    tracer = provider.get_tracer("early")
    ended: list[ReadableSpan] = []
    vars(provider._active_span_processor)["on_end"] = ended.append
    tracer.start_span("a").end()
    provider.get_tracer("late").start_span("b").end()
    assert [span.name for span in ended] == ["a", "b"]
    assert not hasattr(type(provider._active_span_processor), "__slots__")


@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_composite_lists_its_processors(composite: type) -> None:
    """The processors stand in ``_span_processors``, in the order they were added."""
    provider = TracerProvider(shutdown_on_exit=False, active_span_processor=composite())
    first, second = SpanProcessor(), SpanProcessor()
    provider.add_span_processor(first)
    provider.add_span_processor(second)
    assert provider._active_span_processor._span_processors == (first, second)


def test_the_span_given_to_processors_is_a_finished_one_of_its_own() -> None:
    """``on_end`` gets a ReadableSpan made for it, whose fields are the underscored attributes that a copy takes over."""
    provider = TracerProvider(shutdown_on_exit=False)
    ended: list[ReadableSpan] = []
    vars(provider._active_span_processor)["on_end"] = ended.append
    span = provider.get_tracer("t").start_span("a", attributes={"k": 1})
    span.end()
    assert type(ended[0]) is ReadableSpan
    assert {"_name", "_context", "_attributes", "_parent", "_resource", "_end_time"} <= set(vars(ended[0]))
