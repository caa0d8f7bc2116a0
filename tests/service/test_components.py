"""Processors, receivers and exporters of the collector, each in one that runs."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status as ProtoStatus

from spectra_otel.component import ComponentID, Kind
from spectra_otel.config.document import component
from spectra_otel.errors import ConfigError
from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.otlp.protobuf import write_value
from spectra_otel.otlp.signals import TRACES
from spectra_otel.pricing.catalog import shipped_catalog
from spectra_otel.service import exposition
from spectra_otel.service.telemetry import Telemetry, resident_bytes
from tests.exporters.servers import http_server
from tests.service.running import CHAT, FREE, PROTOBUF, attributes_of, request, running, spans_of, tree
from tests.service.test_collector import until
from tests.serving import Handler, serving

PIPELINE = {"usage": None, "cost": None}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path / "home"))


@contextmanager
def zipkin() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that keeps the spans posted to it."""
    posted: list[dict[str, Any]] = []

    class Zipkin(Handler):
        def do_POST(self) -> None:
            posted.extend(orjson.loads(self.body()))
            self.reply(202)

    with serving(Zipkin) as port:
        yield f"http://127.0.0.1:{port}/api/v2/spans", posted


def passed(processors: dict[str, Any], *spans: dict[str, Any]) -> list[Any]:
    """What a backend gets of spans with these attributes."""
    with http_server() as backend:
        with running(tree({"otlp_http": {"endpoint": backend.endpoint}}, processors)) as collector:
            assert collector.post(request(*spans).SerializeToString()).status == 200
        return backend.spans


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ('attributes["gen_ai.request.model"] == nil', ["chat"]),
        ('attributes["n"] > 1 and not IsMatch(attributes["s"], "^a")', ["chat", 1]),
        (
            'span.attributes["n"] == 1 or (kind == SPAN_KIND_CLIENT and resource.attributes["service.name"] != "shop")',
            ["chat", 2],
        ),
        ('HasPrefix(name, "chat") and IsRootSpan()', []),
        ('ContainsValue(["b", "c"], attributes["s"])', ["chat", 1]),
        ('attributes["gen_ai.usage.cost.amount"] > 0.001', [1, 2]),
        ('scope.name == "other" or status.code == STATUS_CODE_ERROR', ["chat", 1, 2]),
        ('(attributes["n"] + 1) * 2 == 6', ["chat", 1]),
        ('attributes["n"] - 3 == -2', ["chat", 2]),
        ('(attributes["n"] == 1) or ((attributes["n"] / 2) == 1 and true)', ["chat"]),
        ('end_time - start_time == Duration("1s") and Seconds(end_time - start_time) == 1.0', []),
        ("parent_span_id != SpanID(0x0000000000000000) or span_id == SpanID(0x0000000100000002)", ["chat", 2]),
        ('Concat([name, attributes["s"]], "-") == "chat gpt-4o-b"', ["chat", 1]),
        ('attributes["map"]["k"] == "v" or attributes["list"][1] == "b"', ["chat", 1, 2]),
        ('HasPrefix(attributes["n"], "1") or ToUpperCase(attributes["s"]) == "B"', ["chat", 1, 2]),
        ('Len("é☃") == 5 and attributes["missing"] >= nil', []),
    ],
)
def test_filter_drops_what_meets_a_condition(condition: str, kept: list[Any]) -> None:
    """Conditions are OTTL, and see what the processors before have added."""
    spans = passed(
        {**PIPELINE, "filter": {"traces": {"span": [condition]}}}, CHAT, {"n": 1, "s": "ab"}, {"n": 2, "s": "b"}
    )
    assert [attributes_of(span).get("n", "chat") for span in spans] == kept


