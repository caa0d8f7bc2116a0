"""One request to a provider and its answer, whatever HTTP client carries them.

The client's instrumentor asks :meth:`Observer.begin` about each request it is about to send. For most it gets None, in
microseconds. For a billed call it gets an :class:`Exchange` and tells it what happens: :meth:`Exchange.answered` with status
and headers, then :meth:`Exchange.whole` with the body or :meth:`Exchange.tap` for a stream; or :meth:`Exchange.failed`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

import orjson

from spectra_otel import faults
from spectra_otel.budgets.book import book
from spectra_otel.config.settings import Settings
from spectra_otel.instrumentors.bodies import AWS_SIGNATURE, is_signed, read_request_body, upload_of
from spectra_otel.instrumentors.content import Content
from spectra_otel.instrumentors.estimate import estimate_delivered, put_upper_bound
from spectra_otel.instrumentors.frames import FrameSplitter, begins_with_frame
from spectra_otel.instrumentors.media import Media
from spectra_otel.instrumentors.streams import (
    EVENT_LIMIT,
    Decompressor,
    EventDecoder,
    EventSplitter,
    KeepingDecoder,
    OpenTaps,
    Tap,
    UsageHider,
)  # fmt: skip
from spectra_otel.instrumentors.unsent import is_unsent
from spectra_otel.model.fields import TOKEN_FIELDS
from spectra_otel.providers.base import Endpoint, Provider, Sent, StreamReader
from spectra_otel.providers.registry import Providers
from spectra_otel.providers.values import JOB, REGION, Json, Values, distrust_absurd_usage, put_region, put_text
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.tracking import context
from spectra_otel.tracking.jobs import Jobs
from spectra_otel.tracking.request import Owner, Request

if TYPE_CHECKING:
    from spectra_otel.instrumentors.admission import Blocked

EVENT_STARTS = (b"data:", b"event:", b":", b"id:", b"retry:")
"""How a stream of server-sent events can begin, whatever its content type says."""
BINARY = ("audio/", "image/", "video/", "application/octet-stream")
_KNOWN_ENDPOINTS = 512
"""Endpoints whose row is remembered: looking one up again takes a fifth of the time."""
_OUTCOME = ("is_aborted", "is_failed", "error_type", "error_message")
_SAID_TIER = "spectra.said_tier"
"""The tier that the app's code or the host names, which wins over the answer's: a batch result does not know that it is one."""
Headers = Mapping[str, str]
"""Headers by their names in lower case."""
Body = bytes | Json | None
Found = tuple[Provider | None, Endpoint, dict[str, str]]
"""Provider (None for a host that nobody named), row of its table, and what the placeholders matched."""


class Observer:
    """Looks at every request of the process's HTTP clients. ``skipped`` counts requests to providers that are not billed."""

    def __init__(self, owner: Owner, providers: Providers, settings: Settings) -> None:
        self.owner = owner
        self.providers = providers
        self.settings = settings
        self.taps = OpenTaps()
        self.jobs = Jobs()
        self.content = Content(settings.content_limit, settings.content_redactor) if settings.capture_content else None
        self.skipped = 0
        self._found: dict[tuple[str, str, int | None, str], Found] = {}

    def add_provider(self, provider: Provider) -> None:
        """Know one more provider from here on."""
        self.providers.add(provider)
        self._found.clear()

    def find(self, method: str, host: str, port: int | None, path: str) -> Found | None:
        """Whose endpoint that is; None for a request that is not billed, or nobody's. Quick: every request asks."""
        known = self._found.get((method, host, port, path))
        if known is not None:
            return known
        found = self._look_up(method, host, port, path)
        if found is not None:
            if len(self._found) >= _KNOWN_ENDPOINTS:
                self._found.clear()
            self._found[method, host, port, path] = found
        return found

    def _look_up(self, method: str, host: str, port: int | None, path: str) -> Found | None:
        provider = self.providers.of_host(host, port)
        if provider is None:
            row = self.providers.unnamed(path) if method == "POST" else None
            return None if row is None else (None, *row)
        row = provider.endpoint(method, path)
        if row is None:
            self.skipped += 1
            return None
        endpoint, places = row
        region = provider.region(host.lower())
        return provider, endpoint, {**places, REGION: region} if region else places

    def begin(
        self, found: Found, method: str, host: str, port: int | None, path: str, query: str, headers: Headers, raw: Body
    ) -> Exchange | None:
        """An exchange for a request that :meth:`find` found; None if it is not to be tracked after all. Never raises.

        ``raw`` is the request's body: bytes, the fields of a form, or None where it cannot be had.
        """
        try:
            return self._begin(found, method, host, port, path, query, headers, raw)
        except Exception as error:
            faults.report("instrumentor", error)
            return None

    def _begin(
        self, found: Found, method: str, host: str, port: int | None, path: str, query: str, headers: Headers, raw: Body
    ) -> Exchange | None:
        if context.is_untracked():
            return None
        provider, row, places = found
        if row.batch:
            return self._batch(found, method, path, query, headers)
        if row.completes:
            return self._poll(found, method, path, query, headers, raw)
        content_type = headers.get("content-type") or ""
        body = read_request_body(raw, content_type)
        sent = Sent(provider or self.providers.compatible, method, path, query, headers, body, places)
        if isinstance(raw, bytes) and content_type.startswith(("audio/", "application/octet-stream")):
            sent.upload = upload_of(raw)
        if provider is None and not row.format.accepts(sent):
            return None
        values: Values = {
            "provider": sent.provider.name,
            "model_type": row.format.model_type,
            "operation": row.format.operation,
            "endpoint": unquote(path) if "%" in path else path,
            "is_streaming": False,
            "server.address": host,
            "server.port": port,
            REGION: places.get(REGION),
        }
        values.update(row.format.read_request(sent))
        if sent.provider.tier_at and (tier := sent.provider.tier_at.get(host.lower())):
            values["pricing_tier"] = values[_SAID_TIER] = tier
        _attribute(values, headers)
        return Exchange(self, row, sent, raw, values)

    def _batch(self, found: Found, method: str, path: str, query: str, headers: Headers) -> Exchange | None:
        """An exchange for a request about a batch; None for a batch that nobody started here."""
        provider, row, places = found
        if provider is None:
            return None
        from spectra_otel.instrumentors.batches import PREFIX, BatchCall

        seed: Values | None = {}
        if row.batch != "start":
            seed = self.jobs.find(provider.name, PREFIX + places["job"])
        if seed is None:
            self.skipped += 1
            return None
        return BatchCall(self, row, Sent(provider, method, path, query, headers, {}, places), seed)

    def _poll(self, found: Found, method: str, path: str, query: str, headers: Headers, raw: Body) -> Exchange | None:
        """An exchange for a request that asks after a job of ours; None for a job that is done, or nobody's."""
        provider, row, places = found
        if "job" not in places:
            body = read_request_body(raw, headers.get("content-type") or "")
            places = {**places, "job": row.format.asked_job(body) or ""}
        seed = self.jobs.find(provider.name, places["job"]) if provider is not None else None
        if provider is None or seed is None:
            self.skipped += 1
            return None
        from spectra_otel.instrumentors.polls import Poll

        return Poll(self, row, Sent(provider, method, path, query, headers, {}, places), seed)


