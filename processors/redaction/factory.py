"""The factory of `redaction`, and the processor."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan
from spectra_otel.processors.redaction.config import RedactionConfig

_MASK = "****"
_HASHES: Mapping[str, Callable[[bytes], str]] = {
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    "sha3": lambda data: hashlib.sha3_256(data).hexdigest(),
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
}
_RECORD_TEXTS = (
    "user_id", "trackable_id", "conversation_id", "tags", "metadata", "error_message", "request_body", "response_body",
    "provider_account", "usage_raw", "service_name", "environment", "host_id", "media",
)  # fmt: skip
"""Fields of a record that can hold what people typed."""
_RECORD_KEYS = {"user_id": "user.id", "conversation_id": "gen_ai.conversation.id"}


class RedactionProcessor:
    """Gives copies of spans without what is not allowed: in attributes of spans, events, links, resources, errors and records.

    Where it fails, nothing goes on.
    """

    fails_closed = True

    def __init__(self, config: RedactionConfig) -> None:
        self._config = config
        self._allowed = frozenset(config.allowed_keys)
        self._ignored = frozenset(config.ignored_keys)
        self._ignored_keys = [re.compile(pattern) for pattern in config.ignored_key_patterns]
        self._blocked_keys = [re.compile(pattern) for pattern in config.blocked_key_patterns]
        self._blocked = [re.compile(pattern) for pattern in config.blocked_values]
        self._kept = [re.compile(pattern) for pattern in config.allowed_values]
        self._hash = _HASHES.get(config.hash_function)
        self._resources: dict[int, tuple[Resource, Resource]] = {}

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """Redacted copies."""
        return [self._redact(span) for span in spans]

    def _redact(self, span: ReadableSpan) -> ReadableSpan:
        made = copy.copy(span)
        attributes = self._attributes(span.attributes or {}, summarise=True)
        made.__dict__["_attributes"] = attributes
        if span.events:
            made.__dict__["_events"] = [self._event(event) for event in span.events]
        if span.links:
            made.__dict__["_links"] = [
                Link(link.context, self._attributes(link.attributes or {})) for link in span.links
            ]
        if span.status.description:  # SDKs put an exception's words there, as into its event
            description = self._value("error_message", span.status.description)
            made.__dict__["_status"] = Status(span.status.status_code, description)
        resource = self._resource(span.resource)
        made.__dict__["_resource"] = resource
        made.__dict__["resource_is_changed"] = resource.attributes != span.resource.attributes
        if isinstance(made, TrackedSpan) and isinstance(span, TrackedSpan) and span.record is not None:
            made.record = self._record(span.record)
            made.record.span = made
        return made

    def _attributes(self, attributes: Mapping[str, Any], *, summarise: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = {}
        removed: list[str] = []
        masked: list[str] = []
        for key, value in attributes.items():
            if key in self._ignored or any(pattern.search(key) for pattern in self._ignored_keys):
                found[key] = value
            elif not (self._config.allow_all_keys or key in self._allowed):
                removed.append(key)
            else:
                found[key] = self._value(key, value)
                if found[key] is not value:
                    masked.append(key)
        if summarise and self._config.summary in ("info", "debug"):
            self._summarise(found, "redaction.redacted", removed)
            self._summarise(found, "redaction.masked", masked)
        return found

    def _summarise(self, found: dict[str, Any], name: str, keys: list[str]) -> None:
        if keys:
            found[f"{name}.count"] = len(keys)
            if self._config.summary == "debug":
                found[f"{name}.keys"] = ",".join(sorted(keys))

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            items = [self._value(key, item) for item in value]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        if not isinstance(value, str) and not self._config.redact_all_types:
            return value
        text = str(value)
        if any(pattern.search(key) for pattern in self._blocked_keys):
            return self._masked(text)
        if any(pattern.search(text) for pattern in self._kept):
            return value
        new = text
        for pattern in self._blocked:
            new = pattern.sub(lambda match: self._masked(match[0]), new)
        return value if new == text else new

    def _masked(self, text: str) -> str:
        return self._hash(text.encode()) if self._hash is not None else _MASK

    def _event(self, event: Event) -> Event:
        return Event(event.name, self._attributes(event.attributes or {}), event.timestamp)

    def _resource(self, resource: Resource) -> Resource:
        known = self._resources.get(id(resource))
        if known is not None and known[0] is resource:
            return known[1]
        if len(self._resources) >= 256:
            self._resources.clear()
        made = Resource(self._attributes(resource.attributes), resource.schema_url)
        self._resources[id(resource)] = (resource, made)
        return made

    def _record(self, record: TrackedRequest) -> TrackedRequest:
        values = record.known()
        for name in _RECORD_TEXTS:
            if name in values:
                values[name] = self._deep(_RECORD_KEYS.get(name, name), values[name])
        return TrackedRequest(values, rev=record.rev)

    def _deep(self, key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._deep(name, item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._deep(key, item) for item in value]
        return self._value(key, value)


def factory() -> Factory[RedactionConfig, RedactionProcessor]:
    """Make the factory."""
    return Factory("redaction", Stability.BETA, RedactionConfig, _create)


def _create(id_: ComponentID, config: RedactionConfig) -> RedactionProcessor:
    return RedactionProcessor(config)