def test_a_request_of_which_nothing_is_left_is_not_sent() -> None:
    """And its sender is told that all is well."""
    assert passed({"filter": {"traces": {"span": ["true"]}}}, CHAT) == []


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ('attributes["a"] === 1', "unexpected"),
        ('attribute["a"] == 1', 'segment "attribute" is not a valid path'),
        ('attributes["a"] and true', "a comparison is expected"),
        ('attributes["a"] ==' + "(" * 80 + "1" + ")" * 80, "nested too deeply"),
        ('attributes["a"] == ' + "-" * 80 + "1", "nested too deeply"),
        ('IsMatch(name, "[")', "is not a valid|is not valid"),
        ("Foo(name)", 'undefined function "Foo"'),
        ('name == "a" and', "ends too early"),
        ("(" * 80 + "true" + ")" * 80, "nested too deeply"),
    ],
)
def test_a_condition_that_cannot_be_read_is_an_error_at_start(condition: str, message: str) -> None:
    """It names the condition and what is wrong in it."""
    item = component(Kind.PROCESSOR, ComponentID("filter"), {"traces": {"span": [condition]}})
    with pytest.raises(ConfigError, match=message):
        item.config.validate()


@pytest.mark.parametrize(("mode", "kept"), [({}, ["a"]), ({"error_mode": "propagate"}, ["a", "b"])])
def test_a_condition_that_cannot_be_evaluated_leaves_the_next_one_its_say(
    mode: dict[str, str], kept: list[str]
) -> None:
    """Unless `propagate` is asked for, which keeps the span; as the collector has it by default."""
    conditions = ['HasPrefix(attributes["n"], "1")', 'attributes["s"] == "b"']
    spans = passed({"filter": {"traces": {"span": conditions}, **mode}}, {"n": 1, "s": "a"}, {"n": 1, "s": "b"})
    assert [attributes_of(span)["s"] for span in spans] == kept


def test_conditions_may_say_of_what_each_path_is() -> None:
    """`trace_conditions`; not beside the other form."""
    conditions = ['span.attributes["n"] == 1 and resource.attributes["service.name"] == "shop"', 'span.name == "x"']
    spans = passed({"filter": {"trace_conditions": conditions}}, {"n": 1}, {"n": 2})
    assert [attributes_of(span)["n"] for span in spans] == [2]


def test_redaction_masks_values_everywhere(tmp_path: Path) -> None:
    """On the wire, on every span, and in the stored record; ids, usage and cost stay."""
    database = tmp_path / "x.duckdb"
    redaction = {"allow_all_keys": True, "blocked_values": [r"\w+@\w+", "shop"], "summary": "debug"}
    with http_server() as backend:
        exporters = {"otlp_http": {"endpoint": backend.endpoint}, "duckdb": {"path": str(database)}}
        with running(tree(exporters, {**PIPELINE, "redaction": redaction})) as collector:
            collector.post(request({**CHAT, "user.id": "ann@home"}, {"note": "to bob@work, soon"}).SerializeToString())
        chat, plain = (attributes_of(span) for span in backend.spans)
        resource = backend.requests[0].resource_spans[0].resource
    assert plain["note"] == "to ****, soon"
    assert (plain["redaction.masked.count"], plain["redaction.masked.keys"]) == (1, "note")
    assert chat["user.id"] == "****"
    assert chat["gen_ai.usage.cost.amount"] == pytest.approx(0.0035)
    assert resource.attributes[0].value.string_value == "****"
    (row,) = DuckDBStore(database).requests()
    assert (row["user_id"], row["service_name"], row["prompt_tokens"]) == ("****", "****", 1000)


def test_redaction_looks_at_events_links_and_the_words_of_an_error() -> None:
    """An exception's words stand in its event and in the status of its span; a link has attributes too."""
    message = request({"a": 1})
    span = message.resource_spans[0].scope_spans[0].spans[0]
    span.status.MergeFrom(ProtoStatus(code=ProtoStatus.STATUS_CODE_ERROR, message="no ann@home here"))
    write_value(span.events.add(name="exception").attributes.add(key="exception.message").value, "no ann@home here")
    write_value(span.links.add(trace_id=b"1" * 16, span_id=b"2" * 8).attributes.add(key="to").value, "bob@work")
    redaction = {"allow_all_keys": True, "blocked_values": [r"\w+@\w+"]}
    with http_server() as backend:
        with running(tree({"otlp_http": {"endpoint": backend.endpoint}}, {"redaction": redaction})) as collector:
            assert collector.post(message.SerializeToString()).status == 200
        (found,) = backend.spans
    assert (found.status.code, found.status.message) == (2, "no **** here")
    assert attributes_of(found.events[0]) == {"exception.message": "no **** here"}
    assert attributes_of(found.links[0]) == {"to": "****"}


