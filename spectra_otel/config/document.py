"""The configuration document: sections, components and pipelines, checked as the collector checks them.

:func:`read_document` turns a resolved tree into a :class:`Document` and a list of everything that is wrong with it.
Messages are the collector's, word for word, so that whoever knows them need not learn ours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from spectra_otel.component import ComponentID, Factory, Kind, registry
from spectra_otel.config.decode import decode, decoding, plain
from spectra_otel.config.resolve import Expanded
from spectra_otel.errors import ConfigError

if TYPE_CHECKING:
    from spectra_otel.config.telemetry import TelemetrySettings

T = TypeVar("T")
_logger = logging.getLogger(__name__)
SIGNALS = ("traces", "metrics", "logs")
_SECTIONS = ("receivers", "processors", "exporters", "connectors", "extensions", "providers", "service")
_SERVICE_KEYS = ("telemetry", "extensions", "pipelines")
_PIPELINE_KEYS = ("receivers", "processors", "exporters")
_REMOVED = {(Kind.EXPORTER, "logging"): "the logging exporter has been deprecated, use the debug exporter instead"}


@dataclass(frozen=True, slots=True)
class Component:
    """A configured component: its id, the factory of its type and its settings."""

    id: ComponentID
    factory: Factory[Any, Any]
    config: Any


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """A pipeline as written: ``id.type`` is the signal; the lists name components in the order they run."""

    id: ComponentID
    receivers: tuple[ComponentID, ...] = ()
    processors: tuple[ComponentID, ...] = ()
    exporters: tuple[ComponentID, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A whole configuration, ready for :func:`spectra_otel.pipeline.build`."""

    receivers: Mapping[ComponentID, Component] = field(default_factory=dict)
    processors: Mapping[ComponentID, Component] = field(default_factory=dict)
    exporters: Mapping[ComponentID, Component] = field(default_factory=dict)
    extensions: Mapping[ComponentID, Component] = field(default_factory=dict)
    service_extensions: tuple[ComponentID, ...] = ()
    pipelines: tuple[PipelineSpec, ...] = ()
    telemetry: TelemetrySettings | None = None
    """What the collector says of itself; None: the defaults, which an application need not load."""
    providers: Mapping[str, Any] = field(default_factory=dict)
    """AI providers that are not built in, as written: :mod:`spectra_otel.providers.custom` reads them."""


def find_factory(kind: Kind, id_: ComponentID) -> Factory[Any, Any]:
    """The factory of ``id_``'s type; a deprecated alias is accepted with a warning. Raises :class:`ConfigError`."""
    known = registry(kind)
    if id_.type in known:
        return load_factory(kind, id_.type)
    if (kind, id_.type) in _REMOVED:
        raise ConfigError(_REMOVED[kind, id_.type])
    for factory in installed_factories(kind):
        if factory.deprecated_alias == id_.type:
            _logger.warning('%s: "%s" is deprecated, use "%s" instead', kind, id_.type, factory.type)
            return factory
    raise ConfigError(f'unknown type: "{id_.type}" for id: "{id_}" (valid values: [{" ".join(known)}])')


def load_factory(kind: Kind, type_: str) -> Factory[Any, Any]:
    """Import the factory of a type that is installed. Raises :class:`ConfigError` where its module does not import."""
    try:
        return registry(kind)[type_]
    except Exception as error:  # third parties' code
        raise ConfigError(f'{kind}: "{type_}" cannot be loaded: {type(error).__name__}: {error}') from error


def installed_factories(kind: Kind) -> Iterator[Factory[Any, Any]]:
    """The factories of a kind that import; a warning names one that does not."""
    for type_ in registry(kind):
        try:
            yield load_factory(kind, type_)
        except ConfigError as error:
            _logger.warning("%s", error)


def component(kind: Kind, id_: ComponentID, data: Any = None) -> Component:
    """Configure one component: ``data`` decoded onto its factory's defaults. Raises :class:`ConfigError`."""
    factory = find_factory(kind, id_)
    token = decoding.set(f"{kind}::{id_}: ")
    try:
        return Component(id_, factory, decode(data, factory.default_config()))
    except ConfigError as error:
        raise ConfigError(f'error reading configuration for "{id_}": {error}') from None
    finally:
        decoding.reset(token)


