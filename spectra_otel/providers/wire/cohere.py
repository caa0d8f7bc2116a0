"""Cohere's own formats: chat of both versions, generate, embed, rerank.

``billed_units`` is the base of the price and what the record counts; ``tokens`` beside it counts the template too. The cached
tokens are on the scale of ``tokens``: where they are more than what was billed they are left out.
"""

from __future__ import annotations

from spectra_otel.providers.base import Format, Sent, StreamReader
from spectra_otel.providers.values import Json, Values, as_dict, as_list, length_of, put_count, put_text
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.providers.wire.usage import BILLED, take


def read_billed(holder: Json, values: Values) -> None:
    """``usage`` of version 2, or ``meta`` of version 1."""
    billed, tokens = as_dict(holder.get("billed_units")), as_dict(holder.get("tokens"))
    if not billed and not tokens:
        return
    values["usage_raw"] = {key: holder[key] for key in ("billed_units", "tokens", "cached_tokens") if key in holder}
    base = billed or tokens
    take(base, BILLED, values)
    for name, count, whole in (
        ("cached_tokens", holder.get("cached_tokens"), values.get("prompt_tokens")),
        ("reasoning_tokens", tokens.get("reasoning_tokens"), values.get("completion_tokens")),
    ):
        if isinstance(count, int) and whole is not None and count <= whole:
            put_count(values, name, count)


class CohereChat(Format):
    """``/v1/chat``, ``/v2/chat`` and ``/v1/generate``."""

    def __init__(self, operation: str = "chat") -> None:
        self.operation = operation

    def read_request(self, sent: Sent) -> Values:
        return {"model": sent.body.get("model"), "is_streaming": bool(sent.body.get("stream"))}

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id") or body.get("response_id"))
        put_text(values, "finish_reason", body.get("finish_reason"))
        for row in map(as_dict, as_list(body.get("generations"))):
            put_text(values, "finish_reason", row.get("finish_reason"))
        calls = as_dict(body.get("message")).get("tool_calls") or body.get("tool_calls")
        values["has_tool_calls"] = bool(calls)
        read_billed(as_dict(body.get("usage") or body.get("meta")), values)

    def open_stream(self, values: Values) -> StreamReader:
        return CohereStream(self)


class CohereStream(StreamReader):
    """Events of version 2 (``message-end`` is the last) or lines of version 1 (``stream-end`` carries the answer whole)."""

    __slots__ = ("_format", "_tools")
    mark = b"-end"

    def __init__(self, format_: CohereChat) -> None:
        super().__init__()
        self._format = format_
        self._tools = False

    def event(self, data: Json) -> None:
        kind = str(data.get("type") or data.get("event_type") or "")
        delta = as_dict(data.get("delta"))
        if kind == "content-delta":
            content = as_dict(as_dict(delta.get("message")).get("content"))
            self.characters += length_of(content.get("text") or content.get("thinking"))
        elif kind == "text-generation":
            self.characters += length_of(data.get("text"))
        elif kind.startswith(("tool-call-start", "tool-calls-gen")):
            self._tools = True
        elif kind in ("message-start", "stream-start"):
            put_text(self.values, "response_id", data.get("id") or data.get("generation_id"))
        elif kind == "message-end":
            put_text(self.values, "finish_reason", delta.get("finish_reason"))
            read_billed(as_dict(delta.get("usage")), self.values)
            self.complete = self.final = True
        elif kind == "stream-end" or data.get("is_finished"):
            self._format.read_response(as_dict(data.get("response")), self.values)
            put_text(self.values, "finish_reason", data.get("finish_reason"))
            self._tools = self._tools or self.values["has_tool_calls"]
            self.complete = self.final = True
        if data.get("error"):
            read_error(data, self.values)
            self.complete = self.final = True

    def finish(self) -> Values:
        self.values["has_tool_calls"] = self._tools
        return self.values


class CohereEmbed(Format):
    """``/embed`` and ``/classify``."""

    operation = "embeddings"
    model_type = "embedding"

    def read_request(self, sent: Sent) -> Values:
        return {"model": sent.body.get("model"), "is_streaming": False}

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id"))
        values["has_tool_calls"] = False
        read_billed(as_dict(body.get("meta")), values)


class CohereRerank(CohereEmbed):
    """``/rerank``: billed by search."""

    operation = "rerank"
    model_type = "rerank"
