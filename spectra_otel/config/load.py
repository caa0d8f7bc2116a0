"""Load a configuration: from files, from a dict, or the one that is built in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from spectra_otel.component import ComponentID, Kind
from spectra_otel.config.document import (
    SIGNALS,
    Component,
    Document,
    PipelineSpec,
    component,
    installed_factories,
    read_document,
    takes,
)
from spectra_otel.config.resolve import expand, merge_sets, resolve
from spectra_otel.config.settings import Settings
from spectra_otel.errors import ConfigError

DEFAULT_PROCESSORS = ("usage", "cost", "budget")
DEFAULT_EXPORTERS = ("duckdb",)
"""What runs where no file says otherwise."""

Config = str | os.PathLike[str] | Mapping[str, Any] | Document
"""What can be loaded: a path or URI, a tree in the file's grammar, or a document that is ready."""


def load(config: Config | None = None, settings: Settings | None = None, *, sets: Iterable[str] = ()) -> Document:
    """Load and check a configuration.

    Args:
        config: Where it is; None takes ``settings.config`` (``SPECTRA_CONFIG``), and the built-in pipeline if that is unset too.
        settings: The process's settings; they fill in what the document leaves open and add the ``SPECTRA_OTEL_*`` destination.
        sets: ``a.b=c`` assignments on top.

    Raises:
        ConfigError: One line with the first thing that is wrong, and how many more there are.
    """
    settings = settings or Settings()
    document = _read(settings.config if config is None else config, sets)
    return _apply(settings, document)


def validate(locations: Iterable[str], sets: Iterable[str] = ()) -> list[str]:
    """Everything that is wrong with a configuration, one line each; empty if it is good."""
    try:
        return read_document(resolve(locations, sets))[1]
    except ConfigError as error:
        return [str(error)]


@dataclass(frozen=True, slots=True)
class ComponentInfo:
    """A type of component that can be configured: ``module`` is where it comes from; ``stability`` is a promise.

    ``signals`` are those it takes in the stand-alone collector; an extension takes none.
    """

    kind: str
    type: str
    stability: str
    deprecated_alias: str | None
    module: str
    signals: tuple[str, ...]


def components() -> list[ComponentInfo]:
    """Every component that is installed, by kind and name."""
    return list(_installed())


def _installed() -> Iterator[ComponentInfo]:
    for kind in Kind:
        for factory in installed_factories(kind):
            module = type(factory.default_config()).__module__.removesuffix(".config")
            taken = tuple(signal for signal in SIGNALS if takes(kind, factory, signal))
            yield ComponentInfo(
                kind.value, factory.type, factory.stability.value, factory.deprecated_alias, module, taken
            )


def _read(config: Config | None, sets: Iterable[str]) -> Document:
    if isinstance(config, Document):
        return config
    sets = tuple(sets)
    if config is None and not sets:
        return _built_in()
    if isinstance(config, Mapping):
        tree = expand(merge_sets(config, sets))
    else:
        tree = resolve([] if config is None else [os.fspath(config)], sets)
    document, problems = read_document(tree)
    if problems:
        more = f" (and {len(problems) - 1} more, see `spectra validate`)" if len(problems) > 1 else ""
        raise ConfigError(problems[0] + more)
    return document


def _built_in() -> Document:
    """``usage, cost, budget → duckdb``; it has no receivers, which only an application can do without."""
    return Document(
        processors={item.id: item for item in (_default(Kind.PROCESSOR, name) for name in DEFAULT_PROCESSORS)},
        exporters={item.id: item for item in (_default(Kind.EXPORTER, name) for name in DEFAULT_EXPORTERS)},
        pipelines=(
            PipelineSpec(
                ComponentID("traces"),
                processors=tuple(map(ComponentID, DEFAULT_PROCESSORS)),
                exporters=tuple(map(ComponentID, DEFAULT_EXPORTERS)),
            ),
        ),
    )


def _default(kind: Kind, type_: str) -> Component:
    return component(kind, ComponentID(type_))


def _apply(settings: Settings, document: Document) -> Document:
    """Fill in what the settings say and the document does not."""
    exporters = dict(document.exporters)
    pipelines = document.pipelines
    processors = {
        id_: _with_default(_with_default(item, "prices", list(settings.prices)), "fx_rates", settings.fx_rates)
        for id_, item in document.processors.items()
    }
    if settings.otel_enabled:
        added = _otel_destination(settings)
        exporters[added.id] = added
        pipelines = tuple(
            replace(spec, exporters=(*spec.exporters, added.id)) if spec.id.type == "traces" else spec
            for spec in pipelines
        )
    exporters = {id_: _with_default(item, "span_builder", settings.span_builder) for id_, item in exporters.items()}
    return replace(document, processors=processors, exporters=exporters, pipelines=pipelines)


def _otel_destination(settings: Settings) -> Component:
    """The destination that the ``SPECTRA_OTEL_*`` variables describe, as one more ``otlp_http`` exporter."""
    item = component(Kind.EXPORTER, ComponentID("otlp_http", "spectra_otel"))
    config = replace(
        item.config,
        traces_endpoint=settings.otel_endpoint,
        headers=dict(settings.otel_headers),
        timeout=settings.otel_timeout,
        resource_attributes=dict(settings.otel_resource_attributes),
        service_version=settings.otel_service_version,
    )
    try:
        config.validate()
    except ConfigError as error:
        raise ConfigError(f"SPECTRA_OTEL_ENDPOINT: {error}") from None
    return replace(item, config=config)


def _with_default(item: Component, name: str, value: Any) -> Component:
    """``item`` with ``value`` for a setting that it has and that was left open."""
    if value and any(field.name == name for field in fields(item.config)) and not getattr(item.config, name):
        return replace(item, config=replace(item.config, **{name: value}))
    return item
