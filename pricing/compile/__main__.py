"""``python -m spectra_otel.pricing.compile --litellm TABLE``: write the catalog, and say what the sources disagree about."""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from pathlib import Path

from spectra_otel.pricing.compile import genai, litellm
from spectra_otel.pricing.compile.assemble import assemble
from spectra_otel.pricing.compile.merge import Disagreement, merge
from spectra_otel.pricing.pricefile import read_price_file

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "sources"
TARGET = ROOT / "data" / "catalog.tsv"
DATE = "2026-11-21"
"""The day the sources were taken; changed together with their pinned versions in the Makefile."""


def sources_digest() -> str:
    """SHA-256 over the hand-kept files, so that a change without a rebuild is seen."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.yaml")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(table: Path) -> tuple[bytes, list[Disagreement]]:
    """The catalog file, and where the catalogs it was made from disagree."""
    first, first_source = genai.read()
    second, second_source = litellm.read(table)
    hand = [read_price_file(path) for path in sorted(SOURCES.glob("*.yaml"))]
    lines, disagreements = merge(first, second, hand, DATE)
    sources = [first_source, second_source, {"name": "pricing/sources", "sha256": sources_digest()}]
    return assemble(lines, DATE, sources), disagreements


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", type=Path, required=True, help="model_prices_and_context_window_backup.json")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the catalog is not what the sources give"
    )
    arguments = parser.parse_args()
    data, disagreements = build(arguments.litellm)
    if arguments.check:
        raise SystemExit(TARGET.read_bytes() != data)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(data)
    print(f"{TARGET.name}: {len(data.splitlines()) - 1} entries, {len(data):,} bytes")
    counts = Counter(item.provider for item in disagreements)
    print(f"disagreements above 1 %: {len(disagreements)} ({', '.join(f'{p} {n}' for p, n in counts.most_common(12))})")


if __name__ == "__main__":
    main()
