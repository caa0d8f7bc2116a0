"""Settings of the ``file`` exporter, named as the collector's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from spectra_otel.errors import ConfigError
from spectra_otel.sdk.span_export import SpanSettings


@dataclass(slots=True)
class Rotation:
    """When a full file is put aside, and what is kept of those."""

    max_megabytes: int = 100
    """Size in MiB at which the file is renamed to ``name-<time>.ext`` and a new one begun."""

    max_days: int = 0
    """Renamed files older than this are removed; 0 keeps them."""

    max_backups: int = 100
    """How many renamed files are kept; 0 keeps all."""

    localtime: bool = False
    """Local time, not UTC, in the names of renamed files."""


@dataclass(slots=True)
class FileConfig(SpanSettings):
    """Settings of the ``file`` exporter."""

    without_effect: ClassVar[frozenset[str]] = frozenset(("flush_interval",))

    path: str = ""
    """The file; its folder must exist unless ``create_directory``."""

    format: Literal["json"] = "json"
    """One OTLP JSON request per line."""

    append: bool = True
    """False empties a file that is there when the exporter starts."""

    create_directory: bool = False
    """Make the folder of ``path``."""

    rotation: Rotation | None = None
    """Absent: the file grows without bound."""

    def validate(self) -> None:
        """Raise ConfigError with one line that names the setting, the value and what is valid."""
        SpanSettings.validate(self)
        if not self.path:
            raise ConfigError("path must be non-empty")
        if self.rotation is None:
            return
        if not self.append:
            raise ConfigError("append: got 'false' with rotation, valid: true")
        for name, least in (("max_megabytes", 1), ("max_days", 0), ("max_backups", 0)):
            value = getattr(self.rotation, name)
            if value < least:
                raise ConfigError(f"rotation::{name}: got '{value}', valid: {least} or more")
