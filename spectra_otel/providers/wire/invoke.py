"""Bedrock's InvokeModel: each maker's own body, told by its shape; counts that it lacks are in headers or the last event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.providers.base import Format, Sent, StreamReader
from spectra_otel.providers.values import Json, Values, as_dict, as_list, length_of, put_count, put_text
from spectra_otel.providers.wire.chat import Chat, read_error
from spectra_otel.providers.wire.converse import Converse, ConverseStream, read_error_header, read_usage
from spectra_otel.providers.wire.messages import Messages

_COUNT_HEADERS = {
    "inputTokens": "x-amzn-bedrock-input-token-count",
    "outputTokens": "x-amzn-bedrock-output-token-count",
    "cacheReadInputTokens": "x-amzn-bedrock-cache-read-input-token-count",
    "cacheWriteInputTokens": "x-amzn-bedrock-cache-write-input-token-count",
}
_METRICS = "amazon-bedrock-invocationMetrics"
_METRIC_NAMES = {
    "inputTokens": "inputTokenCount",
    "outputTokens": "outputTokenCount",
    "cacheReadInputTokens": "cacheReadInputTokenCount",
    "cacheWriteInputTokens": "cacheWriteInputTokenCount",
}
_KINDS = (
    ("embedding", ("embed",)),
    ("rerank", ("rerank",)),
    ("image", ("canvas", "titan-image", "stability.", "sd3", "stable-", "-image-")),
)
_TEXT_FINISHES = ("stop_reason", "completionReason", "finish_reason", "stopReason")
DOCUMENTS_PER_SEARCH = 100
"""A rerank query with more documents is billed as several (aws.amazon.com/bedrock/pricing)."""


class Invoke(Format):
    """``/model/{model}/invoke`` and ``invoke-with-response-stream``."""

    operation = "chat"

    def __init__(self) -> None:
        self.chat, self.messages, self.converse = Chat(), Messages(), Converse()

    def read_request(self, sent: Sent) -> Values:
        model = sent.places.get("model") or ""
        kind = next((kind for kind, words in _KINDS if any(word in model for word in words)), "text")
        values: Values = {"model": model, "model_type": kind, "is_streaming": sent.path.endswith("stream")}
        values["operation"] = {"embedding": "embeddings", "rerank": "rerank", "image": "generate_content"}.get(
            kind, "chat"
        )
        if kind == "image" and "amazon." in model:
            _read_image_config(as_dict(sent.body.get("imageGenerationConfig")), values)
        if kind == "rerank":
            documents = len(as_list(sent.body.get("documents")))
            values["search_units"] = -(-documents // DOCUMENTS_PER_SEARCH) or None
        return values

    def read_headers(self, headers: Mapping[str, str], values: Values) -> None:
        read_error_header(headers, values)
        counts = {name: int(headers[key]) for name, key in _COUNT_HEADERS.items() if headers.get(key, "").isdecimal()}
        if "inputTokens" in counts:
            read_usage(counts, values)

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id") or body.get("response_id") or body.get("generation_id"))
        if "choices" in body:
            self.chat.read_response(body, values)
            for choice in map(as_dict, as_list(body["choices"])):
                put_text(values, "finish_reason", choice.get("finish_reason") or choice.get("stop_reason"))
        elif body.get("type") == "message":
            self.messages.read_response(body, values)
        elif "output" in body and "usage" in body:
            self.converse.read_response(body, values)
        else:
            self._read_older(body, values)

    @staticmethod
    def _read_older(body: Json, values: Values) -> None:
        """Bodies of single texts, vectors or images."""
        values.setdefault("has_tool_calls", bool(body.get("tool_calls")))
        rows: list[Any] = [body]
        for name in ("results", "generations", "outputs", "completions"):
            rows += as_list(body.get(name))
        for row in map(as_dict, rows):
            for name in _TEXT_FINISHES:
                put_text(values, "finish_reason", row.get(name))
            put_text(values, "finish_reason", as_dict(row.get("finishReason")).get("reason"))
        counted = as_list(body.get("results"))
        written = (
            [as_dict(row).get("tokenCount") for row in counted] if counted else [body.get("generation_token_count")]
        )
        put_count(values, "prompt_tokens", body.get("inputTextTokenCount", body.get("prompt_token_count")))
        known = [count for count in written if isinstance(count, int)]
        if len(known) == len(written):
            put_count(values, "completion_tokens", sum(known))
        images = as_list(body.get("images") or body.get("artifacts"))
        if images:
            values["image_count"] = len(images)

    def open_stream(self, values: Values) -> StreamReader:
        return InvokeStream(self)


def _read_image_config(config: Json, values: Values) -> None:
    """What Amazon's own models are asked to draw; a size or quality that is left out is the least (docs of each model)."""
    width, height = config.get("width", 1024), config.get("height", 1024)
    if type(width) is int and type(height) is int:
        values["image_size"] = f"{width}x{height}"
    put_text(values, "image_quality", config.get("quality", "standard"))


class InvokeStream(StreamReader):
    """Events of a maker's own stream; the last one, or the only one, carries Bedrock's own counts beside it."""

    __slots__ = ("_format", "_metrics", "_reader")

    def __init__(self, format_: Invoke) -> None:
        super().__init__()
        self._format = format_
        self._reader: StreamReader | None = None
        self._metrics: Json = {}

    def event(self, data: Json) -> None:
        metrics = as_dict(data.get(_METRICS))
        if self._reader is None:
            self._reader = self._reader_of(data)
        reader = self._reader
        if reader is None:
            self._read_text(data)
        elif data.keys() != {_METRICS}:
            reader.event(data)
            self.characters = reader.characters
            self.complete = reader.complete
        if metrics:
            self._metrics = metrics
            self.complete = self.final = True

    def _reader_of(self, data: Json) -> StreamReader | None:
        if "choices" in data:
            return self._format.chat.open_stream(self.values)
        if str(data.get("type")).startswith("message_"):
            return self._format.messages.open_stream(self.values)
        return ConverseStream() if "messageStart" in data else None

    def _read_text(self, data: Json) -> None:
        if data.get("error"):
            read_error(data, self.values)
            self.complete = self.final = True
            return
        outputs = as_list(data.get("outputs"))
        text = data.get("completion") or data.get("outputText") or data.get("generation") or data.get("text")
        self.characters += length_of(text or as_dict(outputs[0] if outputs else None).get("text"))
        self._format.read_response({key: value for key, value in data.items() if key != _METRICS}, self.values)
        if self.values.get("finish_reason"):
            self.complete = True

    def finish(self) -> Values:
        found = self._reader.finish() if self._reader is not None else {}
        counts = {name: self._metrics[key] for name, key in _METRIC_NAMES.items() if key in self._metrics}
        if "inputTokens" in counts:
            read_usage(counts, self.values)
        self.values.update({name: value for name, value in found.items() if value is not None})
        return self.values
