"""What a dialect is: a table of where one family of instrumentations writes the fields of a record.

A dialect names the scopes it claims, for each record field the attributes that hold it (best first), the attributes that are
whole JSON texts with their readers, how to tell a model call from an agent or a tool, and the rules: what a scope, in a range
of its versions, means by its numbers. Whether `input_tokens` includes cached tokens is such a rule and never a guess over the
numbers. An unknown version takes the newest rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from spectra_otel.dialects import _convert as convert
from spectra_otel.model.attributes import WRITTEN
from spectra_otel.model.fields import INTEGER_FIELDS
from spectra_otel.model.spans import attributes_of


class Role(Enum):
    """What a span stands for."""

    CALL = "call"
    """One request to a model: it can bear a cost."""
    WRAPPER = "wrapper"
    """An agent, chain or workflow: usage on it belongs to the calls below."""
    OTHER = "other"
    """A tool, a retrieval, a prompt: nothing to do with cost."""


CALL, WRAPPER, OTHER = Role
"""To name a member through its class takes three times as long in Python 3.11."""
_ERROR = StatusCode.ERROR
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Doubt(Enum):
    """How the usage of a record falls short of exact; the value is the `cost_status` it allows at best."""

    ESTIMATED = "estimated"
    """The numbers are near the truth, or cached tokens may be among them uncounted."""
    PARTIAL = "partial"
    """A part is not known; what is known is a floor."""


class Draft:
    """A span while it is being read.

    ``fields`` are record fields found so far (``host`` beside them: who was called); ``attributes`` a copy of the span's own,
    which the pipeline's copy of the span may keep.
    """

    __slots__ = ("absurd", "attributes", "doubt", "fields", "region", "span", "unsaid")

    def __init__(self, span: ReadableSpan) -> None:
        self.span = span
        self.attributes = attributes_of(span)
        self.fields: dict[str, Any] = {}
        self.doubt: Doubt | None = None
        self.region: str | None = None
        """Of the host that was called, where prices depend on it."""
        self.absurd: Mapping[str, Any] = _NOTHING
        """Numbers that cannot be, by field."""
        self.unsaid = WRITTEN
        """Fields that the span itself does not say, as far as is known, under the name and with the value they have."""

    @property
    def is_failed(self) -> bool:
        return self.span.status.status_code is _ERROR or "error_type" in self.fields

    def give(self, name: str, value: Any) -> None:
        """Write a field that is not known yet."""
        if value is not None and name not in self.fields:
            self.put(name, value)

    def put(self, name: str, value: Any) -> None:
        """Write a field, whatever was known."""
        if value is None:
            return
        how = _FOR_FIELD.get(name)
        if (
            how is None
            or (how is convert.count and type(value) is int and 0 <= value <= convert.MAX_COUNT)
            or (how is convert.text and type(value) is str and 0 < len(value) < convert.MAX_TEXT)
        ):
            self.fields[name] = value
        else:
            self.take(name, how, value)

    def take(self, name: str, how: convert.Convert, value: Any) -> None:
        """Write a field as read by ``how``, which may find that there is nothing, or a number that cannot be."""
        try:
            found = how(value)
        except convert.Absurd:
            self.absurd = {**self.absurd, name: value}
            return
        if found is not None:
            self.fields[name] = found

    def drop(self, *names: str) -> None:
        """Forget fields that the instrumentation is known to get wrong."""
        for name in names:
            self.fields.pop(name, None)

    def settle_for(self, doubt: Doubt) -> None:
        """Lower what the record may claim; a floor stays a floor."""
        if self.doubt is not Doubt.PARTIAL:
            self.doubt = doubt


_FOR_FIELD = {
    name: convert.for_field(name)
    for name in (
        *INTEGER_FIELDS, "provider", "model", "snapshot", "response_id", "finish_reason", "conversation_id", "user_id",
        "pricing_tier", "requested_tier", "is_streaming", "tags", "endpoint", "error_type", "error_message",
    )
}  # fmt: skip

Fix: TypeAlias = Callable[[Draft], None]
"""Puts right what one family is known to write; reads and changes the draft."""

TextReader: TypeAlias = Callable[[Draft, Any], None]
"""Reads fields from the parsed content of one attribute."""


@dataclass(frozen=True, slots=True)
class From:
    """An attribute and how to read it, where the field's own conversion does not do."""

    key: str
    convert: convert.Convert


@dataclass(frozen=True, slots=True)
class Text:
    """An attribute that holds a structure as text, and who reads it."""

    key: str
    read: TextReader
    parse: convert.Convert = convert.parsed
    without: str = ""
    """Read only where that field is not known yet: a shorter text said it all then."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a scope, with all beneath it, means by its numbers, from version ``since`` on and below version ``below``.

    With ``providers``, only for calls they served.
    """

    scope: str
    fixes: tuple[Fix, ...]
    since: str = ""
    below: str = ""
    providers: frozenset[str] = frozenset()
    outside: tuple[str, ...] = ()
    """Scopes below ``scope`` that it is not for."""

    def holds(self, scope: str, version: str | None) -> bool:
        """Whether the rule is for that scope and version; without a version, the newest rule is."""
        if not is_under(scope, self.scope) or any(is_under(scope, other) for other in self.outside):
            return False
        number = version_number(version)
        if number is None:
            return not self.below
        since, below = version_number(self.since), version_number(self.below)
        return (since is None or number >= since) and (below is None or number < below)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # hashable: readers are cached by dialect
class Dialect:
    """One family of instrumentations."""

    name: str
    role: Callable[[Draft], Role]
    scopes: tuple[str, ...] = ()
    """Scopes it claims, with all beneath them; the longest name wins."""
    keys: tuple[str, ...] = ()
    """Beginnings of attribute names by which it claims a span of a scope that nobody claims."""
    fields: Mapping[str, tuple[str | From, ...]] = field(default_factory=dict)
    texts: tuple[Text, ...] = ()
    names: tuple[Rule, ...] = ()
    """Rules about who was called, as what; they run before the provider is settled."""
    rules: tuple[Rule, ...] = ()
    """Rules about what the numbers mean; they may depend on the provider."""


_COMMON_WORDS = frozenset({"ai", "gen_ai", "openai", "anthropic"})


def is_under(scope: str, name: str) -> bool:
    """Whether a scope is ``name`` itself or one of its parts: `ai` holds `ai` and `ai.x`, not `aiohttp`. "" holds all.

    `langfuse` holds `langfuse-sdk`; but `ai-backend` and `openai-proxy` are the names of anybody's app.
    """
    if not name or scope == name:
        return True
    return scope.startswith(name) and scope[len(name)] in ("./" if name in _COMMON_WORDS else ".-/")


def version_number(version: str | None) -> tuple[int, ...] | None:
    """`1.3b0` → (1, 3); None where there is no version."""
    numbers: list[int] = []
    for part in (version or "").split("."):
        digits = ""
        for char in part:
            if char not in "0123456789":
                break
            digits += char
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers) or None
