"""The stand-alone collector, end to end: OTLP in, through the pipelines, durable and forwarded."""

from __future__ import annotations

import base64
import gzip
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import bcrypt
import grpc
import orjson
import pytest
import zstandard
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from spectra_otel.config.decode import Opaque, decode
from spectra_otel.errors import ConfigError
from spectra_otel.exporters.duckdb.spool import Spool
from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.exporters.otlp_http.config import OtlpHttpConfig
from spectra_otel.otlp.signals import LOGS, TRACES
from spectra_otel.service.basicauth_extension.factory import BasicAuth, BasicAuthConfig, Htpasswd
from tests.exporters.servers import http_server
from tests.service.running import CHAT, FREE, Running, attributes_of, request, running, spans_of, tree

PIPELINE = {"usage": None, "cost": None}
BOTH = {"http": {"endpoint": FREE}, "grpc": {"endpoint": FREE}}
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": lambda body: zstandard.ZstdCompressor().compress(body),
    "identity": bytes,
}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path / "home"))


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait for something that another thread brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_a_call_is_stored_with_its_cost(tmp_path: Path) -> None:
    """OTLP over HTTP and gRPC arrives in the database, priced, and is there when the sender is answered."""
    database = tmp_path / "x.duckdb"
    with running(tree({"duckdb": {"path": str(database)}}, PIPELINE, protocols=BOTH)) as collector:
        answer = collector.post(request(CHAT).SerializeToString())
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", "application/x-protobuf")
        assert collector.call(request(CHAT, seed=2).SerializeToString()) == b""
        assert collector.metric("otelcol_receiver_accepted_spans", transport="grpc") == 1
    (row,) = DuckDBStore(database).costs()
    assert (row["model"], row["requests"], str(row["total_cost_in_cents"])) == ("gpt-4o", 2, "0.70000000")


def test_what_an_earlier_collector_left_is_merged_without_a_request(tmp_path: Path) -> None:
    """A restart is enough; what merging needs is loaded before anybody is listened to."""
    database = tmp_path / "x.duckdb"
    with running(tree({"duckdb": {"path": str(database), "merge": "off"}}, PIPELINE)) as collector:
        assert collector.post(request(CHAT).SerializeToString()).status == 200
    waiting = Spool(database).sealed
    assert len(waiting()) == 1
    with running(tree({"duckdb": {"path": str(database)}}, PIPELINE)):
        until(lambda: not waiting())
    assert DuckDBStore(database).costs()[0]["requests"] == 1


@pytest.mark.parametrize("encoding", ENCODERS)
def test_bodies_may_be_compressed(encoding: str) -> None:
    """With gzip, zstd or deflate."""
    with running(tree({"debug": None})) as collector:
        body = ENCODERS[encoding](request(CHAT).SerializeToString())
        assert collector.post(body, {"Content-Encoding": encoding}).status == 200


def test_json_has_hex_ids() -> None:
    """OTLP/JSON as the specification has it: hex ids, numbers as text, unknown fields ignored; answered in JSON."""
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "chat", "kind": 3,
        "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": 1790000001000000000, "newField": 1,
        "attributes": [{"key": "model", "value": {"stringValue": "gpt-4o"}}, {"key": "n", "value": {"intValue": "7"}}],
    }  # fmt: skip
    body = orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    with http_server() as backend:
        with running(tree({"otlp_http": {"endpoint": backend.endpoint}})) as collector:
            answer = collector.post(body, {"Content-Type": "application/json; charset=utf-8"})
            assert (answer.status, answer.body) == (200, b'{"partialSuccess":{}}')
            assert answer.headers["content-type"].startswith("application/json")
        (received,) = backend.spans
    assert received.trace_id.hex() == span["traceId"]
    assert received.span_id.hex() == span["spanId"]
    assert attributes_of(received) == {"model": "gpt-4o", "n": 7}


