"""Providers that are not built in: from entry points, from the ``providers`` section of a configuration, from code.

An entry point of the group ``spectra_otel.providers`` names a :class:`~spectra_otel.providers.base.Provider`, or what makes one
when it is called. In a configuration a provider that speaks as another does needs no code::

    providers:
      my-llm: {hosts: [llm.corp, "{region}.llm.corp"]}           # OpenAI's format
      my-claude: {hosts: [claude.corp], speaks: anthropic}       # another provider's
      acme: {class: "acme.spectra:PROVIDER"}                     # one with formats of its own
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any

from spectra_otel import faults
from spectra_otel.errors import ConfigError
from spectra_otel.providers.base import Provider

GROUP = "spectra_otel.providers"
SPEAKS = "openai_compatible"
"""Whose formats a provider has that says nothing else."""
_KEYS = ("hosts", "speaks", "class")
_configured: dict[str, Mapping[str, Any]] = {}
_registered: dict[str, Provider] = {}
_listeners: list[Callable[[Provider], None]] = []


def register(provider: Provider) -> None:
    """Know a provider from here on, in place of one of the same name."""
    _registered[provider.name] = provider
    for listener in list(_listeners):
        listener(provider)


def on_register(listener: Callable[[Provider], None]) -> None:
    """Have ``listener`` hear of providers that are registered later, in place of an earlier listener."""
    _listeners[:] = [listener]


def configure(section: Mapping[str, Any]) -> None:
    """Take the ``providers`` section of a configuration. Raises :class:`ConfigError` for one that is wrong."""
    read = {str(name): _checked(str(name), settings) for name, settings in section.items()}
    _configured.clear()
    _configured.update(read)


def all_of(known: Mapping[str, Provider]) -> Iterator[Provider]:
    """Those of entry points, of the configuration and of code, in this order; ``known`` are the built-in ones."""
    for point in entry_points(group=GROUP):
        try:
            yield _made(point.load())
        except Exception as error:
            faults.report(f"provider {point.name} of an entry point", error)
    for name, settings in _configured.items():
        yield _from_settings(name, settings, known)
    yield from _registered.values()


def _checked(name: str, settings: Any) -> Mapping[str, Any]:
    if isinstance(settings, str):
        settings = {"class": settings}
    if not isinstance(settings, Mapping) or not settings.keys() <= set(_KEYS):
        raise ConfigError(f"providers::{name}: got '{settings}', valid keys: {', '.join(_KEYS)}")
    hosts = settings.get("hosts", [])
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise ConfigError(f"providers::{name}::hosts: got '{hosts}', valid: a list of host names")
    if not hosts and "class" not in settings:
        raise ConfigError(f"providers::{name}: got no hosts, valid: a list of host names, or a class")
    if "class" in settings:
        _load(name, settings["class"])
    return settings


def _from_settings(name: str, settings: Mapping[str, Any], known: Mapping[str, Provider]) -> Provider:
    hosts = tuple(host.lower() for host in settings.get("hosts", ()))
    if "class" in settings:
        made = _load(name, settings["class"])
        return replace(made, name=name, hosts=hosts or made.hosts)
    speaks = settings.get("speaks", SPEAKS)
    if speaks not in known:
        raise ConfigError(f"providers::{name}::speaks: got '{speaks}', valid: {', '.join(sorted(known))}")
    return replace(known[speaks], name=name, hosts=hosts)


def _load(name: str, path: Any) -> Provider:
    module, _, attribute = str(path).partition(":")
    try:
        return _made(getattr(importlib.import_module(module), attribute))
    except Exception as error:  # the user's code
        raise ConfigError(
            f"providers::{name}::class: got '{path}', valid: package.module:Name of a Provider ({error})"
        ) from error


def _made(found: Any) -> Provider:
    provider = found if isinstance(found, Provider) else found()
    if not isinstance(provider, Provider):
        raise TypeError(f"{found!r} is not a Provider")
    return provider