class Exchange:
    """One request and its answer."""

    __slots__ = ("_body", "_media", "_observer", "_row", "_said", "_sent", "_size", "reader", "request", "status")

    def __init__(self, observer: Observer, row: Endpoint, sent: Sent, raw: Body, values: Values) -> None:
        self._observer = observer
        self._row = row
        self._sent = sent
        self._size = len(raw) if isinstance(raw, bytes) else 0
        self.reader: StreamReader | None = None
        self._body: _Body | None = None
        self.status: int | None = None
        self._said: list[Json] | None = None
        """The answer, or its events, where content is kept."""
        self._media = Media() if observer.content is not None else None
        self.request = Request(observer.owner, values)
        context.notice_call(self.request)

    # -- before ----------------------------------------------------------------------------------------------------

    def admit(self) -> Blocked | None:
        """Ask the budgets for room; gives the answer that the client gets instead where they have none.

        Raises :class:`~spectra_otel.errors.BudgetExceededError` for a provider whose SDK shall see that.
        """
        if book.is_idle():
            return None
        from spectra_otel.instrumentors import admission

        return admission.admit(self.request, self._sent, self._size)

    async def admit_async(self) -> Blocked | None:
        """:meth:`admit` for a client on an event loop."""
        if book.is_idle():
            return None
        from spectra_otel.instrumentors import admission

        return await admission.admit_async(self.request, self._sent, self._size)

    def rewritten(self) -> bytes | None:
        """The body that a budget put in place of the app's; None where it did not."""
        ticket = self.request.ticket
        return orjson.dumps(ticket.body) if ticket is not None and ticket.body is not None else None

    def asks_for_usage(self) -> bytes | None:
        """A body that asks the stream for its usage, where the app's does not and only asking helps; else None."""
        body = self._sent.body
        if not (
            self._row.format.asks_for_usage and self._observer.settings.inject_usage and body.get("stream") is True
        ):
            return None
        options = body.get("stream_options")
        if (isinstance(options, dict) and options.get("include_usage")) or is_signed(self._sent.headers):
            return None
        return orjson.dumps({**body, "stream_options": {**(options or {}), "include_usage": True}})

    # -- after -----------------------------------------------------------------------------------------------------

    def answered(self, status: int, headers: Headers) -> None:
        """The head of the answer is here."""
        self.status = status
        values = self.request.values
        values["status_code"] = status
        if status >= 400:
            values["is_failed"] = True
            values["cost_status"] = self._sent.provider.failed(status)
        for name in self._sent.provider.account_headers:
            account = headers.get(name)
            if account:
                values["provider_account"] = account
                break
        self._row.format.read_headers(headers, values)

    def whole(self, data: bytes, content_type: str) -> None:
        """The body of an answer that was read at once. Never raises."""
        try:
            self.request.values.setdefault("is_failed", False)
            self.read_whole(data, content_type)
        except Exception as error:
            faults.report("instrumentor", error)
        self._settle(False, None)

    def failed(self, error: BaseException) -> None:
        """Sending or reading raised this."""
        values = self.request.values
        kind = type(error)
        values["is_failed"] = True
        values["error_type"] = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        values["error_message"] = _words_of(error)
        unsent, status = is_unsent(error), _status_in(error)
        if status is not None and not unsent:
            self.answered(status, {})
        else:
            values["cost_status"] = "not_billed" if unsent else "billed_unknown"
        if kind.__name__ in ("CancelledError", "GeneratorExit", "KeyboardInterrupt"):
            values["is_aborted"] = True
        self._finish()

    def give_up(self) -> None:
        """We cannot read the answer: record what is known of the call."""
        self._finish()

    def tap(self, content_type: str, decompress: Decompressor | None, hider: UsageHider | None) -> Tap:
        """A tap for a body that the app reads piece by piece."""
        body = self._body = _Body(self, content_type)
        return Tap(self._observer.taps, body.feed, self._settle, decompress, hider)

    # -- inside ----------------------------------------------------------------------------------------------------

    def read_whole(self, data: bytes, content_type: str) -> None:
        """Read a body that is all here."""
        values = self.request.values
        if not data or (content_type.startswith(BINARY) and not content_type.startswith("application/octet")):
            self.keep_piece(data, content_type)
            return
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._read_events(data, content_type)
            return
        if isinstance(body, list):
            body = body[0] if len(body) == 1 else self._row.format.gather(body)
        if isinstance(body, dict):
            if self._observer.content is not None:
                self._said = [body]
            if self._media is not None:
                self._media.read(body)
            if body.get("error") or values.get("is_failed"):
                read_error(body, values)
            if not values.get("is_failed") or body.get("usage"):
                self._row.format.read_response(body, values)

    def keep_piece(self, data: bytes, content_type: str) -> None:
        """A piece of an answer that is itself a medium, where such are listed."""
        if self._media is not None and content_type.startswith(BINARY):
            self._media.piece(data, content_type)

    def _read_events(self, data: bytes, content_type: str) -> None:
        """Not one JSON document: events, lines or frames, whatever the content type says; or nothing that we can read."""
        head = data[:4096].lstrip()
        is_framed = begins_with_frame(data)
        if is_framed or head.startswith(EVENT_STARTS) or (head.startswith(b"{") and b"\n" in data):
            splitter = FrameSplitter() if is_framed else EventSplitter(sse=not head.startswith(b"{"))
            decoder = self.open_decoder()
            decoder.take((*splitter.feed(data), *splitter.rest()))
        elif content_type.startswith(BINARY):
            self.keep_piece(data, content_type)
        elif not self.request.values.get("is_failed") and not (
            self._row.format.model_type == "stt" and content_type.startswith(("text/", "application/x-subrip"))
        ):
            self.request.values["error_type"] = "response_unreadable"

    def open_decoder(self) -> EventDecoder:
        """A decoder for the events of this answer."""
        self.reader = self._row.format.open_stream(self.request.values)
        if self._observer.content is None or self._media is None:
            return EventDecoder(self.reader)
        self._said = []
        return KeepingDecoder(self.reader, self._said, self._observer.content.limit, self._media.read)

    def _settle(self, aborted: bool, error: BaseException | None) -> None:
        values = self.request.values
        if self._body is not None:
            self._body.finish()
        reader = self.reader
        complete = reader.complete if reader is not None else not values.get("is_streaming")
        if error is not None and not complete:
            self._mark_broken(error)
        if (
            (aborted or (reader is not None and values.get("is_streaming")))
            and not complete
            and not values.get("is_failed")
        ):
            values["is_aborted"] = True
        self._finish()

    def _mark_broken(self, error: BaseException) -> None:
        kind = type(error)
        values = self.request.values
        values["is_aborted"] = True
        if kind.__name__ not in ("CancelledError", "GeneratorExit", "KeyboardInterrupt"):
            values["is_failed"] = True
            values["error_type"] = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
            values["error_message"] = _words_of(error)

    def _finish(self) -> None:
        """Make the record, once. Never raises."""
        try:
            values = self.request.values
            if self.reader is not None:
                values.update(self.reader.finish())
                if JOB in values and not self.reader.complete:  # it goes on without us, until somebody asks after it
                    for name in _OUTCOME:
                        values.pop(name, None)
            self._complete(values)
            job = None if values["is_failed"] else values.get(JOB)
            ticket = self.request.ticket
            if ticket is not None:
                ticket.is_for_job = bool(job)
            if self.request.finish() and job:
                charged = ticket.charged() if ticket is not None else {}
                self._observer.jobs.remember(self._sent.provider.name, job, self.request.as_record() | charged)
        except Exception as error:
            faults.report("instrumentor", error)

    def _complete(self, values: Values) -> None:
        values.setdefault("is_failed", False)
        if not values["is_failed"]:
            values.setdefault("has_tool_calls", False)
        tier = values.get(_SAID_TIER) or values.get("pricing_tier")
        if tier:
            values["pricing_tier"] = self._sent.provider.tier(tier)
        put_region(values, self._sent.places.get(REGION))
        distrust_absurd_usage(values, TOKEN_FIELDS)
        if values.get("reasoning_tokens"):
            values["is_reasoning"] = True
        if values.get("is_aborted") and values.get("cost_status") != "not_billed":
            estimate_delivered(values, self._sent.body, self.reader.characters if self.reader is not None else 0)
        if values.get("cost_status") == "billed_unknown":
            put_upper_bound(values, self._sent.body, self._size)
        content = self._observer.content
        if content is not None:
            said = self._said or [{}]
            values["request_body"] = content.keep(self._sent.body, "request")
            values["response_body"] = content.keep(said[0] if len(said) == 1 else {"events": said}, "response")
            if self._media is not None and (values["response_body"] is not None or not self._said):
                values["media"] = self._media.listed(values.get("model_type")) or None


