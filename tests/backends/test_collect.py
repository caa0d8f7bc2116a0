"""`spectra collect` among real programs, with the ready configurations of docs/collector."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.backends.test_otelcol import free_port
from tests.exporters.servers import http_server
from tests.service.running import CHAT, PROTOBUF, attributes_of, request, spans_of

ROOT = Path(__file__).parents[2]
BUILD = ROOT / ".build"
CONFIGS = ROOT / "docs" / "collector"
OTELCOL = BUILD / "otelcol" / "otelcol-test"
ZIPKIN = next(iter(sorted(BUILD.glob("zipkin/*.jar"))), BUILD / "zipkin" / "zipkin.jar")
PROMETHEUS = BUILD / "prometheus" / "usr" / "bin" / "prometheus"
ROTEL = next(iter(sorted(BUILD.glob("rotel/**/rotel-agent"))), BUILD / "rotel" / "rotel-agent")

pytestmark = pytest.mark.backend


def needs(program: Path) -> pytest.MarkDecorator:
    """Skip where the program is absent."""
    return pytest.mark.skipif(not program.exists(), reason=f"no {program.name}; run .ci/backends")


@contextmanager
def program(command: list[Any], ready: Callable[[], Any], **environ: str) -> Iterator[None]:
    """Run a program until the end of the block; ``ready`` is asked until it does not raise."""
    child = subprocess.Popen(
        list(map(str, command)), env={**os.environ, **environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(ready, 60, child)
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(30)


def eventually(look: Callable[[], Any], seconds: float = 20, child: subprocess.Popen[bytes] | None = None) -> Any:
    """What ``look`` gives, once that is true and does not raise."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = look()
            if found:
                return found
        except (OSError, KeyError, IndexError):
            if child is not None and child.poll() is not None:
                raise AssertionError(f"{child.args} ended with {child.returncode}") from None
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def get(url: str) -> Any:
    """What an address answers, decoded where it is JSON."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    return json.loads(text) if text[:1] in ("{", "[") else text


def post(address: str, body: bytes) -> int:
    """POST a trace request; the status."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"http://{address}/v1/traces", body, PROTOBUF), timeout=10
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def listens(address: str) -> Callable[[], bool]:
    """Whether an OTLP/HTTP server answers there."""
    return lambda: post(address, b"") == 200


def spectra(config: Path, **environ: str) -> Any:
    """`spectra collect` with a ready configuration."""
    command = [sys.executable, "-m", "spectra_otel.cli", "collect", "--config", config]
    return program(command, listens(environ["SPECTRA_HTTP"]), **environ)


def addresses(*names: str) -> dict[str, str]:
    """A free address for each variable."""
    return {name: f"127.0.0.1:{free_port()}" for name in names}


@needs(OTELCOL)
def test_between_two_pipelines_of_a_collector(tmp_path: Path) -> None:
    """App → otelcol → Spectra → otelcol → backend: the cost is on the GenAI span, the other span is as it was."""
    plain, chat = {"http.method": "GET"}, CHAT
    sent = request(plain, chat)
    with http_server() as backend:
        environ = {
            **addresses("OTELCOL_GRPC", "OTELCOL_HTTP", "OTELCOL_ENRICHED", "SPECTRA_HTTP", "SPECTRA_METRICS"),
            "BACKEND": backend.endpoint,
            "OTELCOL_STORAGE": str(tmp_path / "otelcol"),
            "SPECTRA_HOME": str(tmp_path / "home"),
        }
        otelcol = [OTELCOL, "--config", CONFIGS / "between-otelcol.yaml"]
        with (
            program(otelcol, listens(environ["OTELCOL_HTTP"]), **environ),
            spectra(CONFIGS / "between-spectra.yaml", **environ),
        ):
            assert post(environ["OTELCOL_HTTP"], sent.SerializeToString()) == 200
            eventually(lambda: len(backend.spans) == 2)
        first, second = backend.spans
    expected = spans_of(sent)[0]
    expected.status.SetInParent()  # the Go collector writes an empty status
    assert first == expected
    assert attributes_of(second)["gen_ai.usage.cost.amount"] == pytest.approx(0.0035)


