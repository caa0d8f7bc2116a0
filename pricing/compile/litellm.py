"""Reads LiteLLM's price table (MIT, Berri AI): the JSON file alone, without importing litellm."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from spectra_otel.pricing.compile.draft import Draft, Drafts, Rates, ladder, rate_text
from spectra_otel.pricing.written import WrittenOffer

PROVIDERS = {
    "text-completion-openai": "openai", "gemini": "google", "azure_ai": "azure", "azure_text": "azure",
    "bedrock_converse": "bedrock", "bedrock_mantle": "bedrock", "cohere_chat": "cohere", "fal_ai": "fal",
    "fireworks_ai": "fireworks", "fireworks_ai-embedding-models": "fireworks", "together_ai": "together",
    "vercel_ai_gateway": "vercel-gateway", "moonshot": "moonshotai", "meta_llama": "meta", "codestral": "mistral",
    "text-completion-codestral": "mistral", "github_copilot": "github-copilot",
}  # fmt: skip
SKIPPED = frozenset({
    "ollama", "chatgpt", "clf_ai_gateway",  # local or by subscription: no price for a call
    "scaleway",  # has its prices in euros, the table takes them for dollars
})  # fmt: skip
SECOND = frozenset({"azure_ai", "bedrock_mantle"})
"""Where a model has rows of two routes, these come second: the price of the plain one is that of the name."""
HOUR = 3600
IMPLAUSIBLE = Decimal("0.001")
"""USD for a token. Nobody asks 1,000 USD for a million tokens: such a row has a price for 1,000 tokens in it."""
TYPES = {
    "chat": "text", "completion": "text", "responses": "text", "realtime": "text", "embedding": "embedding",
    "image_generation": "image", "image_edit": "image", "audio_transcription": "stt", "audio_speech": "tts",
    "video_generation": "video", "rerank": "rerank", "ocr": "ocr", "moderation": "moderation",
}  # fmt: skip
TIERS = {"": "standard", "_batches": "batch", "_priority": "priority", "_flex": "flex", "_ultrafast": "ultrafast"}

TOKENS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "cache_read_input_audio_token_cost": "audio_cache_read",
    "input_cost_per_image_token": "image_input",
    "output_cost_per_image_token": "image_output",
    "cache_read_input_image_token_cost": "image_cache_read",
    "output_cost_per_reasoning_token": "reasoning",
}
# Mode → their key, our meter, and how many of our units the published price is for; the first key that has a price counts.
_IMAGE = (
    ("output_cost_per_image", "image", 1),
    ("input_cost_per_image", "image", 1),
    *((f"output_cost_per_image_{size}", f"image {size.lower()}", 1) for size in ("0.5K", "1K", "2K", "4K")),
)
_AUDIO = (
    ("original_pricing_per_hour", "audio_second", HOUR),
    ("original_pricing_per_minute", "audio_second", 60),
    ("input_cost_per_second", "audio_second", HOUR),
    ("output_cost_per_second", "audio_second", HOUR),
    ("input_cost_per_character", "character", 1),
)
MEDIA: dict[str, tuple[tuple[str, str, int], ...]] = {
    "image_generation": _IMAGE,
    "image_edit": _IMAGE,
    "video_generation": (
        ("output_cost_per_second", "video_second", 1),
        ("output_cost_per_video_per_second", "video_second", 1),
        *(
            (f"output_cost_per_second_{r}", f"video_second {r}", 1)
            for r in ("480p", "720p", "768p", "1080p", "2k", "4k")
        ),
    ),
    "audio_transcription": _AUDIO,
    "audio_speech": _AUDIO,
    "rerank": (("input_cost_per_query", "search", 1000),),
    "ocr": (("ocr_cost_per_page", "page", 1000),),
}
_KEY = re.compile(
    rf"(?P<base>{'|'.join(sorted(TOKENS, key=len, reverse=True))})(?:_above_(?P<above>\d+)k_tokens)?"
    rf"(?P<tier>{'|'.join(t for t in TIERS if t)}|)\Z"
)
_IMAGE_NAME = re.compile(r"(?:(?P<quality>[a-z]+)/)?(?P<size>\d+-x-\d+)/(?:(?P<steps>\d+|max)-steps/)?(?P<model>.+)\Z")


def read(path: Path) -> tuple[Drafts, dict[str, str]]:
    """All drafts of the table at ``path``, and the line about this source for the catalog's header."""
    table = json.loads(path.read_text(), parse_float=Decimal, parse_int=Decimal)
    drafts: Drafts = {}
    for key, row in sorted(table.items(), key=lambda item: item[1].get("litellm_provider") in SECOND):
        provider = _provider(row.get("litellm_provider") or "")
        model_type = TYPES.get(row.get("mode") or "", "")
        if not provider or not model_type or key == "sample_spec":
            continue
        name = _name(key, row["litellm_provider"])
        if " " in name:
            continue
        if model_type == "image" and (variant := _IMAGE_NAME.match(name)):
            _add_image_variant(drafts, provider, variant, row)
            continue
        offers = [] if provider == "fireworks" and model_type == "image" else _offers(row)
        if offers:  # (those images are sold by the step or the piece; their rows have that for a million tokens)
            draft = drafts.setdefault((provider, name.lower()), Draft(provider, name, model_type, source="litellm"))
            known = {offer.tier for offer in draft.offers}
            if not known:
                draft.page = _page(row)
                draft.limits = _limit(row, "max_input_tokens"), _limit(row, "max_output_tokens")
            draft.offers += [offer for offer in offers if offer.tier not in known]
    return drafts, {"name": "litellm", "version": _version(path), "licence": "MIT"}


