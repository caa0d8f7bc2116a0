"""xAI. Chat counts reasoning beside the output, Responses inside it."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings
from spectra_otel.providers.wire.media import Images
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses

PROVIDER = Provider(
    name="xai",
    hosts=("api.x.ai", "{region}.api.x.ai"),
    budget_block="429",
    endpoints=(
        Endpoint("/chat/completions", Chat(reasoning_beside=True)),
        Endpoint("/completions", Completions(reasoning_beside=True)),
        Endpoint("/responses", Responses()),
        Endpoint("/messages", Messages()),
        Endpoint("/embeddings", Embeddings()),
        Endpoint("/images/generations", Images()),
        Endpoint("/images/edits", Images()),
    ),
)
