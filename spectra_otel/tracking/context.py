"""Who a call is made for: what the process, the current context and OpenTelemetry baggage say about every call in it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import baggage
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span

from spectra_otel import faults
from spectra_otel.model.spans import UNTRACKED, starts
from spectra_otel.tracking.attribution import Attribution, Values, attribution, merge
from spectra_otel.tracking.spans import SCOPE

if TYPE_CHECKING:
    from spectra_otel.budgets.ticket import Ticket
    from spectra_otel.errors import BudgetExceededError
    from spectra_otel.tracking.request import Request

AT_ONCE = 0.05
"""Seconds within which spans of one call start within each other; a call beside it starts when that one has an answer."""
_BAGGAGE = {
    "user.id": "user_id",
    "enduser.id": "user_id",
    "session.id": "conversation_id",
    "gen_ai.conversation.id": "conversation_id",
}
"""Baggage key → record field; the first that is there wins."""
T = TypeVar("T")
_NOTHING = Attribution()
_current: ContextVar[Attribution] = ContextVar("spectra_attribution", default=_NOTHING)
_untracked: ContextVar[bool] = ContextVar("spectra_untracked", default=False)
_seen: ContextVar[list[int] | None] = ContextVar("spectra_seen", default=None)
_blocks: ContextVar[list[BudgetExceededError] | None] = ContextVar("spectra_blocks", default=None)
_lent: ContextVar[tuple[Ticket, ...]] = ContextVar("spectra_lent", default=())
_started: ContextVar[tuple[Ticket, float] | None] = ContextVar("spectra_started", default=None)
_last: ContextVar[Request | None] = ContextVar("spectra_last_request", default=None)
_process = _NOTHING
_globals = _NOTHING


def known() -> Attribution:
    """All that is known here: settings of the process, then globals, then the context."""
    here = _current.get()
    if _process is _NOTHING and _globals is _NOTHING:
        return here
    return _process.plus(_globals).plus(here)


def known_fields() -> Values:
    """:func:`known` and what baggage says, as record fields."""
    here = known()
    values = {} if here is _NOTHING else here.fields()
    _add_carried(values, baggage.get_all())
    return values


def _add_carried(values: Values, carried: Mapping[str, object]) -> None:
    """Add what baggage says."""
    if carried:
        for key, name in _BAGGAGE.items():
            if key in carried and name not in values:
                values[name] = str(carried[key])


def note_start(span: Span, parent: Context | None) -> None:
    """Remember for a span what the context says now: when it ends, and in which context, is nobody's to know. Never raises."""
    try:
        _note_start(span, parent)
    except Exception as error:
        faults.report("context", error)


def _note_start(span: Span, parent: Context | None) -> None:
    here, carried = _current.get(), baggage.get_all(parent)
    if here is _NOTHING and not carried and not _untracked.get():
        return
    scope = span.instrumentation_scope
    if scope is not None and scope.name == SCOPE:  # its record says it
        return
    values = {} if here is _NOTHING else here.fields()
    _add_carried(values, carried)
    if _untracked.get():
        values[UNTRACKED] = True
    if values:
        starts.leave(span.get_span_context(), values)


def attribute(values: Values, started: Values | None) -> bool:
    """Add to a record's fields what the process says of all its calls, and what was ``started``; True if there is any.

    What the app says wins over what a span says; tags and nested metadata are joined.
    """
    shared = {} if _process is _NOTHING and _globals is _NOTHING else _process.plus(_globals).fields()
    if not shared and not started:
        return False
    for said in filter(None, (shared, started)):
        tags, metadata, tier = said.get("tags"), said.get("metadata"), said.get("pricing_tier")
        new = dict(said)
        if tags:
            new["tags"] = list(dict.fromkeys((*(values.get("tags") or ()), *tags)))
        if metadata:
            new["metadata"] = merge(values.get("metadata") or {}, metadata)
        if tier:
            new["requested_tier"] = tier
        values.update(new)
    return True


def is_untracked() -> bool:
    """Whether the current context asked not to be tracked."""
    return _untracked.get()


def set_process_defaults(defaults: Attribution) -> None:
    """What the settings say of every record of the process."""
    global _process
    _process = defaults if defaults != _NOTHING else _NOTHING


def with_metadata(metadata: Mapping[str, Any]) -> None:
    """Add metadata to every call of the process from here on."""
    _add_global(attribution(metadata=metadata))


