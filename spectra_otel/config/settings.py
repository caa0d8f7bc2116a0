"""The ``SPECTRA_*`` environment variables: one table, from which settings are read and the documentation is made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from spectra_otel.config.decode import Opaque
from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError

PERSISTENCE = ("background", "sync", "after_response")
CAPTURE_CONTENT_OTEL = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The OpenTelemetry switch for message content, honoured where ours is unset."""


_TEN_SECONDS = Duration(10)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a process. Every field is a row of :data:`SETTINGS`, where its meaning stands."""

    enabled: bool = True
    config: str | None = None
    home: str | None = None
    db: str | None = None
    capture_content: bool = False
    content_limit: int = 64 * 1024
    content_redactor: str | None = None
    otel_enabled: bool = False
    otel_endpoint: str = "http://localhost:4318/v1/traces"
    otel_headers: Mapping[str, Opaque] = field(default_factory=dict)
    otel_service_version: str = "1.0.0"
    otel_resource_attributes: Mapping[str, str] = field(default_factory=dict)
    otel_timeout: Duration = _TEN_SECONDS
    span_builder: str | None = None
    request_transformer: str | None = None
    persistence: str = "background"
    provider_hosts: Mapping[str, str] = field(default_factory=dict)
    inject_usage: bool = True
    budgets_url: str | None = None
    prices: tuple[str, ...] = ()
    fx_rates: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable.

    ``name`` is the environment variable and ``field`` the attribute of :class:`Settings` and the keyword of ``configure``;
    ``default`` and ``meaning`` are for the documentation; ``parse`` raises ValueError where ``valid`` is not met.
    """

    name: str
    field: str
    default: str
    meaning: str
    valid: str
    parse: Callable[[str], Any]


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError(text)


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise ValueError
    return number


def _text(text: str) -> str:
    return text


