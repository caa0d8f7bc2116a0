"""Mistral's conversations, also with an agent: entries in, entries out; the built-in tools that ran are counted as connectors."""

from __future__ import annotations

from spectra_otel.providers.base import Format, Sent, StreamReader
from spectra_otel.providers.values import Json, Values, as_dict, as_list, length_of, put_count, put_text
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.providers.wire.chat import read_usage as read_chat_usage


class Conversations(Format):
    """``/conversations``, a turn of one, and its restart. An agent's model stands in the entries of the answer alone."""

    operation = "chat"

    def read_request(self, sent: Sent) -> Values:
        values: Values = {"model": sent.body.get("model"), "is_streaming": bool(sent.body.get("stream"))}
        put_text(values, "conversation_id", sent.places.get("conversation"))
        return values

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "conversation_id", body.get("conversation_id"))
        entries = [as_dict(entry) for entry in as_list(body.get("outputs"))]
        for entry in entries:
            read_entry(entry, values)
        values["has_tool_calls"] = any(entry.get("type") == "function.call" for entry in entries)
        if as_dict(body.get("usage")):
            read_usage(body["usage"], values)

    def open_stream(self, values: Values) -> StreamReader:
        return ConversationStream()


def read_entry(entry: Json, values: Values) -> None:
    """What one entry of the answer tells: its id, and which model wrote it."""
    put_text(values, "response_id", entry.get("id"))
    put_text(values, "snapshot", entry.get("model"))


def read_usage(usage: Json, values: Values) -> None:
    """``usage``: what connectors read is beside the prompt, where the total says so; how often each ran is in ``connectors``."""
    values["usage_raw"] = usage
    read_chat_usage(usage, values)
    read, prompt = usage.get("connector_tokens"), values.get("prompt_tokens")
    written, total = values.get("completion_tokens"), values.get("total_tokens")
    if type(read) is int and prompt is not None and written is not None and total == prompt + written + read:
        put_count(values, "prompt_tokens", prompt + read)
    tools = {name: n for name, n in as_dict(usage.get("connectors")).items() if type(n) is int and n > 0}
    if tools:
        values["tool_call_counts"] = tools


class ConversationStream(StreamReader):
    """Typed events; ``conversation.response.done`` is the last and carries the usage."""

    __slots__ = ("_tools",)

    def __init__(self) -> None:
        super().__init__()
        self._tools = False

    def event(self, data: Json) -> None:
        kind = str(data.get("type"))
        if kind == "message.output.delta":
            self._read_delta(data)
        elif kind == "function.call.delta":
            self._tools = True
            self.characters += len(str(data.get("arguments") or ""))
        elif kind == "conversation.response.started":
            put_text(self.values, "conversation_id", data.get("conversation_id"))
        elif kind == "conversation.response.done":
            read_usage(as_dict(data.get("usage")), self.values)
            self.complete = self.final = True
        elif kind == "conversation.response.error" or data.get("error"):
            read_error(data, self.values)
            self.complete = self.final = True

    def _read_delta(self, data: Json) -> None:
        content = data.get("content")
        text = content if isinstance(content, str) else as_dict(content).get("text")
        self.characters += length_of(text)
        read_entry(data, self.values)

    def finish(self) -> Values:
        self.values["has_tool_calls"] = self._tools
        return self.values
