"""`spectra doctor`: what answers "my call is not there", and what it says of other people's instrumentations."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from spectra_otel.cli import doctor
from spectra_otel.dialects._checked import CHECKED, distribution_of, is_newer
from spectra_otel.model.home import temporary_home
from spectra_otel.model.spans import record_of
from spectra_otel.processors.usage.processor import UsageProcessor
from spectra_otel.testing import make_request
from tests.cli.support import Record, Spectra, store_at


def findings(spectra: Spectra) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for row in json.loads(spectra("doctor", "--format", "json").stdout):
        found.setdefault(row["subject"], []).append(row)
    return found


def test_doctor_on_a_fresh_machine_finds_nothing_wrong(spectra: Spectra) -> None:
    """Versions, launch, configuration, catalog, and a store in which nothing is yet."""
    result = spectra("doctor")
    assert result.exit_code == 0, result.output
    found = findings(spectra)
    assert found["opentelemetry_distro"][0]["state"] == "ok"
    assert "usage → cost" in found["configuration"][0]["detail"]
    assert found["database"][0]["state"] == "note"
    assert "days old" in found["price catalog"][0]["detail"]


def test_doctor_names_models_without_a_price(spectra: Spectra, recorded: list[Record]) -> None:
    """With names that are near, so that an alias can be written."""
    (unpriced,) = findings(spectra)["no price"]
    assert unpriced["state"] == "attention"
    assert 'model "gpt-4ox"' in unpriced["detail"]
    assert "near: gpt-4o" in unpriced["detail"]


def test_doctor_counts_what_waits_in_the_spool(spectra: Spectra, recorded: list[Record], tmp_path: Path) -> None:
    """And leaves it there: to look is not to change."""
    store_at(tmp_path / "home" / "spectra.duckdb").append(recorded[:7])
    assert "7 records in 1 segments" in findings(spectra)["spool"][0]["detail"]


def test_doctor_of_a_store_that_is_only_a_spool_yet(spectra: Spectra, tmp_path: Path) -> None:
    """Records that wait for the first merge are not nothing."""
    store_at(tmp_path / "home" / "spectra.duckdb").append([make_request()])
    assert findings(spectra)["database"][0]["detail"].endswith("made with the next merge")


def test_doctor_fails_where_something_does_not_work(
    spectra: Spectra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken configuration, a file that is no database: status 1, and the other findings all the same."""
    broken = tmp_path / "broken.duckdb"
    broken.write_text("no database\n" * 1000)
    assert spectra("doctor", "--db", broken).exit_code == 1
    monkeypatch.setenv("SPECTRA_CONFIG", str(tmp_path / "none.yaml"))
    result = spectra("doctor")
    assert result.exit_code == 1
    assert "price catalog" in result.stdout


def test_doctor_tells_calls_without_usage_from_models_without_a_price(spectra: Spectra, tmp_path: Path) -> None:
    """The price of a known model is not missing where nobody said what the call used."""
    now = datetime.now(UTC)
    store_at(tmp_path / "home" / "spectra.duckdb").append(
        [make_request(model="gpt-4o", total_cost_in_cents=None, cost_status="unpriced", prompt_tokens=None,
                      completion_tokens=None, started_at=now, completed_at=now, service_name="shop")]
    )  # fmt: skip
    spectra("costs")
    found = findings(spectra)
    assert "no price" not in found
    assert found["no usage"][0]["detail"].startswith("1 requests of openai gpt-4o-2024-08-06 do not say what they used")
    assert found["last call"][0]["detail"] == f"{now:%Y-%m-%d %H:%M:%S} UTC, openai gpt-4o of shop"


def test_doctor_explains_variables_that_hide_calls(
    spectra: Spectra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is off, what a sampler drops, an endpoint that nobody sends to, hosts that are named."""
    for name, value in {
        "OTEL_SDK_DISABLED": "true",
        "OTEL_TRACES_SAMPLER": "always_off",
        "SPECTRA_OTEL_ENDPOINT": "http://localhost:4318/v1/traces",
        "SPECTRA_PROVIDER_HOSTS": "llm.corp=openai",
    }.items():
        monkeypatch.setenv(name, value)
    found = findings(spectra)
    told = " ".join(row["detail"] for row in found["configuration"])
    assert "OTEL_SDK_DISABLED=true: nothing is attached" in told
    assert "OTEL_TRACES_SAMPLER=always_off" in told
    assert "SPECTRA_OTEL_ENABLED is not: nothing is sent there" in told
    assert found["provider hosts"][0]["detail"] == "llm.corp = openai"


def test_doctor_finds_records_that_went_elsewhere(
    spectra: Spectra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that could not write to the proper place kept its records in the temporary one."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert "elsewhere" not in findings(spectra)
    other = temporary_home() / "spectra.duckdb"
    other.parent.mkdir()
    store_at(other).append([make_request()])
    store_at(other).merge_pending()
    assert str(other) in findings(spectra)["elsewhere"][0]["detail"]


def test_doctor_says_when_the_disk_is_nearly_full(spectra: Spectra, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before records are refused."""
    usage = shutil.disk_usage("/")._replace(free=5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert findings(spectra)["disk"][0]["detail"].startswith("5.0 MiB free")


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
    store_at(tmp_path / "home" / "spectra.duckdb").append(records)
    spectra("costs")
    found = findings(spectra)["spans"]
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
