"""Settings of `redaction`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from spectra_otel.errors import ConfigError


@dataclass(slots=True)
class RedactionConfig:
    """Settings of the `redaction` processor, named as the collector's."""

    allow_all_keys: bool = False
    """True: every attribute is kept (and its value looked at); False: only `allowed_keys`."""
    allowed_keys: list[str] = field(default_factory=list)
    ignored_keys: list[str] = field(default_factory=list)
    """Kept as they are, unlooked at."""
    ignored_key_patterns: list[str] = field(default_factory=list)
    """Regular expressions; keys that match are ignored too."""
    blocked_key_patterns: list[str] = field(default_factory=list)
    """Regular expressions; the value of a key that matches is masked whole."""
    blocked_values: list[str] = field(default_factory=list)
    """Regular expressions; what matches within a value is masked."""
    allowed_values: list[str] = field(default_factory=list)
    """Regular expressions; a value that matches is kept whatever `blocked_values` say."""
    redact_all_types: bool = False
    """Look at numbers and other values too, as text."""
    hash_function: Literal["", "sha1", "sha3", "md5"] = ""
    """Instead of `****`: the hex digest of what was masked."""
    summary: Literal["", "silent", "info", "debug"] = ""
    """`info` and `debug` add attributes that count (and name) what was removed and masked."""

    def validate(self) -> None:
        """Raise ConfigError for a pattern that is no regular expression."""
        for name in ("ignored_key_patterns", "blocked_key_patterns", "blocked_values", "allowed_values"):
            for pattern in getattr(self, name):
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise ConfigError(f"{name}: got '{pattern}', valid: a regular expression ({error})") from None
