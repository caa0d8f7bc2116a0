"""From a host to its provider, fast: every HTTP call of the app asks this once.

Known hosts come from the provider modules of this package, from :mod:`~spectra_otel.providers.custom` (entry points, the
``providers`` section of a configuration, code) and from ``SPECTRA_PROVIDER_HOSTS``. A later one takes the place of an earlier.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping

from spectra_otel.errors import ConfigError
from spectra_otel.providers import custom
from spectra_otel.providers.base import Endpoint, Provider

HOSTS_SETTING = "SPECTRA_PROVIDER_HOSTS"
OLLAMA_PORT = 11434
_CACHED_HOSTS = 4096


class Providers:
    """The providers of this process, and which host is whose."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self.by_name: dict[str, Provider] = {}
        self._exact: dict[str, Provider] = {}
        self._patterns: list[tuple[re.Pattern[str], Provider]] = []
        self._cache: dict[tuple[str, int | None], Provider | None] = {}
        for provider in providers:
            self.add(provider)

    def add(self, provider: Provider) -> None:
        """Make a provider known, in place of one of the same name."""
        self.by_name[provider.name] = provider
        for host in provider.hosts:
            if "{" in host:
                pattern = re.sub(r"\\{\w+\\}", r"[^.]+", re.escape(host))
                self._patterns.append((re.compile(pattern + r"\Z"), provider))
            else:
                self._exact[host] = provider
        self._cache.clear()

    def of_host(self, host: str, port: int | None) -> Provider | None:
        """Who lives there; None for a host nobody named."""
        key = (host, port)
        try:
            return self._cache[key]
        except KeyError:
            if len(self._cache) >= _CACHED_HOSTS:
                self._cache.clear()
            found = self._cache[key] = self._find(host.lower(), port)
            return found

    @property
    def compatible(self) -> Provider:
        """The stand-in for hosts that nobody named but that speak a known format."""
        return self.by_name["openai_compatible"]

    def unnamed(self, path: str) -> tuple[Endpoint, dict[str, str]] | None:
        """The row for a POST to a host that nobody named, judged by its path alone."""
        return self.compatible.endpoint("POST", path)

    def _find(self, host: str, port: int | None) -> Provider | None:
        named = self._exact.get(f"{host}:{port}") or self._exact.get(host)
        if named is not None:
            return named
        for pattern, provider in self._patterns:
            if pattern.match(host):
                return provider
        return self.by_name.get("ollama") if port == OLLAMA_PORT else None

    def map_host(self, host: str, name: str) -> None:
        """Say that ``host`` (``name:port`` or a name for all its ports) speaks as the provider ``name`` does, at its prices.

        Raises :class:`ConfigError` for a provider that does not exist.
        """
        if name not in self.by_name:
            valid = ", ".join(sorted(self.by_name))
            raise ConfigError(f"{HOSTS_SETTING}: got '{host}={name}', valid providers: {valid}")
        self._exact[host.lower()] = self.by_name[name]
        self._cache.clear()


def load(hosts: Mapping[str, str] | None = None) -> Providers:
    """The built-in providers, those of entry points, and ``hosts``: host → provider name, as the setting says.

    Raises :class:`ConfigError` for a provider in ``hosts`` that does not exist.
    """
    providers = built_in()
    for provider in custom.all_of(providers.by_name):
        providers.add(provider)
    for host, name in (hosts or {}).items():
        providers.map_host(host, name)
    return providers


def built_in() -> Providers:
    """The providers of this package."""
    return Providers(_discover())


def _discover() -> list[Provider]:
    package = importlib.import_module("spectra_otel.providers")
    found: list[Provider] = []
    for info in pkgutil.iter_modules(package.__path__):
        if info.ispkg or info.name in ("base", "custom", "registry", "values"):
            continue
        module = importlib.import_module(f"spectra_otel.providers.{info.name}")
        found.extend(getattr(module, "PROVIDERS", None) or [module.PROVIDER])
    return found