def test_redaction_comes_after_span_builders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A builder sees everything, and nothing it adds evades redaction; exporters without one get the same as ever."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "sdk"))
    redaction = {"allow_all_keys": True, "blocked_values": [r"\w+@\w+"]}
    shaped, plain = tmp_path / "shaped.jsonl", tmp_path / "plain.jsonl"
    builder = {"span_builder": "telemetry_examples:Telling"}
    with http_server() as backend:
        exporters = {
            "otlp_http": {"endpoint": backend.endpoint, **builder},
            "file/shaped": {"path": str(shaped), **builder},
            "file/plain": {"path": str(plain)},
        }
        with running(tree(exporters, {**PIPELINE, "redaction": redaction})) as collector:
            collector.post(request({**CHAT, "user.id": "ann@home"}, {"note": "to bob@work"}).SerializeToString())
        chat, other = (attributes_of(span) for span in backend.spans)
    for found in (chat, _attributes_in(shaped)):
        assert (found["user.domain"], found["user.contact"], found["user.id"]) == ("home", "mail to ****", "****")
        assert found["gen_ai.usage.cost.amount"] == pytest.approx(0.0035)
    assert other["note"] == "to ****"
    assert _attributes_in(plain).keys() == chat.keys() - {"user.domain", "user.contact"}
    assert _attributes_in(plain)["user.id"] == "****"


