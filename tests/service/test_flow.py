"""Spans that flow: where a pipeline's one exporter keeps records, they are decoded, processed and forgotten part by part."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.component import ComponentID
from spectra_otel.exporters.duckdb.config import DuckDBConfig
from spectra_otel.exporters.duckdb.exporter import DuckDBExporter
from spectra_otel.exporters.duckdb.spool import Spool
from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.otlp.protobuf import TraceRequest
from spectra_otel.otlp.signals import TRACES
from spectra_otel.pipeline import BuiltExporter, GuardedProcessor
from spectra_otel.processors.usage.processor import UsageProcessor
from spectra_otel.service import lane
from spectra_otel.service.delivery import ACCEPTED, BROKEN, payload_of
from spectra_otel.service.lane import PART, Job, Lane, Step
from spectra_otel.service.targets import FlowTarget, Processed
from spectra_otel.service.telemetry import Telemetry
from tests.service.running import CHAT, request, running, tree

OTHER = {"http.request.method": "GET"}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[FlowTarget]:
    """A store in ``tmp_path`` that nobody merges."""
    exporter = DuckDBExporter(DuckDBConfig(path=str(tmp_path / "x.duckdb"), merge="off"))
    yield FlowTarget(BuiltExporter(ComponentID.parse("duckdb"), exporter, records=True), Telemetry())
    exporter.shutdown()


def lane_to(target: FlowTarget) -> Lane:
    """A lane with the processor `usage` and that target."""
    id_ = ComponentID.parse("usage")
    step = Step(id_, GuardedProcessor(id_, UsageProcessor()), claimed_only=True)
    return Lane(ComponentID.parse("traces"), [step], [target], Telemetry())


def job(count: int, seed: int) -> Job:
    """A request of ``count`` calls, with a span that is none after each."""
    spans: list[dict[str, Any]] = [CHAT, OTHER] * count
    return Job(payload_of(TRACES, request(*spans, seed=seed).SerializeToString()), lanes=1)


def run(lane_: Lane, *jobs: Job) -> list[Any]:
    """What becomes of jobs that wait together."""
    for one in jobs:
        lane_.submit(one)
    lane_.start()
    lane_.stop()
    return [one.future.result(timeout=60) for one in jobs]


def test_every_call_of_a_long_request_is_stored_once(target: FlowTarget, tmp_path: Path) -> None:
    """Wherever parts end, nothing is lost between them; the telemetry counts what somebody reads."""
    count = 2 * PART + 5
    assert run(lane_to(target), job(count, seed=1)) == [ACCEPTED]
    store = DuckDBStore(tmp_path / "x.duckdb")
    assert store.merge_pending().new == count
    _, rows = store.query("SELECT count(DISTINCT id) FROM spectra_requests")
    assert rows == [(count,)]


def test_requests_that_pile_up_share_a_sync(target: FlowTarget, tmp_path: Path) -> None:
    """Four small ones that wait are one segment; each sender is answered."""
    assert run(lane_to(target), *(job(3, seed) for seed in range(1, 5))) == [ACCEPTED] * 4
    assert [segment.rows for segment in Spool(tmp_path / "x.duckdb").sealed()] == [12]


def test_a_request_is_gone_when_it_is_answered(target: FlowTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """Megabytes do not wait for the collector of garbage: nothing of a request knows itself in a circle."""
    seen: list[weakref.ref[TraceRequest]] = []

    def remembered(*arguments: Any) -> TraceRequest:
        made = TraceRequest(*arguments)
        seen.append(weakref.ref(made))
        return made

    monkeypatch.setattr(lane, "TraceRequest", remembered)
    gc.disable()
    try:
        assert run(lane_to(target), job(PART + 1, seed=1)) == [ACCEPTED]
        assert [reference() for reference in seen] == [None]
    finally:
        gc.enable()


def test_one_broken_request_does_not_take_its_neighbours_along(target: FlowTarget, tmp_path: Path) -> None:
    """Its sender alone is told; what came before and after it in the batch is durable."""

    def broken() -> Iterator[Sequence[ReadableSpan]]:
        raise ValueError("not to be read")
        yield ()

    def whole(seed: int) -> Processed:
        payload = job(1, seed).payload
        lane_ = lane_to(target)
        return lane_._process(payload)

    batch = [whole(1), Processed(job(1, 2).payload, parts=broken()), whole(3)]
    assert target.deliver(batch) == [ACCEPTED, BROKEN, ACCEPTED]
    assert [segment.rows for segment in Spool(tmp_path / "x.duckdb").sealed()] == [2]


def test_a_sender_that_is_gone_does_not_end_the_lane(target: FlowTarget) -> None:
    """What it should have heard is lost on it alone; who waits behind it is answered."""
    gone, waiting = job(1, seed=1), job(1, seed=2)
    gone.future.cancel()
    lane_ = lane_to(target)
    for one in (gone, waiting):
        lane_.submit(one)
    lane_.start()
    assert waiting.future.result(timeout=60) == ACCEPTED
    assert lane_.is_running
    lane_.stop()


def test_records_that_flow_are_those_of_spans_that_are_exported(tmp_path: Path) -> None:
    """Beside a store alone nobody reads a span's attributes, and none are written; its records are the same to the last field."""
    body = request(*[CHAT, OTHER] * (PART + 3)).SerializeToString()
    alone, beside, lines = tmp_path / "alone.duckdb", tmp_path / "beside.duckdb", tmp_path / "spans.jsonl"
    for exporters in (
        {"duckdb": {"path": str(alone)}},
        {"duckdb": {"path": str(beside)}, "file": {"path": str(lines)}},
    ):
        with running(tree(exporters, {"usage": None, "cost": None})) as collector:
            assert collector.post(body).status == 200
    names, rows = stored(alone)
    assert len(rows) == PART + 3
    assert stored(beside) == (names, rows)
    assert lines.read_text().count('"gen_ai.usage.cost.amount"') == PART + 3


def stored(database: Path) -> Any:
    """All that is in a store."""
    store = DuckDBStore(database)
    store.merge_pending()
    return store.query("SELECT * FROM spectra_requests ORDER BY id")