def takes(kind: Kind, factory: Factory[Any, Any], signal: str) -> bool:
    """Whether a component can stand in a pipeline of a signal."""
    if kind is Kind.EXPORTER:
        return signal in factory.signals and (signal == "traces" or bool(factory.transport or factory.requests))
    if kind is Kind.PROCESSOR:
        return signal == "traces" or factory.every_signal
    return kind is Kind.RECEIVER


def _telemetry(data: Any) -> TelemetrySettings:
    from spectra_otel.config.telemetry import TelemetrySettings

    telemetry = decode(data, TelemetrySettings(), "service.telemetry")
    telemetry.validate()
    return telemetry


def read_document(tree: Mapping[str, Any]) -> tuple[Document, list[str]]:
    """Read a resolved tree; gives the document and one line for each thing that is wrong, in the order of the file's sections."""
    if all(plain(value) is None for value in tree.values()):
        return Document(), ["empty configuration file"]
    reader = _Reader()
    document = reader.read(tree)
    return document, ["\\n".join(problem.splitlines()) for problem in reader.problems]  # a name may hold a line break


class _Reader:
    """Reads all sections and gathers problems, so that one run names all of them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def read(self, tree: Mapping[str, Any]) -> Document:
        self._check_keys("", tree, _SECTIONS)
        sections = {kind: self._section(kind, tree.get(kind)) for kind in Kind}
        self._connectors(tree.get("connectors"))
        if not sections[Kind.RECEIVER] and plain(tree.get("receivers")) in (None, {}):
            self.problems.append("no receiver configuration specified in config")
        if not sections[Kind.EXPORTER] and plain(tree.get("exporters")) in (None, {}):
            self.problems.append("no exporter configuration specified in config")
        service = self._map("service", tree.get("service"), _SERVICE_KEYS)
        extensions = self._ids("service::extensions", service.get("extensions"))
        pipelines = tuple(self._pipelines(service.get("pipelines")))
        # Only a document whose components are all known can be blamed for its references: else every typo counts twice.
        if not self.problems:
            self._validate_components(sections)
            self._validate_pipelines(pipelines, sections)
            for id_ in extensions:
                self._check_reference("service::extensions", Kind.EXTENSION, id_, sections)
        return Document(
            receivers=sections[Kind.RECEIVER],
            processors=sections[Kind.PROCESSOR],
            exporters=sections[Kind.EXPORTER],
            extensions=sections[Kind.EXTENSION],
            service_extensions=extensions,
            pipelines=pipelines,
            telemetry=self._try(_telemetry, service["telemetry"]) if "telemetry" in service else None,
            providers=plain(tree.get("providers")) or {},
        )

    def _section(self, kind: Kind, data: Any) -> dict[ComponentID, Component]:
        found: dict[ComponentID, Component] = {}
        for key, settings in self._map(kind, data).items():
            id_ = self._try(ComponentID.parse, key, section=kind)
            if id_ is None:
                continue
            if id_ in found:
                self.problems.append(f"'{kind}' duplicate name \"{id_}\" after trimming spaces")
                continue
            configured = self._try(component, kind, id_, settings, section=kind)
            if configured is not None:
                found[id_] = configured
        return found

    def _connectors(self, data: Any) -> None:
        for key in self._map("connectors", data):
            id_ = self._try(ComponentID.parse, key, section="connectors")
            if id_ is not None:
                self.problems.append(f'\'connectors\' unknown type: "{id_.type}" for id: "{id_}" (valid values: [])')

    def _pipelines(self, data: Any) -> Iterable[PipelineSpec]:
        for key, lists in self._map("service::pipelines", data).items():
            id_ = self._try(ComponentID.parse, key)
            if id_ is None:
                continue
            if id_.type not in SIGNALS:
                valid = " ".join(SIGNALS)
                self.problems.append(f'in "{id_}" id: unknown pipeline signal: "{id_.type}" (valid values: [{valid}])')
                continue
            path = f"service::pipelines::{id_}"
            parts = self._map(path, lists, _PIPELINE_KEYS)
            yield PipelineSpec(id_, *(self._ids(f"{path}::{name}", parts.get(name)) for name in _PIPELINE_KEYS))

    def _validate_components(self, sections: Mapping[Kind, Mapping[ComponentID, Component]]) -> None:
        for kind, components in sections.items():
            for id_, item in components.items():
                try:
                    item.config.validate()
                except ConfigError as error:
                    self.problems.append(f"{kind}::{id_}: {error}")

    def _validate_pipelines(
        self, pipelines: tuple[PipelineSpec, ...], sections: Mapping[Kind, Mapping[ComponentID, Component]]
    ) -> None:
        if not pipelines:
            self.problems.append("service must have at least one pipeline")
        for spec in pipelines:
            path = f"service::pipelines::{spec.id}"
            if not spec.receivers:
                self.problems.append(f"{path}: must have at least one receiver")
            if not spec.exporters:
                self.problems.append(f"{path}: must have at least one exporter")
            self._warn_of_idle(path, spec, sections)
            for id_ in dict.fromkeys((*spec.processors, *spec.exporters)):
                self._check_signal(spec, id_, sections)
            for repeated in {id_: None for id_ in spec.processors if spec.processors.count(id_) > 1}:
                self.problems.append(f'{path}: references processor "{repeated}" multiple times')
            for kind, ids in zip(
                (Kind.RECEIVER, Kind.PROCESSOR, Kind.EXPORTER),
                (spec.receivers, spec.processors, spec.exporters),
                strict=True,
            ):
                for id_ in dict.fromkeys(ids):
                    self._check_reference(path, kind, id_, sections)

    def _warn_of_idle(
        self, path: str, spec: PipelineSpec, sections: Mapping[Kind, Mapping[ComponentID, Component]]
    ) -> None:
        """Say which components have nothing to do, for want of one before them: a store would stay empty without a word."""
        before: set[str] = set()
        for kind, ids in ((Kind.PROCESSOR, spec.processors), (Kind.EXPORTER, spec.exporters)):
            for id_ in ids:
                item = sections[kind].get(id_)
                needs = item.factory.needs if item is not None else ""
                if needs and needs not in before:
                    _logger.warning('%s: "%s" has nothing to do without the processor "%s" before it', path, id_, needs)
                before |= {id_.type} if kind is Kind.PROCESSOR else set()

    def _check_signal(
        self, spec: PipelineSpec, id_: ComponentID, sections: Mapping[Kind, Mapping[ComponentID, Component]]
    ) -> None:
        """What the stand-alone collector would find when it builds the pipeline."""
        signal = spec.id.type
        exporter = sections[Kind.EXPORTER].get(id_) if id_ in spec.exporters else None
        processor = sections[Kind.PROCESSOR].get(id_) if id_ in spec.processors else None
        if exporter is not None and not takes(Kind.EXPORTER, exporter.factory, signal):
            self.problems.append(
                f'failed to create "{id_}" exporter for data type "{signal}": telemetry type is not supported'
            )
        if processor is not None and not takes(Kind.PROCESSOR, processor.factory, signal):
            self.problems.append(
                f'failed to create "{id_}" processor, in pipeline "{spec.id}": telemetry type is not supported'
            )

    def _check_reference(
        self, path: str, kind: Kind, id_: ComponentID, sections: Mapping[Kind, Mapping[ComponentID, Component]]
    ) -> None:
        if id_ not in sections[kind]:
            self.problems.append(f'{path}: references {kind.removesuffix("s")} "{id_}" which is not configured')

    def _map(self, path: str, data: Any, valid: tuple[str, ...] = ()) -> Mapping[str, Any]:
        data = data.value if isinstance(data, Expanded) else data
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            self.problems.append(f"'{path}' expected a map, got '{type(data).__name__}'")
            return {}
        if valid:
            self._check_keys(path, data, valid)
        return data

    def _ids(self, path: str, data: Any) -> tuple[ComponentID, ...]:
        data = plain(data)
        if isinstance(data, str):
            data = [part for part in data.split(",") if part.strip()]
        if data is not None and not isinstance(data, list):
            self.problems.append(f"'{path}' expected a list, got '{type(data).__name__}'")
            return ()
        parsed = (self._try(ComponentID.parse, str(text)) for text in data or ())
        return tuple(id_ for id_ in parsed if id_ is not None)

    def _check_keys(self, path: str, data: Mapping[str, Any], valid: tuple[str, ...]) -> None:
        unknown = sorted(key for key in data if key not in valid)
        if unknown:
            self.problems.append(f"'{path}' has invalid keys: {', '.join(unknown)}")

    def _try(self, attempt: Callable[..., T], *arguments: Any, section: str = "") -> T | None:
        """``section``: what a message begins with, for one id may stand in several sections."""
        try:
            return attempt(*arguments)
        except ConfigError as error:
            self.problems.append(f"'{section}' {error}" if section else str(error))
            return None
