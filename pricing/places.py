"""Where a call ran, as far as that has a price: a tenth more.

Anthropic's own API asks it for every token of inference in the US alone, and Vertex at its endpoints of one region or continent,
for Claude from Sonnet 4.5 and Haiku 4.5 on (platform.claude.com/docs/en/about-claude/pricing). Bedrock has names and prices of
their own for its regions. xAI asks it for tokens at ``us.api.x.ai`` (docs.x.ai/developers/advanced-api-usage/regions.md).

OpenAI asks it for all that a model is sold by, minutes too, but not for tools: at its hosts of a region for models released since
5 March 2026 (developers.openai.com/api/docs/guides/data-residency, read 2026-11-21), and at the one for FedRAMP for every model
(developers.openai.com/api/docs/pricing as quoted on 2026-09-25 and 2026-10-08; the host is that of
help.openai.com/en/articles/20001070).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from spectra_otel.pricing.units import PARTS, TOKEN_METERS


class Premium(NamedTuple):
    """What prices are multiplied by, and those of which meters."""

    factor: Fraction
    meters: frozenset[str]


_TENTH = Fraction(11, 10)
OF_TOKENS = Premium(_TENTH, frozenset(TOKEN_METERS))
OF_MODELS = Premium(_TENTH, frozenset(PARTS))
_FEDRAMP = "gov"
_EARLIER = re.compile(r"claude-(?:instant|[123]\b|(?:opus|sonnet)-4(?:-1)?(?:[@-]\d{8}|@|\Z))")
_WITHOUT_GEO = re.compile(r"claude-(?:instant|[123]\b|(?:opus|sonnet|haiku)-4(?:-[0-5])?(?:[@-]\d{8}|@|\Z))")
_PLACE = re.compile(r"/locations/(?!global/)")
_OPENAI_SINCE = "2026-03-05"
_OPENAI_DATE = re.compile(r"-(20\d\d-\d\d-\d\d)\b")
_OPENAI_EARLIER = re.compile(
    r"(?:ft:)?(?:gpt-[34]|gpt-5(?![.-][4-9](?!\d))|gpt-(?:image-1|audio|oss)|gpt-realtime(?!-[2-9t-w])|chatgpt-4o|o[134]\b|sora-2"
    r"|dall-e|tts-1|whisper-1|text-|omni-moderation|codex-mini|computer-use|davinci|babbage|curie|ada\b)"
)
"""Names of models from before that day; one with a date in it says so itself."""


def premium(
    provider: str, model: str, usage_raw: Mapping[str, Any], endpoint: str, region: str | None = None
) -> Premium | None:
    """What the place of a call adds to its prices; None where it makes no difference.

    The place is the ``region`` of the host, the ``inference_geo`` that the usage (or the request) has, or in the path.
    """
    region = region or usage_raw.get("inference_geo")
    if provider in ("anthropic", "xai"):
        return OF_TOKENS if region == "us" else None
    if provider == "vertex" and "claude" in model and not _EARLIER.search(model):
        return OF_TOKENS if region or _PLACE.search(endpoint) else None
    if provider == "openai" and region and (region == _FEDRAMP or _is_recent(model.lower())):
        return OF_MODELS
    return None


def dearest(
    provider: str, model: str, body: Mapping[str, Any], endpoint: str, region: str | None = None
) -> Premium | None:
    """:func:`premium` of a call that is yet to be made, at the most.

    What a request to Anthropic does not say its workspace may, for models that know the parameter, from Opus 4.6 on
    (platform.claude.com/docs/en/manage-claude/data-residency).
    """
    is_open = provider == "anthropic" and not body.get("inference_geo") and not _WITHOUT_GEO.match(model)
    return premium(provider, model, body, endpoint, "us" if is_open else region)


def _is_recent(model: str) -> bool:
    dated = _OPENAI_DATE.search(model)
    return dated[1] >= _OPENAI_SINCE if dated else not _OPENAI_EARLIER.match(model)
