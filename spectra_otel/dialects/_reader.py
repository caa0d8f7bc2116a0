"""From a span to a draft of its record: the dialects' tables, compiled for each scope once.

A scope's reader is found once and kept, and so is where each set of attributes has the fields.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from operator import itemgetter
from typing import Any, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from spectra_otel import dialects, faults
from spectra_otel.dialects import _convert as convert
from spectra_otel.dialects import _finish as finish
from spectra_otel.dialects import _providers as providers
from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import CALL, WRAPPER, Dialect, Draft, From, Role, Text, is_under
from spectra_otel.model.attributes import ATTRIBUTES, ROLLUP, WRITTEN
from spectra_otel.model.fields import TOKEN_FIELDS

_MAX_SCOPES = 1000
_MAX_LAYOUTS, _MAX_KEYS = 256, 256
_SHORT, _LARGEST = convert.MAX_TEXT, convert.MAX_COUNT
_METADATA = ("spectra.metadata.", "langfuse.trace.metadata.", "traceloop.association.properties.")
_FRAMEWORK = ("ls_", "lc_", "langgraph_", "checkpoint_")
COMMON: Mapping[str, tuple[str | From, ...]] = {
    "host": ("server.address", "url.full", "http.url"),
    "endpoint": (From("url.path", convert.path), From("http.route", convert.path)),
    "status_code": ("http.response.status_code", "http.status_code"),
    "error_type": ("error.type",),
    "user_id": ("user.id", "enduser.id", "langfuse.user.id", "traceloop.association.properties.user_id"),
    "conversation_id": (
        "gen_ai.conversation.id", "session.id", "langfuse.session.id", "traceloop.association.properties.session_id",
    ),
    "tags": ("spectra.tags", "langfuse.trace.tags", "tag.tags"),
    "trackable_type": ("spectra.trackable.type",),
    "trackable_id": ("spectra.trackable.id",),
    "pricing_tier": ("spectra.pricing_tier",),
    "model_type": ("spectra.model_type",),
}  # fmt: skip
"""What any instrumentation, or the app itself, may write."""

OURS = "spectra.usage."
"""Prefix of usage that a Spectra pipeline wrote on the span: normalised already, so it wins over the dialect."""


_NAMES = frozenset(
    {
        "host",
        "provider",
        "operation",
        "model",
        "snapshot",
        "model_type",
        "finish_reason",
        "pricing_tier",
        "requested_tier",
    }
)
"""Fields that say who was called as what. Of their values a process sees few combinations."""
_SETTLED = (*sorted(_NAMES - {"host"}), "has_tool_calls")
_PORT = finish.PORT
_MAX_NAME = 200
_MAX_SETTLED = 2048

Rows: TypeAlias = tuple[tuple[str, str, convert.Convert], ...]
"""(field, attribute, how to read it), the best of a field first."""
Names: TypeAlias = "tuple[_Layout, tuple[Any, ...]]"
"""Values that say names, with where they stand."""


@dataclass(frozen=True, slots=True, eq=False)  # not a NamedTuple, whose fields take longer to reach
class _Layout:
    """Where the fields are in spans that carry the very same attributes, in the same order."""

    rows: Rows
    """All fields but those in ``counts``."""
    unnamed: Rows
    """Those of ``rows`` that are no names."""
    counts: tuple[tuple[str, str], ...]
    """(field, attribute) of fields whose best attribute is a count as it stands."""
    ours: tuple[tuple[str, str], ...]
    """(field, attribute) of usage that a Spectra pipeline wrote."""
    metadata: tuple[tuple[str, str], ...]
    """(name, attribute)."""
    texts: tuple[Text, ...]
    """Those of the dialect that are there."""
    unsaid: frozenset[str]
    """Fields that do not stand in the attribute that is theirs in the semantic conventions, or that a rule may change."""
    fields: frozenset[str]
    """All fields that are in any attribute."""
    names: Callable[[Mapping[str, Any]], tuple[Any, ...]] | None
    """All values that say names, the port last; None where more than they decides what they come to."""


class Reader:
    """Reads the spans of one scope and version by one dialect.

    An instrumentation writes few different sets of attributes: which of them say what is worked out once for each set.
    """

    __slots__ = ("_fixes", "_layouts", "_names", "_role", "_table", "_texts", "dialect")

    def __init__(self, dialect: Dialect, scope: str, version: str | None) -> None:
        self.dialect = dialect
        self._role = dialect.role
        self._texts = dialect.texts
        self._names = tuple(fix for rule in dialect.names if rule.holds(scope, version) for fix in rule.fixes)
        self._fixes = tuple(
            (fix, rule.providers) for rule in dialect.rules if rule.holds(scope, version) for fix in rule.fixes
        )
        self._layouts: dict[tuple[str, ...], _Layout] = {}
        self._table: dict[str, tuple[int, str, str, convert.Convert]] = {}
        """Attribute → its rank among those of its field, and its row."""
        for name, sources in {**COMMON, **dialect.fields}.items():
            for rank, source in enumerate(sources):
                key = source if isinstance(source, str) else source.key
                how = convert.for_field(name) if isinstance(source, str) else source.convert
                self._table.setdefault(key, (rank, name, key, how))

    def read(self, span: ReadableSpan) -> tuple[Role, Draft]:
        """What the span stands for; for a call, its record fields too (usage, names, outcome; no ids, no times)."""
        draft = Draft(span)
        attributes = draft.attributes
        keys = tuple(attributes)
        layout = self._layouts.get(keys)
        if layout is None:
            layout = self._lay_out(keys)
        draft.unsaid = layout.unsaid
        names = None if layout.names is None else (layout, layout.names(attributes))
        settled = None if names is None else _recall(names)
        fields = draft.fields = settled or {}
        # Nearly all values are small counts and short texts already: to call a function for each would double the time.
        for name, key in layout.counts:
            value = attributes[key]
            if type(value) is int and 0 <= value <= _LARGEST:
                fields[name] = value
            else:
                draft.take(name, convert.count, value)
        for name, key, how in layout.unnamed if settled else layout.rows:
            if name not in fields:
                value = attributes[key]
                if how is convert.text and type(value) is str and 0 < len(value) < _SHORT:
                    fields[name] = value
                else:
                    draft.take(name, how, value)
        if layout.metadata:
            fields["metadata"] = {name: _plain(attributes[key]) for name, key in layout.metadata}
        if settled:
            finish.settle_failure(draft)
            finish.settle_usage(draft)
            return CALL, draft
        role = WRAPPER if attributes.get(ROLLUP) is True else self._role(draft)
        if role is CALL:
            self._complete(draft, layout)
            if names is not None:
                _remember(names, draft)
        return role, draft

    def unread(self, span: ReadableSpan, known: Mapping[str, Any]) -> Draft | None:
        """A draft with the fields ``known``, for a span that has no others; None where it has, or may have."""
        draft = Draft(span)
        layout = self._layouts.get(tuple(draft.attributes))
        if layout is None or not layout.fields <= known.keys():
            return None
        draft.fields.update(known)
        draft.unsaid = layout.unsaid
        return draft

    def _lay_out(self, keys: tuple[str, ...]) -> _Layout:
        known, ours, metadata = [], [], []
        for key in keys:
            if key in self._table:
                known.append(self._table[key])
            elif key.startswith(OURS):
                ours.append((key.removeprefix(OURS), key))
            elif key.startswith(_METADATA):
                name = next(key[len(prefix) :] for prefix in _METADATA if key.startswith(prefix))
                if not name.startswith(_FRAMEWORK):
                    metadata.append((name, key))
        counts, rows = [], []
        seen: set[str] = set()
        for _, name, key, how in sorted(known, key=itemgetter(0)):
            if how is convert.count and name not in seen:
                counts.append((name, key))
            else:
                rows.append((name, key, how))
            seen.add(name)
        said = {name for _, name, key, _ in known if ATTRIBUTES.get(name) == key}
        if self._texts or self._names or self._fixes or ours:
            said.difference_update(TOKEN_FIELDS)
        fields = {name for _, name, _, _ in known} | {name for name, _ in ours} | ({"metadata"} if metadata else set())
        fields.discard("host")  # which is no field of the record, and tells the provider alone
        layout = _Layout(
            rows=tuple(rows),
            unnamed=tuple(row for row in rows if row[0] not in _NAMES),
            counts=tuple(counts),
            ours=tuple(ours),
            metadata=tuple(metadata),
            texts=tuple(text for text in self._texts if text.key in keys),
            unsaid=WRITTEN - said,
            fields=frozenset(fields),
            names=None if ours or ROLLUP in keys else self._names_among(keys),
        )
        if len(self._layouts) >= _MAX_LAYOUTS:
            self._layouts.clear()
        if len(keys) <= _MAX_KEYS:
            self._layouts[keys] = layout
        return layout

    def _names_among(self, keys: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]] | None:
        """What takes all values that say names, where a call's names are settled by nothing else."""
        if self._role is not semconv.role or self._texts or self._names or self._fixes:
            return None
        found = [key for key in keys if key in self._table and self._table[key][1] in _NAMES]
        found += [_PORT] if _PORT in keys else []
        return itemgetter(*found) if len(found) > 1 else None  # of one it takes no tuple

    def _complete(self, draft: Draft, layout: _Layout) -> None:
        attributes, fields, ours = draft.attributes, draft.fields, layout.ours
        for text in layout.texts:
            if text.without not in fields:
                try:
                    found = text.parse(attributes[text.key])
                    if found is not None:
                        text.read(draft, found)
                except Exception as error:  # what stands in a text is anybody's: the record goes on without it
                    faults.report(f"dialect {self.dialect.name}, {text.key}", error)
        for fix in self._names:
            fix(draft)
        finish.settle_provider(draft)
        provider = draft.fields.get("provider")
        finish.settle_failure(draft)
        finish.settle_kind(draft)
        if ours:
            for name, key in ours:
                draft.put(name, attributes[key])
        else:
            for fix, providers in self._fixes:
                if not providers or provider in providers:
                    fix(draft)
        finish.settle_words(draft)
        finish.settle_usage(draft)
        if draft.region is not None:
            finish.settle_place(draft)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _recall(names: Names) -> dict[str, Any] | None:
    """What the same names came to before: fields for a new draft."""
    try:
        found = providers.settled.get(names)
    except TypeError:  # a list among them
        return None
    return None if found is None else found.copy()


