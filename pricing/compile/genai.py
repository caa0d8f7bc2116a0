"""Reads genai-prices (MIT, Pydantic Services Inc.): dated, tiered and context-tiered prices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from spectra_otel.pricing.compile.draft import Draft, Drafts, Rates, ladder, rate_text
from spectra_otel.pricing.written import WrittenOffer

PROVIDERS = {"aws": "bedrock", "x-ai": "xai", "voyageai": "voyage"}
SKIPPED = frozenset({"openai-decisions"})  # a second price list of OpenAI for one endpoint, under names of the first

PAGES, ANNOTATED = "input_document_kpages", "input_annotated_document_kpages"
# Their price key → our meter and how many of our units their price is for.
METERS = {
    "input_mtok": ("input", 1_000_000),
    "output_mtok": ("output", 1_000_000),
    "cache_read_mtok": ("cache_read", 1_000_000),
    "cache_write_mtok": ("cache_write", 1_000_000),
    "cache_write_1h_mtok": ("cache_write_1h", 1_000_000),
    "input_audio_mtok": ("audio_input", 1_000_000),
    "output_audio_mtok": ("audio_output", 1_000_000),
    "cache_audio_read_mtok": ("audio_cache_read", 1_000_000),
    "input_image_mtok": ("image_input", 1_000_000),
    "output_image_mtok": ("image_output", 1_000_000),
    "cache_image_read_mtok": ("image_cache_read", 1_000_000),
    "output_reasoning_mtok": ("reasoning", 1_000_000),
    "web_searches_kcount": ("tool.web_search", 1000),
    "storage_searches_kcount": ("tool.file_search", 1000),
    "output_citation_mtok": ("tool.citation_tokens", 1_000_000),
    PAGES: ("page", 1000),
    "input_mchars": ("character", 1_000_000),
    "requests_kcount": ("request", 1000),
    "audio_hours": ("audio_second", 3600),
}
TIERS = {("processing", "batch"): "batch", ("speed", "fast"): "fast"}
GROUNDED = frozenset({"google", "vertex"})
GEOGRAPHIES = ("us.", "eu.", "apac.", "jp.", "au.", "in.", "us-gov.", "regional.")
GOVERNMENT = "us-gov."  # 20 % above the plain price; they have it among the regions with 10 %

_URL = re.compile(r"https://[^\s\"<>;]+")
_DAY = re.compile(r"(?:[Vv]erified|[Cc]hecked)(?: against [^.]*)? on (20\d\d-\d\d-\d\d)")


def read() -> tuple[Drafts, dict[str, str]]:
    """All drafts of the installed genai-prices, and the line about this source for the catalog's header."""
    from genai_prices.data_snapshot import get_snapshot

    drafts: Drafts = {}
    for provider in get_snapshot().providers:
        if provider.id in SKIPPED:
            continue
        for model in provider.models:
            target, route = _provider(provider.id, model.id)
            offers = list(_offers(model))
            if target in GROUNDED:  # Google counts its search as grounding
                for offer in offers:
                    if "tool.web_search" in offer.rates:
                        offer.rates["tool.grounding"] = offer.rates["tool.web_search"]
            for name in _names(provider, model):
                full = f"{name}:{route}" if route else name
                draft = Draft(target, full, _type(model, offers), offers, f"genai:{model.id}:{route}", "genai-prices")
                draft.page = _page(provider, model)
                draft.limits = (getattr(model, "context_window", None) or 0, 0)
                drafts.setdefault((target, full.lower()), draft)
    return drafts, {"name": "genai-prices", "version": version("genai-prices"), "licence": "MIT"}


def _page(provider: Any, model: Any) -> str:
    """The page their comment on the model names, a price list before others, else the first page of the provider."""
    comment = model.price_comments or ""
    pages = [page.rstrip(".,)") for page in _URL.findall(comment)] or [*(provider.pricing_urls or ())]
    page = next((page for page in pages if "pric" in page), pages[0] if pages else "")
    checked = max(_DAY.findall(comment), default="")
    return f"{page} ({checked})" if page and checked else page


def _provider(provider: str, model: str) -> tuple[str, str]:
    """Our provider, and the route for a router that sells the same model by several hosts."""
    if provider.startswith("huggingface_"):
        return "huggingface", provider.removeprefix("huggingface_")
    if provider == "google" and model.startswith("claude"):
        return "vertex", ""  # the Gemini API sells no Claude
    return PROVIDERS.get(provider, provider), ""


