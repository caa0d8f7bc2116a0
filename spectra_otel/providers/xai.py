"""xAI. Chat counts reasoning beside the output, Responses inside it."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.values import Json, Values, as_dict
from spectra_otel.providers.wire.batch import XaiBatch
from spectra_otel.providers.wire.chat import Completions, Embeddings, cents, put_provider_cost
from spectra_otel.providers.wire.deferred import DeferredChat
from spectra_otel.providers.wire.media import Images, Speech, Transcription
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses
from spectra_otel.providers.wire.video import Videos


def _ticks(body: Json, values: Values) -> None:
    """What xAI says it charged for images, in units of 1e-10 USD; tokens are priced from the catalog."""
    ticks = as_dict(body.get("usage")).get("cost_in_usd_ticks")
    if isinstance(ticks, int) and ticks > 0:
        put_provider_cost(values, cents(ticks / 10**10))


def _tools(body: Json, values: Values) -> None:
    """How often each server-side tool was called, by xAI's own count; ``document_search`` is what it sells as collections.

    The older Live Search was billed by the source it read.
    """
    said = as_dict(as_dict(body.get("usage")).get("server_side_tool_usage_details"))
    counts = {name.removesuffix("_calls"): n for name, n in said.items() if type(n) is int and n > 0}
    if "document_search" in counts:
        counts["collections_search"] = counts.pop("document_search")
    sources = as_dict(body.get("usage")).get("num_sources_used")
    if type(sources) is int and sources > 0:
        counts["live_search"] = sources
    if counts:
        values["tool_call_counts"] = counts


chat = DeferredChat(reasoning_beside=True, extra=_tools)
images, videos, batch = Images(_ticks), Videos(), XaiBatch()

PROVIDER = Provider(
    name="xai",
    hosts=("api.x.ai", "{region}.api.x.ai"),
    budget_block="429",
    prices_by_region=True,
    endpoints=(
        Endpoint("/chat/completions", chat),
        Endpoint("/chat/deferred-completion/{job}", chat, "GET", completes=True),
        Endpoint("/completions", Completions(reasoning_beside=True)),
        Endpoint("/responses", Responses(extra=_tools)),
        Endpoint("/messages", Messages()),
        Endpoint("/embeddings", Embeddings()),
        Endpoint("/images/generations", images),
        Endpoint("/images/edits", images),
        Endpoint("/videos/generations", videos),
        Endpoint("/videos/edits", videos),
        Endpoint("/videos/extensions", videos),
        Endpoint("/videos/{job}", videos, "GET", completes=True),
        Endpoint("/videos/generations/{job}", videos, "GET", completes=True),
        Endpoint("/stt", Transcription()),
        Endpoint("/tts", Speech(text="text")),
        Endpoint("/batches", batch, batch="start"),
        Endpoint("/batches/{job}/results", batch, "GET", batch="look"),
    ),
)
