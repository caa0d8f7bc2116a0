"""One cost-bearing span per response, whoever emitted how many spans for it.

Children end before parents, so the first span of a response to end bears its cost; what ends later around it wraps it. Two spans
of calls stand for one response when

* one is an ancestor of the other (a failed child of a call that went well is an attempt of its own);
* they carry one response id, overlap in time, do not contradict each other's usage, and come from two scopes. An id alone is
  not enough: mock servers and some gateways answer every call with `chatcmpl-123`;
* one of them has no id, they come from two scopes, one lies within the other in time (with equal numbers, half of it), model,
  usage and outcome are equal, and one trace has both or nothing says that two processes made them: a collector sees many
  applications, whose equal calls are each a call.

What is remembered is bounded in number and in time. With one instrumentation, as most apps have, only ancestry can join two
spans: the indexes by response and by usage are made when a second scope appears.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias

_LOOK_BACK = 256
_SLACK_NS = 2_000_000
"""Two libraries stamp the same moment up to this far apart."""
_NO_USAGE = (None, 0, False)
_PROCESS = ("service_name", "host_id", "process_id")
"""Fields that are equal for all that one process records."""

SpanKey: TypeAlias = tuple[int, int]
"""(trace id, span id)"""


@lru_cache(maxsize=1024)
def _only(scope: str) -> frozenset[str]:
    return frozenset((scope,))


class Call:
    """A span that is a call to a model; once elected, the response it stands for."""

    __slots__ = (
        "_places", "end", "fields", "has_wire", "is_exact", "key", "more", "parent", "rev", "scopes", "start",
    )  # fmt: skip

    def __init__(self, fields: dict[str, Any], scope: str, key: SpanKey, parent: int, start: int, end: int) -> None:
        self.fields = fields
        self.scopes = _only(scope)
        self.key = key
        self.parent = parent
        """Span id of the parent; 0 for a root."""
        self.start, self.end = start, end
        self.rev = 0
        self.is_exact = True
        self.has_wire = False
        """An instrumentor of ours saw the very exchange of this span."""
        self.more: tuple[SpanKey, ...] = ()
        """Further spans that stand for this response."""
        self._places: tuple[tuple[dict[Any, list[Call]], Any], ...] = ()

    @property
    def is_failed(self) -> bool:
        return bool(self.fields.get("is_failed"))

    def enter(self, index: dict[Any, list[Call]], key: Any) -> None:
        """Stand in an index until :meth:`leave`."""
        calls = index.get(key)
        if calls is None:
            index[key] = [self]
        elif calls[-1] is not self:
            calls.append(self)
        else:
            return
        self._places += ((index, key),)

    def leave(self) -> None:
        """Leave every index."""
        for index, key in self._places:
            calls = index.get(key)
            if calls is None:
                continue
            if calls[0] is self:  # the oldest leaves first
                del calls[0]
            elif self in calls:
                calls.remove(self)
            if not calls:
                del index[key]
        self._places = ()


class Election:
    """Remembers calls and finds the one that a span belongs to. Not thread-safe: its owner locks."""

    def __init__(self, limit: int, max_age_ns: int) -> None:
        self._limit, self._max_age = limit, max_age_ns
        self._calls: deque[Call] = deque()
        self._by_span: dict[SpanKey, Call] = {}
        self._below: dict[SpanKey, list[Call]] = {}
        self._by_response: dict[str, list[Call]] = {}
        self._by_usage: dict[tuple[Any, ...], list[Call]] = {}
        self._scopes: set[str] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def find(self, new: Call) -> Call | None:
        """The response that ``new`` is another span of."""
        if new.key in self._below or (new.parent and (new.key[0], new.parent) in self._by_span):
            found = self._family(new)
            if found is not None:
                return found
        if not new.scopes <= self._scopes:
            self._meet(new.scopes)
        if len(self._scopes) < 2:
            return None
        return self._same_response(new) or self._same_time(new)

    def add(self, call: Call) -> None:
        """Remember a call that bears a record now."""
        self._calls.append(call)
        self._enter(call, call)
        if len(self._scopes) > 1:
            call.enter(self._by_usage, _usage_key(call))
        oldest_end = call.end - self._max_age
        while len(self._calls) > self._limit or self._calls[0].end < oldest_end:
            oldest = self._calls.popleft()
            oldest.leave()
            self._by_span.pop(oldest.key, None)
            for key in oldest.more:
                self._by_span.pop(key, None)

    def join(self, call: Call, new: Call) -> None:
        """Remember that ``new`` is a span of ``call``: what is around ``new`` is around ``call`` too."""
        call.scopes = call.scopes | new.scopes
        call.has_wire = call.has_wire or new.has_wire
        call.start, call.end = min(call.start, new.start), max(call.end, new.end)
        self._enter(call, new)

    def _enter(self, call: Call, span: Call) -> None:
        self._by_span[span.key] = call
        if span is not call:
            call.more += (span.key,)
        if span.parent:
            call.enter(self._below, (span.key[0], span.parent))
        if len(self._scopes) > 1:
            self._enter_response(call)

    def _enter_response(self, call: Call) -> None:
        response_id = call.fields.get("response_id")
        if response_id:
            call.enter(self._by_response, response_id)

    def _meet(self, scopes: frozenset[str]) -> None:
        """Spans of another scope come: with the second one, a response can have spans of two."""
        had_one = len(self._scopes) == 1
        self._scopes |= scopes
        if had_one:
            for call in self._calls:
                self._enter_response(call)
                call.enter(self._by_usage, _usage_key(call))

    def end_other(self, key: SpanKey, parent: int, is_boundary: bool) -> None:
        """A span that is no call ended. The calls below it are below its parent too, unless it is an agent or a tool."""
        below = self._below.pop(key, None)
        if below and parent and not is_boundary:
            for call in below:
                call.enter(self._below, (key[0], parent))

    def knows_below(self) -> bool:
        """Whether any call waits for its ancestors."""
        return bool(self._below)

    def _family(self, new: Call) -> Call | None:
        above = self._by_span.get((new.key[0], new.parent))
        family = [*([above] if above else []), *self._below.get(new.key, ())]
        alike = [call for call in family if call.is_failed == new.is_failed and _same_kind(call, new)]
        same = [call for call in alike if _same_id(call, new)]
        if new.has_wire:  # what the wire said of this very span is a response of its own
            alike = []
        found = same or alike
        return found[-1] if found else None

    def _same_response(self, new: Call) -> Call | None:
        for call in _recent(self._by_response.get(new.fields.get("response_id", ""))):
            if _are_two_tellers(call, new) and _overlap(call, new) and _agree(call, new):
                return call
        return None

    def _same_time(self, new: Call) -> Call | None:
        has_id = "response_id" in new.fields
        usage = _usage_key(new)
        for key in (
            (usage, _NO_USAGE) if usage[0] is not None else (usage,)
        ):  # one of them may have lost a stream's usage
            for call in _recent(self._by_usage.get(key)):
                if has_id and "response_id" in call.fields:
                    continue
                if _may_join(call, new) and _within(call, new, key) and _same_model(call, new):
                    return call
        return self._same_stream(new) if usage == _NO_USAGE and not has_id and new.fields.get("is_streaming") else None

    def _same_stream(self, new: Call) -> Call | None:
        """Of a stream without usage or id, the one that another instrumentation read meanwhile: it may hide the answer."""
        for call in islice(reversed(self._calls), _LOOK_BACK):
            is_stream = call.fields.get("is_streaming") and not call.is_failed
            is_near = _may_join(call, new) and _within(call, new, _usage_key(call))
            if is_stream and is_near and _same_model(call, new):
                return call
        return None


def _recent(calls: list[Call] | None) -> Iterator[Call]:
    """The youngest of an index, youngest first."""
    return islice(reversed(calls), _LOOK_BACK) if calls else iter(())


def _usage_key(call: Call) -> tuple[Any, ...]:
    fields = call.fields
    return fields.get("prompt_tokens"), fields.get("completion_tokens") or 0, call.is_failed


def _same_kind(a: Call, b: Call) -> bool:
    return a.fields.get("model_type") == b.fields.get("model_type")


def _same_id(a: Call, b: Call) -> bool:
    response_id = a.fields.get("response_id")
    return response_id is not None and response_id == b.fields.get("response_id")


def _are_two_tellers(a: Call, b: Call) -> bool:
    """Two scopes, of which at most one saw the bytes: what was exchanged twice is two responses, such as two attempts."""
    return a.scopes.isdisjoint(b.scopes) and not (a.has_wire and b.has_wire)


def _may_join(a: Call, b: Call) -> bool:
    """Two scopes may have told of one call: in one trace, or as far as is known in one process."""
    if not _are_two_tellers(a, b):
        return False
    return a.key[0] == b.key[0] or all(
        one is None or other is None or one == other
        for one, other in ((a.fields.get(name), b.fields.get(name)) for name in _PROCESS)
    )


def _overlap(a: Call, b: Call) -> bool:
    return a.start <= b.end + _SLACK_NS and b.start <= a.end + _SLACK_NS


def _within(a: Call, b: Call, usage: tuple[Any, ...]) -> bool:
    """One lies in the other. Of calls with equal numbers, half the shorter one is enough: ends of streams are stamped late."""
    shorter = min(a.end - a.start, b.end - b.start)
    shared = min(a.end, b.end) - max(a.start, b.start)
    return shared >= max(0, shorter // 2 if usage[0] else shorter - 2 * _SLACK_NS)


def _agree(a: Call, b: Call) -> bool:
    """Neither says another number than the other, as far as both say exact ones."""
    if not (a.is_exact and b.is_exact):
        return True
    for field in ("prompt_tokens", "completion_tokens"):
        one, other = a.fields.get(field), b.fields.get(field)
        if one is not None and other is not None and one != other:
            return False
    return True


def _same_model(a: Call, b: Call) -> bool:
    """No name of the one contradicts the names of the other: a snapshot begins with its model's name."""
    if not _same_kind(a, b):
        return False
    mine, theirs = _names(a), _names(b)
    return not mine or not theirs or any(_is_name_of(x, y) or _is_name_of(y, x) for x in mine for y in theirs)


def _names(call: Call) -> list[str]:
    return [call.fields[name] for name in ("model", "snapshot") if name in call.fields]


def _is_name_of(short: str, long: str) -> bool:
    """`gpt-4o` of `gpt-4o-2024-08-06` and of `openai/gpt-4o`."""
    return long.startswith(short) or long.endswith("/" + short)
