"""Haystack's own tracing. What a generator or embedder answered, with its usage, is traced where content is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.dialects._base import CALL, OTHER, Dialect, Draft, Role, Rule, Text
from spectra_otel.dialects._fixes import convention_is_unknown
from spectra_otel.dialects._texts import response_body

_OUTPUT, _STEP_OUTPUT = "haystack.component.output", "haystack.agent.step.llm.output"
KINDS = (("Generator", "text", "chat"), ("Embedder", "embedding", "embeddings"))
"""End of a component's type → model type and operation."""


def role(draft: Draft) -> Role:
    """By the component's type; an agent's step has a span for its model."""
    attributes = draft.attributes
    component = "Generator" if _STEP_OUTPUT in attributes else str(attributes.get("haystack.component.type", ""))
    for end, model_type, operation in KINDS:
        if component.endswith(end) and (_OUTPUT in attributes or _STEP_OUTPUT in attributes):
            draft.fields["model_type"], draft.fields["operation"] = model_type, operation
            return CALL
    return OTHER


def output(draft: Draft, found: Any) -> None:
    """The `meta` of the first reply, or that beside the replies or the vectors: usage, model and finish reason."""
    if not isinstance(found, Mapping):
        return
    replies, beside = found.get("replies"), found.get("meta")
    reply = replies[0] if isinstance(replies, list) and replies else None
    meta = (reply.get("meta") or reply.get("_meta")) if isinstance(reply, Mapping) else None
    if meta is None:
        meta = beside[0] if isinstance(beside, list) and beside else beside
    response_body(draft, meta)
    if isinstance(meta, Mapping):
        draft.give("finish_reason", meta.get("finish_reason"))


DIALECT = Dialect(
    name="haystack",
    keys=("haystack.component.", "haystack.agent.step.llm."),
    role=role,
    texts=(Text(_OUTPUT, output), Text(_STEP_OUTPUT, output)),
    rules=(Rule("", (convention_is_unknown,)),),
)