def with_tags(*tags: str) -> None:
    """Add tags to every call of the process from here on."""
    _add_global(attribution(tags=tags))


def with_user(user: str) -> None:
    """Name the user of every call of the process from here on."""
    _add_global(attribution(user=user))


def clear_globals() -> None:
    """Forget what ``with_metadata``, ``with_tags`` and ``with_user`` said."""
    global _globals
    _globals = _NOTHING


def _add_global(more: Attribution) -> None:
    global _globals
    _globals = _globals.plus(more)


def put_back(variable: ContextVar[T], token: Token[T]) -> bool:
    """Undo a setting. False in another context than it was made in, where a generator may go on: there nothing was set."""
    try:
        variable.reset(token)
    except ValueError:
        return False
    return True


def detach(token: Any) -> None:
    """Undo OpenTelemetry's ``attach``. Its own way logs an error where a generator ends in another context than it began in."""
    if isinstance(token, Token):
        put_back(token.var, token)
    else:
        context_api.detach(token)


@contextmanager
def attributed(more: Attribution) -> Iterator[None]:
    """Add to what is known of the calls in this block and in the tasks it starts."""
    token = _current.set(_current.get().plus(more))
    try:
        yield
    finally:
        put_back(_current, token)


def context(
    *,
    user: str | None = None,
    tags: Sequence[str] | str = (),
    metadata: Mapping[str, Any] | None = None,
    trackable: tuple[str, Any] | None = None,
    conversation_id: str | None = None,
    pricing_tier: str | None = None,
) -> Any:
    """A block whose calls carry this user, these tags, this metadata; inner blocks add to outer ones.

    A ``with`` block, also around ``await``; asyncio tasks started inside inherit it.
    """
    return attributed(
        attribution(
            user=user, tags=tags, metadata=metadata, trackable=trackable, conversation_id=conversation_id,
            pricing_tier=pricing_tier,
        )
    )  # fmt: skip


@contextmanager
def untracked() -> Iterator[None]:
    """A block whose calls make no span and no record of ours."""
    token = _untracked.set(True)
    try:
        yield
    finally:
        put_back(_untracked, token)


@contextmanager
def counting_calls() -> Iterator[list[int]]:
    """A block that learns how many instrumented calls were made inside: the one item of the list."""
    count = [0]
    token = _seen.set(count)
    try:
        yield count
    finally:
        outer = _seen.get() if put_back(_seen, token) else None
        if outer is not None:
            outer[0] += count[0]


@contextmanager
def noticing_blocks() -> Iterator[list[BudgetExceededError]]:
    """A block that learns which of its calls a budget stopped."""
    blocks: list[BudgetExceededError] = []
    token = _blocks.set(blocks)
    try:
        yield blocks
    finally:
        put_back(_blocks, token)


def notice_block(error: BudgetExceededError) -> None:
    """A budget stopped a call here."""
    blocks = _blocks.get()
    if blocks is not None:
        blocks.append(error)


@contextmanager
def lending(ticket: Ticket) -> Iterator[None]:
    """A block whose own room goes to the calls inside that ask for theirs."""
    token = _lent.set((*_lent.get(), ticket))
    try:
        yield
    finally:
        put_back(_lent, token)


def span_started(ticket: Ticket) -> None:
    """Somebody else's span of a call has begun here, perhaps without being the current one; it holds ``ticket`` for the call."""
    _started.set((ticket, time.monotonic()))


def next_span_starts() -> None:
    """Another one begins: for the same call if that is at once, else for a call beside it, whose room it must not take."""
    before = _started.get()
    if before is not None and time.monotonic() - before[1] > AT_ONCE:
        _started.set(None)


def lent() -> tuple[Ticket, ...]:
    """What blocks and spans around a call hold for it, should it be them that make it."""
    started = _started.get()
    return _lent.get() if started is None else (*_lent.get(), started[0])


def add_here(more: Attribution) -> None:
    """Add to what is known of the calls that follow in this block."""
    _current.set(_current.get().plus(more))


def last_request() -> Request | None:
    """The last instrumented call that was begun in this context."""
    return _last.get()


def notice_call(request: Request) -> None:
    """An instrumented call begins here."""
    _last.set(request)
    count = _seen.get()
    if count is not None:
        count[0] += 1
