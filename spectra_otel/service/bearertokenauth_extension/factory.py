"""``bearertokenauth``: lets requests in that carry a token, and gives it to those that go out."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.config.decode import Opaque
from spectra_otel.errors import ConfigError

_NO_TOKEN = Opaque("")


@dataclass(slots=True)
class BearerTokenConfig:
    """Settings of ``bearertokenauth``, named as the collector's."""

    header: str = "Authorization"
    scheme: str = "Bearer"
    token: Opaque = _NO_TOKEN
    tokens: list[Opaque] = field(default_factory=list)
    """Several that are valid at once, so that a token can be changed without an outage."""
    filename: str = ""
    """A file with one token a line, read again when it changed; wins over the others."""

    def validate(self) -> None:
        """Raise ConfigError unless there is a token."""
        if not (self.token.reveal() or self.tokens or self.filename):
            raise ConfigError("no bearer token provided")


class BearerTokenAuth:
    """Compares in constant time; a file is looked at for every request, and read when it changed."""

    def __init__(self, config: BearerTokenConfig) -> None:
        self._header = config.header.lower()
        self._scheme = config.scheme
        self._file = Path(config.filename) if config.filename else None
        self._tokens = [token.reveal() for token in (config.token, *config.tokens) if token.reveal()]
        self._read_at = 0
        self._read()

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Why a request with these headers is not let in."""
        given = headers.get(self._header, "")
        if not given:
            return f"missing or empty authorization header: {self._header}"
        self._read()
        prefix = f"{self._scheme} " if self._scheme else ""
        matches = [hmac.compare_digest(given.encode(), f"{prefix}{token}".encode()) for token in self._tokens]
        return None if any(matches) else "provided authorization does not match expected scheme or token"

    def headers(self) -> dict[str, str]:
        """What an exporter's request carries: the first token."""
        self._read()
        return {self._header: f"{self._scheme} {self._tokens[0]}".strip()} if self._tokens else {}

    def _read(self) -> None:
        if self._file is None:
            return
        try:
            changed = self._file.stat().st_mtime_ns
            if changed != self._read_at:
                self._tokens = [line.strip() for line in self._file.read_text().splitlines() if line.strip()]
                self._read_at = changed
        except OSError as error:
            if not self._read_at:
                raise ConfigError(f"filename: cannot read '{self._file}': {error.strerror}") from error


def factory() -> Factory[BearerTokenConfig, BearerTokenAuth]:
    """Make the factory."""
    return Factory("bearertokenauth", Stability.BETA, BearerTokenConfig, _create)


def _create(id_: ComponentID, config: BearerTokenConfig) -> BearerTokenAuth:
    return BearerTokenAuth(config)
