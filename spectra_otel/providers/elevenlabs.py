"""ElevenLabs: speech by characters, text from speech by seconds; sounds, music, dubs, and other makers' images and videos.

Voices, models and history are not billed.
"""

from collections.abc import Mapping

from spectra_otel.providers.base import Endpoint, Format, Provider, Sent
from spectra_otel.providers.values import Json, Values, as_dict, as_list, put_job, put_text
from spectra_otel.providers.wire.audio import sent_seconds
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.providers.wire.media import put_seconds

DEFAULT_VOICE_MODEL = "eleven_multilingual_v2"
"""What speaks where the request names no model (elevenlabs.io/docs/api-reference/text-to-speech/convert)."""


def _asked(sent: Sent) -> Values:
    return {"model": sent.body.get("model_id"), "has_tool_calls": False, "is_streaming": "/stream" in sent.path}


class Speak(Format):
    """``/text-to-speech/{voice}``, its streams, and ``/text-to-dialogue`` with a text for each turn."""

    operation = "generate_content"
    model_type = "tts"

    def read_request(self, sent: Sent) -> Values:
        body, values = sent.body, _asked(sent)
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
        if billed.isdecimal():
            values["usage_raw"] = {"character_cost": int(billed)}


class Sound(Speak):
    """``/sound-generation`` and ``/music``: sold by length, which the request may name."""

    def read_request(self, sent: Sent) -> Values:
        body, values = sent.body, _asked(sent)
        sections = as_list(as_dict(body.get("composition_plan")).get("sections"))
        lengths = [found for part in sections if isinstance(found := as_dict(part).get("duration_ms"), int | float)]
        length = body.get("music_length_ms") or (sum(lengths) if len(lengths) == len(sections) > 0 else None)
        put_seconds(values, length / 1000 if isinstance(length, int | float) else body.get("duration_seconds"))
        return values


class Transcribe(Format):
    """Audio in: text, other audio, or its alignment out. The answer's length, the audio's, or the last word's end.

    With a webhook the first answer is a job; ``/speech-to-text/transcripts/{job}`` has the text.
    """

    operation = "generate_content"

    def __init__(self, model_type: str = "stt") -> None:
        self.model_type = model_type

    def read_request(self, sent: Sent) -> Values:
        values: Values = {"model": sent.body.get("model_id"), "has_tool_calls": False, "is_streaming": False}
        put_seconds(values, sent_seconds(sent))
        return values

    def read_response(self, body: Json, values: Values) -> None:
        job = body.get("transcription_id")
        put_text(values, "response_id", job)
        put_seconds(values, body.get("audio_duration_secs"))
        ends = [as_dict(word).get("end") for word in as_list(body.get("words"))]
        known = [end for end in ends if isinstance(end, int | float)]
        if known and "duration_seconds" not in values:
            put_seconds(values, max(known))
        if job and "request_id" in body and not {"text", "transcripts"} & body.keys():
            put_job(values, job)


class Job(Format):
    """``/flows/…`` and ``/dubbing``: made by a POST, done when a later GET says so."""

    operation = "generate_content"

    def __init__(self, model_type: str) -> None:
        self.model_type = model_type

    def read_request(self, sent: Sent) -> Values:
        body = sent.body
        values: Values = {"model": body.get("model_id"), "has_tool_calls": False, "is_streaming": False}
        if self.model_type == "video":
            put_text(values, "video_resolution", body.get("resolution"))
            put_seconds(values, body.get("duration_seconds"))
        if isinstance(body.get("text"), str):
            values["input_characters"] = len(body["text"])
        return values

    def read_response(self, body: Json, values: Values) -> None:
        job, status = body.get("id") or body.get("dubbing_id"), body.get("status")
        put_text(values, "response_id", job)
        put_seconds(values, as_dict(body.get("media_metadata")).get("duration"))
        if status == "failed":
            reason = body.get("error_message") or body.get("error") or body.get("failure_reason")
            read_error({"error": reason or status}, values)
        elif status in ("completed", "dubbed"):
            put_text(values, "finish_reason", status)
            count = {"image": "image_count", "video": "video_count"}.get(self.model_type)
            if count:
                values[count] = 1
        else:
            put_job(values, job)


speak, sound, transcribe, change = Speak(), Sound(), Transcribe(), Transcribe("tts")
image, video, speech, dub = Job("image"), Job("video"), Job("tts"), Job("tts")

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
        Endpoint("/text-to-dialogue/with-timestamps", speak),
        Endpoint("/text-to-dialogue/stream/with-timestamps", speak),
        Endpoint("/text-to-voice/create-previews", speak),
        Endpoint("/text-to-voice/design", speak),
        Endpoint("/text-to-voice/{voice}/remix", speak),
        Endpoint("/sound-generation", sound),
        Endpoint("/v1/music", sound),
        Endpoint("/music/stream", sound),
        Endpoint("/music/detailed", sound),
        Endpoint("/music/detailed/stream", sound),
        Endpoint("/music/video-to-music", change),
        Endpoint("/music/stem-separation", change),
        Endpoint("/voice-changer/{voice}", change),
        Endpoint("/voice-changer/{voice}/stream", change),
        Endpoint("/speech-to-speech/{voice}", change),
        Endpoint("/speech-to-speech/{voice}/stream", change),
        Endpoint("/audio-isolation", change),
        Endpoint("/audio-isolation/stream", change),
        Endpoint("/forced-alignment", transcribe),
        Endpoint("/speech-to-text", transcribe),
        Endpoint("/speech-to-text/transcripts/{job}", transcribe, "GET", completes=True),
        Endpoint("/v1/dubbing", dub),
        Endpoint("/v1/dubbing/{job}", dub, "GET", completes=True),
        Endpoint("/flows/image", image),
        Endpoint("/flows/image/{job}", image, "GET", completes=True),
        Endpoint("/flows/video", video),
        Endpoint("/flows/video/{job}", video, "GET", completes=True),
        Endpoint("/flows/text-to-speech", speech),
        Endpoint("/flows/text-to-speech/{job}", speech, "GET", completes=True),
    ),
)
