"""Component identity, factories and the registry that finds components by name.

A component is a folder with ``config.py``, ``factory.py``, its implementation and a README. The core never imports one: it
asks the registry, which reads entry points and imports a component on first use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, runtime_checkable
from unicodedata import category

from opentelemetry.sdk.trace import ReadableSpan

# The API's own cache: it has read all entry points by now, and reading them again takes 8 ms of an app's start.
from opentelemetry.util._importlib_metadata import entry_points

from spectra_otel.errors import ConfigError

if TYPE_CHECKING:
    from spectra_otel.otlp.transport import Transport

C = TypeVar("C", bound="Config")
T = TypeVar("T")
_TYPE = re.compile(r"[a-zA-Z][0-9a-zA-Z_]{0,62}\Z")
_LONGEST_NAME = 1024


class Kind(StrEnum):
    """The four kinds of component; the value is the section of the configuration file."""

    RECEIVER = "receivers"
    PROCESSOR = "processors"
    EXPORTER = "exporters"
    EXTENSION = "extensions"


class Stability(StrEnum):
    """What users may rely on; from ``beta`` on, a setting is only removed after a deprecation of two minor versions."""

    DEVELOPMENT = "development"
    ALPHA = "alpha"
    BETA = "beta"
    STABLE = "stable"


@dataclass(frozen=True, slots=True)
class ComponentID:
    """``type`` or ``type/name``, the key of a component in the configuration."""

    type: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> ComponentID:
        """Parse an id as the OTel Collector does. Raises :class:`ConfigError` in its words."""
        type_, slash, name = (part.strip() for part in text.partition("/"))
        if not type_:
            if slash:
                raise ConfigError(f'in "{text}" id: the part before / should not be empty')
            raise ConfigError("id must not be empty")
        if slash and not name:
            raise ConfigError(f'in "{text}" id: the part after / should not be empty')
        if not _TYPE.match(type_):
            raise ConfigError(f'in "{text}" id: invalid character(s) in type "{type_}"')
        if len(name) > _LONGEST_NAME:
            raise ConfigError(
                f'in "{name}" id: name "{name}" is longer than {_LONGEST_NAME} characters ({len(name)} characters)'
            )
        if any(category(character)[0] in "ZCS" for character in name):  # separators, control characters, symbols
            raise ConfigError(f'in "{name}" id: invalid character(s) in name "{name}"')
        return cls(type_, name)

    def __str__(self) -> str:
        return f"{self.type}/{self.name}" if self.name else self.type


class Config(Protocol):
    """Settings of a component: a dataclass whose fields have defaults."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` with one line that names the setting, the value and what is valid."""


@runtime_checkable
class Processor(Protocol):
    """Takes finished spans and gives back the spans to go on with; must not raise and must not keep or change its input."""

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]: ...


@dataclass(frozen=True, slots=True)
class Factory(Generic[C, T]):
    """How to make one type of component.

    ``default_config`` makes the settings that a file is decoded onto; ``create`` makes the component of an id.
    ``enriches`` marks processors whose result the app's own exporters get too (usage, cost, budget); the others act on the
    pipeline's exporters alone. ``records`` marks exporters that also take spans the app's sampler dropped. ``store`` is there
    where an exporter keeps records that people query. ``needs`` is the type of a processor without which, before it in its
    pipeline, it has nothing to do; a configuration without that gets a warning.

    For the stand-alone collector: ``claimed_only`` marks components that read only spans a dialect claims; the others stay
    undecoded there, and reach them as bare ids. ``every_signal`` marks processors that work for metrics and logs too.
    ``transport`` is there where an exporter forwards OTLP: the collector then sends requests as they came, with what processors
    added, instead of calling ``create``. ``signals`` are those that an exporter takes there;
    one that is no forwarder has ``requests`` for metrics and logs: what is given a signal's name and each decoded request.
    """

    type: str
    stability: Stability
    default_config: Callable[[], C]
    create: Callable[[ComponentID, C], T]
    deprecated_alias: str | None = None
    enriches: bool = False
    records: bool = False
    store: Callable[[C], Any] | None = None
    needs: str = ""
    claimed_only: bool = False
    every_signal: bool = False
    transport: Callable[[C], Transport] | None = None
    signals: tuple[str, ...] = ("traces",)
    requests: Callable[[C], Callable[[str, Any], None]] | None = None


class Registry(Mapping[str, Factory[Any, Any]]):
    """The factories of one kind, found through entry points and imported only when used."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._points: dict[str, EntryPoint] = {}
        for point in entry_points(group=f"spectra_otel.{kind}"):
            other = self._points.setdefault(point.name, point)
            if other.value != point.value:
                raise ConfigError(f'{kind}: type "{point.name}" is provided twice: {other.value} and {point.value}')

    def __getitem__(self, type_: str) -> Factory[Any, Any]:
        return cast("Factory[Any, Any]", self._points[type_].load()())

    def __contains__(self, type_: object) -> bool:
        return type_ in self._points  # a Mapping would import the component to find out

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._points))

    def __len__(self) -> int:
        return len(self._points)


@cache
def registry(kind: Kind) -> Registry:
    """The process-wide registry of one kind."""
    return Registry(kind)
