"""Span builders, cost aliases, request transformers and events: what a user extends."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from spectra_otel import faults
from spectra_otel.config.load import load
from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan
from spectra_otel.pipeline import build
from spectra_otel.sdk import events
from spectra_otel.sdk.aliases import COST_ALIASES, cost_alias_attributes
from spectra_otel.sdk.delivery import Delivery
from spectra_otel.sdk.events import BudgetExceeded, RequestTracked, announcer, off, on
from spectra_otel.sdk.span_export import PerProcessExporter, SpanSettings, wrap
from spectra_otel.sdk.transformer import transformed, use_transformer
from spectra_otel.testing import make_request

sys.path.insert(0, str(Path(__file__).parent))  # where a user's package would be
EXAMPLES = "telemetry_examples"


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    use_transformer(None)


def exported(request: TrackedRequest, **settings: Any) -> list[ReadableSpan]:
    """What leaves an exporter with ``settings`` for the span of ``request``."""
    memory = InMemorySpanExporter()
    assert request.span is not None
    wrap(memory, SpanSettings(**settings)).export([request.span])
    return list(memory.get_finished_spans())


def test_redaction_works_on_what_a_builder_made(tmp_path: Path) -> None:
    """Inside an app, too: a builder sees everything, nothing it adds evades redaction, and the stored record is redacted."""
    path = tmp_path / "spans.jsonl"
    config = {
        "receivers": {"otlp": {"protocols": {"http": None}}},
        "processors": {"redaction": {"allow_all_keys": True, "blocked_values": [r"\w+@\w+"]}},
        "exporters": {
            "file": {"path": str(path), "span_builder": f"{EXAMPLES}:Telling"},
            "duckdb": {"path": str(tmp_path / "x.duckdb"), "merge": "off"},
        },
        "service": {
            "pipelines": {
                "traces": {"receivers": ["otlp"], "processors": ["redaction"], "exporters": ["file", "duckdb"]}
            }
        },
    }
    delivery = Delivery(build(load(config)))
    call = make_request(user_id="ann@home").span
    assert isinstance(call, TrackedSpan)
    delivery.take(call)
    assert delivery.force_flush(time.monotonic() + 10)
    delivery.shutdown()
    (span,) = json.loads(path.read_text())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    found = {pair["key"]: next(iter(pair["value"].values())) for pair in span["attributes"]}
    assert (found["user.domain"], found["user.contact"]) == ("home", "mail to ****")
    (row,) = DuckDBStore(tmp_path / "x.duckdb").requests()
    assert row["user_id"] == "****"


def test_a_builder_that_extends_the_default_changes_name_and_attributes() -> None:
    """Ids, times and everything it does not override stay."""
    request = make_request(provider="openai", model="gpt-4o")
    (span,) = exported(request, span_builder=f"{EXAMPLES}:MySpanBuilder")
    assert request.span is not None
    assert span.name == "myapp.ai.openai.gpt-4o"
    assert span.attributes is not None
    assert span.attributes["myapp.team"] == "ml-platform"
    assert "spectra.cost_cents" not in span.attributes
    assert span.attributes["gen_ai.usage.cost.amount"] == 0.0075
    assert span.context == request.span.context
    assert (span.start_time, span.end_time) == (request.span.start_time, request.span.end_time)


def test_the_span_of_the_pipeline_stays_as_it_was() -> None:
    """Another exporter of the same span sees nothing of a builder."""
    request = make_request()
    span = request.span
    assert span is not None
    before = span.to_json()
    exported(request, span_builder=f"{EXAMPLES}:MySpanBuilder", cost_aliases=list(COST_ALIASES))
    exported(request, cost_aliases=list(COST_ALIASES))
    assert span.to_json() == before
    assert request.span is span


def test_a_builder_from_scratch_gives_any_span_it_likes() -> None:
    """Its own span id, three attributes, money as a float that OTLP can carry."""
    request = make_request(total_cost_in_cents="0.25", total_tokens=1500)
    (span,) = exported(request, span_builder=f"{EXAMPLES}:MinimalSpanBuilder")
    assert span.name == "llm.gpt-4o"
    assert span.context is not None
    assert span.context.span_id == 0xABCDEF0123456789
    assert dict(span.attributes or {}) == {"model": "gpt-4o", "tokens": 1500, "cost_cents": 0.25}
    assert span.status.status_code is StatusCode.OK


def test_what_is_not_known_is_left_out() -> None:
    """An unpriced request has no cost attribute, rather than 0."""
    request = make_request(total_cost_in_cents=None, cost_status="unpriced")
    (span,) = exported(request, span_builder=f"{EXAMPLES}:MinimalSpanBuilder")
    assert "cost_cents" not in (span.attributes or {})


def test_attributes_of_every_type_can_be_encoded() -> None:
    """Decimals, times, maps and lists become what OTLP has; None goes."""
    (span,) = exported(make_request(), span_builder=f"{EXAMPLES}:EveryType")
    attributes = dict(span.attributes or {})
    assert attributes.pop("when").startswith("20")  # type: ignore[union-attr]
    assert attributes == {"money": 0.25, "map": '{"cost": 1.5}', "list": [0.5]}
    assert len(encode_spans([span]).resource_spans[0].scope_spans[0].spans[0].attributes) == 4


def test_none_drops_the_span_for_this_exporter() -> None:
    """And only there."""
    assert exported(make_request(operation="embeddings"), span_builder=f"{EXAMPLES}:DropEmbeddings") == []
    assert len(exported(make_request(operation="chat"), span_builder=f"{EXAMPLES}:DropEmbeddings")) == 1


@pytest.mark.parametrize("builder", ["Broken", "Contextless"])
def test_a_builder_that_fails_lets_the_original_out(builder: str) -> None:
    """It is reported once and counted."""
    request = make_request()
    before = sum(faults.counts().values())
    (span,) = exported(request, span_builder=f"{EXAMPLES}:{builder}", cost_aliases=["openlit"])
    assert span.name == "chat gpt-4o"
    assert (span.attributes or {})["gen_ai.usage.cost"] == 0.0075
    assert sum(faults.counts().values()) == before + 1


def test_spans_that_bear_no_cost_are_not_built() -> None:
    """Roll-ups and the app's other spans go out as they are."""
    request = make_request()
    assert request.span is not None
    plain = ReadableSpan("GET /", context=request.span.context)
    memory = InMemorySpanExporter()
    rollup = TrackedSpan(request.span, None, bears_cost=False)
    wrap(memory, SpanSettings(span_builder=f"{EXAMPLES}:MySpanBuilder")).export([plain, rollup])
    assert list(memory.get_finished_spans()) == [plain, rollup]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "nowhere.module:Builder",
            r"span_builder: cannot load 'nowhere.module:Builder' \(ModuleNotFoundError: No module",
        ),
        (f"{EXAMPLES}:Nobody", r"span_builder: cannot load .* \(AttributeError: module .* has no attribute 'Nobody'\)"),
        (f"{EXAMPLES}:NotABuilder", r"valid: package.module:Class of a subclass of SpanBuilder"),
        (f"{EXAMPLES}:NeedsArguments", r"span_builder: NeedsArguments\(\) failed \(TypeError: .*'team'\)"),
    ],
)
def test_a_builder_that_cannot_be_loaded_is_one_line(path: str, message: str, caplog: pytest.LogCaptureFixture) -> None:
    """Which step failed, and why; spans go out as they were."""
    assert [span.name for span in exported(make_request(), span_builder=path)] == ["chat gpt-4o"]
    (line,) = caplog.messages
    assert re.search(message, line)
    assert "\n" not in line


