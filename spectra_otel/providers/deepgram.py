"""Deepgram: the model is in the query, the audio is the body, the answer says how long it was."""

from collections.abc import Mapping

from spectra_otel.providers.base import Endpoint, Format, Provider, Sent
from spectra_otel.providers.values import Json, Values, as_dict, put_count, put_text
from spectra_otel.providers.wire.audio import sent_seconds
from spectra_otel.providers.wire.media import put_seconds

_BILLED_APART = (
    "diarize",
    "redact",
    "keyterm",
    "multichannel",
    "summarize",
    "topics",
    "intents",
    "sentiment",
    "detect_entities",
)
"""What more can be asked of a recording at a price of its own (deepgram.com/pricing); its counts are in no answer."""


class Listen(Format):
    """``/listen``: audio as the body, or a URL of it. With what is billed beside the transcript the cost is a floor."""

    operation = "generate_content"
    model_type = "stt"

    def read_request(self, sent: Sent) -> Values:
        values: Values = {"model": sent.asked("model"), "is_streaming": False, "has_tool_calls": False}
        put_seconds(values, sent_seconds(sent))
        if any(sent.asked(name) not in (None, "", "false") for name in _BILLED_APART):
            values["cost_status"] = "partial"
        return values

    def read_response(self, body: Json, values: Values) -> None:
        metadata = as_dict(body.get("metadata"))
        put_text(values, "response_id", metadata.get("request_id") or body.get("request_id"))
        put_seconds(values, metadata.get("duration"))


class Read(Format):
    """``/read``: text in, and what was asked for of it; each piece of work counts its own tokens."""

    def read_request(self, sent: Sent) -> Values:
        return {"model": sent.asked("model"), "is_streaming": False, "has_tool_calls": False}

    def read_response(self, body: Json, values: Values) -> None:
        metadata = as_dict(body.get("metadata"))
        put_text(values, "response_id", metadata.get("request_id"))
        work = {name: row for name, row in metadata.items() if name.endswith("_info") and isinstance(row, dict)}
        if not work:
            return
        values["usage_raw"] = work
        values.setdefault("snapshot", next((row["model_uuid"] for row in work.values() if row.get("model_uuid")), None))
        for name, field in (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")):
            counts = [row[name] for row in work.values() if type(row.get(name)) is int]
            put_count(values, field, sum(counts) if counts else None)


class Speak(Format):
    """``/speak``: text in, audio out."""

    operation = "generate_content"
    model_type = "tts"

    def read_request(self, sent: Sent) -> Values:
        values: Values = {"model": sent.asked("model"), "is_streaming": False, "has_tool_calls": False}
        text = sent.body.get("text")
        if isinstance(text, str):
            values["input_characters"] = len(text)
        return values

    def read_headers(self, headers: Mapping[str, str], values: Values) -> None:
        put_text(values, "response_id", headers.get("dg-request-id"))
        put_text(values, "snapshot", headers.get("dg-model-name"))


PROVIDER = Provider(
    name="deepgram",
    hosts=("api.deepgram.com", "api.eu.deepgram.com"),
    endpoints=(Endpoint("/v1/listen", Listen()), Endpoint("/v1/speak", Speak()), Endpoint("/v1/read", Read())),
)
