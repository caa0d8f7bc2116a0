"""Google's ``generateContent`` and the embedding calls, as the Gemini API and Vertex speak them."""

from __future__ import annotations

from typing import Any

from spectra_otel.providers.base import Format, Sent, StreamReader
from spectra_otel.providers.values import Json, Values, as_dict, as_list, length_of, put_count, put_text
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.providers.wire.usage import GENERATE, take

_FINISH_CODES = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
"""``finishReason`` as ``$alt=json;enum-encoding=int`` sends it."""


class Generate(Format):
    """``:generateContent`` and ``:streamGenerateContent``.

    Thoughts are counted beside the candidates and what tools read beside the prompt: the record's counts are the sums. Each
    chunk of a stream repeats the usage so far; the last one counts.
    """

    operation = "generate_content"

    def read_request(self, sent: Sent) -> Values:
        model = sent.places.get("model")
        values: Values = {"model": model, "is_streaming": "stream" in sent.path.rpartition(":")[2]}
        put_type(as_dict(sent.body.get("generationConfig")).get("responseModalities"), values)
        put_text(values, "requested_tier", sent.body.get("serviceTier") or sent.body.get("service_tier"))
        return values

    def read_response(self, body: Json, values: Values) -> None:
        reader = GenerateStream(values.get("model"))
        reader.event(body)
        values.update(reader.finish())

    def open_stream(self, values: Values) -> StreamReader:
        return GenerateStream(values.get("model"))

    def accepts(self, sent: Sent) -> bool:
        return isinstance(sent.body.get("contents"), list)

    def gather(self, rows: list[Any]) -> Json | None:
        """Without ``alt=sse`` a stream is one JSON array of chunks."""
        if len(rows) == 1:
            return as_dict(rows[0])
        parts = [part for row in rows for candidate in _candidates(row) for part in _parts(candidate)]
        whole: Json = {}
        for row in map(as_dict, rows):
            whole.update(row)
        last: Json = next((c for row in reversed(rows) for c in _candidates(row) if as_dict(c).get("finishReason")), {})
        return whole | {"candidates": [{**last, "content": {"parts": parts}}]}


def put_type(modalities: Any, values: Values) -> None:
    """The type of the model that is asked, by the modalities of the answer that is asked for."""
    asked = {str(word).upper() for word in as_list(modalities)}
    if asked & {"AUDIO", "IMAGE"}:
        values["model_type"] = "tts" if "AUDIO" in asked else "image"


def _candidates(body: Any) -> list[Any]:
    return as_list(as_dict(body).get("candidates"))


def _parts(candidate: Any) -> list[Any]:
    return as_list(as_dict(as_dict(candidate).get("content")).get("parts"))


def read_usage(usage: Json, values: Values) -> None:
    """``usageMetadata``, with its modalities and its tier."""
    values["usage_raw"] = usage
    take(usage, GENERATE, values)
    asked = [*as_list(usage.get("promptTokensDetails")), *as_list(usage.get("toolUsePromptTokensDetails"))]
    read_modalities(asked, "prompt", "tokenCount", values)
    read_modalities(as_list(usage.get("candidatesTokensDetails")), "completion", "tokenCount", values)
    traffic = usage.get("trafficType")
    put_text(
        values, "pricing_tier", "ON_DEMAND" if traffic == 1 else traffic
    )  # 1: the same, as enum-encoding=int has it
    put_text(values, "pricing_tier", usage.get("serviceTier"))


def read_modalities(rows: list[Any], side: str, name: str, values: Values) -> None:
    """Tokens of one side by what they are of; a kind may stand there twice, of the prompt and of what tools read."""
    found: Values = {}
    for row in map(as_dict, rows):
        kind, count = str(row.get("modality")).lower(), row.get(name)
        if kind in ("audio", "image") and type(count) is int:
            found[kind] = found.get(kind, 0) + count
        elif kind == "video" and side == "completion" and count:
            values["cost_status"] = "partial"  # generated video costs more than text, and a record has no count for it
    values.update({f"{kind}_{side}_tokens": count for kind, count in found.items()})


def put_grounding(values: Values, model: Any, searches: int, maps: int | None) -> None:
    """Searches that Google bills: by prompt before Gemini 3, by query from there on (ai.google.dev/gemini-api/docs/pricing).

    ``maps``: how often Maps was asked; None where the answer shows that it was, and not how often.
    """
    by_query = not str(model or "").rpartition("/")[2].startswith(("gemini-1", "gemini-2"))
    counts = {"grounding": searches, "maps": 1 if maps is None else maps}
    tools = {tool: count if by_query else 1 for tool, count in counts.items() if count}
    if tools:
        values["tool_call_counts"] = tools
    if maps is None and by_query:
        values.setdefault("cost_status", "estimated")