def _page(row: dict[str, Any]) -> str:
    """The page the row names, without the blanks that a query in it has."""
    page = str(row.get("source") or "").strip()
    return page.partition("?$filter")[0] if page.startswith("https://") and " " not in page else ""


def _limit(row: dict[str, Any], key: str) -> int:
    value = row.get(key)
    return int(value) if isinstance(value, Decimal) and 0 < value < 10**9 else 0


def _version(path: Path) -> str:
    found = sorted(path.parent.parent.glob("litellm-*.dist-info"))
    return found[0].name.removeprefix("litellm-").removesuffix(".dist-info") if found else "unknown"


def _provider(name: str) -> str:
    if name in SKIPPED:
        return ""
    if name.startswith("vertex_ai"):
        return "vertex"
    return PROVIDERS.get(name, name)


def _name(key: str, provider: str) -> str:
    for prefix in (provider, provider.partition("-")[0], PROVIDERS.get(provider, provider), "bedrock", "azure"):
        key = key.removeprefix(f"{prefix}/")
    return key.replace("/bedrock/", "/")


def _offers(row: dict[str, Any]) -> list[WrittenOffer]:
    prices: dict[str, dict[str, dict[int, Decimal]]] = {}  # tier → meter → start → USD
    for key, usd in row.items():
        if isinstance(usd, Decimal) and (found := _KEY.match(key)):
            meters = prices.setdefault(TIERS[found["tier"]], {})
            start = int(found["above"] or 0) * 1000
            meters.setdefault(TOKENS[found["base"]], {})[start] = usd
    for band in row.get("tiered_pricing") or ():
        if "range" in band:
            for key, meter in TOKENS.items():
                if key in band:
                    prices.setdefault("standard", {}).setdefault(meter, {})[int(band["range"][0])] = band[key]
    offers = [WrittenOffer(rates, tier=tier) for tier, meters in prices.items() if (rates := _token_rates(meters))]
    media = _media_rates(row)
    standard = next((offer for offer in offers if offer.tier == "standard"), None)
    if media and not standard:
        offers.insert(0, standard := WrittenOffer({}))
    if standard:
        standard.rates.update(media | _tool_rates(row) | _annotation(row))
    if "ocr_cost_per_page_batches" in row:
        page = rate_text("page", row["ocr_cost_per_page_batches"] * 1000, 1000)
        offers.append(WrittenOffer({"page": page} | _annotation(row, "_batches"), tier="batch"))
    return offers


