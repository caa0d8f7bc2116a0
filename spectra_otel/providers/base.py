"""What a provider table is made of: :class:`Provider`, its :class:`Endpoint` rows, and the :class:`Format` that reads them.

A format reads one kind of call: the request, the whole answer, and the events of a streamed one, all into record fields
(:mod:`spectra_otel.model.fields`), with the help of :mod:`spectra_otel.providers.values`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

from spectra_otel.providers.values import Json, Values

BudgetBlock = Literal["429", "raise"]
_PLACE = re.compile(r"\{(\w+(?:\.\.\.)?)\}")


@dataclass(slots=True)
class Sent:
    """A request, as formats read it.

    ``body`` is the decoded JSON object or the fields of a form, a file among them as an :class:`Upload` (empty when it is
    neither), ``places`` what the placeholders of the endpoint's template matched, ``headers`` any mapping that ignores case,
    ``upload`` a body that is itself a file.
    """

    provider: Provider
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Json
    places: dict[str, str] = field(default_factory=dict)
    upload: Upload | None = None

    def asked(self, name: str) -> str | None:
        """A parameter of the query."""
        return dict(parse_qsl(self.query)).get(name)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent: its first bytes, its last, and how many there are (None: not known)."""

    head: bytes
    tail: bytes = b""
    size: int | None = None


class StreamReader:
    """Reads the events of one streamed answer into ``values``.

    ``complete``: the answer was seen whole, so a close from here on is not an abort. ``final``: nothing that matters can
    follow, so the record is settled now. ``characters``: text delivered so far, the base of an estimate if it ends early.
    ``mark``: bytes that the event has which makes it final; events without them may be read some later, many at once. Where
    nothing tells it, every event is read as it comes.
    """

    __slots__ = ("characters", "complete", "final", "values")
    mark = b""

    def __init__(self) -> None:
        self.values: Values = {}
        self.characters = 0
        self.complete = False
        self.final = False

    def event(self, data: Json) -> None:
        """Read one decoded event."""
        raise NotImplementedError

    def done(self) -> None:
        """The ``[DONE]`` marker arrived."""
        self.complete = self.final = True

    def finish(self) -> Values:
        """All that is known now. Called once, at the end or at the abort."""
        return self.values


class Format:
    """One wire format. Subclasses say what they read; the defaults read nothing."""

    operation = "chat"
    """GenAI operation name of the semantic conventions."""
    model_type = "text"
    asks_for_usage = False
    """Streams carry usage only if ``stream_options.include_usage`` is set."""

    def read_request(self, sent: Sent) -> Values:
        """Fields the request tells: model, streaming, requested tier, size of the input."""
        return {"model": sent.body.get("model") or sent.places.get("model")}

    def read_response(self, body: Json, values: Values) -> None:
        """Add the fields that a whole answer tells to ``values`` (which holds those of the request)."""

    def read_headers(self, headers: Mapping[str, str], values: Values) -> None:
        """Add the fields that response headers tell."""

    def open_stream(self, values: Values) -> StreamReader:
        """A reader for one streamed answer; ``values`` holds the fields of the request.

        Where a format has none of its own, each event is read as an answer that is whole as far as it goes.
        """
        return _AnswerStream(self, values)

    def gather(self, rows: list[Any]) -> Json | None:
        """One object for an answer that is a JSON array; None when this format has no such answer."""
        return None

    def asked_job(self, body: Json) -> str | None:
        """The job that a request asks after whose path does not say it; ``body`` is the request's."""
        return None

    def accepts(self, sent: Sent) -> bool:
        """Whether a request to a host nobody named has the shape of this format."""
        return False


