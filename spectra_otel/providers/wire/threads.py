"""Runs of OpenAI's Assistants API."""

from __future__ import annotations

from spectra_otel.providers.base import Format, Sent, StreamReader
from spectra_otel.providers.values import Json, Values, as_dict, put_job, put_text
from spectra_otel.providers.wire.chat import read_error, read_usage


class Runs(Format):
    """Making a run, or giving it the results of its tools. Without a stream the answer is a job whose cost is not known yet."""

    operation = "invoke_agent"

    def read_request(self, sent: Sent) -> Values:
        return {"model": sent.body.get("model"), "is_streaming": bool(sent.body.get("stream"))}

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id"))
        put_text(values, "snapshot", body.get("model"))
        put_text(values, "finish_reason", body.get("status"))
        values["has_tool_calls"] = body.get("status") == "requires_action"
        if as_dict(body.get("usage")):
            values["usage_raw"] = body["usage"]
            read_usage(body["usage"], values)
        elif body.get("status") in ("queued", "in_progress"):
            put_job(values, body.get("id"))
        if as_dict(body.get("last_error")):
            read_error({"error": body["last_error"]}, values)

    def open_stream(self, values: Values) -> StreamReader:
        return RunStream(self)


class RunStream(StreamReader):
    """Objects of several kinds; each ``thread.run`` is the run as it stands."""

    __slots__ = ("_format",)

    def __init__(self, format_: Runs) -> None:
        super().__init__()
        self._format = format_

    def event(self, data: Json) -> None:
        if data.get("object") == "thread.run":
            self.values.pop("cost_status", None)
            self._format.read_response(data, self.values)
        elif data.get("error"):
            read_error(data, self.values)
