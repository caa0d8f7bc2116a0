"""Google's interactions: models and agents, in steps."""

from __future__ import annotations

from spectra_otel.providers.base import Format, Sent, StreamReader
from spectra_otel.providers.values import JOB, Json, Values, as_dict, as_list, length_of, put_job, put_text
from spectra_otel.providers.wire.chat import read_error
from spectra_otel.providers.wire.gemini import put_grounding, put_type, read_modalities
from spectra_otel.providers.wire.usage import INTERACTION, take

_UNDER_WAY = ("in_progress", "queued")


class Interactions(Format):
    """``/interactions``: names of its own; thoughts are outside the output. An agent's first answer is a job, not its cost."""

    operation = "generate_content"

    def read_request(self, sent: Sent) -> Values:
        body = sent.body
        values: Values = {"model": body.get("model") or body.get("agent"), "is_streaming": bool(body.get("stream"))}
        put_type(body.get("response_modalities"), values)
        put_text(values, "requested_tier", body.get("service_tier"))
        return values

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id"))
        put_text(values, "snapshot", body.get("model"))
        put_text(values, "finish_reason", body.get("status"))
        put_text(values, "pricing_tier", body.get("service_tier"))
        steps = [as_dict(step) for step in as_list(body.get("steps") or body.get("outputs"))]
        values["has_tool_calls"] = any(step.get("type") == "function_call" for step in steps)
        contents = [as_dict(part) for step in steps for part in (step, *as_list(step.get("content")))]
        images = sum(part.get("type") == "image" for part in contents)
        if images:
            values["image_count"], values["model_type"] = images, "image"
        if body.get("status") == "failed":
            read_error(body if body.get("error") else {"error": "failed"}, values)
        if as_dict(body.get("usage")):
            read_interaction_usage(body["usage"], values)
        elif body.get("status") in _UNDER_WAY:
            put_job(values, body.get("id"))

    def open_stream(self, values: Values) -> StreamReader:
        return InteractionStream(self)


def read_interaction_usage(usage: Json, values: Values) -> None:
    """``usage`` of an interaction: input and what tools used, output and thoughts, each on their own."""
    values["usage_raw"] = usage
    take(usage, INTERACTION, values)
    asked = [*as_list(usage.get("input_tokens_by_modality")), *as_list(usage.get("tool_use_tokens_by_modality"))]
    read_modalities(asked, "prompt", "tokens", values)
    read_modalities(as_list(usage.get("output_tokens_by_modality")), "completion", "tokens", values)
    tools = {str(row.get("type")): row.get("count") for row in map(as_dict, as_list(usage.get("grounding_tool_count")))}
    counts = {name: count for name, count in tools.items() if type(count) is int}
    put_grounding(
        values,
        values.get("snapshot") or values.get("model"),
        counts.get("google_search", 0),
        counts.get("google_maps", 0),
    )


class InteractionStream(StreamReader):
    """Steps and their deltas; the event that completes the interaction carries it whole."""

    __slots__ = ("_format", "_images", "_tools")

    def __init__(self, format_: Interactions) -> None:
        super().__init__()
        self._format = format_
        self._images = 0
        self._tools = False

    def event(self, data: Json) -> None:
        delta = as_dict(data.get("delta"))
        self.characters += length_of(delta.get("text"))
        self._images += delta.get("type") == "image"
        if as_dict(data.get("step")).get("type") == "function_call":
            self._tools = True
        interaction = data.get("interaction")
        if interaction:
            self.values.pop("cost_status", None)
            self.values.pop(JOB, None)  # of an event before: the stream itself brings what the job made
            self._format.read_response(as_dict(interaction), self.values)
            if as_dict(interaction).get("status") not in (None, *_UNDER_WAY):
                self.complete = True
        if data.get("error"):
            read_error(data, self.values)
            self.complete = True

    def finish(self) -> Values:
        self.values["has_tool_calls"] = self._tools or bool(self.values.get("has_tool_calls"))
        if self._images:
            self.values["image_count"], self.values["model_type"] = self._images, "image"
        return self.values