def test_what_is_not_ours_passes_byte_for_byte() -> None:
    """A request without a GenAI span leaves as it came; in a mixed one the other spans are protobuf-equal."""
    plain, mixed = request({"http.method": "GET"}), request({"a": 1}, CHAT, {"b": 2}, seed=2)
    with http_server() as backend:
        with running(tree({"otlp_http": {"endpoint": backend.endpoint}}, PIPELINE)) as collector:
            assert collector.post(plain.SerializeToString()).status == 200
            until(lambda: backend.requests)
            assert collector.post(mixed.SerializeToString()).status == 200
        assert backend.requests[0] == plain
        first, priced, last = spans_of(backend.requests[1])
    assert [first, last] == [spans_of(mixed)[0], spans_of(mixed)[2]]
    attributes = attributes_of(priced)
    assert attributes["gen_ai.usage.cost.amount"] == pytest.approx(0.0035)
    assert attributes["spectra.cost.status"] == "priced"
    for pair in ("kind", "flags", "dropped_events_count", "trace_id"):
        assert getattr(priced, pair) == getattr(spans_of(mixed)[1], pair)


def test_a_priced_span_is_not_priced_again() -> None:
    """Its amount stays what the pipeline upstream wrote."""
    body = request({**CHAT, "gen_ai.usage.cost.amount": 0.5, "gen_ai.usage.cost.currency": "USD"}).SerializeToString()
    with http_server() as backend:
        with running(tree({"otlp_http": {"endpoint": backend.endpoint}}, PIPELINE)) as collector:
            collector.post(body)
        (span,) = backend.spans
    assert attributes_of(span)["gen_ai.usage.cost.amount"] == 0.5


