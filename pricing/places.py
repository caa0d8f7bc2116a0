"""Where a call ran, as far as that has a price: a tenth more for every token.

Anthropic's own API asks it for inference in the US alone, and Vertex for its endpoints of one region or continent, for Claude
from Sonnet 4.5 and Haiku 4.5 on (platform.claude.com/docs/en/about-claude/pricing). Bedrock has names and prices of their own
for its regions. OpenAI asks it at its hosts of a region for models released since 5 March 2026
(developers.openai.com/api/docs/guides/data-residency), xAI at ``us.api.x.ai``
(docs.x.ai/developers/advanced-api-usage/regions.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

REGIONAL = Fraction(11, 10)
_EARLIER = re.compile(r"claude-(?:instant|[123]\b|(?:opus|sonnet)-4(?:-1)?(?:[@-]\d{8}|@|\Z))")
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
) -> Fraction | None:
    """What the prices of tokens are multiplied by for the place of a call; None where it makes no difference.

    The place is the ``region`` of the host, the ``inference_geo`` that the usage (or the request) has, or in the path.
    """
    region = region or usage_raw.get("inference_geo")
    if provider in ("anthropic", "xai"):
        return REGIONAL if region == "us" else None
    if provider == "vertex" and "claude" in model and not _EARLIER.search(model):
        return REGIONAL if region or _PLACE.search(endpoint) else None
    if provider == "openai" and region and _is_recent(model.lower()):
        return REGIONAL
    return None


def _is_recent(model: str) -> bool:
    dated = _OPENAI_DATE.search(model)
    return dated[1] >= _OPENAI_SINCE if dated else not _OPENAI_EARLIER.match(model)
