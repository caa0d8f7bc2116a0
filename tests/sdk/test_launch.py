"""The launch matrix: however Spectra and the app's provider come together, each call has its cost on exactly one span.

Each process makes four calls (two through the real openai SDK, two that another instrumentor reports) with tracers taken before
and after exporters were added, and looks at them with a SimpleSpanProcessor and a BatchSpanProcessor.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spectra_otel.demo.provider import LocalProvider
from tests.sdk.support import APPS, INSTRUMENT, SPECTRA, OtlpReceiver, environment, stored

ONCE = [1, 1, 1, 1]
OURS = {"OTEL_PYTHON_DISTRO": "spectra", "OTEL_PYTHON_CONFIGURATOR": "spectra"}
APP = [sys.executable, str(APPS / "launch.py")]


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as server:
        yield server


def launch(
    command: list[str], mode: str, provider: LocalProvider, home: Path, **environ: str
) -> tuple[list[list[int]], str]:
    """Run the app; its answer and its stderr."""
    done = subprocess.run(
        [*command, mode, provider.url("openai")],
        env=environment(home, SPECTRA_PROVIDER_HOSTS=provider.hosts, **environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("mode", ["given", "own"])
def test_spectra_run(mode: str, provider: LocalProvider, tmp_path: Path) -> None:
    """`spectra run`, with the provider it makes and with one of the app's own; the last line has the totals."""
    answer, said = launch([*SPECTRA, "run", "--", *APP], mode, provider, tmp_path)
    assert answer == [ONCE, ONCE]
    assert len(stored(tmp_path)) == 4
    last = said.strip().splitlines()[-1]
    assert last.startswith("spectra: 4 calls, $")
    assert last.endswith(f"0 unpriced · {tmp_path / 'spectra.duckdb'}")


@pytest.mark.parametrize(
    ("exporter", "where"),
    [
        ("duckdb: {{path: '{folder}/my own.duckdb'}}", "{folder}/my own.duckdb"),
        (
            "file: {{path: '{folder}/x.jsonl'}}",
            "not stored: no pipeline has an exporter that keeps records, such as duckdb",
        ),
    ],
)
def test_the_last_line_says_where_the_configuration_keeps_records(
    exporter: str, where: str, provider: LocalProvider, tmp_path: Path
) -> None:
    """Not where it would keep them without one."""
    (tmp_path / "config.yaml").write_text(
        f"""
receivers: {{otlp: {{protocols: {{http: }}}}}}
processors: {{usage: , cost: }}
exporters: {{{exporter.format(folder=tmp_path)}}}
service: {{pipelines: {{traces: {{receivers: [otlp], processors: [usage, cost], exporters: [{exporter.partition(":")[0]}]}}}}}}
"""
    )
    config = str(tmp_path / "config.yaml")
    _, said = launch([*SPECTRA, "run", "--", *APP], "given", provider, tmp_path, SPECTRA_CONFIG=config)
    last = said.strip().splitlines()[-1]
    assert last.startswith("spectra: 4 calls, $")
    assert last.endswith(f"0 unpriced · {where.format(folder=tmp_path)}")


@pytest.mark.parametrize("mode", ["given", "own"])
def test_our_distro_with_an_endpoint(mode: str, provider: LocalProvider, tmp_path: Path) -> None:
    """`opentelemetry-instrument` with our distro: an OTLP endpoint that is named gets the costs too."""
    receiver = OtlpReceiver()
    with receiver.serving() as address:
        answer, _ = launch([*INSTRUMENT, *APP], mode, provider, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=address, **OURS)
    assert answer == [ONCE, ONCE]
    assert receiver.costs_by_trace() == ONCE if mode == "given" else not any(receiver.costs_by_trace())
    assert len(stored(tmp_path)) == 4


def test_no_backend_no_connection_errors(provider: LocalProvider, tmp_path: Path) -> None:
    """With our distro and no endpoint nothing is sent anywhere, and nothing complains."""
    _, said = launch([*INSTRUMENT, *APP], "given", provider, tmp_path, **OURS)
    assert said == ""