def _attributes_in(path: Path) -> dict[str, Any]:
    """The attributes of the call in a file of OTLP JSON."""
    document = orjson.loads(path.read_bytes().splitlines()[0])
    spans = [span for group in document["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]]
    found = [{pair["key"]: next(iter(pair["value"].values())) for pair in span["attributes"]} for span in spans]
    return next(attributes for attributes in found if "gen_ai.request.model" in attributes)


def test_redaction_keeps_allowed_keys_alone() -> None:
    """What nobody listed is gone; a blocked key is masked whole, or hashed."""
    settings = {"allowed_keys": ["a", "token"], "blocked_key_patterns": ["tok"], "hash_function": "md5"}
    (span,) = passed({"redaction": settings}, {"a": "x", "b": "y", "token": "s3cret", "n": 1})
    assert attributes_of(span) == {"a": "x", "token": "33e1b232a4e6fa0028a6670753749a17"}
    settings["ignored_key_patterns"] = ["^b", "^token$"]
    (span,) = passed({"redaction": settings}, {"a": "x", "b": "y", "token": "s3cret", "n": 1})
    assert attributes_of(span) == {"a": "x", "b": "y", "token": "s3cret"}


def test_batch_makes_one_request_of_many() -> None:
    """Requests that arrive together leave together, cut at the largest size."""
    with http_server() as backend:
        processors = {"batch": {"timeout": "5s", "send_batch_size": 4, "send_batch_max_size": 5}}
        with running(tree({"otlp_http": {"endpoint": backend.endpoint}}, processors)) as collector:
            bodies = [request({"n": 1}, {"n": 2}, seed=seed).SerializeToString() for seed in range(1, 5)]
            senders = [threading.Thread(target=collector.post, args=(body,)) for body in bodies]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
        assert len(backend.spans) == 8
        assert len(backend.requests) < 4
        assert max(len(spans_of(found)) for found in backend.requests) <= 5


def test_the_age_of_the_catalog_is_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the prices that the environment names cannot be read: the collector has those of its configuration."""
    monkeypatch.setenv("SPECTRA_PRICES", "/nowhere/prices.yaml")
    days = (datetime.now(UTC).date() - shipped_catalog().date).days
    assert f"\nspectra_price_catalog_age_days {days}\n" in Telemetry().metrics.text()


def test_memory_limiter_asks_senders_to_come_back() -> None:
    """503 with Retry-After while memory is short."""
    limit = resident_bytes() // (1 << 20) // 2
    config = tree({"debug": None}, {"memory_limiter": {"check_interval": "1s", "limit_mib": limit}})
    with running(config) as collector:
        answer = collector.post(request(CHAT).SerializeToString())
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert b"data refused due to high memory usage" in answer.body


@pytest.mark.parametrize(
    ("kind", "type_", "settings", "message"),
    [
        (Kind.PROCESSOR, "batch", {"send_batch_max_size": 1}, "send_batch_max_size must be greater or equal to send_batch_size"),
        (Kind.PROCESSOR, "memory_limiter", {}, "'check_interval' must be greater than zero"),
        (Kind.PROCESSOR, "memory_limiter", {"check_interval": "1s"}, "'limit_mib' or 'limit_percentage' must be greater"),
        (Kind.PROCESSOR, "redaction", {"blocked_values": ["["]}, "blocked_values: got '\\['"),
        (Kind.EXPORTER, "prometheus", {}, "expecting a non-empty endpoint"),
        (Kind.RECEIVER, "otlpjsonfile", {}, "required argument `include` is empty"),
        (Kind.EXTENSION, "bearertokenauth", {}, "no bearer token provided"),
        (Kind.EXTENSION, "basicauth", {}, "no credential source provided"),
        (Kind.EXTENSION, "file_storage", {"directory": "/nowhere"}, "directory must exist"),
        (Kind.EXTENSION, "health_check", {"path": "x"}, "path: got 'x'"),
        (Kind.PROCESSOR, "filter", {"trace_conditions": ['name == "a"']}, "unable to infer context from conditions"),
        (Kind.PROCESSOR, "filter", {"trace_conditions": ["span.name =="]}, "unable to parse OTTL condition"),
        (
            Kind.PROCESSOR,
            "filter",
            {"trace_conditions": ["span.name == nil"], "traces": {"span": ["name == nil"]}},
            "cannot use context inferred trace conditions",
        ),
        (
            Kind.EXPORTER,
            "otlp_http",
            {"endpoint": "http://x", "retry_on_failure": {"max_elapsed_time": "1s"}},
            "retry_on_failure: 'max_elapsed_time' must not be less than 'initial_interval'",
        ),
        (
            Kind.EXPORTER,
            "otlp_grpc",
            {"endpoint": "x:1", "retry_on_failure": {"max_interval": "6m"}},
            "retry_on_failure: 'max_elapsed_time' must not be less than 'max_interval'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(kind: Kind, type_: str, settings: dict[str, Any], message: str) -> None:
    """One line each, in the collector's words where it has some."""
    with pytest.raises(ConfigError, match=message):
        component(kind, ComponentID(type_), settings).config.validate()


def test_records_are_metrics_for_a_prometheus() -> None:
    """Tokens, durations and cost by model, user and tag; a call without a known cost counts, but never as 0."""
    config = tree({"prometheus": {"endpoint": FREE, "const_labels": {"env": "test"}, "max_series": 1}}, PIPELINE)
    unknown = {**CHAT, "gen_ai.request.model": "my-own", "gen_ai.response.model": "my-own"}
    with running(config) as collector:
        mine = {**CHAT, "user.id": "ann", "spectra.tags": ["a"]}
        other = {**CHAT, "user.id": "bob"}
        assert collector.post(request(mine, unknown, other).SerializeToString()).status == 200
        exporter: Any = next(iter(collector.collector._exporters.values())).exporter
        with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}/metrics") as answer:
            text = answer.read().decode()
    call = 'env="test",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"'
    served = ',gen_ai_response_model="gpt-4o-2024-08-06"'
    assert f'spectra_cost_total{{env="test",currency="USD",{call.partition(",")[2]}{served}}} 0.007' in text
    assert 'spectra_cost_by_user_total{env="test",currency="USD",user_id="ann"} 0.0035' in text
    assert 'spectra_cost_by_user_total{env="test",currency="USD",otel_metric_overflow="true"} 0.0035' in text
    assert 'spectra_requests_total{env="test",cost_status="unpriced",otel_metric_overflow="true"} 1' in text
    assert 'spectra_cost_by_tag_total{env="test",currency="USD",tag="a"} 0.0035' in text
    assert f'gen_ai_client_token_usage_bucket{{{call}{served},gen_ai_token_type="input",le="1024"}} 2' in text
    assert f"gen_ai_client_operation_duration_seconds_sum{{{call}{served}}} 2" in text
    assert (
        'spectra_cost_total{env="test",currency="USD",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="my-own"'
        not in text
    )


def test_a_series_that_comes_back_goes_on_from_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left out while nothing happens; the sum of what was spent never shrinks."""
    now = [1000.0]
    monkeypatch.setattr(exposition, "time", SimpleNamespace(monotonic=lambda: now[0]))
    metrics = exposition.Metrics(expiration=300)
    metrics.declare("cost", "counter", "What it cost.")
    for step, shown in ((0, "cost 1\n"), (299, "cost 2\n"), (301, "cost 3\n")):
        now[0] += step
        metrics.add("cost", 1)
        assert metrics.text().endswith(shown)
    now[0] += 301
    assert metrics.text() == ""


def test_a_file_of_requests_is_followed(tmp_path: Path) -> None:
    """What our file exporter writes is read line by line; a bad line is left out."""
    lines = tmp_path / "spans.json"
    database = tmp_path / "x.duckdb"
    config = tree({"duckdb": {"path": str(database)}}, PIPELINE)
    config["receivers"] = {
        "otlpjsonfile": {"include": [str(tmp_path / "*.json")], "start_at": "beginning", "poll_interval": "20ms"}
    }
    config["service"]["pipelines"]["traces"]["receivers"] = ["otlpjsonfile"]
    with running(tree({"file": {"path": str(lines)}})) as writer:
        writer.post(request(CHAT).SerializeToString())
    with running(config) as collector:
        until(lambda: collector.metric("otelcol_receiver_accepted_spans") == 1)
        with lines.open("ab") as file:
            file.write(
                b"nonsense\n"
                + lines.read_bytes().replace(b"0000000000000000000000000000", b"1000000000000000000000000000")[:-1]
            )
            file.flush()
            time.sleep(0.1)
            file.write(b"\n")
        until(lambda: collector.metric("otelcol_receiver_accepted_spans") == 2)
    assert DuckDBStore(database).costs()[0]["requests"] >= 1


@pytest.mark.parametrize("verbosity", ["basic", "detailed"])
def test_debug_prints_metrics_and_logs(verbosity: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Their sizes, and what they hold where more is asked for."""
    metrics, logs = ExportMetricsServiceRequest(), ExportLogsServiceRequest()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="up").gauge.data_points.add(as_int=1)
    logs.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "hello"
    config = tree({"debug": {"verbosity": verbosity}})
    for name in ("metrics", "logs"):
        config["service"]["pipelines"][name] = {"receivers": ["otlp"], "exporters": ["debug"]}
    with running(config) as collector:
        for name, message in (("metrics", metrics), ("logs", logs)):
            assert collector.post(message.SerializeToString(), path=f"/v1/{name}").status == 200
        assert collector.metric("otelcol_exporter_sent_log_records", exporter="debug") == 1
    printed = capsys.readouterr().err
    assert 'Metrics\t{"resource metrics": 1, "metrics": 1}\n' in printed
    assert 'Logs\t{"resource logs": 1, "log records": 1}\n' in printed
    assert ("hello" in printed) is (verbosity == "detailed")


