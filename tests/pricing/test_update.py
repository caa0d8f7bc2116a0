"""A newer catalog is taken whole or not at all, and what changes is said in words."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from spectra_otel.pricing import Catalog, PriceFileError, Pricer, current_catalog, shipped_catalog
from spectra_otel.pricing.changes import changes
from spectra_otel.pricing.compile.assemble import assemble
from spectra_otel.pricing.update import checked, read_update, take

ON = date(2026, 12, 1)
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def catalog(*, on: str = "2026-11-21", **rates: str) -> Catalog:
    """A catalog of one model, read from LiteLLM alone."""
    offer = {"rates": rates or {"input": "1", "output": "2"}, "from": "litellm"}
    lines = {("groq", "one"): {"type": "text", "offers": [offer]}}
    return Catalog(assemble(lines, on, [{"name": "litellm"}]))


def table(tmp_path: Path, **rows: dict[str, object]) -> str:
    path = tmp_path / "table.json"
    path.write_text(
        json.dumps({f"groq/{name}": {"litellm_provider": "groq", "mode": "chat", **row} for name, row in rows.items()})
    )
    return str(path)


def test_a_changed_price_is_a_new_entry_from_today_on(tmp_path: Path) -> None:
    """Calls of the past keep theirs."""
    current = catalog()
    newer = read_update(
        table(tmp_path, one={"input_cost_per_token": 5e-07, "output_cost_per_token": 2e-06}), current, ON
    )
    assert [str(change) for change in changes(current, newer, NOW)] == [
        "groq/one, input: 1 → 0.5 since 2026-12-01 (-50.0 %)"
    ]
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    prices = Pricer(newer)
    assert prices.calculate("groq", "one", usage, at=date(2026, 11, 30)).total_cost_in_cents == 100
    assert prices.calculate("groq", "one", usage, at=ON).total_cost_in_cents == 50


def test_a_price_that_is_to_come_stays(tmp_path: Path) -> None:
    """What changes today holds until then."""
    offers = [{"rates": {"input": rate, "output": "2"}, "from": "litellm"} for rate in ("1", "3")]
    offers[1]["since"] = "2027-01-01"
    current = Catalog(assemble({("groq", "one"): {"type": "text", "offers": offers}}, "2026-11-21", []))
    row: dict[str, object] = {"input_cost_per_token": 5e-07, "output_cost_per_token": 2e-06}
    prices = Pricer(read_update(table(tmp_path, one=row), current, ON))
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    days = (date(2026, 11, 30), ON, date(2027, 1, 1))
    assert [prices.calculate("groq", "one", usage, at=day).total_cost_in_cents for day in days] == [100, 50, 300]


def test_a_price_below_zero_is_refused(tmp_path: Path) -> None:
    """With one line, as any other that is no price."""
    with pytest.raises(PriceFileError, match=r"^litellm: input: '-1' is not a price"):
        read_update(
            table(tmp_path, one={"input_cost_per_token": -1e-06, "output_cost_per_token": 1e-06}), catalog(), ON
        )


def test_a_new_model_is_added_and_none_is_lost(tmp_path: Path) -> None:
    """What the source does not list stays as it is."""
    current = catalog()
    newer = read_update(
        table(tmp_path, two={"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06}), current, ON
    )
    assert [str(change) for change in changes(current, newer, NOW)] == [
        "groq/two, input: new, 1",
        "groq/two, output: new, 1",
    ]


def test_prices_decided_by_hand_stay(tmp_path: Path) -> None:
    """A cited page outranks a table."""
    offer = {"rates": {"input": "1", "output": "2"}, "from": "https://groq.com/pricing (2026-11-20)"}
    current = Catalog(assemble({("groq", "one"): {"type": "text", "offers": [offer]}}, "2026-11-21", []))
    newer = read_update(
        table(tmp_path, one={"input_cost_per_token": 5e-07, "output_cost_per_token": 2e-06}), current, ON
    )
    assert not list(changes(current, newer, NOW))


def test_what_is_installed_changes_nothing_in_what_was_made_from_it() -> None:
    """The shipped catalog says what genai-prices says, where nobody decided otherwise."""
    newer = read_update("genai-prices", shipped_catalog(), shipped_catalog().date)
    assert not [change for change in changes(shipped_catalog(), newer, NOW) if change.old is not None]


def test_a_catalog_of_ours_is_taken_as_it_is(tmp_path: Path) -> None:
    """Atomically, and the one before it stays readable under its version."""
    path, target = tmp_path / "new.tsv", tmp_path / "prices" / "catalog.tsv"
    old, new = catalog(on="2027-01-01"), catalog(on="2027-01-02", input="3", output="4")
    take(old, target)
    path.write_bytes(new.data)
    take(read_update(str(path), old, ON), target)
    assert target.read_bytes() == new.data
    assert (target.parent / "history" / f"{old.version}.tsv").read_bytes() == old.data
    assert sorted(file.name for file in target.parent.iterdir()) == ["catalog.tsv", "history"]


def test_the_catalog_taken_is_the_one_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is newer than the shipped one and whole; else the shipped one is."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    assert current_catalog().version == shipped_catalog().version
    take(catalog(on="2027-01-01"))
    assert current_catalog().version.startswith("2027-01-01.")
    (tmp_path / "prices" / "catalog.tsv").write_bytes(catalog(on="2027-01-01").data[:-9])
    assert current_catalog().version == shipped_catalog().version


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "bad:1: this is not a price catalog"),
        (b"hello\n", "bad:1: this is not a price catalog"),
        (catalog().data[:-5], "bad: has "),
        (catalog().data.replace(b'"input":"1"', b'"input":"9"'), "bad: its prices do not have the digest"),
        (b'{"a": {}}', "bad: has no prices in it"),
        (b'{"a": 1}', "bad: is neither a catalog of ours nor LiteLLM's table of prices"),
        (b'{"groq/x": [}', "bad: is neither a catalog of ours nor LiteLLM's table"),
    ],
)
def test_a_bad_or_truncated_file_is_refused_whole(tmp_path: Path, data: bytes, message: str) -> None:
    """One clear line; the catalog in use is not touched."""
    path = tmp_path / "bad"
    path.write_bytes(data)
    with pytest.raises(PriceFileError) as error:
        read_update(str(path), shipped_catalog(), ON)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert "object" not in str(error.value)


def test_every_line_is_read_before_a_catalog_is_taken() -> None:
    """A rate that is none is found, though its digest is right."""
    good = catalog().data
    body = good.partition(b"\n")[2].replace(b'"input":"1"', b'"input":"x"')
    import hashlib

    header = json.loads(good.partition(b"\n")[0]) | {"sha256": hashlib.sha256(body).hexdigest()}
    with pytest.raises(PriceFileError, match="bad: groq, entry 1: input: 'x' is not a price"):
        checked(json.dumps(header).encode() + b"\n" + body, "bad")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.tsv", "nowhere.tsv: cannot read the prices: No such file"),
        ("litellm", "litellm: is not installed here"),
    ],
)
def test_a_source_that_is_not_there_is_one_clear_line(source: str, message: str) -> None:
    """Nothing is asked for over the network."""
    with pytest.raises(PriceFileError, match=message):
        read_update(source, shipped_catalog(), ON)
