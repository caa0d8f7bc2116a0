"""How two catalogs and our own files become one: who wins, what is filled in, what is disputed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.pricing.compile import litellm
from spectra_otel.pricing.compile.assemble import assemble
from spectra_otel.pricing.compile.draft import Draft, Drafts
from spectra_otel.pricing.compile.merge import Disagreement, merge
from spectra_otel.pricing.pricefile import read_price_file
from spectra_otel.pricing.written import PriceFile, WrittenOffer

TODAY = "2026-11-21"


def drafts(source: str, *offers: WrittenOffer, provider: str = "p") -> Drafts:
    return {(provider, "m"): Draft(provider, "m", "text", list(offers), source=source)}


def merged(first: Drafts, second: Drafts, *files: PriceFile) -> tuple[list[dict[str, Any]], list[Disagreement]]:
    lines, disagreements = merge(first, second, files, TODAY)
    (value,) = lines.values()
    return value["offers"], disagreements


def price_file(tmp_path: Path, text: str) -> PriceFile:
    path = tmp_path / "p.yaml"
    path.write_text("provider: p\npage: https://example.org/prices\nread: 2026-11-20\n" + text, encoding="utf-8")
    return read_price_file(path)


def test_the_second_fills_what_the_first_does_not_list() -> None:
    """Its meter joins the offer in force, with its origin."""
    offers, _ = merged(
        drafts("a", WrittenOffer({"input": "1"}), WrittenOffer({"input": "2"}, since="2026-01-01")),
        drafts("b", WrittenOffer({"input": "2", "image": "0.04"})),
    )
    assert offers == [
        {"from": "a", "rates": {"input": "1"}},
        {"from": "a", "since": "2026-01-01", "rates": {"input": "2", "image": "0.04"}, "origins": {"image": "b"}},
    ]


def test_more_than_one_percent_apart_is_disputed() -> None:
    """The first counts, the other is noted; below one percent nobody disputes."""
    offers, differ = merged(drafts("a", WrittenOffer({"input": "1"})), drafts("b", WrittenOffer({"input": "1.02"})))
    assert offers == [{"from": "a", "rates": {"input": "1"}, "disputed": {"input": "b 1.02"}}]
    assert differ == [Disagreement("p", "m", "input", "1", "1.02")]
    assert not merged(drafts("a", WrittenOffer({"input": "1"})), drafts("b", WrittenOffer({"input": "1.005"})))[1]


def test_prices_of_other_tiers_are_compared_too() -> None:
    """For short prompts and for long ones."""
    first = drafts("a", WrittenOffer({"input": "2"}), WrittenOffer({"input": "1 above 200K: 2"}, tier="batch"))
    second = drafts("b", WrittenOffer({"input": "2"}), WrittenOffer({"input": "1"}, tier="batch"))
    offers, differ = merged(first, second)
    assert [offer.get("disputed") for offer in offers] == [None, {"input": "b 1"}]
    assert differ == [Disagreement("p", "m", "input", "1 above 200K: 2", "1")]


def test_a_price_of_the_future_is_not_compared_with_today() -> None:
    """A promotion that ends next year agrees with a table of today."""
    first = drafts("a", WrittenOffer({"input": "1"}), WrittenOffer({"input": "2"}, since="2027-01-01"))
    assert not merged(first, drafts("b", WrittenOffer({"input": "1"})))[1]


def test_a_file_of_ours_decides_a_dispute(tmp_path: Path) -> None:
    """Our price with its page stands, and nobody disputes it any more."""
    file = price_file(tmp_path, "prices: [{model: m, rates: {input: 3}}]\n")
    offers, differ = merged(drafts("a", WrittenOffer({"input": "1"})), drafts("b", WrittenOffer({"input": "2"})), file)
    assert offers[0]["rates"] == {"input": "3"}
    assert offers[0]["origins"] == {"input": "https://example.org/prices (2026-11-20)"}
    assert "disputed" not in offers[0]
    assert offers[0]["decided"] == {"input": "b 2"}
    assert not differ


def test_a_dated_price_of_ours_leaves_the_old_one(tmp_path: Path) -> None:
    """A change is a new entry behind the old one, never in its place."""
    file = price_file(tmp_path, "prices: [{model: m, since: 2026-05-01, rates: {input: 3}}]\n")
    offers, _ = merged(drafts("a", WrittenOffer({"input": "1"})), {}, file)
    assert [(o.get("since"), o["rates"]["input"]) for o in offers] == [(None, "1"), ("2026-05-01", "3")]


def test_offers_of_ours_stand_in_the_order_of_their_days(tmp_path: Path) -> None:
    """Between those of the other sources, whatever their order: the last one that holds counts."""
    future, batch = WrittenOffer({"input": "3"}, since="2027-01-01"), WrittenOffer({"input": "0.5"}, "batch")
    text = "prices:\n- {model: m, since: 2026-08-13, rates: {input: 2}}\n"
    file = price_file(tmp_path, text + "- {model: m, tier: batch, since: 2026-08-13, rates: {input: 1}}\n")
    offers, _ = merged(drafts("a", WrittenOffer({"input": "1"}), future, batch), {}, file)
    found = [(o.get("tier", "-"), o.get("since"), o["rates"]["input"]) for o in offers]
    assert found[:2] == [("-", None, "1"), ("batch", None, "0.5")]
    assert found[2:] == [("-", "2026-08-13", "2"), ("batch", "2026-08-13", "1"), ("-", "2027-01-01", "3")]


def test_an_entry_out_of_order_is_refused() -> None:
    """A later price before an earlier one would never end."""
    offers = [{"rates": {"input": "1"}, "since": day} for day in ("2026-02-01", "2026-01-01")]
    with pytest.raises(ValueError, match="stands behind a later one"):
        assemble({("x", "m"): {"type": "text", "offers": offers}}, "2026-11-21", [])


def test_a_tier_both_agree_on_held_before_the_day_it_was_checked() -> None:
    """The first dates its tiers by the day it looked; the second has the same price undated."""
    first = drafts("a", WrittenOffer({"input": "1"}), WrittenOffer({"input": "0.5"}, tier="batch", since="2026-10-14"))
    second = drafts("b", WrittenOffer({"input": "1"}), WrittenOffer({"input": "0.5"}, tier="batch"))
    offers, _ = merged(first, second)
    assert [o for o in offers if o.get("tier") == "batch"] == [
        {"from": "a", "tier": "batch", "rates": {"input": "0.5"}}
    ]


def test_todays_tier_is_not_that_of_before_a_price_change() -> None:
    """The second knows today alone: its tier holds from the last change of the standard price on."""
    first = drafts("a", WrittenOffer({"input": "4"}), WrittenOffer({"input": "2"}, since="2026-09-01"))
    second = drafts("b", WrittenOffer({"input": "2"}), WrittenOffer({"input": "1"}, tier="batch"))
    offers, _ = merged(first, second)
    assert [o.get("since") for o in offers if o.get("tier") == "batch"] == ["2026-09-01"]


def test_bedrock_is_taken_from_the_second_first() -> None:
    """Its plain model ids are without the regional premium there."""
    first, second = (drafts(s, WrittenOffer({"input": u}), provider="bedrock") for s, u in (("a", "3.3"), ("b", "3")))
    assert merged(first, second)[0][0]["rates"] == {"input": "3"}


def test_bedrock_prices_that_changed_are_taken_from_the_first() -> None:
    """The second knows today's price alone and would price the past by it."""
    changed = [WrittenOffer({"input": "5"}), WrittenOffer({"input": "4"}, since="2026-08-21")]
    first = drafts("a", *changed, provider="bedrock")
    offers, _ = merged(first, drafts("b", WrittenOffer({"input": "4"}), provider="bedrock"))
    assert [(o.get("since"), o["rates"]["input"]) for o in offers] == [(None, "5"), ("2026-08-21", "4")]