class _Body:
    """A body read piece by piece: as events where it is a stream, as one document else. The first piece decides."""

    __slots__ = ("_exchange", "_parts", "_size", "_splitter", "_take", "_type")

    def __init__(self, exchange: Exchange, content_type: str) -> None:
        self._exchange = exchange
        self._type = content_type
        self._splitter: EventSplitter | FrameSplitter | None = None
        self._take: Callable[[Iterable[bytes]], None] = _ignore
        self._parts: list[bytes] | None = None
        self._size = 0

    def feed(self, data: bytes) -> bytes | None:
        """Read what came; gives what marks a piece that must be read at once, or None when the record can be settled."""
        if self._splitter is None:
            if self._parts is None and not self._decide(data):
                return b""
            if self._splitter is None:
                self._keep(data)
                return b""
        self._take(self._splitter.feed(data))
        reader, ticket = self._exchange.reader, self._exchange.request.ticket
        if reader is None:
            return b""
        if ticket is None or not ticket.bound.grows:
            return None if reader.final else reader.mark
        if not reader.complete:  # a budget may cut it at any piece
            ticket.delivered(reader.characters)
        return None if reader.final else b""

    def finish(self) -> None:
        """The body is over, or given up: read what was kept back."""
        if self._splitter is not None:
            self._take(self._splitter.rest())
        elif self._parts:
            self._exchange.read_whole(b"".join(self._parts), self._type)
            self._parts = None

    def _decide(self, piece: bytes) -> bool:
        head = piece.lstrip()
        if not head:
            return False
        self._exchange.request.seen_first_chunk()
        events = head.startswith(EVENT_STARTS)
        lines = (
            not events
            and "json" in self._type
            and ("nd" in self._type or "stream" in self._type or "lines" in self._type)
        )
        if events or lines or begins_with_frame(piece):
            self._splitter = EventSplitter(sse=events) if events or lines else FrameSplitter()
            self._take = self._exchange.open_decoder().take
        else:
            self._parts = []
        return True

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._type.startswith(BINARY) or self._size > EVENT_LIMIT:
            if "json" in self._type:
                self._exchange.request.values["error_type"] = "response_too_large"
            self._parts = []
            self._exchange.keep_piece(piece, self._type)
        elif self._parts is not None:
            self._parts.append(piece)


