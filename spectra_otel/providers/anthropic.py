"""Anthropic. Token counting, files, models and message batches are skipped: they are not billed by the call."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.chat import Chat
from spectra_otel.providers.wire.complete import Complete
from spectra_otel.providers.wire.messages import Messages

PROVIDER = Provider(
    name="anthropic",
    hosts=("api.anthropic.com",),
    budget_block="429",
    account_headers=("anthropic-organization-id",),
    endpoints=(
        Endpoint("/messages", Messages()),
        Endpoint("/complete", Complete()),
        Endpoint("/chat/completions", Chat()),
    ),
)
