"""LiteLLM's `otel` callback. Its ids are often its own, and the parts of the usage stand in the `repr` of a Python object.

Up to 1.7x (told by the older attribute names: the scope has no version) input counts no cache writes.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Draft, From, Role, Rule, Text
from spectra_otel.dialects._convert import first, python_literal
from spectra_otel.dialects._fixes import input_excludes_cache_writes, no_cache_counts, streamed_usage_may_be_guessed
from spectra_otel.dialects._texts import request_body
from spectra_otel.dialects._usage import read_usage

_UUID = "chatcmpl-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"


def role(draft: Draft) -> Role:
    """`litellm_request` is the call; `raw_gen_ai_request` below repeats what the provider sent."""
    if draft.span.name == "raw_gen_ai_request":
        return Role.WRAPPER
    if "operation" not in draft.fields:
        kind = str(draft.attributes.get("llm.request.type", ""))
        if kind in semconv.OPERATIONS:
            draft.fields["operation"] = kind
    return semconv.role(draft)


def usage_object(draft: Draft, found: Any) -> None:
    """The parts of the usage; the totals have attributes."""
    if isinstance(found, Mapping):
        for field, value in read_usage(found).items():
            draft.give(field, value)


def own_ids(draft: Draft) -> None:
    """Ids that LiteLLM made up are forgotten; those it wrapped in Base64 are unwrapped."""
    given = draft.fields.get("response_id")
    if not given:
        return
    is_own_uuid = given.startswith("chatcmpl-") and len(given) == len(_UUID) and given.count("-") == _UUID.count("-")
    if is_own_uuid or given == draft.attributes.get("litellm.call_id") or draft.fields.get("model_type") == "embedding":
        draft.drop("response_id")
    elif given.startswith("resp_"):
        draft.put("response_id", _unwrapped(given))


def _unwrapped(given: str) -> str:
    coded = given.removeprefix("resp_")
    try:
        text = b64decode(coded + "=" * (-len(coded) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return given
    return text.rpartition("response_id:")[2] if text.startswith("litellm:") and "response_id:" in text else given


def served_model(draft: Draft) -> None:
    """In a stream, the served model is the requested one's name again."""
    if draft.fields.get("is_streaming") and draft.fields.get("snapshot") == draft.fields.get("model"):
        draft.drop("snapshot")


def older_counts(draft: Draft) -> None:
    """What releases before the current attribute names meant; from 1.80 on, the writes stand in the details of the input."""
    attributes = draft.attributes
    is_whole = "'cache_creation_tokens'" in str(attributes.get("metadata.usage_object"))
    if "gen_ai.usage.input_tokens" not in attributes and "gen_ai.usage.prompt_tokens" in attributes and not is_whole:
        input_excludes_cache_writes(draft)


DIALECT = Dialect(
    name="litellm",
    scopes=("litellm",),
    role=role,
    fields={
        **semconv.FIELDS,
        "is_streaming": ("llm.is_streaming", "gen_ai.request.stream"),
        "finish_reason": (
            From("gen_ai.response.finish_reasons", first),
            From("gen_ai.completion.0.finish_reason", first),
        ),
        "status_code": ("error.code", "http.response.status_code"),
        "user_id": ("user.id", "enduser.id", "metadata.user_api_key_end_user_id", "metadata.user_api_key_user_id"),
        "host": ("server.address",),
    },
    texts=(
        Text("metadata.usage_object", usage_object, python_literal),
        Text("hidden_params", request_body),
    ),
    names=(Rule("", (own_ids, served_model)),),
    rules=(Rule("", (older_counts, no_cache_counts, streamed_usage_may_be_guessed)),),
)
