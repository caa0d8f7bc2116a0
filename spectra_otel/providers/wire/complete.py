"""Anthropic's text completions of old: no usage, ever."""

from __future__ import annotations

from spectra_otel.providers.base import Format, Sent, StreamReader
from spectra_otel.providers.values import Json, Values, length_of, put_text
from spectra_otel.providers.wire.chat import read_error


class Complete(Format):
    """``/v1/complete``."""

    operation = "text_completion"

    def read_request(self, sent: Sent) -> Values:
        return {"model": sent.body.get("model"), "is_streaming": bool(sent.body.get("stream"))}

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id") or body.get("log_id"))
        put_text(values, "snapshot", body.get("model"))
        put_text(values, "finish_reason", body.get("stop_reason"))
        values["has_tool_calls"] = False

    def open_stream(self, values: Values) -> StreamReader:
        return CompleteStream(self)


class CompleteStream(StreamReader):
    """Pieces of the completion; the one with a ``stop_reason`` is the last."""

    __slots__ = ("_format",)

    def __init__(self, format_: Complete) -> None:
        super().__init__()
        self._format = format_

    def event(self, data: Json) -> None:
        self.characters += length_of(data.get("completion"))
        self._format.read_response(data, self.values)
        if data.get("error"):
            read_error(data, self.values)
        self.complete = bool(data.get("stop_reason") or data.get("error"))