def test_health_is_good_while_it_listens() -> None:
    """200 with the time it is up since."""
    service = {"extensions": ["health_check"], "telemetry": {"metrics": {"level": "none"}}}
    config = tree({"debug": None}, extensions={"health_check": {"endpoint": FREE}})
    config["service"] |= service
    with running(config) as collector:
        extension = next(iter(collector.collector._extensions.values()))
        with urllib.request.urlopen(f"http://127.0.0.1:{extension.port}/") as answer:
            assert (answer.status, b'"status":"Server available"' in answer.read()) == (200, True)
        for path in ("healthz", ""):  # whatever path or method a probe was given
            prepared = urllib.request.Request(f"http://127.0.0.1:{extension.port}/{path}", method="HEAD")
            with urllib.request.urlopen(prepared, timeout=60) as answer:
                assert (answer.status, answer.read()) == (200, b"")


def test_health_may_have_a_path_of_its_own() -> None:
    """Others are not found then."""
    service = {"extensions": ["health_check"], "telemetry": {"metrics": {"level": "none"}}}
    health = {"health_check": {"endpoint": FREE, "path": "/live", "response_body": {"healthy": "fine"}}}
    with running(tree({"debug": None}, extensions=health, service=service)) as collector:
        port = collector.collector._extensions[ComponentID("health_check")].port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/live", timeout=60) as answer:
            assert answer.read() == b"fine"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60)