def test_cost_aliases_are_those_the_backends_read() -> None:
    """In dollars, with the parts where the backend has them."""
    (span,) = exported(make_request(), cost_aliases=list(COST_ALIASES))
    attributes = dict(span.attributes or {})
    assert attributes["operation.cost"] == 0.0075
    assert attributes["llm.cost.total"] == 0.0075
    assert attributes["llm.cost.prompt"] == 0.0025
    assert attributes["llm.cost.completion"] == 0.005
    assert json.loads(str(attributes["langfuse.observation.cost_details"])) == {
        "input": 0.0025,
        "output": 0.005,
        "total": 0.0075,
    }
    assert attributes["gen_ai.usage.cost"] == 0.0075


@pytest.mark.parametrize("fields", [{"total_cost_in_cents": None}, {"currency": "EUR"}])
def test_no_alias_without_a_known_cost_in_dollars(fields: dict[str, Any]) -> None:
    """A backend must not show 0, nor euros as dollars."""
    assert cost_alias_attributes(COST_ALIASES, make_request(**fields)) == {}


def test_a_free_call_has_an_alias_of_zero() -> None:
    """Zero that is known is a cost."""
    assert cost_alias_attributes(["logfire"], make_request(total_cost_in_cents=0)) == {"operation.cost": 0.0}


def test_resource_attributes_are_added_on_a_copy() -> None:
    """They win over the application's; a version only fills a gap."""
    request = make_request(service_name="shop")
    (span,) = exported(request, resource_attributes={"deployment.region": "eu"}, service_version="1.0.0")
    assert dict(span.resource.attributes) == {
        "service.name": "shop",
        "deployment.region": "eu",
        "service.version": "1.0.0",
    }
    assert request.span is not None
    assert dict(request.span.resource.attributes) == {"service.name": "shop"}
    versioned = ReadableSpan("x", context=request.span.context, resource=Resource({"service.version": "7"}))
    memory = InMemorySpanExporter()
    wrap(memory, SpanSettings(service_version="1.0.0")).export([versioned])
    assert memory.get_finished_spans()[0].resource.attributes["service.version"] == "7"


