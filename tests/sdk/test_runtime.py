from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spectra_otel.sdk import runtime
from tests.sdk.support import stored

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 500,
}


@pytest.fixture
def provider() -> TracerProvider:
    return TracerProvider(shutdown_on_exit=False)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own, no variables of ours, and nothing left running."""
    for name in [name for name in os.environ if name.startswith("SPECTRA_")]:
        monkeypatch.delenv(name)
    for name in ("SPECTRA_DB", "SPECTRA_PERSISTENCE", "SPECTRA_TAGS"):  # configure() may set them: take that back
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    yield tmp_path
    runtime.shutdown()


def call(provider: TracerProvider) -> None:
    provider.get_tracer("test").start_span("chat gpt-4o", attributes=CHAT).end()


def test_a_call_is_on_disk_after_shutdown(provider: TracerProvider, home: Path) -> None:
    """configure, a call, shutdown: the record is there with its cost, and the provider is as it was."""
    runtime.configure(tracer_provider=provider)
    call(provider)
    assert runtime.shutdown()
    (row,) = stored(home)
    assert (row["provider"], row["model"], row["prompt_tokens"], row["completion_tokens"]) == (
        "openai",
        "gpt-4o",
        1000,
        500,
    )
    assert row["total_cost_in_cents"] > 0
    assert runtime.current_host() is None
    call(provider)
    assert len(stored(home)) == 1


def test_configure_is_idempotent(provider: TracerProvider, home: Path) -> None:
    """Called again with the same arguments, or none, it keeps the host; a call is stored once."""
    runtime.configure(tracer_provider=provider, persistence="sync")
    host = runtime.current_host()
    runtime.configure(tracer_provider=provider, persistence="sync")
    runtime.configure(tracer_provider=provider)
    assert runtime.current_host() is host
    call(provider)
    assert len(stored(home)) == 1


def test_other_settings_start_anew(provider: TracerProvider, home: Path) -> None:
    """Called with other settings it starts anew with them, and loses nothing of before."""
    runtime.configure(tracer_provider=provider)
    call(provider)
    runtime.configure(tracer_provider=provider, db=home / "other.duckdb")
    call(provider)
    runtime.shutdown()
    assert len(stored(home)) == 1
    assert os.environ["SPECTRA_DB"] == str(home / "other.duckdb")
    assert (home / "other.duckdb").exists() or list(home.glob("**/*.seg*")) or list(home.glob("**/spool*"))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"persistence": "sometimes"}, "persistence: got 'sometimes', valid: background, sync, after_response"),
        ({"persistance": "sync"}, "unknown setting 'persistance', valid: enabled, config"),
        ({"config": "/no/such.yaml"}, "/no/such.yaml"),
    ],
)
def test_a_bad_setting_is_one_line_and_no_error(
    settings: dict[str, str], line: str, provider: TracerProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be used is one line that names it; nothing is attached and nothing raised."""
    runtime.configure(tracer_provider=provider, **settings)  # type: ignore[arg-type]
    assert runtime.current_host() is None
    (entry,) = [entry for entry in caplog.records if entry.name.startswith("spectra_otel")]
    assert line in entry.getMessage()
    assert "\n" not in entry.getMessage()


def test_a_bad_setting_leaves_what_runs(provider: TracerProvider, home: Path) -> None:
    """A second configure with a bad setting does not stop the host that runs."""
    runtime.configure(tracer_provider=provider)
    host = runtime.current_host()
    runtime.configure(tracer_provider=provider, persistence="never")
    assert runtime.current_host() is host


@pytest.mark.parametrize(("name", "value"), [("SPECTRA_ENABLED", "false"), ("OTEL_SDK_DISABLED", "true")])
def test_off(name: str, value: str, provider: TracerProvider, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off means that nothing is attached and nothing written."""
    monkeypatch.setenv(name, value)
    init = TracerProvider.__init__
    runtime.configure(tracer_provider=provider)
    assert runtime.current_host() is None
    assert TracerProvider.__init__ is init
    call(provider)
    assert list(home.iterdir()) == []


def test_a_pipeline_file_is_obeyed(provider: TracerProvider, home: Path) -> None:
    """A pipeline given as a mapping runs: here a file exporter beside the app's own."""
    app = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(app))
    out = home / "spans.jsonl"
    runtime.configure(
        {
            "receivers": {"otlp": {"protocols": {"http": {}}}},
            "processors": {"usage": {}, "cost": {}},
            "exporters": {"file": {"path": str(out)}},
            "service": {
                "pipelines": {
                    "traces": {"receivers": ["otlp"], "processors": ["usage", "cost"], "exporters": ["file"]},
                }
            },
        },
        tracer_provider=provider,
    )
    call(provider)
    provider.get_tracer("test").start_span("other").end()
    assert runtime.force_flush(10)
    assert out.read_text().count("gen_ai.usage.cost.amount") == 1
    assert '"other"' in out.read_text()
    first, second = app.get_finished_spans()
    assert "gen_ai.usage.cost.amount" in (first.attributes or {})
    assert not second.attributes


def test_what_is_no_provider_is_said(caplog: pytest.LogCaptureFixture, provider: TracerProvider) -> None:
    """Something else given as a provider is one line; the rest works."""
    runtime.configure(tracer_provider=provider)
    runtime.configure(tracer_provider=object())
    assert "object is not a tracer provider of the OpenTelemetry SDK" in caplog.text


def test_runs_with_one_seed_are_records_of_their_own(home: Path) -> None:
    """An app that seeds ``random`` has other ids each time: records with the same would be taken for known ones."""
    for _ in range(2):
        provider = TracerProvider(shutdown_on_exit=False)
        runtime.configure(tracer_provider=provider)
        random.seed(42)
        before = random.getstate()
        call(provider)
        assert random.getstate() == before
        assert runtime.shutdown()
        assert "generate_span_id" not in vars(provider.id_generator)
    assert len(stored(home)) == 2


def test_calls_without_a_provider_are_records_of_their_own(home: Path) -> None:
    """Where the app has let go of its provider, spans have no ids; records have."""
    runtime.configure(tracer_provider=TracerProvider(shutdown_on_exit=False))
    gc.collect()
    answer = {"model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 1}}
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer))) as client:
        for _ in range(2):
            client.post("https://api.openai.com/v1/chat/completions", json={"model": "gpt-4o", "messages": []})
    assert runtime.shutdown()
    assert len({row["span_id"] for row in stored(home)}) == 2
