"""From locations to one tree: reading, deep merging and substitution, as the collector's ``confmap`` does it.

A location is a path or a URI (``file:``, ``env:``, ``yaml:``, ``http:``, ``https:``). Locations merge in order: maps deeply,
lists and scalars by replacement, and a later null wipes an earlier map. Then every ``${…}`` is substituted.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spectra_otel.config.yaml_text import parse_yaml
from spectra_otel.errors import ConfigError

_logger = logging.getLogger(__name__)
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)  # two characters at least: `C:\x.yaml` is a path
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_MAX_EXPANSIONS = 1000
_FETCH_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Expanded:
    """What a value that is exactly one ``${…}`` became: typed by YAML, with the text kept for settings that are strings."""

    value: Any
    text: str


def resolve(locations: Iterable[str], sets: Iterable[str] = ()) -> dict[str, Any]:
    """Read, merge and substitute.

    Args:
        locations: Paths or URIs; later ones win.
        sets: ``a.b=c`` assignments; they win over every location.

    Returns:
        The tree; scalars that came from one ``${…}`` are :class:`Expanded`.

    Raises:
        ConfigError: A location cannot be read or is not a YAML map, or a substitution is not possible.
    """
    tree: dict[str, Any] = {}
    for location in locations:
        tree = merge(tree, _read_location(location))
    return expand(merge_sets(tree, sets))


def merge_sets(tree: Mapping[str, Any], sets: Iterable[str]) -> dict[str, Any]:
    """A new map: ``a.b=c`` assignments on top of ``tree``. Raises :class:`ConfigError`."""
    merged = dict(tree)
    for assignment in sets:
        merged = merge(merged, _read_assignment(assignment))
    return merged


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A new map: ``over`` on top of ``base``; maps merge deeply, everything else, null included, replaces."""
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        merged[key] = merge(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged


def expand(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A new tree in which every ``${…}`` is substituted and ``$$`` is ``$``."""
    expander = _Expander()
    try:
        return {key: expander.expand(value) for key, value in tree.items()}
    except RecursionError:
        raise ConfigError("too many recursive expansions: the configuration contains itself") from None


def _read_location(location: str) -> dict[str, Any]:
    uri = _URI.match(location)
    scheme, rest = uri.groups() if uri else ("file", location)
    tree = parse_yaml(_retrieve(scheme, rest) or "", location if scheme in ("file", "http", "https") else scheme)
    return _as_map(tree, location)


def _read_assignment(assignment: str) -> dict[str, Any]:
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f'--set: missing equal sign in "{assignment}", valid: processors.batch.timeout=2s')
    return _as_map({path.strip().replace(".", "::"): parse_yaml(text, f"--set {path}")}, assignment)


def _as_map(tree: Any, source: str) -> dict[str, Any]:
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: the configuration must be a map, got {type(tree).__name__}")
    nested: dict[str, Any] = {}
    for key, value in tree.items():
        for part in reversed(key.split("::")[1:]):
            value = {part: value}
        nested = merge(nested, {key.split("::")[0]: value})
    return nested


class _Expander:
    """Substitutes in one tree; counts, so that references that never end are an error."""

    def __init__(self) -> None:
        self._expansions = 0

    def expand(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._expand_text(value) if "$" in value else value
        if isinstance(value, dict):
            return {key: self.expand(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.expand(item) for item in value]
        return value

    def _expand_text(self, text: str) -> Any:
        parts: list[str] = []
        position = 0
        while (dollar := text.find("$", position)) >= 0:
            parts.append(text[position:dollar])
            end = _closing_brace(text, dollar + 2) if text.startswith("${", dollar) else -1
            if end >= 0:
                found = self._substitute(text[dollar + 2 : end])
                if dollar == 0 and end == len(text) - 1:
                    return found.value if isinstance(found.value, dict | list) else found
                parts.append(found.text)
                position = end + 1
            else:
                parts.append("$")
                position = dollar + (2 if text.startswith("$$", dollar) else 1)
        parts.append(text[position:])
        return "".join(parts)

    def _substitute(self, reference: str) -> Expanded:
        self._expansions += 1
        if self._expansions > _MAX_EXPANSIONS:
            raise ConfigError(f"too many recursive expansions, last of ${{{reference}}}")
        uri = _URI.match(_text(self.expand(reference)))
        scheme, rest = uri.groups() if uri else ("env", _text(self.expand(reference)))
        text = _retrieve(scheme, rest)
        if text is None:
            return Expanded(None, "")
        if scheme == "env" and not text and ":-" in rest:
            return Expanded("", "")
        value = self.expand(_yaml_or_text(text))
        return Expanded(value.value if isinstance(value, Expanded) else value, _text(self.expand(text.strip())))


def _text(value: Any) -> str:
    return value.text if isinstance(value, Expanded) else str(value)


def _yaml_or_text(text: str) -> Any:
    """Typed where it is YAML; else the text itself: a password may hold anything."""
    try:
        return parse_yaml(text)
    except ConfigError:
        return text


def _closing_brace(text: str, position: int) -> int:
    """Where the brace closes that opened before ``position``; -1 if it never does."""
    depth = 1
    for index in range(position, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return index
    return -1


def _retrieve(scheme: str, rest: str) -> str | None:
    provider = _PROVIDERS.get(scheme)
    if provider is None:
        raise ConfigError(
            f'scheme "{scheme}" is not supported for uri "{scheme}:{rest}", valid: {", ".join(_PROVIDERS)}'
        )
    return provider(rest)


def _from_env(reference: str) -> str | None:
    name, has_default, default = reference.partition(":-")
    if not _VARIABLE.match(name):
        raise ConfigError(f'environment variable "{name}" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$')
    value = os.environ.get(name)
    if value is None and has_default:
        return default
    if value is None:
        _logger.warning("Configuration references unset environment variable %s", name)
    elif not value:
        _logger.info("Configuration references empty environment variable %s", name)
    return value


def _from_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"unable to read the file {path}: not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"unable to read the file {path}: {error.strerror}") from None


def _from_url(scheme: str) -> Callable[[str], str]:
    def fetch(rest: str) -> str:
        from urllib.request import urlopen

        url = f"{scheme}:{rest}"
        try:
            with urlopen(url, timeout=_FETCH_TIMEOUT_SECONDS) as response:
                return str(response.read().decode("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"unable to fetch {url}: {_reason(error)}") from None

    return fetch


def _reason(error: Exception) -> str:
    """Without the ``<urlopen error …>`` around it."""
    inner = getattr(error, "reason", None)
    return str(inner.strerror or inner) if isinstance(inner, OSError) else str(error)


_PROVIDERS: dict[str, Callable[[str], str | None]] = {
    "env": _from_env,
    "file": _from_file,
    "yaml": lambda text: text,
    "http": _from_url("http"),
    "https": _from_url("https"),
}
