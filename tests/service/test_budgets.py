"""Budgets in the collector: spans of calls that happened elsewhere are counted once, marked, dropped or refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spectra_otel import budgets
from spectra_otel.budgets.book import book
from tests.exporters.servers import http_server
from tests.service.running import CHAT, FREE, attributes_of, request, running, spans_of, tree

PLAIN = {"http.method": "GET"}


@pytest.fixture(autouse=True)
def fresh_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SPECTRA_BUDGETS_URL", raising=False)
    book.reset()
    yield
    book.reset()


def processors(policy: str) -> dict[str, Any]:
    budget = {"policy": policy, "budgets": [{"name": "b", "limit": {"cost": "0.007 USD"}, "period": "total"}]}
    return {"usage": None, "cost": None, "budget": budget}


@pytest.mark.parametrize(("policy", "passed"), [("mark", 5), ("drop", 3), ("refuse", 3)])
def test_the_policy_says_what_becomes_of_spans_beyond_the_budget(policy: str, passed: int) -> None:
    """Two calls of $0.0035 fit $0.007, two more do not; all four are counted, and what is no call passes."""
    message = request(CHAT, CHAT, CHAT, CHAT, PLAIN)
    with http_server() as backend:
        with running(tree({"otlp_http": {"endpoint": backend.endpoint}}, processors(policy))) as collector:
            answer = collector.post(message.SerializeToString())
        spans = backend.spans
    assert answer.status == 200
    assert len(spans) == passed
    assert spans[-1] == spans_of(message)[-1]
    assert attributes_of(spans[0])["spectra.budget.name"] == "b"
    assert [len(span.events) for span in spans[:2]] == [0, 0]
    assert budgets.status("b")[0].settled_requests == 4


def test_a_sender_hears_which_spans_were_refused() -> None:
    """``partial_success`` over HTTP, in JSON and over gRPC: how many and why; they are counted as failed, and not sent again."""
    protocols = {"http": {"endpoint": FREE}, "grpc": {"endpoint": FREE}}
    with running(tree({"debug": None}, processors("refuse"), protocols=protocols)) as collector:
        first = collector.post(request(CHAT, CHAT, CHAT).SerializeToString())
        said = ExportTraceServiceResponse.FromString(first.body).partial_success
        assert (first.status, said.rejected_spans, said.error_message) == (200, 1, "budget 'b' is used up")
        by_grpc = collector.call(request(CHAT, PLAIN, seed=2).SerializeToString())
        assert ExportTraceServiceResponse.FromString(by_grpc).partial_success.rejected_spans == 1
        span = {
            "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "chat", "kind": 3,
            "startTimeUnixNano": "1790000900000000000", "endTimeUnixNano": "1790000901000000000",
            "attributes": [
                {"key": key, "value": {"intValue": value} if isinstance(value, int) else {"stringValue": value}}
                for key, value in CHAT.items()
            ],
        }  # fmt: skip
        in_json = collector.post(
            orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}), {"Content-Type": "application/json"}
        )
        assert orjson.loads(in_json.body) == {
            "partialSuccess": {"rejectedSpans": "1", "errorMessage": "budget 'b' is used up"}
        }
        assert collector.metric("otelcol_receiver_accepted_spans", transport="http") == 2
        assert collector.metric("otelcol_receiver_failed_spans", transport="http") == 2
        assert collector.metric("otelcol_receiver_failed_spans", transport="grpc") == 1


def test_a_request_that_comes_again_is_answered_as_before() -> None:
    """A call that fitted still fits when a sender repeats it, and takes nothing; one that did not is refused again."""
    body = request(CHAT, CHAT, CHAT).SerializeToString()
    with running(tree({"debug": None}, processors("refuse"))) as collector:
        first, second = collector.post(body), collector.post(body)
    assert first.body == second.body
    assert ExportTraceServiceResponse.FromString(second.body).partial_success.rejected_spans == 1
    assert budgets.status("b")[0].settled_requests == 3
