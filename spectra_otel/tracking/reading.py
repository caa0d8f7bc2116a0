"""Usage from a response that the app holds: an SDK's object or a dict, told by its shape, and read as its provider means it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import orjson

from spectra_otel.model.fields import FIELDS, TOKEN_FIELDS
from spectra_otel.providers import ollama, registry, replicate
from spectra_otel.providers.base import Format, Provider, StreamReader
from spectra_otel.providers.values import Json, Values, as_dict, as_list, distrust_absurd_usage
from spectra_otel.providers.wire.chat import Chat, Embeddings, read_error
from spectra_otel.providers.wire.cohere import CohereChat, CohereEmbed, CohereRerank
from spectra_otel.providers.wire.conversations import Conversations
from spectra_otel.providers.wire.converse import Converse
from spectra_otel.providers.wire.gemini import Embed, Generate
from spectra_otel.providers.wire.interactions import Interactions
from spectra_otel.providers.wire.media import Images, Moderation, Ocr, Rerank, Transcription
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses
from spectra_otel.providers.wire.usage import CHAT
from spectra_otel.providers.wire.video import Videos

_MEASURES = (*TOKEN_FIELDS, "image_count", "video_count", "duration_seconds", "compute_seconds", "input_characters",
             "search_units", "pages")  # fmt: skip


def _rows(body: Json, name: str, *keys: str) -> bool:
    return any(key in as_dict(row) for row in as_list(body.get(name))[:1] for key in keys)


def _is_billed(body: Json) -> bool:
    return any("billed_units" in as_dict(body.get(name)) for name in ("usage", "meta"))


_SHAPES: tuple[tuple[Format, Callable[[Json, Json], Any]], ...] = (
    (Chat(), lambda body, usage: "choices" in body),
    (Converse(), lambda body, usage: "stopReason" in body or "inputTokens" in usage),
    (CohereRerank(), lambda body, usage: _is_billed(body) and "results" in body),
    (CohereEmbed(), lambda body, usage: _is_billed(body) and "embeddings" in body),
    (CohereChat(), lambda body, usage: _is_billed(body)),
    (Interactions(), lambda body, usage: body.get("object") == "interaction" or "total_input_tokens" in usage),
    (Ocr(), lambda body, usage: "usage_info" in body),
    (replicate.predictions, lambda body, usage: "metrics" in body and "output" in body),
    (ollama.Generate("chat"), lambda body, usage: "done" in body and "model" in body),
    (ollama.Embed(), lambda body, usage: "prompt_eval_count" in body),
    (Conversations(), lambda body, usage: body.get("object") == "conversation.response"),
    (Videos(), lambda body, usage: body.get("object") == "video"),
    (Responses(), lambda body, usage: body.get("object") == "response" or "output" in body),
    (Messages(), lambda body, usage: "stop_reason" in body or body.get("type") == "message"),
    (Embed(), lambda body, usage: "embedding" in body or "embeddings" in body),
    (Generate(), lambda body, usage: "candidates" in body or "usageMetadata" in body),
    (Images(), lambda body, usage: _rows(body, "data", "b64_json", "url")),
    (Embeddings(), lambda body, usage: "data" in body and "usage" in body),
    (Rerank(), lambda body, usage: _rows(body, "results", "relevance_score")),
    (Moderation(is_free=False), lambda body, usage: _rows(body, "results", "categories")),
    (Transcription(), lambda body, usage: "text" in body and bool(usage or "duration" in body)),
)
"""Formats, and by what an answer (and its usage) is known for one of theirs. The first counts."""


def read_answer(response: Any, values: Values) -> None:
    """Add the fields that a whole response tells; one of no known shape tells nothing.

    ``values`` name the provider, whose own way of counting holds, and whose own formats are tried where no shape is known.
    """
    body = to_dict(response)
    if body.get("error"):
        read_error(body, values)
    provider = _provider(values.get("provider"))
    usage = as_dict(body.get("usage"))
    shape = next((format_ for format_, is_so in _SHAPES if is_so(body, usage)), None)
    format_ = _of_provider(provider, shape) if shape is not None else _that_finds_usage(provider, body)
    if format_ is not None:
        format_.read_response(body, values)
        values["operation"] = format_.operation
        if values.get("model_type") is None:
            values["model_type"] = format_.model_type
    if provider is not None and values.get("pricing_tier"):
        values["pricing_tier"] = provider.tier(values["pricing_tier"])
    distrust_absurd_usage(values, TOKEN_FIELDS)


def _provider(name: Any) -> Provider | None:
    """A provider by its name, also one that was made known a moment ago."""
    if not isinstance(name, str):
        return None
    found = _known().by_name.get(name)
    if found is None and name not in _strangers:
        _known.cache_clear()
        found = _known().by_name.get(name)
        if found is None and len(_strangers) < 100:
            _strangers.add(name)
    return found


@cache
def _known() -> registry.Providers:
    return registry.load()


_strangers: set[str] = set()
"""Names that no provider has; those of custom ones may come later, but not for long."""


def _of_provider(provider: Provider | None, shape: Format) -> Format:
    """A provider's own way to count what has this shape; the plain one where it has none."""
    rows = provider.endpoints if provider is not None else ()
    return next((row.format for row in rows if isinstance(row.format, type(shape))), shape)


