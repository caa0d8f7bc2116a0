"""Ollama, on your own machine: free; in its cloud: by token. Its own API streams lines of JSON, unless told not to."""

from spectra_otel.providers.base import Endpoint, Format, Provider, Sent, StreamReader
from spectra_otel.providers.values import Json, Values, as_dict, length_of, put_count, put_text
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings, read_error
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses

CLOUD = "cloud"


class Generate(Format):
    """``/api/chat`` and ``/api/generate``: the line with ``done`` has the counts. A cached prompt is not counted at all."""

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def read_request(self, sent: Sent) -> Values:
        return {"model": sent.body.get("model"), "is_streaming": sent.body.get("stream") is not False}

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "snapshot", body.get("remote_model") or body.get("model"))
        if body.get("remote_host"):  # a server of one's own that passes it on
            values["pricing_tier"] = CLOUD
        if as_dict(body.get("message")).get("tool_calls"):
            values["has_tool_calls"] = True
        if body.get("done"):
            put_text(values, "finish_reason", body.get("done_reason"))
            usage = {name: body[name] for name in ("prompt_eval_count", "eval_count") if name in body}
            put_count(values, "prompt_tokens", usage.get("prompt_eval_count"))
            put_count(values, "completion_tokens", usage.get("eval_count"))
            values["usage_raw"] = usage or None

    def open_stream(self, values: Values) -> StreamReader:
        return Lines(self)


class Lines(StreamReader):
    """Lines of JSON, the last with ``done``."""

    __slots__ = ("_format",)

    def __init__(self, format_: Generate) -> None:
        super().__init__()
        self._format = format_

    def event(self, data: Json) -> None:
        self.characters += length_of(data.get("response") or as_dict(data.get("message")).get("content"))
        self._format.read_response(data, self.values)
        if data.get("error"):
            read_error(data, self.values)
        self.complete = self.final = bool(data.get("done") or data.get("error"))


class Embed(Format):
    """``/api/embed``; the older ``/api/embeddings`` counts nothing."""

    operation = "embeddings"
    model_type = "embedding"

    def read_response(self, body: Json, values: Values) -> None:
        values["is_streaming"] = False
        put_text(values, "snapshot", body.get("model"))
        put_count(values, "prompt_tokens", body.get("prompt_eval_count"))


PROVIDER = Provider(
    name="ollama",
    hosts=("ollama.com",),
    tier_at={"ollama.com": CLOUD},
    endpoints=(
        Endpoint("/api/chat", Generate("chat")),
        Endpoint("/api/generate", Generate("text_completion")),
        Endpoint("/api/embed", Embed()),
        Endpoint("/api/embeddings", Embed()),
        Endpoint("/v1/chat/completions", Chat(asks_for_usage=True)),
        Endpoint("/v1/completions", Completions(asks_for_usage=True)),
        Endpoint("/v1/embeddings", Embeddings()),
        Endpoint("/v1/responses", Responses()),
        Endpoint("/v1/messages", Messages()),
    ),
)
