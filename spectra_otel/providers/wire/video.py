"""Videos: jobs that are made by a POST and done when a later GET says so. Length and size may stand in the request alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from spectra_otel.providers.base import Format, Sent
from spectra_otel.providers.values import Json, Values, as_dict, as_list, put_count, put_job, put_text
from spectra_otel.providers.wire.chat import cents, put_provider_cost, read_error
from spectra_otel.providers.wire.expiry import put_expiry
from spectra_otel.providers.wire.media import put_seconds

KEPT = timedelta(days=2)
"""How long the Gemini API keeps a video that it made (ai.google.dev/gemini-api/docs/video)."""
_PENDING = ("queued", "pending", "in_progress", "processing", "running", "preprocessing", "submitted")
_FAILED = ("failed", "expired", "cancelled", "canceled", "error")


class Videos(Format):
    """``/videos`` of OpenAI, ``/videos/generations`` of xAI and those who copied them."""

    operation = "generate_content"
    model_type = "video"

    def read_request(self, sent: Sent) -> Values:
        body = sent.body
        values: Values = {"model": body.get("model"), "is_streaming": False, "has_tool_calls": False}
        put_text(values, "video_resolution", body.get("size") or body.get("resolution"))
        put_seconds(values, as_number(body.get("seconds", body.get("duration"))))
        return values

    def read_response(self, body: Json, values: Values) -> None:
        job = body.get("id") or body.get("request_id")
        put_text(values, "response_id", job)
        put_text(values, "snapshot", body.get("model"))
        put_text(values, "video_resolution", body.get("size") or body.get("resolution"))
        put_seconds(values, as_number(body.get("seconds")))
        status = body.get("status")
        video = as_dict(body.get("video"))
        if status in _FAILED:
            read_error(body if body.get("error") else {"error": status}, values)
        elif status in _PENDING or not (status or video):
            put_job(values, job)
        else:
            put_text(values, "finish_reason", status)
            values["video_count"] = 1
            put_seconds(values, as_number(video.get("duration")))
            put_expiry(values, body.get("expires_at"), [video.get("url"), *as_list(body.get("urls"))])
            usage = as_dict(body.get("usage"))
            ticks = usage.get("cost_in_usd_ticks")
            paid = ticks / 10**10 if isinstance(ticks, int) and ticks > 0 else usage.get("cost")
            put_provider_cost(values, cents(paid))


class VideoJobs(Format):
    """Azure's ``/video/generations/jobs``: several variants of one length, with width and height on their own."""

    operation = "generate_content"
    model_type = "video"

    def read_request(self, sent: Sent) -> Values:
        values: Values = {"model": sent.body.get("model"), "is_streaming": False, "has_tool_calls": False}
        self._read_size(sent.body, values)
        return values

    def read_response(self, body: Json, values: Values) -> None:
        status = body.get("status")
        put_text(values, "response_id", body.get("id"))
        self._read_size(body, values)
        if status in _FAILED:
            read_error({"error": body.get("failure_reason") or body.get("error") or status}, values)
        elif status in _PENDING:
            put_job(values, body.get("id"))
        else:
            put_text(values, "finish_reason", status)
            put_count(values, "video_count", len(as_list(body.get("generations"))) or body.get("n_variants"))
            put_expiry(values, body.get("expires_at"), [])

    @staticmethod
    def _read_size(body: Json, values: Values) -> None:
        width, height, seconds = as_number(body.get("width")), as_number(body.get("height")), body.get("n_seconds")
        if width and height:
            values["video_resolution"] = f"{width:.0f}x{height:.0f}"
        each = as_number(seconds)
        put_seconds(values, None if each is None else each * (as_number(body.get("n_variants")) or 1))


class PredictVideos(Format):
    """Google's ``:predictLongRunning`` (Veo): an operation, done when its ``response`` is there.

    The Gemini API is asked after it with a GET of its name, Vertex with a POST to ``:fetchPredictOperation``.
    """

    operation = "generate_content"
    model_type = "video"

    def read_request(self, sent: Sent) -> Values:
        asked = as_dict(sent.body.get("parameters"))
        values: Values = {"model": sent.places.get("model"), "is_streaming": False, "has_tool_calls": False}
        put_text(values, "video_resolution", asked.get("resolution"))
        put_seconds(values, as_number(asked.get("durationSeconds")))
        return values

    def asked_job(self, body: Json) -> str | None:
        return str(body.get("operationName") or "").rpartition("/")[2] or None

    def read_response(self, body: Json, values: Values) -> None:
        job = str(body.get("name") or "").rpartition("/")[2]
        put_text(values, "response_id", job)
        if not body.get("done"):
            put_job(values, job)
            return
        if body.get("error"):
            read_error(body, values)
            return
        answer = as_dict(body.get("response"))
        made = as_list(as_dict(answer.get("generateVideoResponse")).get("generatedSamples") or answer.get("videos"))
        put_count(values, "video_count", len(made) or None)
        put_expiry(values, None, [as_dict(as_dict(one).get("video")).get("uri") for one in made], KEPT)
        if values.get("video_count", 1) > 1 and values.get("duration_seconds"):
            values["duration_seconds"] *= values["video_count"]


def as_number(value: Any) -> float | None:
    """A number, also one that was sent as text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
