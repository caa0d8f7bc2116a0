"""What the settings add to a configuration, and what is there without one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from spectra_otel.component import ComponentID
from spectra_otel.config.load import load
from spectra_otel.config.settings import read_settings
from spectra_otel.errors import ConfigError

TREE = {
    "receivers": {"otlp": {"protocols": {"http": None}}},
    "processors": {"cost": {}},
    "exporters": {"debug": {}, "file": {"path": "x.jsonl", "span_builder": "own.module:Own"}},
    "service": {
        "pipelines": {"traces": {"receivers": ["otlp"], "processors": ["cost"], "exporters": ["debug", "file"]}}
    },
}


def test_without_a_file_usage_cost_and_budgets_go_to_duckdb() -> None:
    """The built-in pipeline."""
    (spec,) = load().pipelines
    assert [str(id_) for id_ in (*spec.processors, *spec.exporters)] == ["usage", "cost", "budget", "duckdb"]


def test_spectra_config_names_the_file() -> None:
    """What is given in code wins over it."""
    settings = read_settings({"SPECTRA_CONFIG": "nope.yaml"})
    with pytest.raises(ConfigError, match="unable to read the file nope"):
        load(None, settings)
    assert load(TREE, settings).pipelines


def test_a_mapping_is_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same grammar, references and ``--set`` included."""
    monkeypatch.setenv("HOW", "detailed")
    tree = {**TREE, "exporters": {"debug": {"verbosity": "${env:HOW}"}, "file": {"path": "x"}}}
    document = load(tree, sets=["exporters.file.path=y"])
    assert document.exporters[ComponentID("debug")].config.verbosity == "detailed"
    assert document.exporters[ComponentID("file")].config.path == "y"


def test_spectra_otel_variables_add_one_destination() -> None:
    """Every traces pipeline sends to it too."""
    settings = read_settings(
        {
            "SPECTRA_OTEL_ENABLED": "true",
            "SPECTRA_OTEL_ENDPOINT": "http://tempo:4318/v1/traces",
            "SPECTRA_OTEL_HEADERS": "k=v",
        }
    )
    document = load(TREE, settings)
    added = document.exporters[ComponentID("otlp_http", "spectra_otel")].config
    assert added.url == "http://tempo:4318/v1/traces"
    assert added.headers["k"].reveal() == "v"
    assert added.timeout == 10
    assert added.service_version == "1.0.0"
    assert ComponentID("otlp_http", "spectra_otel") in document.pipelines[0].exporters


def test_a_bad_spectra_otel_endpoint_names_the_variable() -> None:
    """Whoever set it finds it."""
    settings = read_settings({"SPECTRA_OTEL_ENABLED": "true", "SPECTRA_OTEL_ENDPOINT": "localhost"})
    with pytest.raises(ConfigError, match=r"\ASPECTRA_OTEL_ENDPOINT: traces_endpoint: got 'localhost', valid: a URL"):
        load(TREE, settings)


def test_settings_fill_in_what_the_file_leaves_open() -> None:
    """A builder for all gives way to an exporter's own; prices go to the cost processor."""
    settings = read_settings({"SPECTRA_SPAN_BUILDER": "for.all:All", "SPECTRA_PRICES": "a.yaml"})
    document = load(TREE, settings)
    assert document.exporters[ComponentID("debug")].config.span_builder == "for.all:All"
    assert document.exporters[ComponentID("file")].config.span_builder == "own.module:Own"
    assert document.processors[ComponentID("cost")].config.prices == ["a.yaml"]


def test_the_built_in_pipeline_needs_no_yaml() -> None:
    """An application without a file does not pay for a parser, nor for gRPC or requests."""
    code = (
        "import sys; from spectra_otel.config.load import load; from spectra_otel.config.settings import read_settings\n"
        "load(None, read_settings({'SPECTRA_OTEL_ENABLED': 'true'}))\n"
        "print([name for name in ('yaml', 'grpc', 'requests', 'duckdb', 'click', 'rich') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
