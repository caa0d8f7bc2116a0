"""``basicauth``: lets requests in that carry a name and password of an htpasswd file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.config.decode import Opaque
from spectra_otel.errors import ConfigError

_SHA = "{SHA}"
_NO_TEXT = Opaque("")


@dataclass(slots=True)
class Htpasswd:
    """Where names and passwords are; ``inline`` wins over ``file``."""

    file: str = ""
    inline: Opaque = _NO_TEXT
    """``name:password`` lines."""


@dataclass(slots=True)
class BasicAuthConfig:
    """Settings of ``basicauth``, named as the collector's."""

    htpasswd: Htpasswd | None = None

    def validate(self) -> None:
        """Raise ConfigError unless there are names."""
        if self.htpasswd is None or not (self.htpasswd.file or self.htpasswd.inline.reveal()):
            raise ConfigError("no credential source provided")


class BasicAuth:
    """Passwords are in the clear, or ``{SHA}`` digests as ``htpasswd -s`` writes them.

    Raises :class:`ConfigError` for a digest of another kind: to refuse everybody silently would be worse.
    """

    def __init__(self, config: BasicAuthConfig) -> None:
        assert config.htpasswd is not None  # validated
        try:
            text = Path(config.htpasswd.file).read_text() if config.htpasswd.file else ""
        except OSError as error:
            raise ConfigError(f"htpasswd::file: cannot read '{config.htpasswd.file}': {error.strerror}") from error
        self._passwords: dict[str, str] = {}
        for line in f"{text}\n{config.htpasswd.inline.reveal()}".splitlines():
            name, colon, password = line.strip().partition(":")
            if not colon:
                continue
            if password.startswith(("$apr1$", "$2")):
                raise ConfigError(
                    f"htpasswd: the digest of '{name}' is of a kind that is not supported, valid: {_SHA}, plain text"
                )
            self._passwords[name] = password

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Why a request with these headers is not let in."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return "no basic auth provided"
        try:
            name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "invalid authorization header"
        return None if _matches(self._passwords.get(name), password) else "invalid credentials"


def _matches(stored: str | None, given: str) -> bool:
    if stored is None:
        hmac.compare_digest(given.encode(), b"-")
        return False
    if stored.startswith(_SHA):
        digest = base64.b64encode(hashlib.sha1(given.encode(), usedforsecurity=False).digest()).decode()
        return hmac.compare_digest(stored.removeprefix(_SHA), digest)
    return hmac.compare_digest(stored.encode(), given.encode())


def factory() -> Factory[BasicAuthConfig, BasicAuth]:
    """Make the factory."""
    return Factory("basicauth", Stability.BETA, BasicAuthConfig, _create)


def _create(id_: ComponentID, config: BasicAuthConfig) -> BasicAuth:
    return BasicAuth(config)
