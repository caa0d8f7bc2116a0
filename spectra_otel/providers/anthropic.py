"""Anthropic. Token counting, files, skills and models are skipped: they are not billed by the call.

Its platform within AWS and Google Cloud is its own, too, at its own prices.
"""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.batch import MessageBatch
from spectra_otel.providers.wire.chat import Chat
from spectra_otel.providers.wire.complete import Complete
from spectra_otel.providers.wire.messages import Messages

messages, batch = Messages(), MessageBatch()

PROVIDER = Provider(
    name="anthropic",
    hosts=("api.anthropic.com", "aws-external-anthropic.{region}.api.aws", "claude.googleapis.com"),
    budget_block="429",
    account_headers=("anthropic-organization-id",),
    endpoints=(
        Endpoint("/messages", messages),
        Endpoint("/messages/batches", batch, batch="start"),
        Endpoint("/messages/batches/{job}/results", batch, "GET", batch="results"),
        Endpoint("/complete", Complete()),
        Endpoint("/chat/completions", Chat()),
    ),
)
