"""Bedrock's asynchronous calls: videos, and embeddings of long media. What they made is in S3; its size is what was asked for."""

from __future__ import annotations

from spectra_otel.providers.base import Format, Sent
from spectra_otel.providers.values import Json, Values, as_dict, put_job, put_text
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.providers.wire.media import kind_of_model, put_seconds
from spectra_otel.providers.wire.video import as_number


class AsyncInvoke(Format):
    """``StartAsyncInvoke`` and ``GetAsyncInvoke``: the ARN of the call is the job."""

    operation = "generate_content"
    model_type = "video"

    def read_request(self, sent: Sent) -> Values:
        model, asked = str(sent.body.get("modelId") or ""), as_dict(sent.body.get("modelInput"))
        kind = "embedding" if kind_of_model(model) == "embedding" else "video"
        values: Values = {"model": model, "model_type": kind, "is_streaming": False, "has_tool_calls": False}
        if kind == "embedding":
            values["operation"] = "embeddings"
            return values
        config = as_dict(asked.get("videoGenerationConfig")) or asked  # Nova Reel's, else Luma's
        put_seconds(values, as_number(str(config.get("durationSeconds", config.get("duration"))).removesuffix("s")))
        put_text(values, "video_resolution", config.get("dimension") or config.get("resolution"))
        return values

    def read_response(self, body: Json, values: Values) -> None:
        job, status = body.get("invocationArn"), body.get("status")
        put_text(values, "response_id", job)
        if status == "Failed":
            read_error({"error": body.get("failureMessage") or status}, values)
        elif status == "Completed":
            put_text(values, "finish_reason", status)
            if values.get("model_type") == "video":
                values["video_count"] = 1
        else:
            put_job(values, job)
