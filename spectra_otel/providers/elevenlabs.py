"""ElevenLabs: speech from text by characters, text from speech by seconds. Voices, models and history are not billed."""

from collections.abc import Mapping

from spectra_otel.providers.base import Endpoint, Format, Json, Provider, Sent, Values, as_dict, as_list, put_text
from spectra_otel.providers.wire.audio import sent_seconds
from spectra_otel.providers.wire.media import put_seconds

DEFAULT_VOICE_MODEL = "eleven_multilingual_v2"
"""What speaks where the request names no model (elevenlabs.io/docs/api-reference/text-to-speech/convert)."""


class Speak(Format):
    """``/text-to-speech/{voice}``, its streams, and ``/text-to-dialogue`` with a text for each turn."""

    operation = "generate_content"
    model_type = "tts"

    def read_request(self, sent: Sent) -> Values:
        body = sent.body
        values: Values = {
            "model": body.get("model_id"),
            "has_tool_calls": False,
            "is_streaming": "/stream" in sent.path,
        }
        texts = [body.get("text"), *(as_dict(turn).get("text") for turn in as_list(body.get("inputs")))]
        known = [text for text in texts if isinstance(text, str)]
        if known:
            values["input_characters"] = sum(map(len, known))
        if not values["model"] and "/text-to-speech/" in sent.path:
            values["snapshot"] = DEFAULT_VOICE_MODEL
        return values

    def read_headers(self, headers: Mapping[str, str], values: Values) -> None:
        put_text(values, "response_id", headers.get("request-id"))
        billed = headers.get("character-cost", "")
        if billed.isdigit():
            values["usage_raw"] = {"character_cost": int(billed)}


class Transcribe(Format):
    """``/speech-to-text`` and ``/speech-to-speech/{voice}``: the answer's length, the audio's, or the last word's end."""

    operation = "generate_content"

    def __init__(self, model_type: str = "stt") -> None:
        self.model_type = model_type

    def read_request(self, sent: Sent) -> Values:
        values: Values = {"model": sent.body.get("model_id"), "has_tool_calls": False, "is_streaming": False}
        put_seconds(values, sent_seconds(sent))
        return values

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("transcription_id"))
        put_seconds(values, body.get("audio_duration_secs"))
        ends = [as_dict(word).get("end") for word in as_list(body.get("words"))]
        known = [end for end in ends if isinstance(end, int | float)]
        if known and "duration_seconds" not in values:
            put_seconds(values, max(known))


speak = Speak()

PROVIDER = Provider(
    name="elevenlabs",
    hosts=("api.elevenlabs.io", "api.us.elevenlabs.io", "api.eu.residency.elevenlabs.io"),
    endpoints=(
        Endpoint("/text-to-speech/{voice}", speak),
        Endpoint("/text-to-speech/{voice}/stream", speak),
        Endpoint("/text-to-speech/{voice}/with-timestamps", speak),
        Endpoint("/text-to-speech/{voice}/stream/with-timestamps", speak),
        Endpoint("/text-to-dialogue", speak),
        Endpoint("/text-to-dialogue/stream", speak),
        Endpoint("/speech-to-speech/{voice}", Transcribe("tts")),
        Endpoint("/speech-to-speech/{voice}/stream", Transcribe("tts")),
        Endpoint("/speech-to-text", Transcribe()),
    ),
)
