"""OpenAI.

Files, models, vector stores, token counting, secrets for realtime sessions, video characters and the management of threads are
not billed by the call: what is not in the table is skipped. Runs of the Assistants API name neither model nor usage when they
are made; their stream does, or a later GET.
"""

from datetime import timedelta

from spectra_otel.providers.base import Endpoint, Provider, Sent
from spectra_otel.providers.values import Values
from spectra_otel.providers.wire.batch import Batch
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings
from spectra_otel.providers.wire.media import Images, Moderation, Speech, Transcription
from spectra_otel.providers.wire.responses import Responses
from spectra_otel.providers.wire.threads import Runs
from spectra_otel.providers.wire.video import Videos


class SearchingChat(Chat):
    """Search models search the web before they answer, once, and no answer says so.

    platform.openai.com/docs/guides/tools-web-search
    """

    def read_request(self, sent: Sent) -> Values:
        values = super().read_request(sent)
        if "-search-" in str(values["model"]):
            values["tool_call_counts"] = {"web_search": 1}
        return values


batch = Batch()
images = Images(kept=timedelta(hours=1))  # platform.openai.com/docs/api-reference/images/object
responses = Responses()
runs = Runs()
videos = Videos()

PROVIDER = Provider(
    name="openai",
    hosts=("api.openai.com", "{region}.api.openai.com"),
    budget_block="429",
    account_headers=("openai-project", "openai-organization"),
    prices_by_region=True,
    endpoints=(
        Endpoint("/chat/completions", SearchingChat(asks_for_usage=True)),
        Endpoint("/completions", Completions(asks_for_usage=True)),
        Endpoint("/responses", responses),
        Endpoint("/responses/compact", responses),
        Endpoint("/decisions", responses),
        Endpoint("/embeddings", Embeddings()),
        Endpoint("/images/generations", images),
        Endpoint("/images/edits", images),
        Endpoint("/images/variations", images),
        Endpoint("/audio/speech", Speech()),
        Endpoint("/audio/transcriptions", Transcription()),
        Endpoint("/audio/translations", Transcription()),
        Endpoint("/threads/runs", runs),
        Endpoint("/threads/{thread}/runs", runs),
        Endpoint("/threads/{thread}/runs/{run}/submit_tool_outputs", runs),
        Endpoint("/videos", videos),
        Endpoint("/videos/edits", videos),
        Endpoint("/videos/extensions", videos),
        Endpoint("/videos/{video}/remix", videos),
        Endpoint("/moderations", Moderation()),
        Endpoint("/batches", batch, batch="start"),
        Endpoint("/batches/{job}", batch, "GET", batch="look"),
        Endpoint("/files/{job}/content", batch, "GET", batch="results"),
        Endpoint("/responses/{job}", responses, "GET", completes=True),
        Endpoint("/responses/{job}/cancel", responses, completes=True),
        Endpoint("/threads/{thread}/runs/{job}", runs, "GET", completes=True),
        Endpoint("/videos/{job}", videos, "GET", completes=True),
    ),
)
