"""fal.ai: the model is the path. ``fal.run`` answers at once, ``queue.fal.run`` with a job whose result a later GET brings."""

from typing import Any

from spectra_otel.providers.base import Endpoint, Format, Provider, Sent
from spectra_otel.providers.values import Json, Values, as_dict, as_list, put_count, put_job, put_text
from spectra_otel.providers.wire.chat import cents, put_provider_cost
from spectra_otel.providers.wire.media import kind_of_model, put_seconds

ROUTER = "openrouter/router"
"""The model that passes texts on to any other; its answer says what it cost."""


class Run(Format):
    """Any model: what came out tells what was made."""

    operation = "generate_content"
    model_type = "image"

    def read_request(self, sent: Sent) -> Values:
        model = sent.places.get("model", "").strip("/")
        body = sent.body
        is_streaming = model.endswith("/stream") or body.get("stream") is True
        model = model.removesuffix("/stream")
        values: Values = {"model": model, "is_streaming": is_streaming, "has_tool_calls": False}
        values["model_type"] = _kind(model)
        if model.startswith(ROUTER):
            put_text(values, "model", body.get("model"))
        if values["model_type"] == "ocr":
            put_count(values, "pages", len(as_list(body.get("input_image_urls"))) or None)
        put_text(values, "image_size", body.get("image_size"))
        put_text(values, "video_resolution", body.get("resolution"))
        if values["model_type"] == "video":
            put_seconds(values, _number(body.get("duration")))
        text = body.get("text") or body.get("gen_text") or body.get("prompt")
        if values["model_type"] == "tts" and isinstance(text, str):
            values["input_characters"] = len(text)
        return values

    def read_response(self, body: Json, values: Values) -> None:
        job = body.get("request_id")
        put_text(values, "response_id", job)
        if body.get("status") in ("IN_QUEUE", "IN_PROGRESS") or (job and "response_url" in body):
            if body.get("status") != "COMPLETED":
                put_job(values, job)
            return
        images = as_list(body.get("images")) or ([body["image"]] if as_dict(body.get("image")) else [])
        if images:
            values["image_count"], values["model_type"] = len(images), "image"
            first = as_dict(images[0])
            if isinstance(first.get("width"), int) and isinstance(first.get("height"), int):
                values["image_size"] = f"{first['width']}x{first['height']}"
        elif values.get("model_type") == "moderation":
            put_count(values, "image_count", len(as_list(body.get("has_nsfw_concepts"))) or None)
        else:
            self._read_usage(as_dict(body.get("usage") or body.get("usage_info")), values)
        if as_dict(body.get("video")):
            values["video_count"], values["model_type"] = 1, "video"
            put_seconds(values, as_dict(body["video"]).get("duration"))
        if as_dict(body.get("audio")) or as_dict(body.get("audio_file")):
            put_seconds(values, as_dict(body.get("audio") or body.get("audio_file")).get("duration"))
        self._read_transcript(body, values)

    @staticmethod
    def _read_usage(usage: Json, values: Values) -> None:
        """Tokens, of a model that answers with text or vectors."""
        read, written = (usage.get(f"{old}_tokens", usage.get(f"{new}_tokens")) for old, new in _TOKENS)
        if read is None and written is None:
            return
        if values.get("model_type") == "image":
            values["model_type"] = "text"
        put_count(values, "prompt_tokens", read)
        put_count(values, "completion_tokens", written)
        put_provider_cost(values, cents(usage.get("cost")))
        values["usage_raw"] = usage

    @staticmethod
    def _read_transcript(body: Json, values: Values) -> None:
        ends = [as_list(as_dict(chunk).get("timestamp"))[-1:] for chunk in as_list(body.get("chunks"))]
        ends += [[as_dict(word).get("end")] for word in as_list(body.get("words"))]
        known = [end[0] for end in ends if end and isinstance(end[0], int | float)]
        if "text" in body and known:
            values["model_type"] = "stt"
            put_seconds(values, max(known))


_TOKENS = (("prompt", "input"), ("completion", "output"))
_KINDS = (("ocr", "ocr"), ("/nsfw", "moderation"), (ROUTER, "text"))


def _kind(model: str) -> str:
    known = kind_of_model(model)
    return known or next((kind for word, kind in _KINDS if word in model), "image")


def _number(text: Any) -> float | None:
    try:
        return float(str(text).removesuffix("s"))
    except ValueError:
        return None


run = Run()

PROVIDER = Provider(
    name="fal",
    hosts=("fal.run", "queue.fal.run", "ws.fal.run"),
    endpoints=(
        Endpoint("{model...}/requests/{job}", run, "GET", completes=True),
        Endpoint("{model...}", run),
    ),
)