def _names(provider: Any, model: Any) -> list[str]:
    """Names that mean exactly this model. A prefix rule gives its prefix as a name, never what may follow it."""
    clauses = list(_clauses(model.match))
    exact = [text for kind, text in clauses if kind == "equals"]
    other = [text.strip("-@:./") for kind, text in clauses if kind != "equals"]
    if provider.id == "aws":
        # `regional.…` is their own name for "any one region". A plain name is in its region too, but for Anthropic's models
        # it is the one without a regional premium.
        regional = model.id.startswith("regional.")
        plain = regional and ".anthropic." not in model.id
        names = [t for t in [model.id, *exact, *other] if t.startswith(GEOGRAPHIES) == regional or plain]
        if regional:
            names = [t for t in names if not t.startswith("regional.")]
            if any(kind == "contains" and text.startswith("claude-") for kind, text in clauses):
                names.append(model.id.removeprefix("regional."))  # an old model, with one price wherever it is called
        names = [t for t in names if not t.startswith(GOVERNMENT)]
        return list(dict.fromkeys(_version_forms(names, model.id)))
    names = [model.id, *exact, *(text for text in other if provider.find_model(text) is model)]
    return [name for name in dict.fromkeys(names) if name and " " not in name and not name.endswith("-")]


def _version_forms(names: list[str], model_id: str) -> Iterator[str]:
    """Bedrock names with the version they have in the model id (`-v1:0`)."""
    version_suffix = "-v" + model_id.rpartition("-v")[2] if model_id.endswith(":0") and "-v" in model_id else ""
    for name in names:
        yield name
        if version_suffix and not name.endswith(version_suffix) and ":" not in name:
            yield name.removesuffix("-v1") + version_suffix


def _clauses(match: Any) -> Iterator[tuple[str, str]]:
    for kind in ("equals", "starts_with", "ends_with", "contains"):
        if hasattr(match, kind):
            yield kind, getattr(match, kind)
    for clause in [*getattr(match, "or_", ()), *getattr(match, "and_", ())]:
        yield from _clauses(clause)


def _offers(model: Any) -> Iterator[WrittenOffer]:
    prices = model.prices if isinstance(model.prices, list) else [model]
    newest = ""
    for price in prices:
        start, hours = _when(getattr(price, "constraint", None))
        newest = max(newest, start)
        # Their hours have no start of their own: they hold from the newest dated price on, as the list reads.
        yield WrittenOffer(_rates(price.prices), since=newest if hours else start, hours=hours)
    for variant in sorted(model.price_variants or (), key=lambda variant: _when(variant.constraint)[0]):
        rates = _rates(variant.prices)
        tier = _tier(variant.when)
        if rates and tier:
            yield WrittenOffer(rates, tier=tier, since=_when(variant.constraint)[0])


def _tier(when: dict[str, str]) -> str:
    if len(when) != 1:
        return ""
    ((key, value),) = when.items()
    return value if key == "service_tier" else TIERS.get((key, value), "")


def _when(constraint: Any) -> tuple[str, str]:
    if constraint is None:
        return "", ""
    if hasattr(constraint, "start_date"):
        return constraint.start_date.isoformat(), ""
    return "", f"{constraint.start_time:%H:%M}-{constraint.end_time:%H:%M}"


def _rates(prices: Any) -> Rates:
    rates: Rates = {}
    for key, value in prices.__dict__.items():
        if value is None or key not in METERS:
            continue
        meter, per = METERS[key]
        if isinstance(value, Decimal):
            rates[meter] = rate_text(meter, value, per)
        else:
            steps = [(tier.start, rate_text(meter, tier.price, per)) for tier in value.tiers]
            rates[meter] = ladder(rate_text(meter, value.base, per), steps)
    annotated, plain = getattr(prices, ANNOTATED, None), getattr(prices, PAGES, None)
    if annotated is not None and plain is not None:  # what it costs more than a plain page
        rates["tool.annotation"] = rate_text("tool.annotation", annotated - plain, 1000)
    return rates


def _type(model: Any, offers: list[WrittenOffer]) -> str:
    meters = {meter for offer in offers for meter in offer.rates}
    name = model.id.lower()
    if "page" in meters:
        return "ocr"
    if "character" in meters or "tts" in name:
        return "tts"
    if "audio_second" in meters or "transcribe" in name or "whisper" in name:
        return "stt"
    if "moderation" in name:
        return "moderation"
    if "rerank" in name:
        return "rerank"
    if "embed" in name or (meters == {"input"} and "voyage" in name):
        return "embedding"
    return "image" if "image_output" in meters else "text"
