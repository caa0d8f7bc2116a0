"""Replicate: predictions are jobs, billed by seconds of hardware, or by what they made where the model has such a price.

The answer to the POST says "starting"; what it took is in ``metrics``, which a later GET brings, or ``Prefer: wait`` at once.
"""

from datetime import timedelta

from spectra_otel.providers.base import Endpoint, Format, Provider, Sent
from spectra_otel.providers.values import Json, Values, as_dict, as_list, put_count, put_job, put_text
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.providers.wire.expiry import put_expiry
from spectra_otel.providers.wire.media import kind_of_model, put_seconds

KEPT = timedelta(hours=1)
"""How long the files of a prediction are kept (replicate.com/docs/topics/predictions/data-retention)."""
_METRICS = (
    ("input_token_count", "prompt_tokens"), ("output_token_count", "completion_tokens"),
    ("token_input_count", "prompt_tokens"), ("token_output_count", "completion_tokens"),
    ("image_output_count", "image_count"), ("image_count", "image_count"), ("video_output_count", "video_count"),
    ("character_input_count", "input_characters"),
)  # fmt: skip


class Predictions(Format):
    """``/predictions``, ``/models/{owner}/{name}/predictions`` and ``/deployments/{owner}/{name}/predictions``."""

    operation = "generate_content"

    def read_request(self, sent: Sent) -> Values:
        owner, name = sent.places.get("owner"), sent.places.get("name")
        model = f"{owner}/{name}" if owner and name else sent.body.get("version")
        return {"model": model, "model_type": kind_of_model(model), "is_streaming": bool(sent.body.get("stream"))}

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id"))
        put_text(values, "snapshot", body.get("model"))
        values["model_type"] = values.get("model_type") or kind_of_model(body.get("model"))
        values["has_tool_calls"] = False
        status = body.get("status")
        metrics = as_dict(body.get("metrics"))
        if metrics:
            values["usage_raw"] = metrics
        if status in ("failed", "canceled", "aborted"):
            read_error({"error": body.get("error") or status}, values)
        if status in ("starting", "processing"):
            put_job(values, body.get("id"))
            return
        put_text(values, "finish_reason", status)
        _read_metrics(metrics, values)
        outputs = as_list(body.get("output")) or [body.get("output")]
        if values["model_type"] != "text":
            put_expiry(values, None, outputs, KEPT)
        if values["model_type"] == "image" and "image_count" not in values and body.get("output"):
            values["image_count"] = len(as_list(body["output"])) or 1


def _read_metrics(metrics: Json, values: Values) -> None:
    seconds = metrics.get("predict_time")
    if isinstance(seconds, int | float):
        values["compute_seconds"] = float(seconds)
    for name, field in _METRICS:
        put_count(values, field, metrics.get(name))
    put_seconds(values, metrics.get("video_output_duration_seconds", metrics.get("audio_output_duration_seconds")))


predictions = Predictions()

PROVIDER = Provider(
    name="replicate",
    hosts=("api.replicate.com",),
    endpoints=(
        Endpoint("/models/{owner}/{name}/predictions", predictions),
        Endpoint("/deployments/{owner}/{name}/predictions", predictions),
        Endpoint("/v1/predictions", predictions),
        Endpoint("/v1/predictions/{job}", predictions, "GET", completes=True),
        Endpoint("/v1/predictions/{job}/cancel", predictions, completes=True),
    ),
)
