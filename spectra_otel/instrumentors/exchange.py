"""One request to a provider and its answer, whatever HTTP client carries them.

The client's instrumentor asks :meth:`~spectra_otel.instrumentors.observing.Observer.begin` about each request it is about to
send. For most it gets None, in microseconds. For a billed call it gets an :class:`Exchange` and tells it what happens:
:meth:`Exchange.answered` with status and headers, then :meth:`Exchange.whole` with the body or :meth:`Exchange.tap` for a
stream; or :meth:`Exchange.failed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from spectra_otel import faults
from spectra_otel.budgets.book import book
from spectra_otel.instrumentors.bodies import is_signed
from spectra_otel.instrumentors.estimate import estimate_delivered, put_upper_bound
from spectra_otel.instrumentors.events import EVENT_STARTS, EventDecoder, EventSplitter, KeepingDecoder
from spectra_otel.instrumentors.frames import FrameSplitter, begins_with_frame
from spectra_otel.instrumentors.media import Media
from spectra_otel.instrumentors.pieces import BINARY, Pieces
from spectra_otel.instrumentors.streams import Decompressor, Tap, UsageHider
from spectra_otel.instrumentors.unsent import is_unsent
from spectra_otel.model.fields import TOKEN_FIELDS
from spectra_otel.model.privacy import without_credentials, without_echo, words
from spectra_otel.providers.base import Endpoint, Sent, StreamReader
from spectra_otel.providers.values import JOB, REGION, SAID_TIER, Json, Values, distrust_absurd_usage, put_region
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.tracking import context
from spectra_otel.tracking.request import Request

if TYPE_CHECKING:
    from spectra_otel.instrumentors.admission import Blocked
    from spectra_otel.instrumentors.observing import Observer

_OUTCOME = ("is_aborted", "is_failed", "error_type", "error_message")
Headers = Mapping[str, str]
"""Headers by their names in lower case."""
Body = bytes | Json | None


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_body", "_is_read", "_media", "_observer", "_row", "_said", "_sent", "_size", "reader", "request", "status",
    )  # fmt: skip

    def __init__(self, observer: Observer, row: Endpoint, sent: Sent, raw: Body, values: Values) -> None:
        self._observer = observer
        self._row = row
        self._sent = sent
        self._size = len(raw) if isinstance(raw, bytes) else 0
        self.reader: StreamReader | None = None
        self._body: Pieces | None = None
        self._is_read = False
        """An answer that is one document was there, whole."""
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
        values["error_message"] = words(error)
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
        body = self._body = Pieces(self, content_type)
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
        self._is_read = True
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
        complete = (
            reader.complete
            if reader is not None
            else not values.get("is_streaming") and not self._is_cut(aborted, error)
        )
        if error is not None and not complete:
            self._mark_broken(error)
        if (
            (aborted or (reader is not None and values.get("is_streaming")))
            and not complete
            and not values.get("is_failed")
        ):
            values["is_aborted"] = True
        self._finish()

    def _is_cut(self, aborted: bool, error: BaseException | None) -> bool:
        """Whether an answer that is one document was not read whole: the provider did the work, nobody knows for how much."""
        values = self.request.values
        if self._is_read or not (
            error is not None or (aborted and self._body is not None and not self._body.is_binary)
        ):
            return False
        if values.get("error_type") == "response_unreadable":  # its end is missing, no more
            del values["error_type"]
        if values.get("cost_status") is None:
            values["cost_status"] = "billed_unknown"
        return True

    def _mark_broken(self, error: BaseException) -> None:
        kind = type(error)
        values = self.request.values
        values["is_aborted"] = True
        if kind.__name__ not in ("CancelledError", "GeneratorExit", "KeyboardInterrupt"):
            values["is_failed"] = True
            values["error_type"] = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
            values["error_message"] = words(error)

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
        tier = values.get(SAID_TIER) or values.get("pricing_tier")
        if tier:
            values["pricing_tier"] = self._sent.provider.tier(tier)
        put_region(values, self._sent.places.get(REGION))
        distrust_absurd_usage(values, TOKEN_FIELDS)
        if values.get("reasoning_tokens"):
            values["is_reasoning"] = True
        if values.get("is_aborted") and values.get("is_streaming") and values.get("cost_status") != "not_billed":
            estimate_delivered(values, self._sent.body, self.reader.characters if self.reader is not None else 0)
        if values.get("cost_status") == "billed_unknown":
            put_upper_bound(values, self._sent.body, self._size)
        if values.get("error_message"):
            self._clean_words(values)
        content = self._observer.content
        if content is not None:
            said = self._said or [{}]
            values["request_body"] = content.keep(self._sent.body, "request")
            values["response_body"] = content.keep(said[0] if len(said) == 1 else {"events": said}, "response")
            if self._media is not None and (values["response_body"] is not None or not self._said):
                values["media"] = self._media.listed(values.get("model_type")) or None

    def _clean_words(self, values: Values) -> None:
        """Leave out of an error's words what the request sent in confidence, and what was said, where that is not kept."""
        message = values.pop("error_message")
        message = without_credentials(message, self._sent.headers)
        if self._observer.content is None:
            message = without_echo(message, self._sent.body)
        values["error_message"] = message


def _status_in(error: BaseException) -> int | None:
    """The status of a refusal that the client, or a hook of the app's, made an error of."""
    try:
        status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "status", None)
    except Exception:
        return None
    return status if type(status) is int and 400 <= status < 600 else None
