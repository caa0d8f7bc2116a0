"""Chat whose answer is fetched later: the first answer is a job, and a later GET has the completion, bare or in an envelope."""

from __future__ import annotations

from dataclasses import replace

from spectra_otel.providers.base import Sent
from spectra_otel.providers.values import Json, Values, as_dict, put_job, put_text
from spectra_otel.providers.wire.chat import Chat, read_error

_FAILED = ("FAILED", "FAIL", "ERROR", "CANCELLED", "EXPIRED")


class DeferredChat(Chat):
    """xAI's ``deferred`` completions, Perplexity's ``/async`` ones and Z.ai's; the request may be in an envelope, too."""

    def read_request(self, sent: Sent) -> Values:
        asked = as_dict(sent.body.get("request"))
        return super().read_request(replace(sent, body=asked) if asked else sent)

    def read_response(self, body: Json, values: Values) -> None:
        answer = as_dict(body.get("response")) or body
        status = str(body.get("status") or body.get("task_status") or "").upper()
        job = body.get("id") or body.get("request_id")
        if "choices" in answer:
            super().read_response(answer, values)
        elif status in _FAILED:
            put_text(values, "response_id", job)
            read_error({"error": body.get("error_message") or body.get("error") or status.lower()}, values)
        else:
            put_text(values, "response_id", job)
            put_job(values, job)
