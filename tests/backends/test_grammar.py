"""A real OpenTelemetry Collector and Spectra agree on which configurations are good, and on which spans a filter drops."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.config.load import validate
from tests.backends.test_otelcol import OTELCOL, ROOT, free_port
from tests.service.running import request, running, tree
from tests.service.test_collector import until
from tests.service.test_signals import status

pytestmark = [
    pytest.mark.backend,
    pytest.mark.skipif(not OTELCOL.exists(), reason="no otelcol; run .ci/backends"),
]
BASE = """
receivers: {otlp: {protocols: {http: }}}
processors: {batch: }
exporters: {debug: , otlp_http: {endpoint: "http://localhost:1"}, otlp_grpc: {endpoint: "localhost:1"}}
extensions: {health_check: }
service: {pipelines: {traces: {receivers: [otlp], processors: [batch], exporters: [debug, otlp_http, otlp_grpc]}}}
"""
SETS = (
    "receivers.otlp.protocols.grpc={endpoint: '[::1]:4317', keepalive: {server_parameters: {max_connection_age: 1m}}}",
    "receivers.otlp.protocols.http={endpoint: /tmp/x.sock, transport: unix}",
    "receivers.otlp.protocols.http={transport: pigeon}",
    "receivers.otlp.protocols.http.tls={cert_file: a, key_file: b, min_version: '1.9'}",
    "receivers.otlp.protocols.grpc={max_recv_msg_size_mib: -1}",
    "receivers.otlp.protocols.http={read_timeout: 5s, idle_timeout: 1m, response_headers: {a: b}}",
    "receivers.otlp.protocols.htttp={}",
    "exporters.otlp_http.compression=zstd",
    "exporters.otlp_http.compression=br",
    "exporters.otlp_http.headers={a: 1}",
    "exporters.otlp_http.auth={authenticator: bearertokenauth}",
    "exporters.otlp_http.sending_queue={wait_for_result: true, sizer: items, batch: {min_size: 10, max_size: 20}}",
    "exporters.otlp_http.sending_queue={wait_for_result: true, storage: file_storage}",
    "exporters.otlp_http.sending_queue={sizer: bytes, queue_size: 100, batch: {}}",
    "exporters.otlp_http.sending_queue={queue_size: 0}",
    "exporters.otlp_http.sending_queue={enabled: false, queue_size: 0}",
    "exporters.otlp_http.sending_queue={sizer: items, queue_size: 10, batch: {min_size: 100}}",
    "exporters.otlp_http.sending_queue={storage: 'a b'}",
    "exporters.otlp_http.retry_on_failure={randomization_factor: 2}",
    "exporters.otlp_grpc={endpoint: x}",
    "exporters.otlp_grpc={endpoint: 'x:abc'}",
    "exporters.otlp_grpc={endpoint: 'unix:///tmp/x.sock', balancer_name: pick_first, wait_for_ready: true}",
    "exporters.otlp_grpc={endpoint: 'x:1', balancer_name: best}",
    "processors.batch={send_batch_size: 1e3, send_batch_max_size: 1_000}",
    "processors.batch={send_batch_size: 0123, send_batch_max_size: 82}",
    "processors.batch={send_batch_size: 0123, send_batch_max_size: 83}",
    "processors.batch={send_batch_size: '10'}",
    "processors.batch={timeout: 1 s}",
    "processors.batch={timeout: -1s}",
    "processors.batch={metadata_keys: [tenant]}",
    "processors.batch={metadata_keys: [tenant, Tenant]}",
    "processors.batch=",
    "processors=",
    "extensions.health_check={path: health}",
    "service.extensions=[health_check, nope]",
    'processors.filter={trace_conditions: [\'span.name == "a" and resource.attributes["b"] == 1\']}',
    "processors.filter={trace_conditions: ['name == \"a\"']}",
    "processors.filter={trace_conditions: ['span.name == nil'], traces: {span: ['name == nil']}}",
    "exporters.otlp_http={endpoint: 'http://x', retry_on_failure: {max_elapsed_time: 1s}}",
    "exporters.otlp_http={endpoint: 'http://x', retry_on_failure: {max_interval: 301s}}",
    "service.telemetry={logs: {level: loud}}",
    "service.telemetry={logs: {encoding: json, output_paths: [stdout], initial_fields: {a: b}}}",
    "service.telemetry={metrics: {readers: []}}",
    "service.telemetry={metrics: {level: none}, resource: {a: b}}",
    "service.telemetry={metrics: {lvl: none}}",
    "service.pipelines.metrics={receivers: [otlp], processors: [batch], exporters: [debug]}",
    "service.pipelines.traces/2={receivers: [otlp], processors: [batch, batch], exporters: [debug]}",
    "service.pipelines.spans={receivers: [otlp], exporters: [debug]}",
)
CONDITIONS = (
    'attributes["n"] + 1 == 8', '(attributes["n"] - 1) * 2 > 11', "end_time - start_time > Duration(\"1s\")",
    'attributes["missing"] < 5', 'attributes["missing"] <= nil', 'attributes["n"] == "7"', 'attributes["n"] != "7"',
    'attributes["x"] == 7', 'Len(attributes["x"]) > 2', 'HasPrefix(attributes["n"], "7")', 'IsMatch(attributes["n"], "7")',
    'parent_span_id == SpanID(0x0000000000000000)', 'parent_span_id.string == ""', 'attributes["list"][0] == "a"',
    'not attributes["flag"] == true', 'Int(attributes["num"]) == 12', 'ToUpperCase(attributes["x"]) == "É☃"',
    'attributes["n"] / 2 == 3', '-attributes["n"] == -7', 'name == "x" or kind == SPAN_KIND_CLIENT and attributes["n"] == 7',
)  # fmt: skip
SPANS: tuple[dict[str, Any], ...] = (
    {"n": 7, "x": "é☃", "flag": True, "list": ["a", "b"]},
    {"n": "7", "x": 7, "flag": False, "num": "12"},
    {"n": -7, "m": 2.5, "list": []},
)


def accepts(path: Path, *sets: str) -> bool:
    """Whether the OpenTelemetry Collector finds a file good."""
    command = [OTELCOL, "validate", "--config", path, *(f"--set={assignment}" for assignment in sets)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("assignment", SETS)
def test_both_find_the_same_configurations_good(assignment: str, tmp_path: Path) -> None:
    """With `--set` on a good file."""
    (tmp_path / "config.yaml").write_text(BASE)
    assert accepts(tmp_path / "config.yaml")
    is_good = not validate([str(tmp_path / "config.yaml")], [assignment])
    assert is_good is accepts(tmp_path / "config.yaml", assignment)


def test_a_file_that_is_good_here_is_good_there() -> None:
    """With every setting that is taken with a warning."""
    assert accepts(ROOT / "tests" / "config" / "testdata" / "good_tuned.yaml")


def kept(folder: Path) -> list[list[str]]:
    """The spans that each condition let through."""
    found = []
    for number in range(len(CONDITIONS)):
        path = folder / f"{number}.json"
        documents = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        groups = [
            scope for document in documents for group in document["resourceSpans"] for scope in group["scopeSpans"]
        ]
        found.append(sorted(span["spanId"] for scope in groups for span in scope["spans"]))
    return found


def test_both_drop_the_same_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each condition has a pipeline of its own."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path / "home"))
    numbers = range(len(CONDITIONS))

    def config(folder: Path, endpoint: str) -> dict[str, Any]:
        made = tree({"debug": None}, protocols={"http": {"endpoint": endpoint}})
        made["processors"] = {
            f"filter/{n}": {"error_mode": "silent", "traces": {"span": [CONDITIONS[n]]}} for n in numbers
        }
        made["exporters"] = {"debug": None, **{f"file/{n}": {"path": str(folder / f"{n}.json")} for n in numbers}}
        for n in numbers:
            names = {"receivers": ["otlp"], "processors": [f"filter/{n}"], "exporters": [f"file/{n}"]}
            made["service"]["pipelines"][f"traces/{n}"] = names
        folder.mkdir()
        return made

    body = request(*SPANS).SerializeToString()
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with running(config(ours, "127.0.0.1:0")) as collector:
        assert collector.post(body).status == 200
    port = free_port()
    (tmp_path / "config.json").write_text(json.dumps(config(theirs, f"127.0.0.1:{port}")))
    with subprocess.Popen([OTELCOL, "--config", tmp_path / "config.json"], stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: status(port, body) == 200)
        finally:
            process.terminate()
    assert dict(zip(CONDITIONS, kept(ours), strict=True)) == dict(zip(CONDITIONS, kept(theirs), strict=True))
    assert any(kept(ours))
