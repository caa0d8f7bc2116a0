"""Anthropic. Token counting, files and models are skipped: they are not billed by the call."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.chat import Chat
from spectra_otel.providers.wire.complete import Complete
from spectra_otel.providers.wire.messages import Messages

messages = Messages()

PROVIDER = Provider(
    name="anthropic",
    hosts=("api.anthropic.com",),
    budget_block="429",
    account_headers=("anthropic-organization-id",),
    endpoints=(
        Endpoint("/messages", messages),
        Endpoint("/messages/batches", messages, batch="start"),
        Endpoint("/messages/batches/{job}/results", messages, "GET", batch="results"),
        Endpoint("/complete", Complete()),
        Endpoint("/chat/completions", Chat()),
    ),
)
