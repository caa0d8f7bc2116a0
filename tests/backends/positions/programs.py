"""Real programs on free ports of the loopback interface, and an application whose spans they pass on."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

from tests.exporters.servers import Received
from tests.service.running import CHAT, PROTOBUF, attributes_of

ROOT = Path(__file__).parents[3]
CONFIGS = ROOT / "docs" / "configs"
BUILD = ROOT / ".build"
OTELCOL = BUILD / "otelcol" / "otelcol-test"
JAEGER = BUILD / "jaeger" / "jaeger"
ZIPKIN = next(BUILD.glob("zipkin/zipkin-server-*-exec.jar"), BUILD / "zipkin" / "zipkin-server-exec.jar")
PROMETHEUS = BUILD / "prometheus" / "usr" / "bin" / "prometheus"
ROTEL = next(BUILD.glob("rotel/lib/python3*/site-packages/rotel/rotel-agent"), BUILD / "rotel" / "rotel-agent")
SPECTRA = Path(sys.executable).with_name("spectra")
COST = "gen_ai.usage.cost.amount"
CHAT_COST = 0.0035
"""What :data:`tests.service.running.CHAT` costs, in dollars."""
QUIET = "--set=service.telemetry.metrics.level=none"
"""Two collectors on one machine cannot both serve their own metrics on 8888."""


def needs(*programs: Path) -> list[pytest.MarkDecorator]:
    """The marks of a test of real programs; it is skipped where one is not there, and fails for want of it in CI."""
    missing = [path.name for path in programs if not path.exists() and os.environ.get("CI") != "true"]
    return [
        pytest.mark.backend,
        pytest.mark.timeout(180),
        pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)}; run .ci/backends"),
    ]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def address(port: int) -> str:
    """host:port on the loopback interface."""
    return f"127.0.0.1:{port}"


def url(port: int) -> str:
    """The base URL of a local server."""
    return f"http://{address(port)}"


def listening(port: int) -> Callable[[], bool]:
    """Whether somebody accepts connections there."""

    def check() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    return check


def fetch(where: str) -> Any:
    """JSON of a GET request; None where there is none (yet)."""
    try:
        with urllib.request.urlopen(where, timeout=5) as answer:
            return json.load(answer)
    except (OSError, urllib.error.URLError, ValueError):
        return None


def post(endpoint: str, body: bytes) -> int:
    """The status that a trace request gets."""
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/v1/traces", body, PROTOBUF), timeout=10) as answer:
        return int(answer.status)


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true value of ``condition``; the test fails if there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return value


@contextmanager
def program(
    command: Sequence[str | Path], folder: Path, ready: Callable[[], Any], environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, from when it is ready until the end of the block; SIGTERM then."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{Path(command[0]).name}.{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while not ready():
                assert process.poll() is None, f"{command[0]} ended: {log.read_text()[-3000:]}"
                assert time.monotonic() < deadline, f"{command[0]} is not ready: {log.read_text()[-3000:]}"
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def otelcol(folder: Path, port: int, config: str, *more: Path, **environment: str) -> Any:  # a context manager
    """An OpenTelemetry Collector with a file of docs/configs, whose OTLP over HTTP is on ``port``."""
    files = [part for path in (CONFIGS / config, *more) for part in ("--config", path)]
    ports = {"OTELCOL_HTTP": address(port), "OTELCOL_GRPC": address(free_port())}
    return program([OTELCOL, *files, QUIET], folder / "otelcol", listening(port), {**ports, **environment})


def spectra_collect(folder: Path, port: int, config: str, **environment: str) -> Any:
    """`spectra collect` with a file of docs/configs; OTLP over HTTP is on ``port``, and what it writes in ``folder``."""
    own = {
        "SPECTRA_HOME": str(folder / "spectra"), "SPECTRA_HTTP": address(port),
        "SPECTRA_GRPC": address(free_port()), "SPECTRA_METRICS": address(free_port()),
    }  # fmt: skip
    command = [SPECTRA, "collect", "--config", CONFIGS / config]
    return program(command, folder, listening(port), {**own, **environment})


def stored(folder: Path) -> list[dict[str, Any]]:
    """The requests in the database of a :func:`spectra_collect`."""
    result = subprocess.run(
        [SPECTRA, "requests", "--format", "json"],
        env={**os.environ, "SPECTRA_HOME": str(folder / "spectra")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def attributes_by_id(backend: Received) -> dict[str, dict[str, Any]]:
    """The attributes of all spans that a backend got, by the span's id in hex."""
    return {span.span_id.hex(): attributes_of(span) for span in backend.spans}


@dataclass(frozen=True)
class Sent:
    """The ids of one trace of the application, in hex."""

    trace_id: str
    chat: str
    checkout: str


def shop(endpoint: str, attributes: Mapping[str, Any] = CHAT, traces: int = 1) -> list[Sent]:
    """An application with the OpenTelemetry SDK and nothing of ours: each trace is a checkout and, within it, a chat."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    tracer = provider.get_tracer("shop")
    sent = []
    for _ in range(traces):
        with (
            tracer.start_as_current_span("checkout", attributes={"http.request.method": "POST"}) as checkout,
            tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=attributes) as chat,
        ):
            ids = chat.get_span_context(), checkout.get_span_context()
            sent.append(Sent(f"{ids[0].trace_id:032x}", f"{ids[0].span_id:016x}", f"{ids[1].span_id:016x}"))
    provider.shutdown()
    return sent
