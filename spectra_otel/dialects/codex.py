"""OpenAI's Codex. A turn's span sums what its responses used, whose own spans name no model.

So a turn of the interactive client is the call, at the model that it names. `codex exec` may have no turn: there, responses are.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import CALL, Dialect, Doubt, Draft, Role, Rule

INTERACTIVE, EXEC = "codex_cli_rs", "codex_exec"
_TURN = "codex.turn.token_usage."


def role(draft: Draft) -> Role:
    """By what its usage is of."""
    fields, scope = draft.fields, draft.span.instrumentation_scope
    if "prompt_tokens" not in fields and "completion_tokens" not in fields:
        return Role.OTHER
    is_turn = f"{_TURN}input_tokens" in draft.attributes
    if is_turn is (scope is not None and scope.name == EXEC):
        return Role.WRAPPER
    fields["model_type"], fields["operation"] = "text", "chat"
    fields.setdefault("provider", "openai")
    return CALL


def several_responses(draft: Draft) -> None:
    """A price that depends on the length of one prompt is near the truth for the sum of several."""
    if f"{_TURN}input_tokens" in draft.attributes:
        draft.settle_for(Doubt.ESTIMATED)


DIALECT = Dialect(
    name="codex",
    scopes=(INTERACTIVE, EXEC),
    role=role,
    fields={
        **semconv.FIELDS,
        "model": ("gen_ai.request.model", "model"),
        "conversation_id": ("gen_ai.conversation.id", "conversation.id"),
        "prompt_tokens": ("gen_ai.usage.input_tokens", f"{_TURN}input_tokens"),
        "completion_tokens": ("gen_ai.usage.output_tokens", f"{_TURN}output_tokens"),
        "cached_tokens": ("gen_ai.usage.cache_read.input_tokens", f"{_TURN}cached_input_tokens"),
        "reasoning_tokens": ("codex.usage.reasoning_output_tokens", f"{_TURN}reasoning_output_tokens"),
    },
    rules=(Rule("", (several_responses,)),),
)