@needs(ZIPKIN)
@needs(PROMETHEUS)
@needs(OTELCOL)
def test_alone_before_zipkin_prometheus_and_otlp(tmp_path: Path) -> None:
    """The cost is found in Zipkin's API on the span, in Prometheus' API as a metric, and at an OTLP/gRPC backend."""
    environ = {
        **addresses("SPECTRA_GRPC", "SPECTRA_HTTP", "SPECTRA_METRICS", "PROMETHEUS", "HEALTH", "JAEGER"),
        "SPECTRA_HOME": str(tmp_path / "home"),
    }
    zipkin_port, scraper = free_port(), f"127.0.0.1:{free_port()}"
    zipkin, out = f"http://127.0.0.1:{zipkin_port}", tmp_path / "spans.json"
    environ["ZIPKIN"] = f"{zipkin}/api/v2/spans"
    scrape = tmp_path / "prometheus.yaml"
    scrape.write_text(
        f"global: {{scrape_interval: 500ms}}\nscrape_configs:\n- job_name: spectra\n  static_configs:\n"
        f"  - targets: ['{environ['PROMETHEUS']}', '{environ['SPECTRA_METRICS']}']\n"
    )
    backend = tmp_path / "otelcol.yaml"
    backend.write_text(
        f"receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{environ['JAEGER']}'}}}}}}}}\n"
        f"exporters: {{file: {{path: '{out}', flush_interval: 100ms}}}}\n"
        "service:\n  telemetry: {metrics: {level: none}}\n  pipelines: {traces: {receivers: [otlp], exporters: [file]}}\n"
    )
    database = f"--storage.tsdb.path={tmp_path / 'tsdb'}"
    with (
        program(["java", "-Xmx256m", "-jar", ZIPKIN], lambda: get(f"{zipkin}/health"), QUERY_PORT=str(zipkin_port)),
        program(
            [PROMETHEUS, f"--config.file={scrape}", database, f"--web.listen-address={scraper}"],
            lambda: get(f"http://{scraper}/-/ready"),
        ),
        program([OTELCOL, "--config", backend], lambda: True),
        spectra(CONFIGS / "alone.yaml", **environ),
    ):
        sent = request(CHAT, start=time.time_ns() - 2 * 10**9)
        assert post(environ["SPECTRA_HTTP"], sent.SerializeToString()) == 200
        trace_id = spans_of(sent)[0].trace_id.hex()
        (span,) = eventually(lambda: get(f"{zipkin}/api/v2/trace/{trace_id}"), 40)
        assert float(span["tags"]["gen_ai.usage.cost.amount"]) == pytest.approx(0.0035)
        query = f"http://{scraper}/api/v1/query?query="
        (metric,) = eventually(lambda: get(f"{query}spectra_cost_total")["data"]["result"], 40)
        assert (metric["metric"]["gen_ai_request_model"], float(metric["value"][1])) == ("gpt-4o", 0.0035)
        (own,) = eventually(lambda: get(f"{query}otelcol_receiver_accepted_spans")["data"]["result"], 40)
        assert float(own["value"][1]) == 1
        assert eventually(lambda: "gen_ai.usage.cost.amount" in out.read_text())
        assert get(f"http://{environ['HEALTH']}/")["status"] == "Server available"


@needs(OTELCOL)
def test_a_collector_alone_with_exported_prices(tmp_path: Path) -> None:
    """`spectra prices export --format ottl` makes a processor that a real collector accepts and that prices as we do."""
    prices = tmp_path / "prices.yaml"
    export = [sys.executable, "-m", "spectra_otel.cli", "prices", "export", "--format", "ottl"]
    subprocess.run([*export, "--models", "openai/gpt-4o", "-o", str(prices)], check=True, capture_output=True)
    with http_server() as backend:
        environ = {**addresses("OTELCOL_HTTP"), "BACKEND": backend.endpoint}
        command = [OTELCOL, "--config", CONFIGS / "ottl-otelcol.yaml", "--config", prices]
        with program(command, listens(environ["OTELCOL_HTTP"]), **environ):
            assert post(environ["OTELCOL_HTTP"], request(CHAT).SerializeToString()) == 200
            eventually(lambda: backend.spans)
        assert attributes_of(backend.spans[0])["gen_ai.usage.cost.amount"] == pytest.approx(0.0035)


@needs(ROTEL)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_second_implementation_of_otlp_sends_to_us(protocol: str, tmp_path: Path) -> None:
    """rotel → Spectra over HTTP and gRPC."""
    database = tmp_path / "x.duckdb"
    ours, theirs = addresses("grpc", "http"), addresses("grpc", "http")
    config = tmp_path / "spectra.yaml"
    config.write_text(
        json.dumps(
            {
                "receivers": {"otlp": {"protocols": {name: {"endpoint": found} for name, found in ours.items()}}},
                "processors": {"usage": None, "cost": None},
                "exporters": {"duckdb": {"path": str(database)}},
                "service": {
                    "telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {
                        "traces": {"receivers": ["otlp"], "processors": ["usage", "cost"], "exporters": ["duckdb"]}
                    },
                },
            }
        )
    )
    rotel = [
        ROTEL, "start", "--otlp-grpc-endpoint", theirs["grpc"], "--otlp-http-endpoint", theirs["http"], "--exporter", "otlp",
        "--otlp-exporter-endpoint", f"http://{ours[protocol]}", "--otlp-exporter-protocol", protocol, "--batch-timeout", "100ms",
        "--pid-file", tmp_path / "rotel.pid",
    ]  # fmt: skip
    environ = {"SPECTRA_HTTP": ours["http"], "SPECTRA_HOME": str(tmp_path / "home")}
    with spectra(config, **environ), program(rotel, listens(theirs["http"])):
        assert post(theirs["http"], request(CHAT).SerializeToString()) == 200
        spool = tmp_path / "spool" / database.name
        eventually(lambda: database.exists() or any(spool.glob("*.ndjson")))
    from spectra_otel.exporters.duckdb.store import DuckDBStore

    assert DuckDBStore(database).costs()[0]["requests"] == 1
