"""Readers of whole structures in attributes: request bodies, responses of providers, LangChain results, metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.dialects._base import Draft
from spectra_otel.dialects._usage import take_usage

Texts = tuple[tuple[str, str], ...]
_REQUEST: Texts = (
    ("model", "model"), ("model_name", "model"), ("model_id", "model"), ("service_tier", "requested_tier"), ("user", "user_id"),
    ("base_url", "host"), ("api_base", "host"),
)  # fmt: skip
"""Key → field, the best of a field first."""
_ANSWER: Texts = (
    ("id", "response_id"), ("response_id", "response_id"), ("responseId", "response_id"), ("service_tier", "pricing_tier"),
)  # fmt: skip


def _give_texts(draft: Draft, body: Mapping[str, Any], texts: Texts) -> None:
    for key, field in texts:
        if key in body and field not in draft.fields:
            draft.put(field, _text(body, key))


def usage_object(draft: Draft, raw: Any) -> None:
    """A provider's usage object."""
    take_usage(draft, raw)


def usage_holder(draft: Draft, holder: Any) -> None:
    """A mapping with a usage object under `usage`."""
    if isinstance(holder, dict):
        take_usage(draft, holder.get("usage"))


def request_body(draft: Draft, body: Any) -> None:
    """The call's parameters: model, streaming, tier, end user."""
    if not isinstance(body, dict):
        return
    _give_texts(draft, body, _REQUEST)
    if body.get("stream") is True or body.get("streaming") is True:
        draft.put("is_streaming", True)
    elif body.get("stream") is False:
        draft.give("is_streaming", False)


def response_body(draft: Draft, body: Any) -> None:
    """A provider's response: OpenAI (chat, responses, embeddings), Anthropic, Gemini, Bedrock."""
    if not isinstance(body, dict):
        return
    if body.get("id") == _AGENTS_FAKE_ID:
        draft.give("response_id", _wrapped_id(body))
        return
    draft.put("snapshot", _text(body, "model") or _text(body, "model_version") or _text(body, "modelVersion"))
    if not take_usage(draft, body.get("usage")):
        take_usage(draft, body.get("usage_metadata") or body.get("usageMetadata"))
    _give_texts(draft, body, _ANSWER)
    draft.give("finish_reason", _finish_reason(body))


_AGENTS_FAKE_ID = "__fake_id__"
"""openai-agents builds a response of its own around a streamed chat completion."""


def _wrapped_id(body: Mapping[str, Any]) -> str | None:
    for item in body.get("output") or ():
        if isinstance(item, dict) and isinstance(item.get("provider_data"), dict):
            return _text(item["provider_data"], "response_id")
    return None


def _finish_reason(body: Mapping[str, Any]) -> str | None:
    for key in ("choices", "candidates"):
        items = body.get(key)
        if isinstance(items, list) and items and isinstance(items[0], dict):
            return _text(items[0], "finish_reason") or _text(items[0], "finishReason")
    if body.get("object") == "response":
        return _text(body, "status")
    return _text(body, "stop_reason") or _text(body, "stopReason")


def langchain_result(draft: Draft, result: Any) -> None:
    """LangChain's `LLMResult`: the message of its first generation. One put together from chunks was streamed."""
    message = _first_message(result)
    if message is None:
        return
    if message.get("type") == "AIMessageChunk":
        draft.put("is_streaming", True)
    answer = _mapping(message, "response_metadata")
    served_id = _text(answer, "id") or _text(answer, "message_id")
    if served_id is None and (_text(message, "id") or "").startswith(("resp_", "msg_", "chatcmpl-")):
        served_id = _text(message, "id")
    draft.give("response_id", served_id)
    served = _text(answer, "model_name") or _text(answer, "model")
    if served:
        draft.put("snapshot", served)
    draft.give("provider", _text(answer, "model_provider"))
    draft.give("pricing_tier", _text(answer, "service_tier"))
    reason = _text(answer, "finish_reason") or _text(answer, "stop_reason")
    draft.give("finish_reason", reason or (_text(answer, "status") if answer.get("object") == "response" else None))
    # The provider's own object says most: cache writes of Anthropic are lost in LangChain's when they have a lifetime.
    if not take_usage(draft, answer.get("usage")) and not take_usage(draft, message.get("usage_metadata")):
        take_usage(draft, answer.get("token_usage"))


def _first_message(result: Any) -> Mapping[str, Any] | None:
    try:
        message = result["generations"][0][0]["message"]
        return message.get("kwargs", message) if isinstance(message, dict) else None
    except (KeyError, IndexError, TypeError):
        return None


def langchain_metadata(draft: Draft, metadata: Any) -> None:
    """The `ls_*` names that LangChain gives to every run."""
    if isinstance(metadata, dict):
        draft.give("provider", _text(metadata, "ls_provider"))
        requested = _text(metadata, "ls_model_name")
        if requested:
            draft.put("model", requested)
        own = {k: v for k, v in metadata.items() if not k.startswith(FRAMEWORK_METADATA) and v is not None}
        draft.give("metadata", own or None)


FRAMEWORK_METADATA = ("ls_", "lc_", "langgraph_", "checkpoint_", "thread_id", "run_id", "is_langchain_root", "__")
"""Beginnings of metadata keys that frameworks write for themselves."""


def user_metadata(draft: Draft, metadata: Any) -> None:
    """Metadata that the user gave."""
    if isinstance(metadata, dict):
        own = {k: v for k, v in metadata.items() if not k.startswith(FRAMEWORK_METADATA) and v is not None}
        draft.give("metadata", own or None)


def _text(mapping: Mapping[str, Any], key: str) -> str | None:
    value = mapping.get(key)
    return value if isinstance(value, str) and value else None


def _mapping(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = mapping.get(key)
    return value if isinstance(value, dict) else {}