def test_a_sender_that_goes_away_leaves_the_pipeline_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its deadline passed while its request waited: that is under way all the same, and so is the next one."""
    with running(tree({"debug": None}, protocols=BOTH)) as collector:
        (lane,) = collector.collector._lanes.values()
        work, gate = lane._work, Event()
        monkeypatch.setattr(lane, "_work", lambda jobs: work(jobs) if gate.wait(60) else [])
        with grpc.insecure_channel(f"127.0.0.1:{collector.port('grpc')}") as channel:
            export: Any = channel.unary_unary(TRACES.method)
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                export(request(CHAT).SerializeToString(), timeout=0.5)
        time.sleep(0.2)  # until the server has heard of it too
        room = collector.collector.room
        assert room._used == len(request(CHAT).SerializeToString())
        gate.set()
        until(lambda: not room._used)
        assert collector.call(request(CHAT, seed=3).SerializeToString()) == b""
        assert collector.metric("otelcol_exporter_sent_spans", exporter="debug") == 2


def test_what_waits_for_a_batch_is_answered_when_it_stops(tmp_path: Path) -> None:
    """However long the batch would have waited, by either protocol; who still sends is asked to come back."""
    path = tmp_path / "spans.json"
    processors = {"batch": {"timeout": "1h"}}
    answers: list[Any] = []
    body = request(CHAT).SerializeToString()
    with running(tree({"file": {"path": str(path)}}, processors, protocols=BOTH)) as collector:
        assert collector.post(b"").status == 200  # nothing to wait with
        assert collector.call(b"") == b""
        senders = [
            Thread(target=lambda: answers.append(collector.post(body).status)),
            Thread(target=lambda: answers.append(collector.call(body))),
        ]
        for sender in senders:
            sender.start()
        (lane,) = collector.collector._lanes.values()
        until(lambda: len(lane._waiting) == 2)
    for sender in senders:
        sender.join()
    assert sorted(map(str, answers)) == ["200", "b''"]
    assert path.read_text().count('"spanId"') == 2
    with running(tree({"debug": None})) as collector:
        collector.collector._is_closing = True
        answer = collector.post(body)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_each_exporter_has_its_own_view_of_a_span() -> None:
    """Cost aliases and resource attributes of one exporter are not seen by the next."""
    with http_server() as plain, http_server() as fancy:
        exporters = {
            "otlp_http/plain": {"endpoint": plain.endpoint},
            "otlp_http/fancy": {
                "endpoint": fancy.endpoint, "cost_aliases": ["logfire"], "resource_attributes": {"team": "ml"},
            },
        }  # fmt: skip
        with running(tree(exporters, PIPELINE)) as collector:
            collector.post(request(CHAT, {"a": 1}).SerializeToString())
        assert "operation.cost" not in attributes_of(plain.spans[0])
        assert attributes_of(fancy.spans[0])["operation.cost"] == pytest.approx(0.0035)
        resource = fancy.requests[0].resource_spans[0].resource
        assert {pair.key: pair.value.string_value for pair in resource.attributes} == {
            "service.name": "shop",
            "team": "ml",
        }


def test_metrics_and_logs_are_forwarded_untouched() -> None:
    """Byte for byte, to the path of their signal."""
    metrics = ExportMetricsServiceRequest()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add().as_int = 7
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "hello"
    with http_server() as backend:
        config = tree({"otlp_http": {"endpoint": backend.endpoint}}, PIPELINE, protocols=BOTH)
        for name in ("metrics", "logs"):
            config["service"]["pipelines"][name] = {"receivers": ["otlp"], "exporters": ["otlp_http"]}
        with running(config) as collector:
            assert collector.post(metrics.SerializeToString(), path="/v1/metrics").status == 200
            assert collector.call(logs.SerializeToString(), method=LOGS.method) == b""
            assert collector.metric("otelcol_receiver_accepted_metric_points") == 1
            assert collector.metric("otelcol_receiver_accepted_log_records") == 1
        assert sorted(backend.paths) == ["/v1/logs", "/v1/metrics"]
        assert logs.SerializeToString() in [found.SerializeToString() for found in backend.requests]


def test_a_full_queue_asks_the_sender_to_come_back_and_the_others_have_their_part_once(tmp_path: Path) -> None:
    """503 with Retry-After and UNAVAILABLE with RetryInfo; a retry does not give the healthy exporter the span again."""
    with http_server() as healthy:
        exporters = {
            "otlp_http/dead": {
                "endpoint": "http://localhost:9",
                "sending_queue": {"queue_size": 1},
                "retry_on_failure": {"initial_interval": "1m"},
            },
            "otlp_http/healthy": {"endpoint": healthy.endpoint},
        }  # fmt: skip
        with running(tree(exporters, protocols=BOTH)) as collector:
            assert collector.post(request({"n": 1}).SerializeToString()).status == 200
            refused = request({"n": 2}, seed=2).SerializeToString()
            for _ in range(2):
                answer = collector.post(refused)
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                status = Status.FromString(answer.body)
                assert (status.code, "sending queue is full" in status.message) == (14, True)
            with pytest.raises(grpc.RpcError) as caught:
                collector.call(refused)
            error: Any = caught.value
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            details = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
            info = RetryInfo()
            assert details.details[0].Unpack(info)
            assert info.retry_delay.seconds == 1
            assert collector.metric("otelcol_exporter_enqueue_failed_spans", exporter="otlp_http/dead") == 3
            assert collector.metric("otelcol_receiver_refused_spans") == 3
            until(lambda: len(healthy.spans) == 2)
            time.sleep(0.1)
            assert len(healthy.spans) == 2


def test_what_was_queued_outlives_the_process() -> None:
    """A request for a backend that is down waits on disk and is sent by the next start."""
    with http_server() as backend:
        exporters = {"otlp_http": {"endpoint": "http://localhost:9", "retry_on_failure": {"initial_interval": "1m"}}}
        with running(tree(exporters)) as collector:
            assert collector.post(request({"n": 1}).SerializeToString()).status == 200
        exporters["otlp_http"]["endpoint"] = backend.endpoint
        with running(tree(exporters)):
            until(lambda: backend.spans)
        assert backend.requests == [request({"n": 1})]


def test_what_waits_for_an_exporter_that_is_gone_is_said(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A queue is known by its exporter's name: whoever gives it another hears where its requests are."""
    dead = {"endpoint": "http://127.0.0.1:1"}
    with running(tree({"otlp_http": dead})) as collector:
        assert collector.post(request(CHAT).SerializeToString()).status == 200
        with running(tree({"debug": None})):
            assert "wait there" not in caplog.text
    with running(tree({"otlp_http/renamed": dead})):
        assert "queue/otlp_http: 1 requests wait there for an exporter that is not in use" in caplog.text
    caplog.clear()
    with running(tree({"debug": None})):  # nor does it need one that sends
        assert "queue/otlp_http: 1 requests wait there for an exporter that is not in use" in caplog.text
    caplog.clear()
    with running(tree({"otlp_http": dead})):
        assert "wait there" not in caplog.text


