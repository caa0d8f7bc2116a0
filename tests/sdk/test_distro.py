from __future__ import annotations

import pytest
from opentelemetry.util._importlib_metadata import EntryPoint

from spectra_otel import faults
from spectra_otel.sdk import hook, runtime
from spectra_otel.sdk.distro import SpectraDistro

SIGNALS = ("TRACES", "METRICS", "LOGS")


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variables of OpenTelemetry's, and those that the distro sets are taken back."""
    for signal in SIGNALS:
        for name in (f"OTEL_{signal}_EXPORTER", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def exporters() -> dict[str, str]:
    import os

    SpectraDistro().configure()
    return {signal: os.environ[f"OTEL_{signal}_EXPORTER"] for signal in SIGNALS}


def test_without_an_endpoint_nothing_is_exported(clean: pytest.MonkeyPatch) -> None:
    """With no variable set every signal's exporter is none."""
    assert exporters() == dict.fromkeys(SIGNALS, "none")


def test_an_endpoint_for_all_turns_all_on(clean: pytest.MonkeyPatch) -> None:
    """A general endpoint is for all signals, as OpenTelemetry has it."""
    clean.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    assert exporters() == dict.fromkeys(SIGNALS, "otlp")


def test_an_endpoint_for_traces_turns_traces_on(clean: pytest.MonkeyPatch) -> None:
    """An endpoint of one signal is for that signal."""
    clean.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4318/v1/traces")
    assert exporters() == {"TRACES": "otlp", "METRICS": "none", "LOGS": "none"}


def test_what_is_set_stays(clean: pytest.MonkeyPatch) -> None:
    """The distro overrides nothing."""
    clean.setenv("OTEL_TRACES_EXPORTER", "console")
    assert exporters()["TRACES"] == "console"


def test_a_broken_instrumentor_is_skipped() -> None:
    """An instrumentor that raises is reported and skipped; an import error is the launcher's to judge."""
    distro = SpectraDistro()
    distro.load_instrumentor(EntryPoint("broken", "builtins:int", "opentelemetry_instrumentor"))
    assert faults.counts()["instrumentor broken: AttributeError"] == 1
    with pytest.raises(ModuleNotFoundError):
        distro.load_instrumentor(EntryPoint("absent", "no_such_module:X", "opentelemetry_instrumentor"))


def test_the_hook_raises_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong at start is a line; the launcher would abort otherwise."""

    def broken() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(runtime, "start_from_environment", broken)
    hook.pre_instrument()
    assert "Spectra: not started, the app runs on without it: broken" in caplog.text