def _remember(names: Names, draft: Draft) -> None:
    """Keep what the names of a span came to, if that holds for each span with the same ones."""
    fields = draft.fields
    said: Sequence[Any] = names[1]
    if fields.get("operation") not in semconv.OPERATIONS or not finish.is_settled_by_names(draft):
        return  # as what it was called, or by whom it was served, something else decided
    if _PORT in draft.attributes:
        *said, port = said
        if type(port) is not int or port < 2:  # which are equal to truth values
            return
    if all(map(_is_short, said)):
        if len(providers.settled) >= _MAX_SETTLED:
            providers.settled.clear()
        providers.settled[names] = {name: fields[name] for name in _SETTLED if name in fields}


def _is_short(value: Any) -> bool:
    """Whether it is a short text, alone or as the one item of a tuple: values of other types are never equal to one."""
    text = value[0] if type(value) is tuple and len(value) == 1 else value
    return type(text) is str and len(text) < _MAX_NAME


class Readers:
    """The readers of all scopes seen, by (scope name, version)."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], Reader | None] = {}
        self._scope_objects: dict[int, tuple[InstrumentationScope | None, Reader | None]] = {}
        """id of a scope → it, and its reader: a tracer has one for all its spans, and to look at its name takes longer."""
        scoped = [(scope, dialect) for dialect in all_dialects() for scope in dialect.scopes]
        self._scopes = sorted(scoped, key=lambda pair: -len(pair[0]))
        keyed = [(key, dialect) for dialect in all_dialects() for key in dialect.keys]
        self._keys = tuple(sorted(keyed, key=lambda pair: -len(pair[0])))
        self.prefixes = tuple(key for key, _ in keyed)
        """Beginnings of attribute names by which a span of any scope is claimed."""

    def claim(self, span: ReadableSpan) -> Reader | None:
        """Who reads this span; None if it is none of ours."""
        scope = span.instrumentation_scope
        known = self._scope_objects.get(id(scope))
        if known is None or known[0] is not scope:
            known = self._meet(scope)
        return known[1] or self._by_keys(span)

    def _meet(self, scope: InstrumentationScope | None) -> tuple[InstrumentationScope | None, Reader | None]:
        if len(self._scope_objects) >= _MAX_SCOPES:
            self._scope_objects.clear()
        known = self._scope_objects[id(scope)] = scope, self._of_scope(*_named(scope))
        return known

    def claims_scope(self, name: str, version: str | None) -> bool:
        """Whether every span of that scope is claimed, whatever its attributes."""
        return self._of_scope(name, version) is not None

    def _of_scope(self, name: str, version: str | None) -> Reader | None:
        try:
            return self._known[name, version]
        except KeyError:
            pass
        if len(self._known) >= _MAX_SCOPES:
            self._known.clear()
        dialect = next((dialect for scope, dialect in self._scopes if is_under(name, scope)), None)
        reader = Reader(dialect, name, version) if dialect else None
        self._known[name, version] = reader
        return reader

    def _by_keys(self, span: ReadableSpan) -> Reader | None:
        for attribute in span.attributes or ():
            if attribute.startswith(self.prefixes):
                dialect = next(dialect for key, dialect in self._keys if attribute.startswith(key))
                return _reader_for_keys(dialect, *_named(span.instrumentation_scope))
        return None


def _named(scope: InstrumentationScope | None) -> tuple[str, str | None]:
    return (scope.name, scope.version) if scope is not None else ("", None)


@cache
def _reader_for_keys(dialect: Dialect, name: str, version: str | None) -> Reader:
    return Reader(dialect, name, version)


@cache
def all_dialects() -> tuple[Dialect, ...]:
    """Every dialect: each module of this package without an underscore defines `DIALECT`."""
    names = sorted(module.name for module in pkgutil.iter_modules(dialects.__path__) if module.name[0] != "_")
    return tuple(import_module(f"{dialects.__name__}.{name}").DIALECT for name in names)
