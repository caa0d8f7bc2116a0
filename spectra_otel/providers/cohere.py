"""Cohere. Tokenising, datasets, connectors, batches and embed jobs are skipped: their results are datasets."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.chat import Chat, Embeddings
from spectra_otel.providers.wire.cohere import CohereChat, CohereEmbed, CohereRerank
from spectra_otel.providers.wire.media import Ocr, Transcription

chat, embed, rerank = CohereChat(), CohereEmbed(), CohereRerank()

PROVIDER = Provider(
    name="cohere",
    hosts=("api.cohere.com", "api.cohere.ai"),
    endpoints=(
        Endpoint("/compatibility/v1/chat/completions", Chat(asks_for_usage=True)),
        Endpoint("/compatibility/v1/embeddings", Embeddings()),
        Endpoint("/v2/chat", chat),
        Endpoint("/v1/chat", chat),
        Endpoint("/generate", CohereChat("text_completion")),
        Endpoint("/summarize", CohereChat("text_completion")),
        Endpoint("/embed", embed),
        Endpoint("/classify", embed),
        Endpoint("/rerank", rerank),
        Endpoint("/audio/transcriptions", Transcription()),
        Endpoint("/v2/parse", Ocr()),
    ),
)
