"""Settings of `budget`."""

from __future__ import annotations

from dataclasses import dataclass, field

from spectra_otel.budgets.definition import Budget, Webhook, check_names
from spectra_otel.errors import ConfigError

POLICIES = ("mark", "drop", "refuse")


@dataclass
class Config:
    """Which budgets hold, and who is told."""

    budgets: list[Budget] = field(default_factory=list)
    """Definitions; those set by `spectra budgets` and in Python hold beside them."""
    webhooks: list[Webhook] = field(default_factory=list)
    """Where events are posted."""
    enforce_on_start: bool = False
    """Whether calls that only other people's spans tell of are stopped, too: `start_span` raises, and that reaches the app."""
    policy: str = "mark"
    """What becomes of spans of calls made elsewhere that a hard budget had no room for: `mark` them, `drop` them, or `refuse`
    them, so that the receiver tells their sender (`partial_success`, which says not to send them again)."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for a definition or address that cannot be used."""
        for budget in self.budgets:
            budget.validate()
        check_names(self.budgets)
        for webhook in self.webhooks:
            webhook.validate()
        if self.policy not in POLICIES:
            raise ConfigError(f"policy: got {self.policy!r}, valid: {', '.join(POLICIES)}")
