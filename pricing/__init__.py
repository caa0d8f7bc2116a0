"""The price catalog and exact arithmetic; knows nothing of spans.

::

    from spectra_otel.pricing import calculate
    calculate("openai", "gpt-4o", {"prompt_tokens": 1000, "completion_tokens": 500}).total_cost_in_cents   # Decimal('0.75…')
"""

from spectra_otel.pricing.bounds import Bounds, Ceilings, estimate_request
from spectra_otel.pricing.calculate import Explanation, Pricer, Terms, calculate, estimate, in_use, pricer, use
from spectra_otel.pricing.catalog import Catalog, Entry, Offer, current_catalog, load_catalog, shipped_catalog
from spectra_otel.pricing.cost import Cost
from spectra_otel.pricing.errors import PriceFileError
from spectra_otel.pricing.fx import FxRate, FxTable, is_currency, read_fx, shipped_fx
from spectra_otel.pricing.match import Match, Matcher
from spectra_otel.pricing.overrides import Overrides, load_overrides
from spectra_otel.pricing.plan import USAGE_FIELDS

__all__ = [
    "USAGE_FIELDS",
    "Bounds",
    "Catalog",
    "Ceilings",
    "Cost",
    "Entry",
    "Explanation",
    "FxRate",
    "FxTable",
    "Match",
    "Matcher",
    "Offer",
    "Overrides",
    "PriceFileError",
    "Pricer",
    "Terms",
    "calculate",
    "current_catalog",
    "estimate",
    "estimate_request",
    "in_use",
    "is_currency",
    "load_catalog",
    "load_overrides",
    "pricer",
    "read_fx",
    "shipped_catalog",
    "shipped_fx",
    "use",
]
