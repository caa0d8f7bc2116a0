"""Mistral. Audio tokens are beside the prompt's, in its details alone."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings
from spectra_otel.providers.wire.media import Moderation, Ocr, Speech, Transcription

chat, moderation = Chat(audio_beside=True), Moderation()

PROVIDER = Provider(
    name="mistral",
    hosts=("api.mistral.ai",),
    endpoints=(
        Endpoint("/chat/completions", chat),
        Endpoint("/agents/completions", chat),
        Endpoint("/fim/completions", Completions()),
        Endpoint("/embeddings", Embeddings()),
        Endpoint("/audio/transcriptions", Transcription(audio_beside=True)),
        Endpoint("/audio/speech", Speech()),
        Endpoint("/ocr", Ocr()),
        Endpoint("/moderations", moderation),
        Endpoint("/chat/moderations", moderation),
    ),
)
