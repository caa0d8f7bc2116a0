"""Images and speech, as OpenAI's endpoints speak of them and others copied."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from spectra_otel.providers.base import Format, Sent, StreamReader, Upload
from spectra_otel.providers.values import Json, Values, as_dict, as_list, put_count, put_text
from spectra_otel.providers.wire.audio import sent_seconds
from spectra_otel.providers.wire.chat import add_audio, cents, put_provider_cost, read_error
from spectra_otel.providers.wire.chat import read_usage as read_chat_usage
from spectra_otel.providers.wire.expiry import put_expiry
from spectra_otel.providers.wire.responses import read_usage as read_responses_usage


def read_any_usage(usage: Json, values: Values) -> None:
    """A usage object that counts tokens under either pair of names, or seconds."""
    values["usage_raw"] = usage
    if "input_tokens" in usage:
        read_responses_usage(usage, values)
    elif "prompt_tokens" in usage:
        read_chat_usage(usage, values)
    seconds = usage.get("seconds", usage.get("prompt_audio_seconds"))
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        values["duration_seconds"] = float(seconds)


_KINDS = (
    ("stt", ("whisper", "speech-to-text", "transcri", "wizper", "/stt")),
    ("tts", ("tts", "text-to-speech", "bark", "speech-0", "voice", "kokoro", "music")),
    ("video", ("video", "veo", "kling", "hailuo", "wan-", "sora", "seedance", "/ltx", "pika", "runway", "luma")),
    ("embedding", ("embed", "clip-features")),
    ("image", ("flux", "diffusion", "sdxl", "image", "imagen", "recraft", "ideogram", "upscal", "esrgan", "seedream")),
    (
        "text",
        (
            "llama",
            "gpt",
            "claude",
            "instruct",
            "chat",
            "mistral",
            "mixtral",
            "qwen",
            "deepseek",
            "gemma",
            "gemini",
            "phi-",
        ),
    ),
)


def kind_of_model(name: Any) -> str | None:
    """The type of a model where only its name can tell: hosts of models of all kinds. None where it does not."""
    lower = str(name or "").lower()
    return next((kind for kind, words in _KINDS if any(word in lower for word in words)), None)


def has_texts(body: Json, *names: str) -> bool:
    """Whether a body has texts under these names: the shape by which a format is known at a host that nobody named."""
    return all(isinstance(body.get(name), str) for name in names)


class Images(Format):
    """``/images/generations``, ``/images/edits`` and ``/images/variations``, JSON or form, streamed or not.

    ``kept``: how long the provider keeps images that it gives the address of, if it says so.
    """

    operation = "generate_content"
    model_type = "image"

    def __init__(self, extra: Callable[[Json, Values], None] | None = None, *, kept: timedelta | None = None) -> None:
        self.extra, self.kept = extra, kept

    def accepts(self, sent: Sent) -> bool:
        return has_texts(sent.body, "model", "prompt")

    def read_request(self, sent: Sent) -> Values:
        body = sent.body
        values: Values = {"model": body.get("model") or sent.places.get("model")}
        values["is_streaming"] = body.get("stream") in (True, "true")
        width, height = body.get("width"), body.get("height")
        sides = f"{width}x{height}" if type(width) is int and type(height) is int else None
        put_text(values, "image_size", body.get("size") or sides)
        put_text(values, "image_quality", body.get("quality"))
        return values

    def read_response(self, body: Json, values: Values) -> None:
        values["has_tool_calls"] = False
        rows = as_list(body.get("data"))
        if rows:
            values["image_count"] = len(rows)
        put_text(values, "snapshot", body.get("model"))
        put_expiry(values, None, [as_dict(row).get("url") for row in rows], self.kept)
        put_text(values, "image_size", body.get("size"))
        put_text(values, "image_quality", body.get("quality"))
        if as_dict(body.get("usage")):
            read_any_usage(body["usage"], values)
            if as_dict(body.get("svg_usage")):  # of another model, which wrote what was drawn
                values["usage_raw"] = {**body["usage"], "svg_usage": body["svg_usage"]}
        if self.extra is not None:
            self.extra(body, values)

    def open_stream(self, values: Values) -> StreamReader:
        return ImagesStream()


class ImagesStream(StreamReader):
    """Partial images, then ``image_generation.completed`` or ``image_edit.completed`` for each image."""

    def event(self, data: Json) -> None:
        if str(data.get("type")).endswith(".completed"):
            self.values["image_count"] = self.values.get("image_count", 0) + 1
            put_text(self.values, "image_size", data.get("size"))
            put_text(self.values, "image_quality", data.get("quality"))
            if as_dict(data.get("usage")):
                read_any_usage(data["usage"], self.values)
            self.complete = True
        elif data.get("error"):
            read_error(data, self.values)
            self.complete = True


class Speech(Format):
    """Text in, audio out: the answer is binary, so the characters sent are what is known."""

    operation = "generate_content"
    model_type = "tts"

    def __init__(self, *, text: str = "input", model: str = "model") -> None:
        self.text, self.model = text, model

    def accepts(self, sent: Sent) -> bool:
        return has_texts(sent.body, self.model, self.text, "voice")

    def read_request(self, sent: Sent) -> Values:
        values: Values = {"model": sent.body.get(self.model) or sent.places.get("model"), "has_tool_calls": False}
        values["is_streaming"] = bool(sent.body.get("stream")) or sent.body.get("stream_format") == "sse"
        text = sent.body.get(self.text)
        if isinstance(text, str):
            values["input_characters"] = len(text)
        return values

    def read_response(self, body: Json, values: Values) -> None:
        if as_dict(body.get("usage")):
            read_any_usage(body["usage"], values)

    def open_stream(self, values: Values) -> StreamReader:
        return MediaStream()


class Transcription(Format):
    """Audio in, text out: the length comes from the answer, where it tells, else from the audio.

    ``audio_beside``: the prompt's tokens are counted without those of the audio, which are in its details alone.
    """

    operation = "generate_content"
    model_type = "stt"

    def read_request(self, sent: Sent) -> Values:
        body = sent.body
        model = body.get("model") or sent.places.get("model")
        values: Values = {"model": model, "is_streaming": body.get("stream") in (True, "true"), "has_tool_calls": False}
        put_seconds(values, sent_seconds(sent))
        return values

    def accepts(self, sent: Sent) -> bool:
        return has_texts(sent.body, "model") and isinstance(sent.body.get("file"), Upload)

    def __init__(self, *, audio_beside: bool = False) -> None:
        self.audio_beside = audio_beside

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "snapshot", body.get("model"))
        put_seconds(values, body.get("duration"))
        if as_dict(body.get("usage")):
            read_any_usage(body["usage"], values)
            if self.audio_beside:
                add_audio(values)

    def open_stream(self, values: Values) -> StreamReader:
        return MediaStream()


def put_seconds(values: Values, seconds: Any) -> None:
    """Set a length, if it is one."""
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        values["duration_seconds"] = float(seconds)


class MediaStream(StreamReader):
    """``transcript.text.delta`` or ``speech.audio.delta`` events; the ``.done`` one carries usage."""

    def event(self, data: Json) -> None:
        kind = str(data.get("type"))
        put_text(self.values, "snapshot", data.get("model"))
        if as_dict(data.get("usage")):
            read_any_usage(data["usage"], self.values)
        if kind.endswith(".done"):
            self.complete = True
        elif data.get("error"):
            read_error(data, self.values)
            self.complete = True


class Rerank(Format):
    """``/rerank``: billed by search or by token."""

    operation = "rerank"
    model_type = "rerank"

    def accepts(self, sent: Sent) -> bool:
        return has_texts(sent.body, "model", "query") and isinstance(sent.body.get("documents"), list)

    def read_request(self, sent: Sent) -> Values:
        return {"model": sent.body.get("model"), "is_streaming": False, "has_tool_calls": False}

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id"))
        put_text(values, "snapshot", body.get("model"))
        usage = as_dict(body.get("usage"))
        if usage:
            values["usage_raw"] = usage
            put_count(values, "prompt_tokens", usage.get("total_tokens"))
            put_count(values, "total_tokens", usage.get("total_tokens"))
            put_count(values, "search_units", usage.get("search_units"))
            put_provider_cost(values, cents(usage.get("cost")))


ANNOTATIONS = ("document_annotation_format", "bbox_annotation_format")


class Ocr(Format):
    """``/ocr``, and Cohere's ``/parse``: billed by page. Annotations are a tool: a page that Mistral annotates, too, costs more.

    docs.mistral.ai/capabilities/document_ai/annotations
    """

    operation = "generate_content"
    model_type = "ocr"

    def read_request(self, sent: Sent) -> Values:
        values: Values = {"model": sent.body.get("model"), "is_streaming": False, "has_tool_calls": False}
        if any(sent.body.get(name) for name in ANNOTATIONS):
            values["tool_call_counts"] = {"annotation": 1}
        return values

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id"))
        put_text(values, "snapshot", body.get("model"))
        usage = as_dict(body.get("usage_info") or as_dict(body.get("meta")).get("billed_units"))
        pages = usage.get("pages_processed", usage.get("pages", len(as_list(body.get("pages"))) or None))
        put_count(values, "pages", pages)
        annotated, counts = usage.get("pages_processed_annotation"), Values()
        if values.pop("tool_call_counts", None) or body.get("document_annotation") or annotated:
            put_count(counts, "annotation", annotated or pages)
        if counts:
            values["tool_call_counts"] = counts
        if usage:
            values["usage_raw"] = usage


class Moderation(Format):
    """``/moderations`` and ``/classifications``: answered for nothing, or billed by token (``is_free=False``)."""

    operation = "moderation"
    model_type = "moderation"

    def __init__(self, *, is_free: bool = True) -> None:
        self.is_free = is_free

    def read_request(self, sent: Sent) -> Values:
        return {"model": sent.body.get("model"), "is_streaming": False, "has_tool_calls": False}

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id"))
        put_text(values, "snapshot", body.get("model"))
        if self.is_free and not values.get("is_failed"):
            values["cost_status"], values["total_cost_in_cents"] = "free", Decimal(0)
        elif as_dict(body.get("usage")):
            read_any_usage(body["usage"], values)
