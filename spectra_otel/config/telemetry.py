"""``service::telemetry``: what the collector says of itself, named as the OpenTelemetry Collector's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError

LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}
"""Levels of logs, and Python's names for them."""
_TICK = Duration(10)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Of one message, so many are logged in each ``tick``."""

    enabled: bool = True
    tick: Duration = _TICK
    initial: int = 10
    """Messages of a kind that are logged in each tick."""
    thereafter: int = 100
    """Of further ones, every such; 0 for none."""


@dataclass(frozen=True, slots=True)
class Logs:
    """How the collector logs."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        ("development", "disable_caller", "disable_stacktrace", "error_output_paths", "processors")
    )

    level: str = "info"
    encoding: Literal["console", "json"] = "console"
    output_paths: list[str] = field(default_factory=lambda: ["stderr"])
    """``stderr``, ``stdout``, or files."""
    initial_fields: dict[str, Any] = field(default_factory=dict)
    """Fields of every line of ``json``."""
    sampling: Sampling = field(default_factory=Sampling)

    def validate(self) -> None:
        """Raise ConfigError for a level that is none."""
        if self.level.lower() not in LEVELS:
            raise ConfigError(f"service::telemetry::logs::level: got '{self.level}', valid: {', '.join(LEVELS)}")


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Where metrics are served."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        (
            "translation_strategy", "with_resource_constant_labels", "without_scope_info", "without_type_suffix",
            "without_units",
        )
    )  # fmt: skip

    host: str = "localhost"
    port: int = 8888


@dataclass(frozen=True, slots=True)
class PullExporter:
    """``prometheus`` is the only one."""

    prometheus: Prometheus | None = None


@dataclass(frozen=True, slots=True)
class Pull:
    """A reader that is asked for metrics."""

    exporter: PullExporter = field(default_factory=PullExporter)


@dataclass(frozen=True, slots=True)
class Reader:
    """One way to the metrics; those that push are not there."""

    without_effect: ClassVar[frozenset[str]] = frozenset(("periodic",))

    pull: Pull | None = None


@dataclass(frozen=True, slots=True)
class OwnMetrics:
    """Which metrics of its own the collector has, and where."""

    without_effect: ClassVar[frozenset[str]] = frozenset(("views",))

    level: Literal["none", "basic", "normal", "detailed"] = "normal"
    """``none`` for none; the others are the same here."""
    address: str = ""
    """The form of before v0.123; wins over ``readers``."""
    readers: list[Reader] | None = None
    """Absent: Prometheus on localhost:8888."""

    def validate(self) -> None:
        """Raise ConfigError where there is no way to metrics that are wanted."""
        if self.level != "none" and self.readers == [] and not self.address:
            raise ConfigError(
                "service::telemetry: collector telemetry metrics reader should exist when metric level is not none"
            )

    def endpoints(self) -> list[str]:
        """Where Prometheus is served, as ``host:port``."""
        if self.level == "none":
            return []
        if self.address:
            return [self.address]
        readers = [Reader(Pull(PullExporter(Prometheus())))] if self.readers is None else self.readers
        found = [reader.pull.exporter.prometheus for reader in readers if reader.pull is not None]
        return [f"{item.host}:{item.port}" for item in found if item is not None]


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """The whole block."""

    without_effect: ClassVar[frozenset[str]] = frozenset(("resource", "traces"))

    logs: Logs = field(default_factory=Logs)
    metrics: OwnMetrics = field(default_factory=OwnMetrics)

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot be."""
        self.logs.validate()
        self.metrics.validate()