def _that_finds_usage(provider: Provider | None, body: Json) -> Format | None:
    """Of a provider's formats the one that reads most of an answer; None where none reads any usage."""
    formats = {id(row.format): row.format for row in provider.endpoints} if provider is not None and body else {}
    found: list[tuple[int, Format]] = []
    for format_ in formats.values():
        values: Values = {}
        format_.read_response(body, values)
        found.append((sum(values.get(name) is not None for name in _MEASURES), format_))
    most = max(found, key=lambda pair: pair[0], default=None)
    return most[1] if most is not None and most[0] else None


def read_usage(usage: Any, values: Values) -> None:
    """Add usage that was given apart: under the record's names, or as a provider's usage object."""
    given = to_dict(usage)
    known = {name: value for name, value in given.items() if name in FIELDS}
    if known and known.keys() & {*TOKEN_FIELDS, "image_count", "duration_seconds", "input_characters", "pages"}:
        values.update(known)
        if not given.keys() & CHAT.keys() - FIELDS.keys():  # nothing that the record names otherwise
            return
    bodies: dict[str, Json] = {
        "promptTokenCount": {"candidates": [], "usageMetadata": given},
        "inputTokens": {"stopReason": None, "usage": given},
        "total_input_tokens": {"object": "interaction", "usage": given},
        "billed_units": {"usage": given},
        "input_tokens_details": {"object": "response", "usage": given},
        "input_tokens": {"stop_reason": None, "usage": given},
    }
    body = next((body for key, body in bodies.items() if key in given), {"choices": [], "usage": given})
    fresh: Values = {"provider": values.get("provider")}
    read_answer(body, fresh)
    values.update({name: fresh[name] for name in (*TOKEN_FIELDS, "usage_raw", "tool_call_counts") if name in fresh})


_STREAMS: tuple[tuple[Format, Callable[[Json, str], Any]], ...] = (
    (Chat(), lambda chunk, kind: "choices" in chunk),
    (Responses(), lambda chunk, kind: kind.startswith("response.")),
    (Messages(), lambda chunk, kind: kind.startswith(("message_", "content_block", "ping"))),
    (CohereChat(), lambda chunk, kind: kind.startswith(("message-", "content-", "stream-start"))),
    (Interactions(), lambda chunk, kind: kind.startswith(("interaction.", "step."))),
    (Conversations(), lambda chunk, kind: kind.startswith("conversation.")),
    (Converse(), lambda chunk, kind: "messageStart" in chunk),
    (ollama.Generate("chat"), lambda chunk, kind: "done" in chunk),
    (Generate(), lambda chunk, kind: "candidates" in chunk or "usageMetadata" in chunk),
)
"""Formats, and by what the first chunk of a stream (and its type) is known for one of theirs."""


def reader_of(chunk: Json, values: Values) -> StreamReader | None:
    """A reader for a stream that begins with this chunk; None for one of no known shape."""
    kind = str(chunk.get("type") or chunk.get("event_type") or "")
    shape = next((format_ for format_, is_so in _STREAMS if is_so(chunk, kind)), None)
    if shape is None:
        return None
    return _of_provider(_provider(values.get("provider")), shape).open_stream(values)


def to_dict(value: Any) -> Json:
    """A response object as the JSON it was made from: a dict, a pydantic model, an HTTP client's response, or the text itself."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str | bytes):  # an answer, or a piece of one that is no JSON
        try:
            return as_dict(orjson.loads(value))
        except ValueError:
            return {}
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        dumped = dump(mode="json", by_alias=True, exclude_none=True, warnings=False)
        return dumped if isinstance(dumped, dict) else {}
    value = getattr(value, "http_response", value)  # of an SDK's raw response
    for name in ("to_dict", "dict", "json"):
        method = getattr(value, name, None)
        if callable(method) and not inspect.iscoroutinefunction(method):
            made = method()
            return made if isinstance(made, dict) else {}
    return dict(vars(value)) if hasattr(value, "__dict__") else {}
