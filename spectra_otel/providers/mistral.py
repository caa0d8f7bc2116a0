"""Mistral. Audio tokens are beside the prompt's, in its details alone."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.batch import MistralBatch
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings
from spectra_otel.providers.wire.conversations import Conversations
from spectra_otel.providers.wire.media import Moderation, Ocr, Speech, Transcription
from spectra_otel.providers.wire.responses import Responses

chat, conversations, batch = Chat(audio_beside=True), Conversations(), MistralBatch()
moderation = Moderation(is_free=False)

PROVIDER = Provider(
    name="mistral",
    hosts=("api.mistral.ai", "codestral.mistral.ai"),
    endpoints=(
        Endpoint("/chat/completions", chat),
        Endpoint("/agents/completions", chat),
        Endpoint("/conversations", conversations),
        Endpoint("/conversations/{conversation}", conversations),
        Endpoint("/conversations/{conversation}/restart", conversations),
        Endpoint("/fim/completions", Completions()),
        Endpoint("/responses", Responses()),
        Endpoint("/embeddings", Embeddings()),
        Endpoint("/audio/transcriptions", Transcription(audio_beside=True)),
        Endpoint("/audio/speech", Speech()),
        Endpoint("/ocr", Ocr()),
        Endpoint("/moderations", moderation),
        Endpoint("/chat/moderations", moderation),
        Endpoint("/classifications", moderation),
        Endpoint("/chat/classifications", moderation),
        Endpoint("/batch/jobs", batch, batch="start"),
        Endpoint("/batch/jobs/{job}", batch, "GET", batch="look"),
        Endpoint("/files/{job}/content", batch, "GET", batch="results"),
    ),
)
