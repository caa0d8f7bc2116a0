"""The helpers for the tests of applications."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spectra_otel.model.fields import FIELDS
from spectra_otel.testing import fake, make_request

USAGE = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 500,
}


def test_a_made_request_has_every_field_and_a_finished_span() -> None:
    """What a builder gets in production."""
    request = make_request(user_id="u1", total_cost_in_cents="0.75")
    assert set(request) == set(FIELDS)
    assert request["user_id"] == "u1"
    assert request["total_cost_in_cents"] == Decimal("0.75")
    assert request["conversation_id"] is None
    assert request.span is not None
    assert request.span.attributes is not None
    assert request.span.attributes["gen_ai.usage.cost.amount"] == 0.0075
    assert request["id"] == f"{request['trace_id']}-{request['span_id']}"
    assert request.span.context is not None
    assert f"{request.span.context.trace_id:032x}" == request["trace_id"]


def test_two_made_requests_are_two() -> None:
    """Ids differ."""
    assert make_request()["id"] != make_request()["id"]


def test_a_name_that_is_no_field_is_refused() -> None:
    """A typo does not pass."""
    with pytest.raises(TypeError, match="promt_tokens is no field of a record"):
        make_request(promt_tokens=1)


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    yield made
    made.shutdown()


def call(provider: TracerProvider, **attributes: str) -> None:
    """One call of a model, as an instrumentation reports it."""
    with provider.get_tracer("app").start_as_current_span("chat gpt-4o", kind=trace.SpanKind.CLIENT) as span:
        span.set_attributes({**USAGE, **attributes})


def test_the_fake_remembers_what_was_tracked() -> None:
    """Nothing is written; the record is priced as ever."""
    with fake() as tracked:
        tracked.assert_nothing_tracked()
        provider = TracerProvider()
        call(provider, **{"user.id": "u1"})
        request = tracked.assert_tracked(provider="openai", model="gpt-4o", user_id="u1")
        assert request["total_cost_in_cents"] == Decimal("0.75")
        tracked.assert_tracked_count(1)
        with pytest.raises(
            AssertionError, match=r"no tracked request has \{'model': 'gpt-5'\}; tracked: \[\{'model': 'gpt-4o'\}\]"
        ):
            tracked.assert_tracked(model="gpt-5")
    provider.shutdown()


def test_what_was_tracked_can_be_asked_after_the_end() -> None:
    """The assertion may stand below the `with`."""
    with fake() as tracked:
        provider = TracerProvider()
        call(provider)
    tracked.assert_tracked(prompt_tokens=1000)
    provider.shutdown()
