"""Azure's own SDKs: models (azure-ai-inference), agents and their runs (azure-ai-agents), Foundry projects (azure-ai-projects).

An agent there runs at Azure: no span below its own tells of a call, so the span that knows what was used is one.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import CALL, WRAPPER, Dialect, Draft, Role, Rule
from spectra_otel.dialects._fixes import no_cache_counts

_AT_AZURE = frozenset(
    {"invoke_agent", "process_thread_run", "get_thread_run", "submit_tool_outputs", "start_thread_run"}
)


def role(draft: Draft) -> Role:
    """By operation; a run of an agent is a call once its usage is known."""
    if draft.fields.get("operation") not in _AT_AZURE:
        return semconv.role(draft)
    if "prompt_tokens" not in draft.fields and "completion_tokens" not in draft.fields:
        return WRAPPER
    draft.fields["model_type"] = "text"
    return CALL


DIALECT = Dialect(
    name="azure_sdk",
    keys=("az.namespace",),
    role=role,
    fields={**semconv.FIELDS, "response_id": ("gen_ai.response.id", "gen_ai.thread.run.id")},
    rules=(Rule("", (no_cache_counts,)),),
)
