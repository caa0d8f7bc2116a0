"""Anthropic's Messages API, also spoken by Azure, Vertex (``rawPredict``) and Bedrock."""

from __future__ import annotations

from spectra_otel.providers.base import Format, Sent, StreamReader
from spectra_otel.providers.values import Json, Values, as_dict, as_list, length_of, put_text
from spectra_otel.providers.wire.chat import cents, put_provider_cost, read_error
from spectra_otel.providers.wire.usage import MESSAGES, TOOLS, read, take


class Messages(Format):
    """``/v1/messages``."""

    operation = "chat"

    def accepts(self, sent: Sent) -> bool:
        return isinstance(sent.body.get("model"), str) and "messages" in sent.body and "max_tokens" in sent.body

    def read_request(self, sent: Sent) -> Values:
        body = sent.body
        streams = bool(body.get("stream")) or "stream" in sent.path.rpartition("/")[2]
        values: Values = {"model": body.get("model") or sent.places.get("model"), "is_streaming": streams}
        put_text(values, "requested_tier", "fast" if body.get("speed") == "fast" else body.get("service_tier"))
        put_text(values, "user_id", as_dict(body.get("metadata")).get("user_id"))
        return values

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id"))
        put_text(values, "snapshot", body.get("model"))
        put_text(values, "finish_reason", body.get("stop_reason"))
        blocks = as_list(body.get("content"))
        values["has_tool_calls"] = any(as_dict(block).get("type") == "tool_use" for block in blocks)
        usage = body.get("usage")
        if isinstance(usage, dict):
            read_usage(usage, values)

    def open_stream(self, values: Values) -> StreamReader:
        return MessagesStream()


def read_usage(usage: Json, values: Values) -> None:
    """Anthropic's usage object, with its tier or speed, and its billed tools; a gateway's says what it charged."""
    values["usage_raw"] = usage
    take(usage, MESSAGES, values)
    put_text(values, "pricing_tier", "fast" if usage.get("speed") == "fast" else usage.get("service_tier"))
    put_provider_cost(values, cents(usage.get("cost")))
    tools = {name: count for name, count in read(usage, TOOLS).items() if type(count) is int and count}
    if tools:
        values["tool_call_counts"] = tools


class MessagesStream(StreamReader):
    """``message_start`` has the input and a provisional count of output, ``message_delta`` the final counts."""

    __slots__ = ("_is_counted", "_usage")
    mark = b"message_stop"

    def __init__(self) -> None:
        super().__init__()
        self._is_counted = False
        self._usage: Json = {}
        self.values["has_tool_calls"] = False

    def event(self, data: Json) -> None:
        kind = data.get("type")
        if kind == "content_block_delta":
            delta = as_dict(data.get("delta"))
            self.characters += length_of(delta.get("text") or delta.get("partial_json") or delta.get("thinking"))
        elif kind == "message_start":
            message = as_dict(data.get("message"))
            put_text(self.values, "response_id", message.get("id"))
            put_text(self.values, "snapshot", message.get("model"))
            self._usage.update(as_dict(message.get("usage")))
        elif kind == "content_block_start":
            if as_dict(data.get("content_block")).get("type") == "tool_use":
                self.values["has_tool_calls"] = True
        elif kind == "message_delta":
            put_text(self.values, "finish_reason", as_dict(data.get("delta")).get("stop_reason"))
            known = as_dict(data.get("usage"))
            self._usage.update({key: value for key, value in known.items() if value is not None})
            self.complete = self._is_counted = True
        elif kind == "message_stop":
            self.complete = self.final = True
        elif kind == "error":
            read_error(data, self.values)
            self.complete = self.final = True

    def finish(self) -> Values:
        if self._usage:
            read_usage(self._usage, self.values)
            if not self._is_counted:  # what message_start says is not what was written
                self.values.pop("completion_tokens", None)
        return self.values
