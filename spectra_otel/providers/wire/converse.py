"""Bedrock's Converse, and the same shapes where Amazon's own models speak them through InvokeModel."""

from __future__ import annotations

from spectra_otel.providers.base import Format, Sent, StreamReader
from spectra_otel.providers.values import Json, Values, as_dict, as_list, put_count, put_text
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.providers.wire.usage import CONVERSE, take


class Converse(Format):
    """``/model/{model}/converse`` and ``converse-stream``. The body names no model: the path does."""

    operation = "chat"

    def read_request(self, sent: Sent) -> Values:
        values: Values = {"model": sent.places.get("model"), "is_streaming": sent.path.endswith("stream")}
        put_text(values, "requested_tier", as_dict(sent.body.get("serviceTier")).get("type"))
        metadata = sent.body.get("requestMetadata")
        if metadata and isinstance(metadata, dict):
            values["metadata"] = metadata
        return values

    def read_headers(self, headers: object, values: Values) -> None:
        read_error_header(headers, values)

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "finish_reason", body.get("stopReason"))
        blocks = as_list(as_dict(as_dict(body.get("output")).get("message")).get("content"))
        values["has_tool_calls"] = any(is_client_tool(as_dict(as_dict(block).get("toolUse"))) for block in blocks)
        put_text(values, "pricing_tier", as_dict(body.get("serviceTier")).get("type"))
        if as_dict(body.get("usage")):
            read_usage(body["usage"], values)

    def open_stream(self, values: Values) -> StreamReader:
        return ConverseStream()


def is_client_tool(use: Json) -> bool:
    """Whether the app is asked to run a tool, and not the service."""
    return bool(use) and use.get("type") != "server_tool_use"


def read_usage(usage: Json, values: Values) -> None:
    """Converse's usage object, with the lifetimes of what it wrote to the cache."""
    values["usage_raw"] = usage
    take(usage, CONVERSE, values)
    for row in map(as_dict, as_list(usage.get("cacheDetails"))):
        if row.get("ttl") == "1h":
            put_count(values, "cache_write_1h_tokens", row.get("inputTokens"))


def read_error_header(headers: object, values: Values) -> None:
    """``x-amzn-errortype``: the class of the error, and where it is defined."""
    kind = getattr(headers, "get", lambda _: None)("x-amzn-errortype")
    put_text(values, "error_type", str(kind).partition(":")[0] if kind else None)


class ConverseStream(StreamReader):
    """Events told by their keys; ``stopReason`` makes the answer whole, the ``metadata`` after it carries the usage.

    Events come bare (Converse) or under their names (Amazon's models through InvokeModel).
    """

    def __init__(self) -> None:
        super().__init__()
        self.values["has_tool_calls"] = False

    def event(self, data: Json) -> None:
        if len(data) <= 2 and "usage" not in data:
            inner = next((v for k, v in data.items() if type(v) is dict and k in _NAMES), None)
            data = data if inner is None else inner
        delta = data.get("delta")
        if type(delta) is dict:
            text = delta.get("text") or as_dict(delta.get("toolUse")).get("input")
            text = text or as_dict(delta.get("reasoningContent")).get("text")
            if type(text) is str:
                self.characters += len(text)
        elif "start" in data:
            if is_client_tool(as_dict(as_dict(data["start"]).get("toolUse"))):
                self.values["has_tool_calls"] = True
        elif "stopReason" in data:
            put_text(self.values, "finish_reason", data["stopReason"])
            self.complete = True
        elif "error" in data:
            read_error(data, self.values)
            self.complete = self.final = True
        if as_dict(data.get("usage")):
            read_usage(data["usage"], self.values)
            put_text(self.values, "pricing_tier", as_dict(data.get("serviceTier")).get("type"))
            self.final = self.complete


_NAMES = frozenset(
    {"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
)