class _AnswerStream(StreamReader):
    """Events that are each an answer so far; the end of the body ends it."""

    __slots__ = ("_format",)

    def __init__(self, format_: Format, request: Values) -> None:
        super().__init__()
        self._format = format_
        self.values = dict(request)

    def event(self, data: Json) -> None:
        self._format.read_response(data, self.values)
        self.complete = True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of a provider's table: ``template`` is the end of the path.

    A ``{placeholder}`` matches one segment, or its part before a colon; ``{placeholder...}`` matches all that is left.
    """

    template: str
    format: Format
    method: str = "POST"
    completes: bool = False
    """Asks after a job that an earlier call began: ``{job}`` in the template is its id, or the format tells it."""
    batch: Literal["", "start", "look", "results"] = ""
    """What it does with a batch of calls: none of it is a call itself, but the results are one record a line."""
    pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = _PLACE.split(self.template)
        text = "".join(_pattern_of(part, parts[i + 1]) if i % 2 else re.escape(part) for i, part in enumerate(parts))
        object.__setattr__(self, "pattern", re.compile(text + r"/?\Z"))

    @property
    def tail(self) -> str:
        """The last literal word of the template, by which candidates are found; empty where a placeholder stands."""
        word = _last_word(self.template)
        return "" if "{" in word else word


def _last_word(path: str) -> str:
    return path[max(path.rfind("/"), path.rfind(":")) + 1 :]


def _pattern_of(place: str, after: str) -> str:
    if place.endswith("..."):
        return f"(?P<{place[:-3]}>.+?)"
    return f"(?P<{place}>[^/:]+)" if after.startswith(":") else f"(?P<{place}>[^/]+)"


def billing_of_status(status: int) -> str:
    """``not_billed`` or ``billed_unknown`` for an HTTP status ≥ 400.

    A refusal costs nothing. A 408, 500, 502 or 504 can come after the model has worked, and nobody says so.
    """
    return "billed_unknown" if status in (408, 500, 502, 504) else "not_billed"


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: ``name`` is what records say, ``hosts`` where it lives (``{placeholders}`` match one label or part).

    ``budget_block`` is how a budget's no reaches the SDKs of this provider: ``429`` as an answer they do not retry, or
    ``raise``. ``failed`` says of an HTTP status whether the call was billed. ``tiers`` maps the provider's words for
    service tiers to ours; a word that is not there stands for itself. ``tier_at`` has the hosts
    that sell one tier alone. ``prices_by_region`` says that a call can cost more at a host with a ``{region}``.
    """

    name: str
    hosts: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    budget_block: BudgetBlock = "raise"
    failed: Callable[[int], str] = billing_of_status
    tiers: Mapping[str, str] = field(
        default_factory=lambda: {"default": "standard", "on_demand": "standard", "auto": "auto"}
    )
    tier_at: Mapping[str, str] = field(default_factory=dict)
    prices_by_region: bool = False
    account_headers: tuple[str, ...] = ()
    """Response headers that name the account, in order of preference."""
    skips: tuple[str, ...] = ()
    """Ends of paths that look like a row and are not billed."""
    _rows: dict[tuple[str, str], tuple[Endpoint, ...]] = field(init=False, repr=False, compare=False)
    """Rows by method and last word; under no word those whose last word is a placeholder, which are among all others too."""

    def __post_init__(self) -> None:
        rows: dict[tuple[str, str], tuple[Endpoint, ...]] = {}
        for row in self.endpoints:
            words = {word for method, word in rows if method == row.method} if not row.tail else ()
            for word in {row.tail, *words}:
                rows[row.method, word] = (*rows.get((row.method, word), rows.get((row.method, ""), ())), row)
        object.__setattr__(self, "_rows", rows)

    def endpoint(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]] | None:
        """The row for a request and what its placeholders matched; None when the request is not one that is billed."""
        if self.skips and path.endswith(self.skips):
            return None
        rows = self._rows.get((method, _last_word(path.rstrip("/")))) or self._rows.get((method, "")) or ()
        for row in rows:
            match = row.pattern.search(path)
            if match:
                return row, {name: unquote(text) for name, text in match.groupdict().items()}
        return None

    def region(self, host: str) -> str | None:
        """The region in the name of a host, where prices depend on it."""
        for place in self.hosts if self.prices_by_region else ():
            before, found, after = place.partition("{region}")
            if found and len(host) > len(before + after) and host.startswith(before) and host.endswith(after):
                return host[len(before) : len(host) - len(after)]
        return None

    def tier(self, word: str) -> str:
        """Our word for a service tier."""
        return self.tiers.get(word.lower(), word.lower())
