"""Merging and substitution, as the collector's confmap does them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.config.decode import plain
from spectra_otel.config.resolve import Expanded, expand, resolve
from spectra_otel.config.yaml_text import parse_yaml
from spectra_otel.errors import ConfigError
from tests.serving import Handler, serving


def value_of(text: str) -> Any:
    """``text`` after substitution."""
    return expand({"key": text})["key"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "NUMBER": "0123",
        "LIST": "[1, two]",
        "MAP": "{a: {b: 1}}",
        "TRUE": "true",
        "COLONS": "a: b: c",
        "NAME": "NUMBER",
        "INDIRECT": "${env:NUMBER}",
        "LOOP": "${env:LOOP}",
        "DOLLARS": "pa$$word",
        "EMPTY": "",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UNSET", raising=False)


def test_a_whole_reference_is_typed_by_yaml_and_keeps_its_text() -> None:
    """A string setting can have 0123 verbatim, a number setting 83, as in the collector."""
    assert value_of("${env:NUMBER}") == Expanded(83, "0123")
    assert value_of("${env:TRUE}") == Expanded(True, "true")


def test_a_whole_reference_may_become_a_list_or_a_map() -> None:
    """The value of a variable is YAML."""
    assert value_of("${env:LIST}") == [1, "two"]
    assert value_of("${env:MAP}") == {"a": {"b": 1}}


def test_a_value_that_is_not_yaml_is_text() -> None:
    """A password may hold anything."""
    assert value_of("${env:COLONS}") == Expanded("a: b: c", "a: b: c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://${env:NUMBER}:1", "http://0123:1"),
        ("${NUMBER}-${env:UNSET:-x}", "0123-x"),
        ("$HOME and $$ and $${env:NUMBER}", "$HOME and $ and ${env:NUMBER}"),
        ("a ${env:LIST} b", "a [1, two] b"),
        ("cut ${env:NUMBER", "cut ${env:NUMBER"),
        ("${env:${env:NAME}}!", "0123!"),
        ("${env:UNSET:-${env:NUMBER}}!", "0123!"),
        ("${env:DOLLARS}!", "pa$word!"),
    ],
)
def test_an_embedded_reference_is_always_text(text: str, expected: str) -> None:
    """Naked $VAR stays, $$ is a dollar, references nest."""
    assert value_of(text) == expected


def test_references_in_values_are_substituted_too() -> None:
    """A variable may point to another."""
    assert value_of("${env:INDIRECT}") == Expanded(83, "0123")


def test_an_unset_variable_is_null_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Null means the default of the setting; nobody overlooks it."""
    with caplog.at_level(logging.WARNING):
        assert value_of("${env:UNSET}") == Expanded(None, "")
    assert caplog.messages == ["Configuration references unset environment variable UNSET"]


def test_an_empty_default_is_an_empty_string() -> None:
    """``:-`` without a text is a string, not null."""
    assert value_of("${env:UNSET:-}") == Expanded("", "")
    assert value_of("${env:EMPTY}") == Expanded(None, "")


def test_references_that_never_end_are_an_error() -> None:
    """A variable that points to itself, or a file that holds itself, gives one line."""
    with pytest.raises(ConfigError, match="too many recursive expansions"):
        value_of("${env:LOOP}")
    with pytest.raises(ConfigError, match="too many recursive expansions"):
        expand({"key": parse_yaml("&x [*x]")})


def test_files_and_yaml_can_be_referred_to(tmp_path: Path) -> None:
    """``${file:}`` brings in a tree in which references hold too; ``${yaml:}`` is its own value."""
    (tmp_path / "part.yaml").write_text("a: ${env:NUMBER}\n")
    assert plain(value_of(f"${{file:{tmp_path}/part.yaml}}")) == {"a": 83}
    assert value_of("${yaml:{a: [1]}}") == {"a": [1]}
    with pytest.raises(ConfigError, match=r"unable to read the file .*nope: No such file or directory"):
        value_of(f"${{file:{tmp_path}/nope}}")


def test_a_configuration_can_be_fetched() -> None:
    """`http:` locations, and one line where there is nothing."""

    class Config(Handler):
        def do_GET(self) -> None:
            self.reply(200 if self.path == "/config.yaml" else 404, b"a: 1")

    with serving(Config) as port:
        base = f"http://127.0.0.1:{port}"
        assert resolve([f"{base}/config.yaml"]) == {"a": 1}
        with pytest.raises(ConfigError, match=f"unable to fetch {base}/nope: HTTP Error 404: Not Found"):
            resolve([f"{base}/nope"])
    with pytest.raises(ConfigError, match=f"unable to fetch {base}/config.yaml: Connection refused"):
        resolve([f"{base}/config.yaml"])


def test_maps_merge_deeply_and_lists_are_replaced(tmp_path: Path) -> None:
    """Later locations win, setting by setting."""
    (tmp_path / "a.yaml").write_text("x: {keep: 1, change: 1, list: [1, 2]}\n")
    (tmp_path / "b.yaml").write_text("x: {change: 2, list: [3]}\ny: 1\n")
    assert resolve([str(tmp_path / "a.yaml"), f"file:{tmp_path}/b.yaml"]) == {
        "x": {"keep": 1, "change": 2, "list": [3]},
        "y": 1,
    }


def test_a_later_null_wipes_a_map_and_an_empty_map_does_not() -> None:
    """The trap the collector documents."""
    base = "yaml:processors: {batch: {}}"
    assert resolve([base, "yaml:processors:"]) == {"processors": None}
    assert resolve([base, "yaml:processors: {}"]) == {"processors": {"batch": {}}}


def test_keys_with_double_colons_are_paths() -> None:
    """``yaml:`` locations can name one setting."""
    assert resolve(["yaml:processors::batch::timeout: 2s"]) == {"processors": {"batch": {"timeout": "2s"}}}


def test_set_wins_over_every_location() -> None:
    """``--set`` values are YAML too."""
    assert resolve(["yaml:{a: {b: 1, c: 1}}"], ["a.b=[1, x]", "a.d.e=true"]) == {
        "a": {"b": [1, "x"], "c": 1, "d": {"e": True}}
    }
    with pytest.raises(ConfigError, match="--set: missing equal sign"):
        resolve([], ["a.b"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on", "on"), ("yes", "yes"), ("1:30", "1:30"), ("2026-01-01", "2026-01-01"), ("0123", 83), ("0x1F", 31), ("0o17", 15),
        ("1_000", 1000), ("0b11", 3), ("089", 89.0), ("-010", -8),
        ("1e3", 1000.0), ("~", None), ("", None), ("TRUE", True), ("-.5", -0.5), ("'5'", "5"), ("1__", 1), ("_1", "_1"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_the_collector(text: str, expected: object) -> None:
    """What is text to the collector is text to us."""
    assert parse_yaml(text) == expected


def test_merge_keys_work() -> None:
    """Anchors and ``<<`` save repetition."""
    assert parse_yaml("a: &a {x: 1, y: 1}\nb: {<<: *a, y: 2}")["b"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "f.yaml: nested too deeply"),
        ("a: \x00", "f.yaml: unacceptable character"),
        ("*x", "f.yaml:1:1: found undefined alias"),
    ],
)
def test_what_is_no_yaml_is_one_line(text: str, message: str) -> None:
    """Whatever a file holds."""
    with pytest.raises(ConfigError, match=message) as error:
        parse_yaml(text, "f.yaml")
    assert "\n" not in str(error.value)


def test_python_tags_are_refused() -> None:
    """A configuration file cannot run code."""
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        parse_yaml("!!python/object/apply:os.system [ls]", "f.yaml")
