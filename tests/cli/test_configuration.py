"""`validate`, `print-config`, `components` and `init`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.support import Spectra, rows_of

ROOT = Path(__file__).parents[2]
GOOD = """
receivers: {otlp: {protocols: {http: {}}}}
processors: {usage: , cost: {}}
exporters: {duckdb: , otlp_http: {endpoint: "http://localhost:4318", headers: {authorization: "Bearer secret-token"}}}
service: {pipelines: {traces: {receivers: [otlp], processors: [usage, cost], exporters: [duckdb, otlp_http]}}}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    return path


def test_a_good_file_is_valid(spectra: Spectra, good: Path) -> None:
    """Status 0, and nothing on stdout."""
    result = spectra("validate", "--config", good)
    assert (result.exit_code, result.stdout) == (0, "")


def test_each_thing_that_is_wrong_is_one_line(spectra: Spectra, tmp_path: Path) -> None:
    """In the collector's words."""
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD.replace("http: {}", "htttp: {}").replace("cost: {}", "csot: {}"))
    result = spectra("validate", "--config", path)
    assert result.exit_code == 1
    assert "'protocols' has invalid keys: htttp" in result.stderr
    assert 'unknown type: "csot" for id: "csot"' in result.stderr


def test_set_is_checked_too(spectra: Spectra, good: Path) -> None:
    """The highest precedence of all."""
    assert spectra("validate", "--config", good, "--set", "processors.cost.prices=nowhere").exit_code in (0, 1)
    assert spectra("validate", "--config", good, "--set", "processors.cost.prize=1").exit_code == 1


def test_validate_takes_the_variable(spectra: Spectra, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --config; with neither it is a usage error."""
    assert spectra("validate").exit_code == 2
    monkeypatch.setenv("SPECTRA_CONFIG", str(good))
    assert spectra("validate").exit_code == 0


def test_the_configuration_in_effect_shows_no_secret(spectra: Spectra, good: Path) -> None:
    """As YAML that can be read back, or JSON."""
    result = spectra("print-config", "--config", good)
    assert "secret-token" not in result.stdout
    tree = yaml.safe_load(result.stdout)
    assert tree["exporters"]["otlp_http"]["headers"] == {"authorization": "[REDACTED]"}
    assert tree == json.loads(spectra("print-config", "--config", good, "--format", "json").stdout)


def test_the_configuration_in_effect_shows_secrets_where_that_is_asked_for(spectra: Spectra, good: Path) -> None:
    """To run it elsewhere; as `--mode` of the OpenTelemetry Collector."""
    tree = yaml.safe_load(spectra("print-config", "--config", good, "--mode", "unredacted").stdout)
    assert "secret-token" in tree["exporters"]["otlp_http"]["headers"]["authorization"]
    assert "secret-token" not in spectra("print-config", "--config", good, "--mode", "redacted").stdout


def test_an_address_does_not_say_who_calls(spectra: Spectra, good: Path) -> None:
    """Nor does a configuration that is given in place stand in what is said of it."""
    proxy = ("--set", "exporters.otlp_http.proxy_url=http://ann:hunter2@proxy:3128")
    shown = spectra("print-config", "--config", good, *proxy).stdout
    assert yaml.safe_load(shown)["exporters"]["otlp_http"]["proxy_url"] == "http://[REDACTED]@proxy:3128"
    assert "hunter2" in spectra("print-config", "--config", good, *proxy, "--mode", "unredacted").stdout
    result = spectra("validate", "--config", f"yaml:{good.read_text()}")
    assert (result.exit_code, result.stderr) == (0, "yaml:…: valid\n")


def test_the_configuration_in_effect_can_be_read_back(spectra: Spectra, tmp_path: Path) -> None:
    """What is off in it stays off: an empty block would be on with its defaults."""
    full = ROOT / "tests" / "config" / "testdata" / "good_full.yaml"
    first = spectra("print-config", "--config", full, "--mode", "unredacted").stdout
    (tmp_path / "printed.yaml").write_text(first)
    assert "grpc" not in yaml.safe_load(first)["receivers"]["otlp/enriched"]["protocols"]
    assert spectra("print-config", "--config", tmp_path / "printed.yaml", "--mode", "unredacted").stdout == first


def test_without_a_file_the_built_in_configuration_is_in_effect(
    spectra: Spectra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what the variables say filled in."""
    monkeypatch.setenv("SPECTRA_OTEL_ENABLED", "true")
    tree = yaml.safe_load(spectra("print-config").stdout)
    assert tree["service"]["pipelines"]["traces"]["processors"] == ["usage", "cost", "budget"]
    assert tree["service"]["pipelines"]["traces"]["exporters"] == ["duckdb", "otlp_http/spectra_otel"]


def test_components_have_a_stability(spectra: Spectra) -> None:
    """Each that is installed."""
    rows = rows_of(spectra("components", "--format", "json"))
    found = {(row["kind"], row["type"]) for row in rows}
    assert {("processors", "usage"), ("processors", "cost"), ("exporters", "duckdb"), ("receivers", "otlp")} <= found
    assert {row["stability"] for row in rows} <= {"development", "alpha", "beta", "stable"}
    assert "otlphttp" in {row["deprecated_alias"] for row in rows}


def test_components_may_be_listed_as_the_collector_does(spectra: Spectra) -> None:
    """YAML with the stability of each by signal."""
    tree = yaml.safe_load(spectra("components", "--format", "yaml").stdout)
    assert list(tree) == ["buildinfo", "receivers", "processors", "exporters", "connectors", "extensions"]
    found = {section: {item["name"]: item["stability"] for item in tree[section]} for section in list(tree)[1:]}
    every = dict.fromkeys(("traces", "metrics", "logs"), "Beta")
    assert found["receivers"]["otlp"] == found["processors"]["batch"] == found["exporters"]["otlp_http"] == every
    assert found["processors"]["cost"] == found["exporters"]["duckdb"] == {"traces": "Beta"}
    assert found["extensions"]["health_check"] == {"extension": "Beta"}


def test_init_writes_the_file_of_the_repository(spectra: Spectra, tmp_path: Path) -> None:
    """With its comments; it is valid as it stands."""
    path = tmp_path / "collector-config.yaml"
    assert spectra("init", path).exit_code == 0
    assert path.read_text() == (ROOT / "collector-config.yaml").read_text()
    assert spectra("validate", "--config", path).exit_code == 0


def test_init_replaces_nothing_unless_told_to(spectra: Spectra, tmp_path: Path) -> None:
    """A file that is there may be somebody's work."""
    path = tmp_path / "collector-config.yaml"
    path.write_text("mine")
    result = spectra("init", path)
    assert (result.exit_code, path.read_text()) == (1, "mine")
    assert "--force" in result.stderr
    assert spectra("init", path, "--force").exit_code == 0
    assert spectra("init", tmp_path / "nowhere" / "a.yaml").exit_code == 1
