"""`spectra prices check`, `update` and `export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.support import Spectra, rows_of


def test_check_says_what_is_disputed_and_what_one_source_alone_knows(spectra: Spectra) -> None:
    """With the price taken and the other one."""
    rows = rows_of(spectra("prices", "check", "--provider", "bedrock", "--format", "json"))
    assert {row["finding"] for row in rows} == {"disputed", "decided", "one source"}
    assert all(row["other"] and row["source"] for row in rows)
    assert all(row["price"] for row in rows if row["finding"] == "disputed")


def test_a_page_decides_where_the_sources_disagree(spectra: Spectra) -> None:
    """Above 1 %, in any tier, by a page and the day it was read; nothing of these providers is left open."""
    for provider in (
        "openai",
        "anthropic",
        "azure",
        "google",
        "vertex",
        "mistral",
        "groq",
        "deepseek",
        "cohere",
        "xai",
    ):
        rows = rows_of(spectra("prices", "check", "--provider", provider, "--format", "json"))
        assert not [row for row in rows if row["finding"] == "disputed"]
        assert all(row["source"].startswith("https://") for row in rows if row["finding"] == "decided")


def test_check_can_fail_a_build(spectra: Spectra) -> None:
    """With --strict, if anything is disputed."""
    assert spectra("prices", "check", "--provider", "bedrock", "--strict").exit_code == 1
    assert spectra("prices", "check", "--provider", "anthropic").exit_code == 0


def test_update_shows_what_would_change_and_takes_it(spectra: Spectra, tmp_path: Path) -> None:
    """In words; --dry-run takes nothing."""
    row = {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}
    (tmp_path / "table.json").write_text(json.dumps({"groq/brand-new": row}))
    source = ("--from", str(tmp_path / "table.json"))
    shown = spectra("prices", "update", *source, "--dry-run")
    assert "groq/brand-new, input: new, 1\n" in shown.output
    assert shown.output.endswith("2 prices would change; nothing was taken\n")
    taken = spectra("prices", "update", *source)
    assert "2 prices changed; " in taken.output
    assert spectra("prices", "update", *source).output.startswith(f"{source[1]} changes no price")


def test_catalogs_differ_in_words(spectra: Spectra, tmp_path: Path) -> None:
    """What an update changed, from the shipped catalog or from a version that was kept; and what a table would change."""
    tables = []
    for rate in (1e-06, 3e-06):
        row = {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": rate, "output_cost_per_token": 2e-06}
        tables.append(tmp_path / f"{rate}.json")
        tables[-1].write_text(json.dumps({"groq/brand-new": row}))
    assert spectra("prices", "diff").output.startswith("0 prices differ between ")
    spectra("prices", "update", "--from", str(tables[0]))
    changed = spectra("prices", "diff").output
    assert "groq/brand-new, input: new, 1\n" in changed
    version = changed.split()[-1]
    assert "groq/brand-new, input: 1 → 3" in spectra("prices", "diff", version, str(tables[1])).output
    assert spectra("prices", "diff", version).output == f"0 prices differ between {version} and {version}\n"
    assert spectra("prices", "diff", str(tmp_path / "none")).exit_code == 1


def test_a_damaged_update_is_one_line_and_takes_nothing(spectra: Spectra, tmp_path: Path) -> None:
    """The catalog in use stays."""
    (tmp_path / "cut.tsv").write_bytes(b"\x00\x01")
    result = spectra("prices", "update", "--from", str(tmp_path / "cut.tsv"))
    assert result.exit_code == 1
    assert "cut.tsv:1: this is not a price catalog" in result.output


def test_export_writes_a_processor_for_a_collector(spectra: Spectra, tmp_path: Path) -> None:
    """Models it cannot express are named."""
    target = tmp_path / "ottl.yaml"
    result = spectra(
        "prices", "export", "--format", "ottl", "--models", "openai/gpt-4o,openai/gpt-5.4", "-o", str(target)
    )
    assert "left out: openai/gpt-5.4 has prices by length of context" in result.output
    assert "transform/spectra_cost" in yaml.safe_load(target.read_text())["processors"]


def test_export_says_where_it_cannot_write(spectra: Spectra, tmp_path: Path) -> None:
    """In one line."""
    result = spectra("prices", "export", "--models", "openai/gpt-4o", "-o", str(tmp_path / "none" / "prices.json"))
    assert (result.exit_code, result.output) == (1, f"Error: {tmp_path}/none/prices.json: No such file or directory\n")


def test_export_refuses_a_model_without_a_price(spectra: Spectra) -> None:
    """With names that are near."""
    result = spectra("prices", "export", "--models", "openai/gpt-4ox")
    assert result.exit_code == 2
    assert "near: openai/gpt-4o" in result.output


def test_show_explains_a_name_for_every_provider_that_knows_it(spectra: Spectra) -> None:
    """The rule, the entry and the source; for a near miss the names that are near."""
    rows = rows_of(spectra("prices", "show", "--explain", "gpt-4o-2024-08-06", "--format", "json"))
    assert {"openai", "azure"} <= {row["provider"] for row in rows}
    assert all(row["matched_by"] and row["source"] for row in rows)
    miss = spectra("prices", "show", "--explain", "gpt-4ox")
    assert miss.exit_code == 1
    assert 'no provider has a price for "gpt-4ox"; near: ' in miss.output
    assert "gpt-4o" in miss.output.partition("near: ")[2]


def test_show_needs_a_name(spectra: Spectra) -> None:
    """One way or the other."""
    assert "name PROVIDER and MODEL, or --explain MODEL" in spectra("prices", "show", "openai").output


def test_doctor_says_that_a_taken_catalog_is_damaged(
    spectra: Spectra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped one is in use until it is replaced."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "catalog.tsv").write_bytes(b"cut")
    assert "is damaged; the shipped catalog is in use" in spectra("doctor", "--format", "json").output