@pytest.mark.parametrize(
    ("host", "client"), [("localhost", "127.0.0.1"), ("[::1]", "[::1]"), ("[::]", "127.0.0.1"), ("", "127.0.0.1")]
)
def test_addresses_of_both_families_and_ports_of_the_systems_choice_are_served(
    host: str, client: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By the receiver's protocols, which say the port they got, and by probes."""
    if "::" in host and not _has_ipv6():
        pytest.skip("no IPv6 here")
    protocols = {name: {"endpoint": f"{host}:0"} for name in ("http", "grpc")}
    health = {"health_check": {"endpoint": f"{host}:0"}}
    config = tree({"debug": None}, protocols=protocols, extensions=health, service={"extensions": ["health_check"]})
    with caplog.at_level("INFO"), running(config) as collector:
        port = collector.port("http")
        body = request(CHAT).SerializeToString()
        prepared = urllib.request.Request(f"http://{client}:{port}/v1/traces", body, PROTOBUF)
        assert urllib.request.urlopen(prepared, timeout=60).status == 200
        with grpc.insecure_channel(f"{client}:{collector.port('grpc')}") as channel:
            export: Any = channel.unary_unary(TRACES.method)
            assert export(body, timeout=60) == b""
        probe = collector.collector._extensions[ComponentID("health_check")].port
        assert urllib.request.urlopen(f"http://{client}:{probe}/", timeout=60).status == 200
    (started,) = (record for record in caplog.records if record.getMessage() == "Starting HTTP server")
    assert vars(started)["fields"]["endpoint"] == f"{host}:{port}"


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_an_address_that_is_taken_is_named_with_its_component() -> None:
    """One of several that listen."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
        health = tree(
            {"debug": None},
            extensions={"health_check": {"endpoint": endpoint}},
            service={"extensions": ["health_check"]},
        )
        metrics = tree({"debug": None}, service={"telemetry": {"metrics": {"address": endpoint}}})
        for config, name in ((health, "extensions::health_check"), (metrics, "service::telemetry::metrics")):
            message = f"{name}: cannot listen on '{endpoint}'"
            with pytest.raises(ConfigError, match=message), running(config):
                raise AssertionError


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_name_is_served_on_all_of_its_addresses(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or not at all: clients that found another program on one of them would send to that. What the machine lacks is left out."""
    if not _has_ipv6():
        pytest.skip("no IPv6 here")
    found = [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "fd00:dead::1")]
    monkeypatch.setattr("spectra_otel.service.listening._addresses", lambda host: found)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"localhost:{taken.getsockname()[1]}"
        config = tree({"debug": None}, protocols={protocol: {"endpoint": endpoint}})
        message = f"receivers::otlp: cannot listen on '{endpoint}': Address already in use"
        with pytest.raises(ConfigError, match=message), running(config):
            raise AssertionError
    with running(config) as collector:
        assert collector.port(protocol) == int(endpoint.rpartition(":")[2])


def test_a_zipkin_that_is_away_is_told_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """As for the other exporters."""
    with running(tree({"zipkin": {"endpoint": "http://localhost:1/api/v2/spans"}})) as collector:
        assert collector.post(request(CHAT).SerializeToString()).status == 200
        until(lambda: caplog.records)
    assert "Connection refused" in vars(caplog.records[0])["fields"]["error"]


def test_zipkin_gets_each_service_under_its_name() -> None:
    """Spans of two services in one request are posted as Zipkin's JSON, the cost as a tag."""
    both = request(CHAT)
    both.MergeFrom(request({"n": 1}, seed=2))
    both.resource_spans[1].resource.attributes[0].value.string_value = "other"
    with zipkin() as (url, posted), running(tree({"zipkin": {"endpoint": url}}, PIPELINE)) as collector:
        assert collector.post(both.SerializeToString()).status == 200
        until(lambda: len(posted) == 2)
    spans = {span["localEndpoint"]["serviceName"]: span for span in posted}
    assert sorted(spans) == ["other", "shop"]
    assert spans["shop"]["tags"]["gen_ai.usage.cost.amount"] == "0.0035"
    assert None not in spans["shop"]["tags"].values()  # Zipkin refuses the whole request for one
