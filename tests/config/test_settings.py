"""The ``SPECTRA_*`` variables."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from spectra_otel.config.decode import Opaque
from spectra_otel.config.settings import SETTINGS, Settings, read_settings
from spectra_otel.errors import ConfigError


def test_each_setting_is_one_row_and_one_field() -> None:
    """The table and the dataclass cannot drift apart."""
    assert [setting.field for setting in SETTINGS] == [field.name for field in fields(Settings)]
    assert [setting.name for setting in SETTINGS] == [f"SPECTRA_{setting.field.upper()}" for setting in SETTINGS]


def test_without_variables_everything_has_its_default() -> None:
    """An empty value counts as unset."""
    assert read_settings({}) == Settings() == read_settings({setting.name: " " for setting in SETTINGS})


def test_values_are_typed() -> None:
    """Lists, maps, JSON, booleans and seconds."""
    settings = read_settings(
        {
            "SPECTRA_ENABLED": "False",
            "SPECTRA_PROVIDER_HOSTS": "localhost:8000=openai, llm.corp=anthropic",
            "SPECTRA_METADATA": '{"team": {"name": "ml"}}',
            "SPECTRA_TAGS": "a, b,",
            "SPECTRA_PRICES": "one.yaml,two.yaml",
            "SPECTRA_OTEL_TIMEOUT": "2.5",
            "SPECTRA_OTEL_HEADERS": "authorization=Bearer%20x=,x-team=ml",
            "SPECTRA_OTEL_RESOURCE_ATTRIBUTES": "deployment.region=us-east-1",
        }
    )
    assert settings.enabled is False
    assert settings.provider_hosts == {"localhost:8000": "openai", "llm.corp": "anthropic"}
    assert settings.metadata == {"team": {"name": "ml"}}
    assert settings.tags == ("a", "b")
    assert settings.prices == ("one.yaml", "two.yaml")
    assert settings.otel_timeout == 2.5
    assert settings.otel_headers == {"authorization": Opaque("Bearer x="), "x-team": Opaque("ml")}
    assert settings.otel_resource_attributes == {"deployment.region": "us-east-1"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SPECTRA_ENABLED", "maybe", "SPECTRA_ENABLED: got 'maybe', valid: true or false"),
        ("SPECTRA_PERSISTENCE", "later", "SPECTRA_PERSISTENCE: got 'later', valid: background, sync, after_response"),
        ("SPECTRA_METADATA", "[1]", "SPECTRA_METADATA: got '[1]', valid: a JSON object"),
        ("SPECTRA_METADATA", "{", "SPECTRA_METADATA: got '{', valid: a JSON object"),
        (
            "SPECTRA_PROVIDER_HOSTS", "localhost:8000",
            "SPECTRA_PROVIDER_HOSTS: got 'localhost:8000', "
            "valid: host=provider, such as localhost:8000=openai,llm.corp=anthropic",
        ),
        ("SPECTRA_SPAN_BUILDER", "a.b.C", "SPECTRA_SPAN_BUILDER: got 'a.b.C', valid: package.module:Class"),
        ("SPECTRA_OTEL_TIMEOUT", "-1", "SPECTRA_OTEL_TIMEOUT: got '-1', valid: a number of seconds above 0"),
        ("SPECTRA_OTEL_TIMEOUT", "nan", "SPECTRA_OTEL_TIMEOUT: got 'nan', valid: a number of seconds above 0"),
        ("SPECTRA_OTEL_HEADERS", "s3cr3t", "SPECTRA_OTEL_HEADERS: got [REDACTED], valid: key=value,key2=value2"),
    ],
)  # fmt: skip
def test_a_bad_value_is_one_line(name: str, value: str, message: str) -> None:
    """Setting, value, valid values; a secret stays one."""
    with pytest.raises(ConfigError) as error:
        read_settings({name: value})
    assert str(error.value) == message


def test_the_switch_of_opentelemetry_for_content_is_honoured() -> None:
    """Where ours is unset; ours decides where it is set."""
    theirs = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}
    assert read_settings(theirs).capture_content is True
    assert read_settings({**theirs, "SPECTRA_CAPTURE_CONTENT": "false"}).capture_content is False
    assert read_settings({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "NO_CONTENT"}).capture_content is False


def test_what_code_gives_wins_over_the_environment() -> None:
    """``configure(db=…)`` takes values of Python as well as text."""
    settings = read_settings(
        {"SPECTRA_DB": "env.duckdb"}, db=Path("code.duckdb"), tags=["a"], enabled=True, prices=None
    )
    assert settings.db == "code.duckdb"
    assert settings.tags == ("a",)
    assert read_settings({}, otel_timeout=3).otel_timeout == 3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("colour", "red", r"configure\(\): unknown setting 'colour', valid: enabled, config, home"),
        ("enabled", 3, r"\Aenabled: got '3', valid: true or false\Z"),
        ("persistence", "later", r"\Apersistence: got 'later', valid: background, sync, after_response\Z"),
        ("db", 3, r"\Adb: got '3', valid: a path\Z"),
    ],
)
def test_a_bad_keyword_is_one_line_too(field: str, value: object, message: str) -> None:
    """`configure` says it as the environment does."""
    with pytest.raises(ConfigError, match=message):
        read_settings({}, **{field: value})


def test_a_service_version_that_somebody_gave_is_an_attribute() -> None:
    """The default gives way to the application's own version, a given one does not."""
    assert "service.version" not in read_settings({}).otel_resource_attributes
    assert read_settings({"SPECTRA_OTEL_SERVICE_VERSION": "2"}).otel_resource_attributes == {"service.version": "2"}
