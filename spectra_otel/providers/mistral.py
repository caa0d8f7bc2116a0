"""Mistral. Audio tokens are beside the prompt's, in its details alone."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings
from spectra_otel.providers.wire.media import Speech, Transcription

chat = Chat()

PROVIDER = Provider(
    name="mistral",
    hosts=("api.mistral.ai",),
    endpoints=(
        Endpoint("/chat/completions", chat),
        Endpoint("/agents/completions", chat),
        Endpoint("/fim/completions", Completions()),
        Endpoint("/embeddings", Embeddings()),
        Endpoint("/audio/transcriptions", Transcription()),
        Endpoint("/audio/speech", Speech()),
    ),
)
