"""Hosts that nobody named but that speak a known format. Whose prices hold is not known, so nothing of it is priced.

``SPECTRA_PROVIDER_HOSTS=llm.example.com=openai`` says whose they are.
"""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses

PROVIDER = Provider(
    name="openai_compatible",
    hosts=(),
    endpoints=(
        Endpoint("/chat/completions", Chat()),
        Endpoint("/completions", Completions()),
        Endpoint("/responses", Responses()),
        Endpoint("/embeddings", Embeddings()),
        Endpoint("/v1/messages", Messages()),
    ),
)
