"""Every field of a record: its name, DuckDB type and meaning.

This table is the contract. The columns of ``spectra_requests``, the mapping a ``SpanBuilder`` gets, the payload of
``RequestTracked``, the JSON of the CLI and ``docs/vocabulary.md`` are all made from it. A field is added at the end of its
group; none is renamed or removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

TEXT, INT, BIG, FLOAT, MONEY, BOOL, TIME, JSON = (
    "VARCHAR", "INTEGER", "BIGINT", "DOUBLE", "DECIMAL(18,8)", "BOOLEAN", "TIMESTAMPTZ", "JSON",
)  # fmt: skip
TEXTS = "VARCHAR[]"
COUNTS = "MAP(VARCHAR, BIGINT)"
MEDIA = "STRUCT(uri VARCHAR, mime_type VARCHAR, bytes BIGINT, sha256 VARCHAR)[]"


@dataclass(frozen=True, slots=True)
class Field:
    """One field: ``name``, ``type`` (DuckDB), ``group`` (heading in the docs) and ``doc`` (one sentence; units included)."""

    name: str
    type: str
    group: str
    doc: str


def _group(group: str, *rows: tuple[str, str, str]) -> list[Field]:
    return [Field(name, type_, group, doc) for name, type_, doc in rows]


_ALL: list[Field] = [
    *_group(
        "Identity",
        ("id", TEXT, "`<trace_id>-<span_id>`, lower-case hex: a replay is the same row."),
        ("trace_id", TEXT, "Trace id, 32 hex digits."),
        ("span_id", TEXT, "Span id, 16 hex digits."),
        ("parent_span_id", TEXT, "Span id of the parent; NULL for a root."),
        ("response_id", TEXT, "The provider's id of the response."),
        ("conversation_id", TEXT, "Conversation or session the call belongs to."),
    ),
    *_group(
        "What was called",
        ("provider", TEXT, "Who served the call (openai, azure, bedrock, …), not who made the model."),
        ("model", TEXT, "The model as requested: in the body, else in the path or deployment."),
        ("snapshot", TEXT, "The model as served."),
        ("model_type", TEXT, "text, embedding, image, video, tts, stt, rerank, moderation or ocr."),
        ("operation", TEXT, "GenAI operation name of the semantic conventions (chat, embeddings, …)."),
        ("endpoint", TEXT, "Path of the URL, without query."),
        ("pricing_tier", TEXT, "Service tier as served: standard, batch, flex, priority, …"),
        ("requested_tier", TEXT, "Service tier as requested."),
    ),
    *_group(
        "Usage",
        ("prompt_tokens", BIG, "All input tokens, cached ones included."),
        ("completion_tokens", BIG, "All output tokens, reasoning included."),
        ("total_tokens", BIG, "Input and output tokens together."),
        ("cached_tokens", BIG, "Tokens read from a cache; part of prompt_tokens."),
        ("cache_write_tokens", BIG, "Tokens written to a cache; part of prompt_tokens."),
        ("cache_write_1h_tokens", BIG, "Tokens written to a one-hour cache; part of cache_write_tokens."),
        ("reasoning_tokens", BIG, "Reasoning (thinking) tokens; part of completion_tokens."),
        ("audio_prompt_tokens", BIG, "Audio input tokens; part of prompt_tokens."),
        ("audio_completion_tokens", BIG, "Audio output tokens; part of completion_tokens."),
        ("image_prompt_tokens", BIG, "Image input tokens; part of prompt_tokens."),
        ("image_completion_tokens", BIG, "Image output tokens; part of completion_tokens."),
        ("image_count", BIG, "Images in the answer."),
        ("image_size", TEXT, "Size of the images, such as '1024x1024'."),
        ("image_quality", TEXT, "Quality of the images, such as 'high'."),
        ("video_count", BIG, "Videos in the answer."),
        ("video_resolution", TEXT, "Resolution of the videos, such as '1280x720'."),
        ("duration_seconds", FLOAT, "Seconds of audio, or of all videos together; never compute time."),
        ("compute_seconds", FLOAT, "Seconds of compute that are billed (Replicate)."),
        ("hardware", TEXT, "Hardware that compute_seconds ran on (Replicate)."),
        ("input_characters", BIG, "Unicode characters sent to text-to-speech."),
        ("search_units", BIG, "Billed searches of a rerank call."),
        ("pages", BIG, "Pages read by OCR."),
        ("tool_call_counts", COUNTS, "Billed calls of server-side tools: web_search, code_interpreter, …"),
        ("usage_raw", JSON, "The provider's usage object as it was sent, with `inference_geo` where a region costs more."),
    ),
    *_group(
        "Cost",
        ("total_cost_in_cents", MONEY, "Cost in cents of `currency`, as recorded; NULL when not known. The sum of its parts."),
        ("prompt_cost_in_cents", MONEY, "Part of the total for input tokens, in cents."),
        ("completion_cost_in_cents", MONEY, "Part of the total for output tokens, in cents."),
        ("media_cost_in_cents", MONEY, "Part of the total for images, video, speech, rerank, ocr, in cents."),
        ("tool_cost_in_cents", MONEY, "Part of the total for server-side tools, in cents."),
        ("contract_cost_in_cents", MONEY, "Cost at the user's contract prices, in cents."),
        ("estimated_cost_in_cents", MONEY, "Our own figure where the provider's is the total, in cents."),
        ("avoided_cost_in_cents", MONEY, "What a cache hit would have cost, in cents."),
        ("upper_bound_in_cents", MONEY, "The most a call of unknown outcome can have cost, in cents."),
        ("current_cost_in_cents", MONEY, "Cost in cents after repricing; the recorded one until then."),
        ("current_cost_status", TEXT, "cost_status after repricing; the recorded one until then."),
        ("currency", TEXT, "ISO 4217 code of all amounts of the record."),
        ("fx_rate", MONEY, "Rate used where the provider lists in another currency."),
        ("cost_status", TEXT, "priced, provider, estimated, partial, free, not_billed, cache_hit, unpriced or billed_unknown."),
        ("cost_source", TEXT, "catalog, override or provider."),
        ("price_id", TEXT, "The catalog entry the price came from."),
        ("price_version", TEXT, "Digest of the catalog that priced the record."),
        ("price_disputed", BOOL, "The sources of the price disagree by more than 1 %."),
    ),
    *_group(
        "Time",
        ("started_at", TIME, "When the call began (UTC)."),
        ("completed_at", TIME, "When the call ended (UTC)."),
        ("latency_ms", BIG, "Milliseconds from start to end."),
        ("time_to_first_token_ms", BIG, "Milliseconds to the first chunk of a stream."),
        ("tokens_per_second", FLOAT, "Output tokens by second of generation."),
    ),
    *_group(
        "Outcome",
        ("status_code", INT, "HTTP status."),
        ("is_failed", BOOL, "The call failed."),
        ("error_type", TEXT, "Class of the failure."),
        ("error_message", TEXT, "Message of the failure."),
        ("finish_reason", TEXT, "Why the model stopped, in the provider's own word."),
        ("is_reasoning", BOOL, "The model reasoned."),
        ("is_streaming", BOOL, "A streamed answer was asked for."),
        ("is_aborted", BOOL, "The stream ended before its terminal event."),
        ("has_tool_calls", BOOL, "The model asked the client to run a tool."),
        ("attempt", INT, "Which try of the SDK this was (1 = first), where it says so."),
    ),
    *_group(
        "Attribution",
        ("user_id", TEXT, "Who the call was made for."),
        ("trackable_type", TEXT, "Kind of the entity the call belongs to (team, tenant, document)."),
        ("trackable_id", TEXT, "Id of that entity."),
        ("tags", TEXTS, "Labels."),
        ("metadata", JSON, "Nested key-value context."),
        ("provider_account", TEXT, "Organization or project at the provider, or a fingerprint of the key; never the key."),
        ("service_name", TEXT, "service.name of the resource."),
        ("environment", TEXT, "deployment.environment.name of the resource."),
        ("instrumentation", TEXT, "Instrumentation scope that made the span."),
        ("instrumentation_version", TEXT, "Version of that scope, where it says one."),
        ("host_id", TEXT, "host.id or host.name."),
        ("process_id", TEXT, "process.pid."),
    ),
    *_group(
        "Content",
        ("request_body", JSON, "Request body; NULL unless content capture is on."),
        ("response_body", JSON, "Response body; NULL unless content capture is on."),
        ("media", MEDIA, "Generated media; NULL unless content capture is on."),
        ("media_expires_at", TIME, "When the provider takes generated media away, where that is known (UTC)."),
    ),
]  # fmt: skip

FIELDS: MappingProxyType[str, Field] = MappingProxyType({field.name: field for field in _ALL})
"""Name → field, in the order of the columns."""

MONEY_FIELDS = frozenset(f.name for f in _ALL if f.type == MONEY)
INTEGER_FIELDS = frozenset(f.name for f in _ALL if f.type in (BIG, INT))
TOKEN_FIELDS = tuple(f.name for f in _ALL if f.name.endswith("_tokens"))

COST_STATUSES = (
    "priced", "provider", "estimated", "partial", "free", "not_billed", "cache_hit", "unpriced", "billed_unknown",
)  # fmt: skip
MODEL_TYPES = ("text", "embedding", "image", "video", "tts", "stt", "rerank", "moderation", "ocr")