def test_extras_alone_are_no_price(tmp_path: Path) -> None:
    """A cache price for a name that no source knows is a slip of the name."""
    with pytest.raises(ValueError, match=r"p\.yaml: p/m-1 has no price but for caches and tools; is the name right\?"):
        merge({}, {}, [price_file(tmp_path, "prices: [{model: m-1, rates: {cache_read: 1}}]\n")], TODAY)


def test_an_alias_for_nothing_is_refused(tmp_path: Path) -> None:
    """A file of ours that names a model without a price stops the build."""
    with pytest.raises(ValueError, match=r"p\.yaml: alias new is for p/gone, which has no price"):
        merge({}, {}, [price_file(tmp_path, "aliases: {new: gone}\n")], TODAY)


def test_float_artefacts_and_cut_prices_are_made_good(tmp_path: Path) -> None:
    """`1.9999999999999998e-06` is 2 for a million; seconds and pixels are multiplied back; zeros mean not known."""
    table = tmp_path / "litellm" / "table.json"
    table.parent.mkdir()
    table.write_text(
        """{
        "a": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1.9999999999999998e-06,
              "output_cost_per_token": 4e-06, "cache_creation_input_token_cost": 0.0, "output_cost_per_reasoning_token": 4e-06,
              "input_cost_per_token_above_200k_tokens": 3e-06, "input_cost_per_token_batches": 1e-06},
        "b": {"litellm_provider": "openai", "mode": "audio_transcription", "input_cost_per_second": 6.11e-05},
        "512-x-512/50-steps/s": {"litellm_provider": "bedrock", "mode": "image_generation", "output_cost_per_image": 0.018},
        "512-x-512/max-steps/s": {"litellm_provider": "bedrock", "mode": "image_generation", "output_cost_per_image": 0.036},
        "256-x-256/c": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_pixel": 2.4414e-07},
        "d": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
        "e": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-06,
              "input_cost_per_token_above_128k_tokens": 0.0}
        }""",
        encoding="utf-8",
    )
    read, source = litellm.read(table)
    rates = {name: {o.tier: o.rates for o in draft.offers} for (_, name), draft in read.items()}
    assert rates == {
        "a": {"standard": {"input": "2 above 200000: 3", "output": "4"}, "batch": {"input": "1"}},
        "b": {"standard": {"audio_second": "0.22/3600"}},
        "c": {"standard": {"image 256x256 standard": "0.016"}},
        "s": {"standard": {"image 512x512 standard": "0.018", "image 512x512 premium": "0.036"}},
        "e": {"standard": {"input": "1"}},
    }
    assert source["version"] == "unknown"


def test_of_two_rows_for_one_model_the_plain_route_counts(tmp_path: Path) -> None:
    """The other row gives the tiers that the plain one does not list, and none of its own prices."""
    chat = {"mode": "chat"}
    prices = {"input_cost_per_token": 2e-06, "input_cost_per_token_priority": 4e-06}
    plain = {"input_cost_per_token": 1e-06, "input_cost_per_token_batches": 5e-07}
    rows = {"azure_ai": chat | prices, "azure": chat | plain}
    table = {f"{route}/m": row | {"litellm_provider": route} for route, row in rows.items()}
    (tmp_path / "table.json").write_text(json.dumps(table))
    drafts, _ = litellm.read(tmp_path / "table.json")
    offers = {offer.tier: offer.rates for offer in drafts["azure", "m"].offers}
    assert offers == {"standard": {"input": "1"}, "batch": {"input": "0.5"}, "priority": {"input": "4"}}
