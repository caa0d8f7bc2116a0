"""The shipped catalog is what its sources give, is whole, and is light."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from spectra_otel.pricing import Catalog, PriceFileError, load_catalog, shipped_catalog
from spectra_otel.pricing.compile.__main__ import TARGET, build, sources_digest
from spectra_otel.pricing.plan import USAGE_FIELDS
from spectra_otel.pricing.units import parse_rate, part_of

ROOT = Path(__file__).resolve().parents[2]
TABLE = "litellm/model_prices_and_context_window_backup.json"


def litellm_table() -> Path | None:
    places = [ROOT / ".venvs/prices" / TABLE, *ROOT.glob(f".venvs/litellm/lib/python*/site-packages/{TABLE}")]
    return next((place for place in places if place.exists()), None)


def test_the_catalog_is_of_the_hand_kept_files_as_they_are() -> None:
    """A file of `pricing/sources` that was changed without `make prices` is found out."""
    ours = next(source for source in shipped_catalog().sources if source["name"] == "pricing/sources")
    assert ours["sha256"] == sources_digest(), "run `make prices`"


@pytest.mark.skipif(litellm_table() is None, reason="the sources are not here; `make prices` gets them")
@pytest.mark.skipif(importlib.util.find_spec("genai_prices") is None, reason="genai-prices is not installed")
def test_the_catalog_is_what_the_sources_give() -> None:
    """Compiled again from the pinned sources it is the same file, byte by byte."""
    table = litellm_table()
    assert table is not None
    pinned = {source["name"]: source.get("version") for source in shipped_catalog().sources}
    data, _ = build(table)
    fresh = {source["name"]: source.get("version") for source in Catalog(data).sources}
    if fresh != pinned:
        pytest.skip(f"other versions are installed here: {fresh}")
    assert data == TARGET.read_bytes(), "run `make prices`"


def test_the_digest_is_of_its_prices() -> None:
    """What the version in a record names can be checked."""
    catalog = shipped_catalog()
    assert catalog.verify()
    assert catalog.version == f"{catalog.date}.{catalog.digest[:12]}"


def test_every_entry_can_be_read() -> None:
    """Each of several thousand entries has a type, offers whose rates parse, and names that find it."""
    count = 0
    for entry in shipped_catalog().entries():
        count += 1
        assert entry.offers, entry
        for offer in entry.offers:
            assert offer.source
            for meter, rate in offer.rates.items():
                part_of(meter)
                parse_rate(meter.partition(" ")[0], rate)
        for name in (entry.model, *entry.names):
            assert shipped_catalog().find(entry.provider, name.lower()) == entry
    assert count > 5000


def test_every_provider_of_the_vocabulary_is_there() -> None:
    """All providers that records name, but those without list prices of their own or in another currency."""
    wanted = {
        "openai", "anthropic", "google", "groq", "xai", "openrouter", "replicate", "cohere", "mistral", "elevenlabs", "fal",
        "azure", "bedrock", "vertex", "deepseek", "huggingface", "together", "fireworks", "perplexity", "voyage",
        "deepgram", "zai", "cerebras", "vercel-gateway",
    }  # fmt: skip
    assert not wanted - set(shipped_catalog().providers)


def test_a_truncated_or_foreign_file_is_refused_whole(tmp_path: Path) -> None:
    """One line with the file's name; nothing half-loaded."""
    whole = TARGET.read_bytes()
    for name, data in (
        ("cut.tsv", whole[:-100]),
        ("empty.tsv", b""),
        ("other.tsv", b'{"a": 1}\n'),
        ("bin.tsv", b"\xff\xfe"),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(PriceFileError, match=f"^{name}:") as caught:
            load_catalog(path)
        assert "\n" not in str(caught.value)


def test_a_changed_price_does_not_match_the_digest() -> None:
    """A digit that was edited by hand is found by `verify`."""
    assert not Catalog(TARGET.read_bytes().replace(b'"input":"2.5"', b'"input":"2.4"', 1)).verify()


def test_pricing_imports_no_third_party_package() -> None:
    """In a fresh interpreter a price needs the standard library alone, and none of the rest of Spectra."""
    code = """if True:
        import sys, json
        before = set(sys.modules)
        from spectra_otel.pricing import estimate
        assert estimate("openai", "gpt-4o", prompt_tokens=1000).total_cost_in_cents
        from sys import stdlib_module_names as known
        print(json.dumps(sorted(m for m in set(sys.modules) - before if m.partition(".")[0] not in known)))
    """
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    loaded = [m for m in json.loads(out) if m != "spectra_otel" and not m.startswith("spectra_otel.pricing")]
    assert not loaded, loaded


def test_the_usage_fields_are_those_of_the_record() -> None:
    """Pricing knows nothing of the record, so a test holds the two lists of names together."""
    from spectra_otel.model.fields import FIELDS

    usage = {name for name, field in FIELDS.items() if field.group == "Usage"} - {"usage_raw"}
    assert set(USAGE_FIELDS) == usage