def test_copies_keep_the_counts_of_what_was_dropped() -> None:
    """A backend still shows that the span was cut."""
    provider = TracerProvider(
        span_limits=SpanLimits(max_span_attributes=1), resource=Resource({"service.name": "shop"})
    )
    with provider.get_tracer("app").start_as_current_span("chat") as live:
        live.set_attributes({"a": 1, "b": 2, "c": 3})
    assert isinstance(live, ReadableSpan)
    tracked = TrackedSpan(live, TrackedRequest({"total_cost_in_cents": Decimal(1)}), bears_cost=True)
    memory = InMemorySpanExporter()
    wrap(memory, SpanSettings(resource_attributes={"x": "y"}, cost_aliases=["logfire"])).export([tracked])
    (span,) = memory.get_finished_spans()
    assert span.dropped_attributes == 2
    assert (span.attributes or {})["operation.cost"] == 0.01
    assert span.resource.attributes["x"] == "y"
    provider.shutdown()


def test_a_transformer_shapes_what_builders_get() -> None:
    """Added fields are there, removed ones are not, the record is untouched."""
    use_transformer(f"{EXAMPLES}:MyTransformer")
    request = make_request(trackable_type="team", trackable_id="7")
    data = transformed(request)
    assert data["environment"] == "prod"
    assert "trackable_type" not in data
    assert data.span is request.span
    assert request["trackable_type"] == "team"
    assert request["environment"] is None
    (span,) = exported(request, span_builder=f"{EXAMPLES}:TeamBuilder")
    assert (span.attributes or {})["team"] == "ml-platform"


def test_a_transformer_that_fails_leaves_the_record() -> None:
    """Nothing is lost by a bug in it."""
    use_transformer(f"{EXAMPLES}:BrokenTransformer")
    request = make_request()
    assert transformed(request) is request


def test_a_transformer_that_cannot_be_loaded_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """The variable is named, and the record stays as it is."""
    announcer(f"{EXAMPLES}:NotABuilder")
    request = make_request()
    assert transformed(request) is request
    (line,) = caplog.messages
    assert re.search(r"SPECTRA_REQUEST_TRANSFORMER: got .* subclass of RequestTransformer\Z", line)


def test_a_listener_gets_each_request_as_the_transformer_left_it() -> None:
    """The example of an alert on a high cost."""
    alerts: list[dict[str, Any]] = []

    @on(RequestTracked)
    def alert(event: RequestTracked) -> None:
        data = event.request
        if data["total_cost_in_cents"] is not None and data["total_cost_in_cents"] > 100:
            alerts.append({"model": data["model"], "cents": data["total_cost_in_cents"], "team": data["team"]})

    try:
        announce = announcer(f"{EXAMPLES}:MyTransformer")
        announce(make_request(total_cost_in_cents="0.5"))
        announce(make_request(total_cost_in_cents="250", model="o1-pro"))
    finally:
        off(alert)
    assert alerts == [{"model": "o1-pro", "cents": Decimal(250), "team": "ml-platform"}]


@pytest.mark.parametrize("failure", [RuntimeError("no mail server"), SystemExit(3)])
def test_a_listener_that_fails_stops_nobody(failure: BaseException) -> None:
    """The next one is still called."""
    called: list[str] = []

    @on(BudgetExceeded)
    def broken(event: BudgetExceeded) -> None:
        raise failure

    @on(BudgetExceeded)
    def fine(event: BudgetExceeded) -> None:
        called.append(event.name)

    try:
        events.dispatch(BudgetExceeded("nightly", spent=Decimal(201), limit=Decimal(200)))
    finally:
        off(broken)
        off(fine)
    assert called == ["nightly"]


def test_on_refuses_what_it_could_never_call() -> None:
    """A coroutine nobody would await, an event that is none."""

    async def later(event: RequestTracked) -> None: ...

    with pytest.raises(TypeError, match="is a coroutine function"):
        on(RequestTracked)(later)
    with pytest.raises(TypeError, match="valid: RequestTracked, BudgetThresholdReached, BudgetExceeded"):
        on(int)  # type: ignore[type-var]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_makes_its_own_exporter() -> None:
    """A connection of the parent is never used by the child."""
    made: list[int] = []

    def make() -> InMemorySpanExporter:
        made.append(os.getpid())
        return InMemorySpanExporter()

    exporter = PerProcessExporter(make)
    request = make_request()
    assert request.span is not None
    exporter.export([request.span])
    exporter.export([request.span])
    assert made == [os.getpid()]
    pid = os.fork()
    if pid == 0:
        exporter.export([request.span])
        os._exit(0 if made == [os.getppid(), os.getpid()] else 1)
    assert os.waitpid(pid, 0)[1] == 0
