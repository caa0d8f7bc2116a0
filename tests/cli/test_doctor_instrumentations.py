"""What `spectra doctor` says of other people's instrumentations."""

from __future__ import annotations

import pytest

from spectra_otel.cli import doctor
from spectra_otel.dialects._checked import CHECKED, is_newer


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