def test_a_home_that_cannot_be_looked_at_is_no_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """To a collector that keeps nothing there."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path / ("long" * 100)))
    with running(tree({"debug": None})) as collector:
        assert collector.post(request(CHAT).SerializeToString()).status == 200


def test_what_waits_in_a_storage_for_an_exporter_that_is_gone_is_said(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """As where there is none."""
    queue = {"storage": "file_storage"}
    exporters: dict[str, Any] = {"otlp_http": {"endpoint": "http://127.0.0.1:1", "sending_queue": queue}}
    more: dict[str, Any] = {"extensions": {"file_storage": {"directory": str(tmp_path)}}}
    service = {"extensions": ["file_storage"]}
    with running(tree(exporters, **more, service=service)) as collector:
        assert collector.post(request(CHAT).SerializeToString()).status == 200
    with running(tree({"debug": None}, **more, service=service)):
        assert "/exporter_otlp_http: 1 requests wait there" in caplog.text


def test_what_waits_is_sent_as_one_request() -> None:
    """`sending_queue::batch`: small requests share one, none exceeds `max_size`, and nobody waits longer than `flush_timeout`."""
    batch: dict[str, Any] = {"min_size": 4, "max_size": 6, "flush_timeout": "1m"}
    with http_server() as backend:
        exporters = {"otlp_http": {"endpoint": backend.endpoint, "sending_queue": {"batch": batch}}}
        with running(tree(exporters)) as collector:
            for seed in range(1, 5):
                collector.post(request({"n": seed}, seed=seed).SerializeToString())
            until(lambda: len(backend.spans) == 4)
            collector.post(request(*[{"n": 6}] * 13, seed=6).SerializeToString())
            until(lambda: collector.metric("otelcol_exporter_sent_spans") == 17)
            assert [TRACES.count(found) for found in backend.requests] == [4, 6, 6, 1]
        batch["flush_timeout"] = "50ms"
        with running(tree(exporters)) as collector:
            collector.post(request({"n": 7}, seed=7).SerializeToString())
            until(lambda: len(backend.spans) == 18)


def test_a_batch_that_could_not_be_sent_waits_on_disk_whole() -> None:
    """A backend that is down gets every request of it at the next start."""
    queue = {"batch": {"min_size": 100, "flush_timeout": "50ms"}}
    exporters: dict[str, dict[str, Any]] = {
        "otlp_http": {
            "endpoint": "http://localhost:9", "sending_queue": queue, "retry_on_failure": {"initial_interval": "1m"},
        }
    }  # fmt: skip
    with http_server() as backend:
        with running(tree(exporters)) as collector:
            for seed in (1, 2, 3):
                collector.post(request({"n": seed}, seed=seed).SerializeToString())
        exporters["otlp_http"]["endpoint"] = backend.endpoint
        with running(tree(exporters)):
            until(lambda: len(backend.spans) == 3)
        assert len({span.trace_id for span in backend.spans}) == 3


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"min_size": 5, "max_size": 4}, "`max_size` must be greater or equal to `min_size`"),
        ({"flush_timeout": "0s"}, "`flush_timeout` must be positive"),
        ({"min_size": -1}, "`min_size` must be non-negative"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(batch: dict[str, Any], message: str) -> None:
    """With the collector's words."""
    settings = OtlpHttpConfig(endpoint="http://localhost:9")
    with pytest.raises(ConfigError, match=message):
        decode({"sending_queue": {"batch": batch}}, settings).validate()