def _persistence(text: str) -> str:
    if text not in PERSISTENCE:
        raise ValueError(text)
    return text


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in _listed(text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(text)
        pairs[key.strip()] = unquote(value.strip())
    return pairs


def _secret_pairs(text: str) -> dict[str, Opaque]:
    return {key: Opaque(value) for key, value in _pairs(text).items()}


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(text)
    return value


def _seconds(text: str) -> Duration:
    """A number of seconds, as the other ``SPECTRA_OTEL_*`` variables are those of Laravel Spectra; a duration with unit too."""
    try:
        value = Duration(text)
    except ValueError:
        value = Duration.parse(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def is_class_path(text: str) -> bool:
    """Whether ``text`` has the form ``package.module:Class``."""
    module, colon, name = text.partition(":")
    return bool(colon) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def _class_path(text: str) -> str:
    if not is_class_path(text):
        raise ValueError(text)
    return text


_BOOLEAN = "true or false"
_CLASS_PATH = "package.module:Class"
_KEY_VALUES = "key=value,key2=value2"

SETTINGS: tuple[Setting, ...] = (
    Setting("SPECTRA_ENABLED", "enabled", "true", "`false`: nothing is attached.", _BOOLEAN, _boolean),
    Setting("SPECTRA_CONFIG", "config", "–", "The pipeline file; unset: the built-in pipeline.", "a path or URI", _text),
    Setting("SPECTRA_HOME", "home", "platform data folder", "Spool, database, budgets and media.", "a folder", _text),
    Setting("SPECTRA_DB", "db", "`$SPECTRA_HOME/spectra.duckdb`", "The DuckDB file.", "a path", _text),
    Setting(
        "SPECTRA_CAPTURE_CONTENT", "capture_content", "false",
        f"Keep prompts and answers; where unset, `{CAPTURE_CONTENT_OTEL}` decides.", _BOOLEAN, _boolean,
    ),
    Setting(
        "SPECTRA_CONTENT_LIMIT", "content_limit", "65536", "Characters that are kept of one prompt or answer, at most.",
        "a whole number above 0", _positive,
    ),
    Setting(
        "SPECTRA_CONTENT_REDACTOR", "content_redactor", "–",
        "`redact(body, kind)` gives what to keep of a request's or response's body; if it raises, nothing is kept.",
        "package.module:function", _class_path,
    ),
    Setting(
        "SPECTRA_OTEL_ENABLED", "otel_enabled", "false",
        "Send to one more OTLP/HTTP destination, which the next five describe.", _BOOLEAN, _boolean,
    ),
    Setting(
        "SPECTRA_OTEL_ENDPOINT", "otel_endpoint", "`http://localhost:4318/v1/traces`",
        "Its whole URL, path included.", "a URL such as http://localhost:4318/v1/traces", _text,
    ),
    Setting(
        "SPECTRA_OTEL_HEADERS", "otel_headers", "–", "Headers of every request to it.", _KEY_VALUES, _secret_pairs
    ),
    Setting(
        "SPECTRA_OTEL_SERVICE_VERSION", "otel_service_version", "1.0.0",
        "`service.version` of what it gets; the default gives way to the application's own.", "a version", _text,
    ),
    Setting(
        "SPECTRA_OTEL_RESOURCE_ATTRIBUTES", "otel_resource_attributes", "–",
        "Resource attributes of what it gets, on top of the application's.", _KEY_VALUES, _pairs,
    ),
    Setting(
        "SPECTRA_OTEL_TIMEOUT", "otel_timeout", "10", "Seconds for one export, retries included.",
        "a number of seconds above 0", _seconds,
    ),
    Setting(
        "SPECTRA_SPAN_BUILDER", "span_builder", "–", "Builds the spans of every exporter that has no `span_builder` of its own.",
        _CLASS_PATH, _class_path,
    ),
    Setting(
        "SPECTRA_REQUEST_TRANSFORMER", "request_transformer", "–", "Makes the mapping that span builders and events get.",
        _CLASS_PATH, _class_path,
    ),
    Setting(
        "SPECTRA_PERSISTENCE", "persistence", "background",
        "When a record is on disk: before the call returns (`sync`), soon (`background`), or at the end of the web request "
        "(`after_response`).",
        ", ".join(PERSISTENCE), _persistence,
    ),
    Setting(
        "SPECTRA_PROVIDER_HOSTS", "provider_hosts", "–", "Which provider's wire format and prices an unknown host has.",
        "host=provider, such as localhost:8000=openai,llm.corp=anthropic", _pairs,
    ),
    Setting("SPECTRA_INJECT_USAGE", "inject_usage", "true", "Ask OpenAI-compatible streams for usage.", _BOOLEAN, _boolean),
    Setting(
        "SPECTRA_BUDGETS_URL", "budgets_url", "`sqlite:///$SPECTRA_HOME/budgets.db`", "Where budgets are counted.",
        "sqlite:///path or redis://host", _text,
    ),
    Setting("SPECTRA_PRICES", "prices", "–", "Files of price overrides; later ones win.", "paths with commas between", _listed),
    Setting("SPECTRA_FX_RATES", "fx_rates", "the shipped table", "File of rates of other currencies.", "a path", _text),
    Setting("SPECTRA_METADATA", "metadata", "–", "Metadata of every record of the process.", "a JSON object", _json_object),
    Setting("SPECTRA_TAGS", "tags", "–", "Tags of every record of the process.", "words with commas between", _listed),
)  # fmt: skip
"""Every variable, in the order of the documentation."""


def read_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings of this process.

    Args:
        environ: Where variables are; the process's environment if None. An empty value counts as unset.
        overrides: Fields of :class:`Settings`, as ``configure(...)`` takes them; None means "not given". Text is read as
            the variable's.

    Raises:
        ConfigError: One line: setting, value, valid values.
    """
    environ = os.environ if environ is None else environ
    by_field = {setting.field: setting for setting in SETTINGS}
    for name in overrides:
        if name not in by_field:
            raise ConfigError(f"configure(): unknown setting '{name}', valid: {', '.join(by_field)}")
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = environ.get(setting.name, "").strip()
        if text:
            values[setting.field] = _parse(setting, setting.name, text)
        given = overrides.get(setting.field)
        if given is not None:
            values[setting.field] = _override(setting, given)
    _capture_content_of_otel(environ, values)
    _prefer_given_version(values)
    return Settings(**values)


def _parse(setting: Setting, source: str, text: str) -> Any:
    try:
        return setting.parse(text)
    except ValueError:  # a ConfigError and a JSONDecodeError are ValueErrors too
        shown = Opaque(text) if setting.parse is _secret_pairs else f"'{text}'"
        raise ConfigError(f"{source}: got {shown}, valid: {setting.valid}") from None


def _override(setting: Setting, given: Any) -> Any:
    if isinstance(given, os.PathLike):
        given = os.fspath(given)
    if isinstance(given, str):
        return _parse(setting, setting.field, given)
    current = getattr(Settings(), setting.field)
    if isinstance(current, Duration) and isinstance(given, int | float):
        return _parse(setting, setting.field, str(given))
    if setting.parse is _secret_pairs and isinstance(given, Mapping):
        return {key: value if isinstance(value, Opaque) else Opaque(str(value)) for key, value in given.items()}
    if isinstance(current, tuple) and isinstance(given, list | tuple | set | frozenset):
        return tuple(map(str, given))
    if current is None or not isinstance(given, Mapping if isinstance(current, Mapping) else type(current)):
        raise ConfigError(f"{setting.field}: got '{given}', valid: {setting.valid}")
    return given


def _capture_content_of_otel(environ: Mapping[str, str], values: dict[str, Any]) -> None:
    text = environ.get(CAPTURE_CONTENT_OTEL, "").strip().lower()
    if text in ("true", "span_only", "event_only", "span_and_event"):
        values.setdefault("capture_content", True)


def _prefer_given_version(values: dict[str, Any]) -> None:
    """A version that somebody gave wins over the application's; the default only fills a gap."""
    version = values.get("otel_service_version")
    if version is not None:
        values["otel_resource_attributes"] = {"service.version": version, **values.get("otel_resource_attributes", {})}