class GenerateStream(StreamReader):
    """Chunks of a generated answer; a chunk with ``finishReason`` makes it whole, but more may follow until the body ends."""

    __slots__ = ("_images", "_maps", "_model", "_queries", "_usage")
    mark = b"finishReason"

    def __init__(self, model: Any = None) -> None:
        super().__init__()
        self._model = model
        self._usage: Json | None = None
        self._images = 0
        self._queries: set[str] = set()
        self._maps: int | None = 0
        self.values["has_tool_calls"] = False

    def event(self, data: Json) -> None:
        values = self.values
        put_text(values, "snapshot", data.get("modelVersion"))
        put_text(values, "response_id", data.get("responseId"))
        if data.get("usageMetadata"):
            self._usage = as_dict(data["usageMetadata"])
        for candidate in as_list(data.get("candidates")):
            if type(candidate) is dict:
                self._read_candidate(candidate)
        blocked = as_dict(data.get("promptFeedback")).get("blockReason")
        if blocked:
            put_text(values, "finish_reason", blocked)
            self.complete = True
        if data.get("error"):
            read_error(data, values)
            self.complete = True

    def _read_candidate(self, candidate: Json) -> None:
        for part in as_list(as_dict(candidate.get("content")).get("parts")):
            if type(part) is dict:
                self._read_part(part)
        reason = candidate.get("finishReason")
        if reason:
            said = _FINISH_CODES.get(reason, reason) if isinstance(reason, int) else reason
            put_text(self.values, "finish_reason", said)
            self.complete = True
        grounding = candidate.get("groundingMetadata")
        if grounding:
            self._read_grounding(as_dict(grounding))

    def _read_grounding(self, grounding: Json) -> None:
        """Queries are billed once each, and empty ones not; of Maps the answer has what was found alone."""
        for name in ("webSearchQueries", "imageSearchQueries"):
            self._queries.update(query for query in as_list(grounding.get(name)) if query and isinstance(query, str))
        if any(as_dict(chunk).get("maps") for chunk in as_list(grounding.get("groundingChunks"))):
            self._maps = None

    def _read_part(self, part: Json) -> None:
        text = part.get("text")
        if text:
            self.characters += length_of(text)
        elif "functionCall" in part:
            self.values["has_tool_calls"] = True
        elif str(as_dict(part.get("inlineData")).get("mimeType")).startswith("image/"):
            self._images += 1

    def finish(self) -> Values:
        values = self.values
        if self._usage is not None:
            read_usage(self._usage, values)
        if self._images:
            values["image_count"] = self._images
            values["model_type"] = "image"
        put_grounding(values, values.get("snapshot") or self._model, len(self._queries), self._maps)
        return values


class Embed(Format):
    """``:embedContent`` and ``:batchEmbedContents``: most models report no usage at all."""

    operation = "embeddings"
    model_type = "embedding"

    def read_request(self, sent: Sent) -> Values:
        return {"model": sent.places.get("model"), "is_streaming": False}

    def read_response(self, body: Json, values: Values) -> None:
        values["has_tool_calls"] = False
        usage = as_dict(body.get("usageMetadata"))
        if usage:
            values["usage_raw"] = usage
            put_count(values, "prompt_tokens", usage.get("promptTokenCount") or usage.get("totalTokenCount"))


class PredictEmbeddings(Embed):
    """Vertex ``:predict`` of an embedding model: each prediction has its own statistics."""

    def read_response(self, body: Json, values: Values) -> None:
        values["has_tool_calls"] = False
        rows = [as_dict(as_dict(row).get("embeddings")).get("statistics") for row in as_list(body.get("predictions"))]
        counts = [as_dict(row).get("token_count") for row in rows]
        known = [count for count in counts if isinstance(count, int | float)]
        if known and len(known) == len(counts):
            put_count(values, "prompt_tokens", sum(known))
            values["usage_raw"] = {"predictions": rows}


class Predict(PredictEmbeddings):
    """``:predict`` of a model that the name tells: Imagen makes images, Lyria music, all others vectors."""

    def read_request(self, sent: Sent) -> Values:
        values = super().read_request(sent)
        model = str(values["model"])
        if "lyria" in model:
            values["model_type"], values["operation"] = "tts", "generate_content"
        elif "imagen" in model or "image" in model:
            values["model_type"], values["operation"] = "image", "generate_content"
            put_text(values, "image_size", as_dict(sent.body.get("parameters")).get("sampleImageSize"))
        return values

    def read_response(self, body: Json, values: Values) -> None:
        if values.get("model_type") not in ("image", "tts"):
            super().read_response(body, values)
            return
        values["has_tool_calls"] = False
        if values["model_type"] == "image":
            rows = [as_dict(row) for row in as_list(body.get("predictions"))]
            images = [row for row in rows if "bytesBase64Encoded" in row or "gcsUri" in row]
            put_count(values, "image_count", len(images) or None)


class GenerateImages(Format):
    """``:generateImages``."""

    operation = "generate_content"
    model_type = "image"

    def read_request(self, sent: Sent) -> Values:
        return {"model": sent.places.get("model"), "is_streaming": False, "has_tool_calls": False}

    def read_response(self, body: Json, values: Values) -> None:
        put_count(values, "image_count", len(as_list(body.get("generatedImages"))) or None)
