"""AgentOps, whose scopes are the names of the SDKs that it wraps.

Cached tokens are never counted: Anthropic's input lacks them, and of its streams only the opening event is read.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Draft, Rule
from spectra_otel.dialects._fixes import EXCLUSIVE, input_lacks_cache, no_cache_counts, usage_is_unusable


def anthropic_usage(draft: Draft) -> None:
    """A whole answer's output is right; a stream's is that of its beginning."""
    if draft.fields.get("is_streaming"):
        usage_is_unusable(draft)
    else:
        input_lacks_cache(draft)


DIALECT = Dialect(
    name="agentops",
    scopes=("agentops", "anthropic", "openai"),
    role=semconv.role,
    fields={
        **semconv.FIELDS,
        "operation": ("gen_ai.operation.name", "gen_ai.request.type"),
        "is_streaming": ("gen_ai.request.streaming", *semconv.FIELDS["is_streaming"]),
    },
    rules=(Rule("", (anthropic_usage,), providers=EXCLUSIVE), Rule("", (no_cache_counts,))),
)