def _annotation(row: dict[str, Any], suffix: str = "") -> Rates:
    """What a page costs more that is annotated, too."""
    page, annotated = (row.get(f"{key}{suffix}") for key in ("ocr_cost_per_page", "annotation_cost_per_page"))
    if page is None or annotated is None:
        return {}
    return {"tool.annotation": rate_text("tool.annotation", (annotated - page) * 1000, 1000)}


def _token_rates(meters: dict[str, dict[int, Decimal]]) -> Rates:
    """Rates of one tier. All zero means that the table does not know (it has no free models of its own)."""
    rates: Rates = {}
    highest = max((usd for steps in meters.values() for usd in steps.values()), default=Decimal(0))
    if not highest or highest > IMPLAUSIBLE:
        return rates
    for meter, steps in meters.items():
        if 0 not in steps or (not steps[0] and meter not in ("input", "output")):
            continue  # a zero for a cache or a modality stands for "not sold apart" there
        texts = {start: rate_text(meter, usd) for start, usd in steps.items() if usd or not start}
        rates[meter] = ladder(texts[0], [(start, text) for start, text in texts.items() if start])
    if rates.get("reasoning") == rates.get("output"):
        rates.pop("reasoning", None)
    return rates


def _media_rates(row: dict[str, Any]) -> Rates:
    rates: Rates = {}
    metadata = row.get("metadata") or {}
    for key, meter, per in MEDIA.get(row["mode"], ()):
        usd = metadata.get(key) if key.startswith("original_") else row.get(key)
        if not isinstance(usd, Decimal) or not usd or meter in rates:
            continue
        if key.endswith("_per_second") and per == HOUR:
            usd = round(usd * per, 3 - (usd * per).adjusted())  # a price for the hour that they divided and cut
        elif not key.startswith("original_"):
            usd *= per
        rates[meter] = rate_text(meter.partition(" ")[0], usd, per)
    return rates


def _tool_rates(row: dict[str, Any]) -> Rates:
    """Server-side search, where its price does not depend on a size that usage does not tell."""
    rates: Rates = {}
    prices = set((row.get("search_context_cost_per_query") or {}).values())
    if len(prices) == 1 and (usd := prices.pop()):
        rates["tool.web_search"] = rate_text("tool.web_search", usd * 1000, 1000)
    if usd := row.get("google_maps_grounding_cost_per_query"):
        rates["tool.maps"] = rate_text("tool.maps", usd * 1000, 1000)
    return rates


def _add_image_variant(drafts: Drafts, provider: str, variant: re.Match[str], row: dict[str, Any]) -> None:
    """A row for one size and quality of an image model becomes a rate of that model."""
    usd = row.get("output_cost_per_image") or row.get("input_cost_per_image")
    width, height = (int(side) for side in variant["size"].split("-x-"))
    if not usd and row.get("input_cost_per_pixel"):
        usd = row["input_cost_per_pixel"] * width * height
        usd = round(usd, 3 - usd.adjusted())  # prices by the pixel are a published price divided and cut
    if not usd:
        return
    name = variant["model"]
    draft = drafts.setdefault((provider, name.lower()), Draft(provider, name, "image", source="litellm"))
    if not any(offer.tier == "standard" for offer in draft.offers):
        draft.offers.insert(0, WrittenOffer({}))
    standard = next(offer for offer in draft.offers if offer.tier == "standard")
    quality = "premium" if variant["steps"] == "max" else variant["quality"] or "standard"
    standard.rates[f"image {width}x{height} {quality}"] = rate_text("image", Decimal(usd))
