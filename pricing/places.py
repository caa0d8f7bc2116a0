"""Where a call ran, as far as that has a price: a tenth more for every token (platform.claude.com/docs/en/about-claude/pricing).

Anthropic's own API asks it for inference in the US alone, and Vertex for its endpoints of one region or continent, for Claude
from Sonnet 4.5 and Haiku 4.5 on. Bedrock has names and prices of their own for its regions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

US_ONLY = Fraction(11, 10)
_EARLIER = re.compile(r"claude-(?:instant|[123]\b|(?:opus|sonnet)-4(?:-1)?(?:[@-]\d{8}|@|\Z))")
_PLACE = re.compile(r"/locations/(?!global/)")


def premium(provider: str, model: str, usage_raw: Mapping[str, Any], endpoint: str) -> Fraction | None:
    """What the prices of tokens are multiplied by for the place of a call; None where it makes no difference."""
    if provider == "anthropic":
        return US_ONLY if usage_raw.get("inference_geo") == "us" else None
    if provider == "vertex" and "claude" in model and not _EARLIER.search(model):
        return US_ONLY if _PLACE.search(endpoint) else None
    return None