def _words_of(error: BaseException) -> str | None:
    """What an error says of itself, which is code of the app's or of its client's."""
    try:
        return str(error)[:1000] or None
    except Exception:
        return None


def _status_in(error: BaseException) -> int | None:
    """The status of a refusal that the client, or a hook of the app's, made an error of."""
    try:
        status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "status", None)
    except Exception:
        return None
    return status if type(status) is int and 400 <= status < 600 else None


def _ignore(lines: Iterable[bytes]) -> None:
    """Before the first piece nothing is read."""


def _attribute(values: Values, headers: Headers) -> None:
    """Who the call is for: what the app says wins over what the request says."""
    known = context.known_fields()
    if known:
        if "metadata" in values and "metadata" in known:
            known["metadata"] = context.merge(values["metadata"], known["metadata"])
        tier = known.pop("pricing_tier", None)
        values.update(known)
        if tier:
            values["requested_tier"] = values[_SAID_TIER] = tier
    retries = headers.get("x-stainless-retry-count")
    if retries is not None and retries.isdecimal():
        values["attempt"] = int(retries) + 1
    account = headers.get("openai-project") or headers.get("openai-organization")
    key = (
        headers.get("authorization")
        or headers.get("x-api-key")
        or headers.get("x-goog-api-key")
        or headers.get("api-key")
    )
    if key and key.startswith(
        AWS_SIGNATURE
    ):  # a signature of each request on its own; the key's id in it stays the same
        key = key.partition("Credential=")[2].partition("/")[0]
    put_text(values, "provider_account", account or (_fingerprint(key) if key else None))


@lru_cache(maxsize=256)
def _fingerprint(key: str) -> str:
    """A short name for a key from which the key cannot be had."""
    return "key-" + hashlib.sha256(b"spectra\0" + key.encode()).hexdigest()[:12]
