"""``basicauth``: lets requests in that carry a name and password of an htpasswd file, or gives one to those that go out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.config.decode import Opaque
from spectra_otel.errors import ConfigError

_SHA = "{SHA}"
_BCRYPT = ("$2a$", "$2b$", "$2y$")
_NOT_SUPPORTED = ("$apr1$", "$1$", "$5$", "$6$", "{SSHA}")
_IS_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}").fullmatch
_BCRYPT_BYTES = 72
"""Bcrypt looks at no more of a password."""
_KEY = secrets.token_bytes(32)
_NO_TEXT = Opaque("")


@dataclass(slots=True)
class Htpasswd:
    """Where names and passwords are; ``inline`` wins over ``file``."""

    file: str = ""
    inline: Opaque = _NO_TEXT
    """``name:password`` lines."""


@dataclass(slots=True)
class ClientAuth:
    """Who an exporter is."""

    username: str = ""
    username_file: str = ""
    """Wins over ``username``, and is read for every request."""
    password: Opaque = _NO_TEXT
    password_file: str = ""
    """Likewise."""


@dataclass(slots=True)
class BasicAuthConfig:
    """Settings of ``basicauth``, named as the collector's: one of the two."""

    htpasswd: Htpasswd | None = None
    client_auth: ClientAuth | None = None

    def validate(self) -> None:
        """Raise ConfigError unless there are names."""
        if self.htpasswd is not None and self.client_auth is not None:
            raise ConfigError("only one of `htpasswd` and `client_auth` can be specified")
        if self.client_auth is not None:
            if not (self.client_auth.username or self.client_auth.username_file):
                raise ConfigError("client_auth: username is empty")
        elif self.htpasswd is None or not (self.htpasswd.file or self.htpasswd.inline.reveal()):
            raise ConfigError("no credential source provided")


class BasicAuth:
    """Passwords are in the clear, ``{SHA}`` digests as ``htpasswd -s`` writes them, or bcrypt's (``htpasswd -B``).

    Raises :class:`ConfigError` for a digest of another kind: to refuse everybody silently would be worse.
    """

    def __init__(self, config: BasicAuthConfig) -> None:
        assert config.htpasswd is not None  # validated
        try:
            text = Path(config.htpasswd.file).read_text() if config.htpasswd.file else ""
        except OSError as error:
            raise ConfigError(f"htpasswd::file: cannot read '{config.htpasswd.file}': {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"htpasswd::file: cannot read '{config.htpasswd.file}': it is no UTF-8 text") from error
        self._passwords: dict[str, str] = {}
        self._proved: dict[str, bytes] = {}
        for line in f"{text}\n{config.htpasswd.inline.reveal()}".splitlines():
            name, colon, password = line.strip().partition(":")
            if not colon:
                continue
            if password.startswith(_NOT_SUPPORTED) or (password.startswith(_BCRYPT) and not _IS_BCRYPT(password)):
                valid = f"bcrypt, {_SHA}, plain text"
                raise ConfigError(
                    f"htpasswd: the digest of '{name}' is of a kind that is not supported, valid: {valid}"
                )
            self._passwords[name] = password
        self.is_slow = any(password.startswith(_BCRYPT) for password in self._passwords.values())
        """Whether to look at a password takes a tenth of a second."""
        if self.is_slow and not find_spec("bcrypt"):
            raise ConfigError(
                "htpasswd: digests of bcrypt need bcrypt, which is not installed: pip install 'spectra-otel[collector]'"
            )

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Why a request with these headers is not let in."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return "no basic auth provided"
        try:
            name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "invalid authorization header"
        return None if self._matches(name, password) else "invalid credentials"

    def _matches(self, name: str, given: str) -> bool:
        stored = self._passwords.get(name)
        if stored is None:
            hmac.compare_digest(given.encode(), b"-")
            return False
        if stored.startswith(_SHA):
            digest = base64.b64encode(hashlib.sha1(given.encode(), usedforsecurity=False).digest()).decode()
            return hmac.compare_digest(stored.removeprefix(_SHA), digest)
        if stored.startswith(_BCRYPT):
            return self._matches_slowly(name, stored, given.encode())
        return hmac.compare_digest(stored.encode(), given.encode())

    def _matches_slowly(self, name: str, stored: str, given: bytes) -> bool:
        """A password that was right once is known by a digest of this process: senders give it with each request."""
        digest = hmac.digest(_KEY, given, "sha256")
        if hmac.compare_digest(self._proved.get(name, b""), digest):
            return True
        import bcrypt

        if is_right := bcrypt.checkpw(given[:_BCRYPT_BYTES], stored.encode()):
            self._proved[name] = digest
        return is_right


class BasicCredentials:
    """Name and password for the requests of exporters. Raises :class:`ConfigError` for a file that cannot be read."""

    def __init__(self, config: ClientAuth) -> None:
        self._config = config
        try:
            self.headers()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"client_auth: cannot read the credentials: {error}") from error

    def headers(self) -> dict[str, str]:
        """What an exporter's request carries. Raises :class:`OSError` for a file that went away."""
        name = _content(self._config.username_file) or self._config.username
        password = _content(self._config.password_file) or self._config.password.reveal()
        pair = base64.b64encode(f"{name}:{password}".encode()).decode()
        return {"authorization": f"Basic {pair}"}


def _content(path: str) -> str:
    return Path(path).read_text().strip() if path else ""


def factory() -> Factory[BasicAuthConfig, BasicAuth | BasicCredentials]:
    """Make the factory."""
    return Factory("basicauth", Stability.BETA, BasicAuthConfig, _create)


def _create(id_: ComponentID, config: BasicAuthConfig) -> BasicAuth | BasicCredentials:
    return BasicAuth(config) if config.client_auth is None else BasicCredentials(config.client_auth)