def test_a_backend_that_says_when_to_come_back_is_heeded() -> None:
    """503 with Retry-After is tried again; 400 is given up at once."""
    answers = ((503, {"Retry-After": "0"}), (400, {}))
    with http_server(*answers) as backend:
        exporters = {"otlp_http": {"endpoint": backend.endpoint, "retry_on_failure": {"initial_interval": "10ms"}}}
        with running(tree(exporters)) as collector:
            collector.post(request({"n": 1}).SerializeToString())
            until(lambda: collector.metric("otelcol_exporter_send_failed_spans") == 1)
            collector.post(request({"n": 2}, seed=2).SerializeToString())
            until(lambda: collector.metric("otelcol_exporter_sent_spans") == 1)
        assert len(backend.paths) == 3


def test_without_a_queue_the_backend_itself_answers() -> None:
    """What it refuses for good is refused for good."""
    with http_server((400, {})) as backend:
        exporters = {"otlp_http": {"endpoint": backend.endpoint, "sending_queue": {"enabled": False}}}
        with running(tree(exporters)) as collector:
            assert collector.post(request({"n": 1}).SerializeToString()).status == 500
            assert collector.post(request({"n": 2}).SerializeToString()).status == 200


def test_several_pipelines_do_not_see_each_others_work() -> None:
    """One prices, the other does not: each backend gets its own."""
    with http_server() as priced, http_server() as raw:
        config = tree(
            {"otlp_http/priced": {"endpoint": priced.endpoint}, "otlp_http/raw": {"endpoint": raw.endpoint}}, PIPELINE
        )
        config["service"]["pipelines"] = {
            "traces": {"receivers": ["otlp"], "processors": ["usage", "cost"], "exporters": ["otlp_http/priced"]},
            "traces/raw": {"receivers": ["otlp"], "exporters": ["otlp_http/raw"]},
        }
        with running(config) as collector:
            collector.post(request(CHAT).SerializeToString())
        assert "gen_ai.usage.cost.amount" in attributes_of(priced.spans[0])
        assert raw.requests == [request(CHAT)]


def test_spans_from_long_ago_and_from_the_future_are_kept(tmp_path: Path) -> None:
    """Each priced as of its start."""
    database = tmp_path / "x.duckdb"
    year = 365 * 86_400 * 10**9
    with running(tree({"duckdb": {"path": str(database)}}, PIPELINE)) as collector:
        for seed, start in ((1, 1_790_000_000_000_000_000 - 2 * year), (2, 1_790_000_000_000_000_000 + 2 * year)):
            assert collector.post(request(CHAT, start=start, seed=seed).SerializeToString()).status == 200
    rows = DuckDBStore(database).requests()
    assert [row["started_at"].year for row in rows] == [2028, 2024]
    assert {row["cost_status"] for row in rows} == {"priced"}


def collector_with(auth: str, extension: Any) -> dict[str, Any]:
    """A configuration whose receivers ask for authentication."""
    protocols = {name: {"endpoint": FREE, "auth": {"authenticator": auth}} for name in ("http", "grpc")}
    pipelines = {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}}
    service = {"extensions": [auth], "pipelines": pipelines}
    return tree({"debug": None}, protocols=protocols, extensions={auth: extension}, service=service)


@pytest.mark.parametrize(
    ("auth", "extension", "good"),
    [
        ("bearertokenauth", {"token": "s3cret"}, "Bearer s3cret"),
        ("basicauth", {"htpasswd": {"inline": "ann:pw"}}, "Basic YW5uOnB3"),
        ("basicauth", {"htpasswd": {"inline": "ann:{SHA}GhvSMSbMCpvNjBlTaFd3Oph8vTM="}}, "Basic YW5uOnB3"),
        (
            "basicauth",
            {"htpasswd": {"inline": f"ann:{bcrypt.hashpw(b'pw', bcrypt.gensalt(4)).decode()}"}},
            "Basic YW5uOnB3",
        ),
    ],
)
def test_senders_may_have_to_say_who_they_are(auth: str, extension: Any, good: str) -> None:
    """Nobody gets in without the right word, over either protocol."""
    if "{SHA}" in str(extension):
        import hashlib

        digest = base64.b64encode(hashlib.sha1(b"pw").digest()).decode()
        extension = {"htpasswd": {"inline": f"ann:{{SHA}}{digest}"}}
    body = request(CHAT).SerializeToString()
    config = collector_with(auth, extension)
    config["service"]["telemetry"] = {"metrics": {"level": "none"}}
    with running(config) as collector:
        assert collector.post(body).status == 401
        assert collector.post(body, {"Authorization": "Bearer wrong"}).status == 401
        assert collector.post(body, {"Authorization": "Basic YW5uOndyb25n"}).status == 401
        assert collector.post(body, {"Authorization": good}).status == 200
        with pytest.raises(grpc.RpcError) as caught:
            collector.call(body)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert collector.call(body, (("authorization", good),)) == b""


