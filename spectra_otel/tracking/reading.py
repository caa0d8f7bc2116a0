"""Usage from a response that the app holds: an SDK's object or a dict, told by its shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.model.fields import FIELDS, TOKEN_FIELDS
from spectra_otel.providers.base import Format, Json, StreamReader, Values, distrust_absurd_usage
from spectra_otel.providers.wire.chat import Chat, Embeddings, read_error
from spectra_otel.providers.wire.gemini import Generate
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses


def read_answer(response: Any, values: Values) -> None:
    """Add the fields that a whole response tells; one of no known shape tells nothing."""
    body = to_dict(response)
    if body.get("error"):
        read_error(body, values)
    format_ = _format_of(body)
    if format_ is not None:
        values["model_type"], values["operation"] = format_.model_type, format_.operation
        format_.read_response(body, values)
    distrust_absurd_usage(values, TOKEN_FIELDS)


def read_usage(usage: Any, values: Values) -> None:
    """Add usage that was given apart: under the record's names, or as a provider's usage object."""
    given = to_dict(usage)
    known = {name: value for name, value in given.items() if name in FIELDS}
    if known and known.keys() & {*TOKEN_FIELDS, "image_count", "duration_seconds", "input_characters", "pages"}:
        values.update(known)
        details = {"prompt_tokens_details", "completion_tokens_details"} & given.keys()
        if not details:
            return
    shape = next((key for key in ("promptTokenCount", "input_tokens_details", "input_tokens") if key in given), None)
    bodies: dict[str | None, Json] = {
        "promptTokenCount": {"candidates": [], "usageMetadata": given},
        "input_tokens_details": {"object": "response", "usage": given},
        "input_tokens": {"stop_reason": None, "usage": given},
        None: {"choices": [], "usage": given},
    }
    body = bodies[shape]
    fresh: Values = {}
    read_answer(body, fresh)
    values.update({name: fresh[name] for name in (*TOKEN_FIELDS, "usage_raw", "tool_call_counts") if name in fresh})


def reader_of(chunk: Json, values: Values) -> StreamReader | None:
    """A reader for a stream that begins with this chunk; None for one of no known shape."""
    kind = str(chunk.get("type") or "")
    if "choices" in chunk:
        return Chat().open_stream(values)
    if kind.startswith("response."):
        return Responses().open_stream(values)
    if kind.startswith(("message_", "content_block", "ping")):
        return Messages().open_stream(values)
    if "candidates" in chunk or "usageMetadata" in chunk:
        return Generate().open_stream(values)
    return None


def to_dict(value: Any) -> Json:
    """A response object as the JSON it was made from: a dict, a pydantic model, or anything with ``to_dict``."""
    if isinstance(value, Mapping):
        return dict(value)
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        dumped = dump(mode="json", by_alias=True, exclude_none=True, warnings=False)
        return dumped if isinstance(dumped, dict) else {}
    for name in ("to_dict", "dict"):
        method = getattr(value, name, None)
        if callable(method):
            made = method()
            return made if isinstance(made, dict) else {}
    return dict(vars(value)) if hasattr(value, "__dict__") else {}


def _format_of(body: Json) -> Format | None:
    if "choices" in body:
        return Chat()
    if body.get("object") == "response" or "output" in body:
        return Responses()
    if "stop_reason" in body or body.get("type") == "message":
        return Messages()
    if "candidates" in body or "usageMetadata" in body:
        return Generate()
    if "data" in body and "usage" in body:
        return Embeddings()
    return None