@pytest.mark.parametrize("mode", ["given", "own"])
def test_the_stock_distro_beside_us(mode: str, provider: LocalProvider, tmp_path: Path) -> None:
    """The stock distro keeps its place; our hook attaches to what it made."""
    receiver = OtlpReceiver()
    stock = {"OTEL_PYTHON_DISTRO": "distro", "OTEL_PYTHON_CONFIGURATOR": "configurator"}
    with receiver.serving() as address:
        answer, _ = launch(
            [*INSTRUMENT, *APP],
            mode,
            provider,
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=address,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            **stock,
        )
    assert answer == [ONCE, ONCE]
    assert receiver.costs_by_trace() == ONCE if mode == "given" else not any(receiver.costs_by_trace())


def test_no_variables_at_all(provider: LocalProvider, tmp_path: Path) -> None:
    """Plain `opentelemetry-instrument`, whichever distro comes first."""
    answer, _ = launch(
        [*INSTRUMENT, *APP], "given", provider, tmp_path, OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none",
        OTEL_TRACES_EXPORTER="none",
    )  # fmt: skip
    assert answer == [ONCE, ONCE]


@pytest.mark.parametrize("processor", ["simple", "batch"])
def test_a_declarative_file(processor: str, provider: LocalProvider, tmp_path: Path) -> None:
    """Under `OTEL_CONFIG_FILE` the file's exporters get the costs."""
    receiver = OtlpReceiver()
    with receiver.serving() as address:
        file = tmp_path / "otel.yaml"
        file.write_text(
            'file_format: "1.0"\n'
            "tracer_provider:\n  processors:\n"
            f"    - {processor}:\n        exporter:\n          otlp_http:\n            endpoint: {address}/v1/traces\n"
        )
        answer, _ = launch([*INSTRUMENT, *APP], "given", provider, tmp_path, OTEL_CONFIG_FILE=str(file))
    assert answer == [ONCE, ONCE]
    assert receiver.costs_by_trace() == ONCE


@pytest.mark.parametrize("mode", ["configure", "configure-before", "configure-after"])
def test_configure(mode: str, provider: LocalProvider, tmp_path: Path) -> None:
    """`spectra.configure()` without a provider, before the app makes its own, and after."""
    answer, _ = launch(APP, mode, provider, tmp_path)
    assert answer == [ONCE, ONCE]
    assert len(stored(tmp_path)) == 4


def test_off_is_off(provider: LocalProvider, tmp_path: Path) -> None:
    """With SPECTRA_ENABLED=false no span has a cost, nothing is written, and the app is as it was."""
    answer, said = launch([*INSTRUMENT, *APP], "given", provider, tmp_path, SPECTRA_ENABLED="false", **OURS)
    assert set(answer[0]) == set(answer[1]) == {0}
    assert os.listdir(tmp_path) == []
    assert said == ""


@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        ("SPECTRA_PERSISTENCE", "sometimes", "SPECTRA_PERSISTENCE: got 'sometimes', valid: "),
        ("SPECTRA_CONFIG", "/no/such/file.yaml", "/no/such/file.yaml"),
    ],
)
def test_a_bad_setting_is_one_line(
    setting: str, value: str, line: str, provider: LocalProvider, tmp_path: Path
) -> None:
    """A bad setting is said in one line, and the app runs on without us."""
    answer, said = launch([*INSTRUMENT, *APP], "given", provider, tmp_path, **OURS, **{setting: value})
    assert set(answer[0]) == {0}
    assert said.count("\n") == 1
    assert line in said


@pytest.mark.parametrize("home", ["/dev/null/nowhere", ""], ids=["unwritable", "no home at all"])
def test_nowhere_to_write_is_one_line(home: str, provider: LocalProvider, tmp_path: Path) -> None:
    """Without a place to write there is one line and a fallback; the app's own exporters get the costs as ever."""
    command = ["env", "-u", "HOME", f"TMPDIR={tmp_path}", f"SPECTRA_HOME={home}", "XDG_DATA_HOME=/dev/null/x", *APP]
    answer, said = launch(command, "configure", provider, tmp_path)
    assert answer == [ONCE, ONCE]
    assert said.count("\n") == 1
    assert "SPECTRA_HOME" in said
    (fallback,) = tmp_path.glob("spectra-*")
    assert len(stored(fallback)) == 4
