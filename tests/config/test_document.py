"""Whole configuration files: every good one loads, every bad one says exactly what is wrong."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_otel.component import ComponentID, Kind
from spectra_otel.config.decode import Opaque
from spectra_otel.config.document import Document, read_document
from spectra_otel.config.durations import Duration
from spectra_otel.config.load import components, load, validate
from spectra_otel.config.resolve import expand
from spectra_otel.errors import ConfigError

ROOT = Path(__file__).parents[2]
TESTDATA = Path(__file__).parent / "testdata"


@pytest.mark.parametrize("path", sorted(TESTDATA.glob("bad_*.yaml")), ids=lambda path: path.stem)
def test_a_bad_file_says_exactly_what_is_wrong(path: Path) -> None:
    """Each `bad_*.yaml` begins with the lines it must give."""
    lines = path.read_text().splitlines()
    expected = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]
    assert expected
    assert validate([str(path)]) == [line.replace("{path}", str(path)) for line in expected]


def test_a_full_file_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids with names, null components, substitution into secrets, comma lists and durations arrive as meant."""
    monkeypatch.setenv("TEST_TOKEN", "abc: def")
    monkeypatch.setenv("TEST_TENANT", "007")
    document = load(TESTDATA / "good_full.yaml")
    http = document.exporters[ComponentID("otlp_http", "backend-1.eu")].config
    assert http.headers == {"authorization": Opaque("Bearer abc: def"), "x-tenant": Opaque("007")}
    assert http.timeout == Duration.parse("90s")
    assert http.cost_aliases == ["logfire", "phoenix"]
    assert http.url == "https://otlp.example.com/base/v1/traces"
    assert document.exporters[ComponentID("file")].config.rotation.max_megabytes == 100
    receiver = document.receivers[ComponentID("otlp")].config.protocols
    assert (receiver.grpc.endpoint, receiver.http.endpoint) == ("localhost:4317", "0.0.0.0:4318")
    assert document.receivers[ComponentID("otlp", "enriched")].config.protocols.grpc is None
    assert [str(spec.id) for spec in document.pipelines] == ["traces", "traces/contract", "metrics"]
    assert document.telemetry is not None
    assert document.telemetry.logs.level == "info"


@pytest.mark.parametrize(
    ("processors", "idle"),
    [("[usage, cost]", []), ("[]", ["duckdb"]), ("[cost, usage]", ["cost"]), ("[batch, cost]", ["cost", "duckdb"])],
)
def test_a_component_that_has_nothing_to_do_is_named(
    processors: str, idle: list[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A store would stay empty, and calls without a price, and nobody would know why."""
    (tmp_path / "c.yaml").write_text(
        "receivers: {otlp: {protocols: {http: }}}\nprocessors: {usage: , cost: , batch: }\nexporters: {duckdb: , debug: }\n"
        f"service: {{pipelines: {{traces: {{receivers: [otlp], processors: {processors}, exporters: [debug, duckdb]}}}}}}"
    )
    assert validate([str(tmp_path / "c.yaml")]) == []
    assert caplog.messages == [
        f'service::pipelines::traces: "{id_}" has nothing to do without the processor "usage" before it' for id_ in idle
    ]


def test_settings_that_tune_another_program_are_taken_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Each is named once."""
    document = load(TESTDATA / "good_tuned.yaml")
    named = [message.removesuffix(" has no effect here") for message in caplog.messages]
    assert len(named) == len(set(named)) == 16
    assert {
        "exporters::debug: 'sampling_initial'",
        "'service.telemetry.resource'",
        "exporters::otlp_grpc: 'tls.reload_interval'",
    } <= set(named)
    assert document.telemetry is not None
    assert document.telemetry.metrics.endpoints() == ["0.0.0.0:8889"]


def test_secrets_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump of the settings shows that there is one, not which."""
    monkeypatch.setenv("TEST_TOKEN", "s3cr3t")
    assert "s3cr3t" not in repr(load(TESTDATA / "good_full.yaml"))


def test_deprecated_names_work_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    """`otlphttp` and `otlp` are the exporters of before."""
    with caplog.at_level(logging.WARNING):
        document = load(TESTDATA / "good_aliases.yaml")
    assert {str(id_): item.factory.type for id_, item in document.exporters.items()} == {
        "otlphttp": "otlp_http",
        "otlp/tempo": "otlp_grpc",
    }
    assert 'exporters: "otlphttp" is deprecated, use "otlp_http" instead' in caplog.messages


def test_the_file_at_the_top_of_the_repository_is_good(caplog: pytest.LogCaptureFixture) -> None:
    """collector-config.yaml is a configuration, not a picture of one, and loads without a warning."""
    assert validate([str(ROOT / "collector-config.yaml")]) == []
    assert not caplog.messages


def test_the_example_of_the_documentation_is_good(tmp_path: Path) -> None:
    """What docs/configuration.md shows can be used."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    example = text.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "example.yaml").write_text(example)
    assert validate([str(tmp_path / "example.yaml")]) == []


def test_components_lists_what_is_installed() -> None:
    """Every component with its kind, stability and alias."""
    listed = {(info.kind, info.type): info for info in components()}
    assert {("receivers", "otlp"), ("exporters", "debug"), ("exporters", "file")} <= set(listed)
    assert listed["exporters", "otlp_http"].deprecated_alias == "otlphttp"


def test_load_names_the_first_problem_and_counts_the_rest() -> None:
    """One line where one line is wanted."""
    with pytest.raises(ConfigError, match=r"references receiver .* \(and 2 more, see `spectra validate`\)\Z"):
        load(TESTDATA / "bad_references.yaml")


def test_a_missing_file_is_one_line() -> None:
    """No traceback for a typo in a path."""
    with pytest.raises(ConfigError, match=r"\Aunable to read the file nope.yaml: No such file or directory\Z"):
        load("nope.yaml")


_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["${env:X}", "$"])
)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["otlp", "protocols", "http", "endpoint", "cost", "debug", "a/", "traces", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*(kind.value for kind in Kind), "connectors", "service", "y"]), _TREES))
def test_whatever_a_file_holds_is_answered_in_lines(tree: dict[str, Any]) -> None:
    """Never a traceback: a document, or what is wrong with it."""
    document, problems = read_document(expand(tree))
    assert isinstance(document, Document)
    assert all(isinstance(problem, str) and problem for problem in problems)


@pytest.mark.parametrize("section", ["receivers", "service"])
def test_line_breaks_in_a_file_do_not_break_a_message(section: str) -> None:
    """One problem is one line, whatever name it quotes."""
    _, problems = read_document({section: {"a\nb": 1}})
    assert problems
    assert all("\n" not in problem for problem in problems)
