"""What `spectra doctor` says of other people's instrumentations."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from spectra_otel.cli import doctor
from spectra_otel.dialects._checked import CHECKED, distribution_of, is_newer
from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.model.spans import record_of
from spectra_otel.processors.usage.processor import UsageProcessor
from spectra_otel.testing import make_request
from tests.cli.support import Spectra


def test_a_newer_instrumentation_is_worth_knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of a later series than the one that was checked gets a line of its own; a later patch does not."""
    installed = {"openlit": "1.99.0", "litellm": CHECKED["litellm"], "mlflow": "3.17.9"}
    monkeypatch.setattr(doctor, "_version_or_none", installed.get)
    found = {(finding.subject, finding.state): finding.detail for finding in doctor._instrumentations()}
    assert found["instrumentation", "note"].startswith(f"openlit 1.99.0 is newer than {CHECKED['openlit']}")
    assert found["instrumentations", "ok"] == f"litellm {CHECKED['litellm']}, mlflow 3.17.9"


def test_beta_versions_are_compared_by_their_numbers() -> None:
    """`1.3b0` is of the series 1.3."""
    name = "opentelemetry-instrumentation-genai-openai"
    assert [is_newer(name, version) for version in ("1.2b0", "1.3b1", "1.4b0", "2.0")] == [False, False, True, True]


@pytest.mark.parametrize(
    ("scope", "distribution"),
    [
        ("opentelemetry.instrumentation.openai.v1", "opentelemetry-instrumentation-openai"),
        ("opentelemetry.instrumentation.openai_v2", "opentelemetry-instrumentation-openai-v2"),
        ("opentelemetry.instrumentation.botocore.bedrock-runtime", "opentelemetry-instrumentation-botocore"),
        ("openinference.instrumentation.openai_agents", "openinference-instrumentation-openai-agents"),
        ("agent_framework", "agent-framework-core"),
        ("logfire.openai", "logfire"),
        ("app", None),
    ],
)
def test_a_scope_is_known_by_its_distribution(scope: str, distribution: str | None) -> None:
    """However its name is written; an app's own scope belongs to none."""
    assert distribution_of(scope) == distribution


def test_recorded_spans_of_an_unchecked_release_are_named(spectra: Spectra, tmp_path: Path) -> None:
    """Wherever they came from: those of a newer release, and those without one where the release decides what they mean."""
    seen = [
        ("opentelemetry.instrumentation.openai.v1", "0.99.0"),
        ("opentelemetry.instrumentation.openai.v1", CHECKED["opentelemetry-instrumentation-openai"]),
        ("opentelemetry.instrumentation.google_genai", None),
        ("opentelemetry.instrumentation.google_genai", "1.3b0"),
        ("app", None),
        ("spectra_otel", None),
    ]
    now = datetime.now(UTC)
    records = [
        make_request(instrumentation=scope, instrumentation_version=version, started_at=now, completed_at=now)
        for scope, version in (*seen, seen[0])
    ]
    DuckDBStore(tmp_path / "home" / "spectra.duckdb").append(records)
    spectra("costs")
    found = [row for row in json.loads(spectra("doctor", "--format", "json").stdout) if row["subject"] == "spans"]
    assert [row["state"] for row in found] == ["note", "note"]
    assert found[0]["detail"].startswith("opentelemetry.instrumentation.google_genai (1 requests) is without a version")
    assert found[1]["detail"].startswith("opentelemetry.instrumentation.openai.v1 0.99.0 (2 requests) is newer than")


def test_the_version_of_a_scope_is_recorded() -> None:
    """As the span says it."""
    tracer = TracerProvider().get_tracer("opentelemetry.instrumentation.openai.v1", "0.62.4")
    span = tracer.start_span("openai.chat", attributes={"gen_ai.request.model": "gpt-4o", "llm.request.type": "chat"})
    span.end()
    assert isinstance(span, ReadableSpan)
    (tracked,) = UsageProcessor().process([span])
    record = record_of(tracked)
    assert record is not None
    assert (record["instrumentation"], record["instrumentation_version"]) == (
        "opentelemetry.instrumentation.openai.v1",
        "0.62.4",
    )
