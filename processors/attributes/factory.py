"""The factory of `attributes`, its settings and the processor."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.errors import ConfigError
from spectra_otel.service.delivery import request_metadata

_METADATA = "metadata."


@dataclass(slots=True)
class Action:
    """One change; for all but ``delete`` the value comes from one of the three."""

    key: str = ""
    action: Literal["insert", "update", "upsert", "delete"] = "upsert"
    value: Any = None
    from_attribute: str = ""
    from_context: str = ""
    """``metadata.<header>``: a request header, where the receiver keeps them (``include_metadata``)."""

    def validate(self) -> None:
        """Raise ConfigError for an action that cannot be."""
        if not self.key:
            raise ConfigError('error creating AttrProc due to missing required field "key"')
        sources = [self.value is not None, bool(self.from_attribute), bool(self.from_context)]
        if self.action != "delete" and sum(sources) != 1:
            raise ConfigError(
                f"action '{self.action}' of '{self.key}': valid: one of value, from_attribute, from_context"
            )
        if self.from_context and not self.from_context.startswith(_METADATA):
            raise ConfigError(f"from_context: got '{self.from_context}', valid: metadata.<header>")


@dataclass(slots=True)
class AttributesConfig:
    """Settings of the `attributes` processor, named as the collector's."""

    actions: list[Action] = field(default_factory=list)

    def validate(self) -> None:
        """Raise ConfigError where there is nothing to do, or an action cannot be."""
        if not self.actions:
            raise ConfigError('missing required field "actions"')
        for action in self.actions:
            action.validate()


class AttributesProcessor:
    """Applies the actions in their order, on copies."""

    def __init__(self, config: AttributesConfig) -> None:
        self._actions = config.actions

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """The same spans with other attributes."""
        return [self._change(span) for span in spans]

    def _change(self, span: ReadableSpan) -> ReadableSpan:
        attributes = dict(span.attributes or {})
        for action in self._actions:
            _apply(action, attributes)
        made = copy.copy(span)
        made.__dict__["_attributes"] = attributes
        return made


def _apply(action: Action, attributes: dict[str, Any]) -> None:
    if action.action == "delete":
        attributes.pop(action.key, None)
        return
    if action.action in ("insert", "update") and (action.key in attributes) is (action.action == "insert"):
        return
    value = _value(action, attributes)
    if value is not None:
        attributes[action.key] = value


def _value(action: Action, attributes: dict[str, Any]) -> Any:
    if action.from_context:
        return request_metadata.get().get(action.from_context.removeprefix(_METADATA).lower())
    return attributes.get(action.from_attribute) if action.from_attribute else action.value


def factory() -> Factory[AttributesConfig, AttributesProcessor]:
    """Make the factory."""
    return Factory("attributes", Stability.ALPHA, AttributesConfig, _create)


def _create(id_: ComponentID, config: AttributesConfig) -> AttributesProcessor:
    return AttributesProcessor(config)