def test_a_slow_password_is_looked_at_once_and_a_wrong_one_never_passes() -> None:
    """Bcrypt takes a tenth of a second; senders give their password with each request. Longer than 72 bytes is no error."""
    digest = bcrypt.hashpw(b"pw", bcrypt.gensalt(10)).decode().replace("$2b$", "$2y$")
    auth = BasicAuth(BasicAuthConfig(Htpasswd(inline=Opaque(f"ann:{digest}\nbob:plain"))))

    def refusal(name: str, password: str) -> str | None:
        given = base64.b64encode(f"{name}:{password}".encode()).decode()
        return auth.refusal({"authorization": f"Basic {given}"})

    assert auth.is_slow
    assert refusal("ann", "pw") is None
    began = time.process_time()
    assert [refusal("ann", "pw") for _ in range(100)] == [None] * 100
    assert time.process_time() - began < 2
    for name, password in (("ann", "pw2"), ("ann", "x" * 100), ("ann", digest), ("bob", "pw"), ("eve", "pw")):
        assert refusal(name, password) == "invalid credentials"


@pytest.mark.parametrize("digest", ["$apr1$abc$def", "$6$salt$digest", "{SSHA}digest", "$2y$10$short"])
def test_a_digest_that_cannot_be_checked_is_refused_at_start(digest: str) -> None:
    """To lock everybody out would be worse."""
    with pytest.raises(ConfigError, match="the digest of 'ann' is of a kind that is not supported"):
        BasicAuth(BasicAuthConfig(Htpasswd(inline=Opaque(f"ann:{digest}"))))


def test_browsers_may_send_where_their_origin_is_allowed() -> None:
    """CORS is off unless an origin is named; wildcards work."""
    cors = {"allowed_origins": ["https://*.example.com"], "allowed_headers": ["x-own"], "max_age": 60}
    ask = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST",
           "Access-Control-Request-Headers": "content-type, x-own, x-other"}  # fmt: skip
    with running(tree({"debug": None}, protocols={"http": {"endpoint": FREE, "cors": cors}})) as collector:
        answer = collector.post(b"", ask, method="OPTIONS")
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        assert answer.headers["access-control-allow-headers"] == "content-type, x-own"
        assert answer.headers["access-control-max-age"] == "60"
        sent = collector.post(request(CHAT).SerializeToString(), {"Origin": "https://app.example.com"})
        assert sent.headers["access-control-allow-origin"] == "https://app.example.com"
        other = collector.post(request(CHAT).SerializeToString(), {"Origin": "https://evil.test"})
        assert "access-control-allow-origin" not in other.headers
        assert other.headers["vary"] == "Origin"
        refused = collector.post(b"", {**ask, "Origin": "https://evil.test"}, method="OPTIONS")
        assert refused.status == 204
        assert not [name for name in refused.headers if name.startswith("access-control")]


def ask_twice(collector: Running) -> None:
    """Send the same request twice."""
    for _ in range(2):
        assert collector.post(request(CHAT).SerializeToString()).status == 200


def test_a_replay_is_the_same_row(tmp_path: Path) -> None:
    """A sender that did not hear the answer sends again: one record."""
    database = tmp_path / "x.duckdb"
    with running(tree({"duckdb": {"path": str(database)}}, PIPELINE)) as collector:
        ask_twice(collector)
    assert [row["requests"] for row in DuckDBStore(database).costs()] == [1]
