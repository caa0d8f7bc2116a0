"""``file_storage``: a folder in which exporters keep their sending queues, and receivers how far they read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.errors import ConfigError


@dataclass(slots=True)
class FileStorageConfig:
    """Settings of ``file_storage``, named as the collector's."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        ("timeout", "fsync", "compaction", "directory_permissions", "recreate")
    )

    directory: str = "/var/lib/otelcol/file_storage"
    create_directory: bool = False

    def validate(self) -> None:
        """Raise ConfigError for a folder that is not there and shall not be made."""
        if not self.create_directory and not Path(self.directory).is_dir():
            raise ConfigError(
                f"directory must exist: {self.directory}. You can enable the create_directory option to automatically create it"
            )


class FileStorage:
    """Gives each component a folder of its own. Raises :class:`ConfigError` where nothing can be written."""

    def __init__(self, config: FileStorageConfig) -> None:
        self._directory = Path(config.directory)
        try:
            self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"directory: cannot make '{self._directory}': {error.strerror}") from error
        if not os.access(self._directory, os.W_OK):
            raise ConfigError(f"directory: cannot write to '{self._directory}'")

    def folder(self, name: str) -> Path:
        """Where the component ``name`` keeps what is its own."""
        return self._directory / name


def factory() -> Factory[FileStorageConfig, FileStorage]:
    """Make the factory."""
    return Factory("file_storage", Stability.BETA, FileStorageConfig, _create)


def _create(id_: ComponentID, config: FileStorageConfig) -> FileStorage:
    return FileStorage(config)
