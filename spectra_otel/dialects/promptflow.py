"""Microsoft's prompt flow. Inputs and output of a call are its request and response; counts of flows are in `__computed__`.

A stream's tokens are counted by prompt flow itself.
"""

from __future__ import annotations

from spectra_otel.dialects._base import CALL, OTHER, Dialect, Doubt, Draft, Role, Rule, Text
from spectra_otel.dialects._fixes import no_cache_counts
from spectra_otel.dialects._texts import request_body, response_body

KINDS: dict[str, tuple[str, str]] = {"LLM": ("text", "chat"), "Embedding": ("embedding", "embeddings")}
"""`span_type` of a call → model type and operation."""


def role(draft: Draft) -> Role:
    """By `span_type`; a function, a tool or a flow has no usage but what was computed from the calls below."""
    kind = KINDS.get(str(draft.attributes.get("span_type", "")))
    if kind is None:
        return Role.WRAPPER if "__computed__.cumulative_token_count.total" in draft.attributes else OTHER
    draft.fields["model_type"], draft.fields["operation"] = kind
    return CALL


def streamed(draft: Draft) -> None:
    """What was iterated was counted from its text."""
    if draft.attributes.get("output_type") == "iterated" and "usage_raw" not in draft.fields:
        draft.put("is_streaming", True)
        draft.settle_for(Doubt.ESTIMATED)


DIALECT = Dialect(
    name="promptflow",
    scopes=("promptflow",),
    role=role,
    fields={
        "snapshot": ("llm.response.model",),
        "prompt_tokens": ("llm.usage.prompt_tokens",),
        "completion_tokens": ("llm.usage.completion_tokens",),
        "total_tokens": ("llm.usage.total_tokens",),
    },
    texts=(Text("inputs", request_body), Text("output", response_body)),
    rules=(Rule("", (streamed, no_cache_counts)),),
)
