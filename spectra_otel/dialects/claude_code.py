"""Claude Code and Anthropic's Agent SDK: `claude_code.llm_request` spans, with names of their own for the counts.

Input excludes cached tokens, which are counted apart.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import CALL, OTHER, Dialect, Draft, From, Role, Rule
from spectra_otel.dialects._convert import first, milliseconds
from spectra_otel.dialects._fixes import input_excludes_cache


def role(draft: Draft) -> Role:
    """Only requests to the model are calls; a tool, or a turn of the conversation, has no usage."""
    if draft.attributes.get("span.type") != "llm_request":
        return OTHER
    draft.fields["model_type"], draft.fields["operation"] = "text", "chat"
    return CALL


def outcome(draft: Draft) -> None:
    """Whether it failed stands in `success`; the id is that of the request; what is fast costs more."""
    attributes = draft.attributes
    if attributes.get("success") is False:
        draft.give("error_type", "_OTHER")
        draft.give("error_message", attributes.get("error"))
    if str(draft.fields.get("response_id")).startswith("req_"):
        draft.drop("response_id")
    if attributes.get("speed") == "fast":
        draft.give("pricing_tier", "fast")


def own_counts(draft: Draft) -> None:
    """The counts with names of their own are Anthropic's; by the conventions' names, input would be whole."""
    if "input_tokens" in draft.attributes:
        input_excludes_cache(draft)


DIALECT = Dialect(
    name="claude_code",
    scopes=("com.anthropic.claude_code",),
    role=role,
    fields={
        **semconv.FIELDS,
        "model": ("gen_ai.request.model", "model"),
        "prompt_tokens": ("input_tokens", "gen_ai.usage.input_tokens"),
        "completion_tokens": ("output_tokens", "gen_ai.usage.output_tokens"),
        "cached_tokens": ("cache_read_tokens", "gen_ai.usage.cache_read.input_tokens"),
        "cache_write_tokens": ("cache_creation_tokens", "gen_ai.usage.cache_creation.input_tokens"),
        "finish_reason": ("stop_reason", From("gen_ai.response.finish_reasons", first)),
        "time_to_first_token_ms": (From("ttft_ms", milliseconds),),
        "status_code": ("status_code", "http.response.status_code"),
        "attempt": ("attempt",),
    },
    names=(Rule("", (outcome,)),),
    rules=(Rule("", (own_counts,)),),
)
