"""Settings of the ``duckdb`` exporter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spectra_otel.errors import ConfigError
from spectra_otel.model.home import database_path, writable_database_path

WHEN_FULL = ("refuse", "drop_oldest")
MERGE = ("background", "off")


@dataclass(frozen=True, slots=True)
class DuckDBConfig:
    """Where records are kept and how much may wait to be merged."""

    path: str = ""
    """The DuckDB file. Empty: ``SPECTRA_DB``, else ``spectra.duckdb`` in ``SPECTRA_HOME``."""

    max_spool_bytes: int = 1 << 30
    """How much may wait in the spool; 0 = no limit."""

    when_full: str = "refuse"
    """What happens beyond that: ``refuse`` new records (the sender tries again) or ``drop_oldest``."""

    merge: str = "background"
    """``background``: a thread of this process merges when no other does. ``off``: ``spectra`` commands or a collector do it."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for a value that cannot be used."""
        if self.max_spool_bytes < 0:
            raise ConfigError(
                f"max_spool_bytes: {self.max_spool_bytes} is not valid (0 for no limit, or a number of bytes)"
            )
        if self.when_full not in WHEN_FULL:
            raise ConfigError(f'when_full: "{self.when_full}" is not valid (valid values: {", ".join(WHEN_FULL)})')
        if self.merge not in MERGE:
            raise ConfigError(f'merge: "{self.merge}" is not valid (valid values: {", ".join(MERGE)})')
        if self.path and Path(self.path).expanduser().is_dir():
            raise ConfigError(f"path: {self.path} is a folder (valid: the name of a DuckDB file)")

    def database(self) -> Path:
        """The DuckDB file to read, absolute."""
        return database_path(self.path)

    def writable_database(self) -> Path:
        """The DuckDB file to write: another one, with a warning, where the first is in a place that cannot be written."""
        return writable_database_path(self.path)
