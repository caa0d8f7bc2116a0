"""The user's own prices: YAML over the catalog, and one clear line for what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from spectra_otel.pricing import PriceFileError, Pricer, estimate_request, load_overrides, pricer
from spectra_otel.pricing.calculate import _default

USAGE = {"prompt_tokens": 1_000_000, "completion_tokens": 0}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def with_file(tmp_path: Path, text: str) -> Pricer:
    return pricer([write(tmp_path / "contract.yaml", text)])


def test_a_model_of_ones_own_has_a_price(tmp_path: Path) -> None:
    """A new model of a local server, by name."""
    own = with_file(
        tmp_path, "provider: openai_compatible\nprices:\n  - {model: Llama-Mine, rates: {input: 0.10, output: 0.2}}\n"
    )
    cost = own.calculate("openai_compatible", "llama-mine", USAGE)
    assert (cost.total_cost_in_cents, cost.cost_source, cost.cost_status) == (10, "override", "priced")
    assert own.calculate("openai_compatible", "another", USAGE).cost_status == "unpriced"


def test_a_contract_price_holds_from_its_day_on(tmp_path: Path) -> None:
    """Before its start the list price counts; the catalog's other tiers stay."""
    own = with_file(
        tmp_path, "provider: openai\nprices:\n  - {model: gpt-4o, since: 2026-06-01, rates: {input: 2, output: 8}}\n"
    )  # fmt: skip
    before, after = (own.calculate("openai", "gpt-4o", USAGE, at=datetime(2026, m, 1, tzinfo=UTC)) for m in (5, 6))
    assert (before.total_cost_in_cents, before.cost_source) == (250, "catalog")
    assert (after.total_cost_in_cents, after.cost_source) == (200, "override")
    assert after.price_id == "openai/gpt-4o@2026-06-01"


def test_an_alias_names_a_deployment(tmp_path: Path) -> None:
    """An Azure deployment and a Bedrock inference profile mean a model."""
    arn = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1b2"
    own = with_file(tmp_path, "provider: azure\naliases: {Prod-Chat: gpt-4o}\n")
    assert own.calculate("azure", "prod-chat", USAGE).total_cost_in_cents == 250
    match = own.matcher.match("azure", "prod-chat")
    assert match is not None
    assert match.rule == "your alias for gpt-4o; exact name"
    profile = with_file(tmp_path, f'provider: bedrock\naliases: {{"{arn}": "amazon.nova-pro-v1:0"}}\n')
    assert profile.calculate("bedrock", arn, USAGE).total_cost_in_cents == 80


def test_a_deployment_may_mean_another_model_from_a_day_on_and_in_another_account(tmp_path: Path) -> None:
    """Before the first day the name means nothing; what is said of one account goes before what is said of all."""
    own = with_file(
        tmp_path,
        "provider: azure\naliases:\n  - {alias: chat, model: gpt-4o, since: 2026-01-01}\n"
        "  - {alias: chat, model: gpt-4o-mini, since: 2026-06-01}\n  - {alias: chat, model: gpt-4.1, account: eu}\n",
    )

    def cents(month: int, account: str | None = None) -> Decimal | None:
        at = datetime(2026, month, 1, tzinfo=UTC)
        return own.calculate("azure", "chat", USAGE, at=at, account=account).total_cost_in_cents

    assert [cents(month) for month in (6, 5, 1)] == [15, 250, 250]
    assert own.calculate("azure", "chat", USAGE, at=datetime(2025, 12, 31, tzinfo=UTC)).cost_status == "unpriced"
    assert [cents(6, "us"), cents(6, "eu"), cents(1, "eu")] == [15, 200, 200]


def test_a_price_may_be_for_one_account(tmp_path: Path) -> None:
    """It goes over the price for all accounts, whatever their days; another account does not know a model that is not its own."""
    own = with_file(
        tmp_path,
        "provider: azure\nprices:\n  - {model: gpt-4o, account: eu, rates: {input: 3, output: 12}}\n"
        "  - {model: gpt-4o, since: 2026-01-01, rates: {input: 2, output: 8}}\n"
        "  - {model: mine, account: eu, rates: {input: 1, output: 1}}\n",
    )
    found = {a: own.calculate("azure", "gpt-4o", USAGE, account=a).total_cost_in_cents for a in (None, "us", "eu")}
    assert found == {None: 200, "us": 200, "eu": 300}
    mine = {a: own.calculate("azure", "mine", USAGE, account=a).cost_status for a in (None, "us", "eu")}
    assert mine == {None: "unpriced", "us": "unpriced", "eu": "priced"}
    bounds = [
        estimate_request("azure", {"model": "mine", "max_tokens": 5, "messages": []}, account=a, with_pricer=own)
        for a in ("us", "eu")
    ]
    assert [one.is_bounded for one in bounds] == [False, True]


def test_prices_of_some_hours_interrupt_the_others_wherever_they_stand(tmp_path: Path) -> None:
    """In one file the order does not matter; a price of a later file holds at all hours, as it says."""
    peak = "  - {model: m, hours: 01:00-04:00, rates: {input: 10, output: 10}}\n"
    always = "  - {model: m, rates: {input: 1, output: 1}}\n"

    def cents(*texts: str) -> Decimal | None:
        files = [write(tmp_path / f"{i}.yaml", f"provider: p\nprices:\n{text}") for i, text in enumerate(texts)]
        at = datetime(2026, 1, 1, 2, tzinfo=UTC)
        return pricer(files).calculate("p", "m", USAGE, at=at).total_cost_in_cents

    assert cents(peak + always) == cents(always + peak) == 1000
    assert cents(peak + always, always) == 100


def test_a_price_for_all_models_of_a_provider(tmp_path: Path) -> None:
    """Tools are priced once for a provider."""
    own = with_file(tmp_path, "provider: openai\nall_models: {tool.web_search: 7/1K}\n")
    cost = own.calculate(
        "openai", "o1-pro", {"prompt_tokens": 0, "completion_tokens": 0, "tool_call_counts": {"web_search": 2}}
    )
    assert cost.tool_cost_in_cents == Decimal("1.4")


def test_a_later_file_goes_over_an_earlier_one(tmp_path: Path) -> None:
    """Files are laid over each other in the order given."""
    one = write(tmp_path / "1.yaml", "provider: openai\nprices: [{model: gpt-4o, rates: {input: 1, output: 1}}]\n")
    two = write(tmp_path / "2.yaml", "provider: openai\nprices: [{model: gpt-4o, rates: {input: 3, output: 1}}]\n")
    assert pricer([one, two]).calculate("openai", "gpt-4o", USAGE).total_cost_in_cents == 300


def test_spectra_prices_names_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default pricer takes the files of the environment."""
    path = write(tmp_path / "p.yaml", "provider: openai\nprices: [{model: mine, rates: {input: 5, output: 1}}]\n")
    monkeypatch.setenv("SPECTRA_PRICES", str(path))
    _default.cache_clear()
    try:
        assert pricer().calculate("openai", "mine", USAGE).total_cost_in_cents == 500
    finally:
        _default.cache_clear()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "p.yaml:1: a price file is a mapping with `prices`, `all_models` or `aliases`"),
        ("a: [\n", "p.yaml:2: not YAML"),
        (
            "pricez: []\n",
            "p.yaml:1: unknown key 'pricez' (valid: provider, page, read, verified, prices, all_models, aliases, note, ",
        ),
        ("prices:\n  - {model: m, rates: {input: 1}}\n", "p.yaml:2: no `provider`"),
        ("provider: p\nprices:\n  - {rates: {input: 1}}\n", "p.yaml:3: a price needs `model: NAME`"),
        ("provider: p\nprices:\n  - {model: m}\n", "p.yaml:3: `rates` is a mapping"),
        ("provider: p\nprices:\n  - {model: m, rates: {input: cheap}}\n", "p.yaml:3: input: 'cheap' is not a price"),
        ("provider: p\nprices:\n  - {model: m, rates: {input: -1}}\n", "p.yaml:3: input: '-1' is not a price"),
        (
            "provider: p\nprices:\n  - model: m\n    rates:\n      inputs: 1\n",
            "p.yaml:5: 'inputs' is not a meter; valid: input,",
        ),
        ("provider: p\nprices:\n  - {model: m, type: txt, rates: {input: 1}}\n", "p.yaml:3: type: 'txt' (valid: text,"),
        (
            "provider: p\nprices:\n  - {model: m, since: soon, rates: {input: 1}}\n",
            "p.yaml:3: since: 'soon' is not a day",
        ),
        (
            "provider: p\nprices:\n  - {model: m, hours: 9-5, rates: {input: 1}}\n",
            "p.yaml:3: hours: '9-5' (write UTC hours",
        ),
        (
            "provider: p\nprices:\n  - {model: m, rates: {input: 1}}\n  - {model: M, rates: {input: 2}}\n",
            "p.yaml:4: p/M standard stands here twice; it was at line 3",
        ),
        ("provider: p\nprovider: q\n", "p.yaml:2: 'provider' stands here twice; it was at line 1"),
        (
            "provider: p\nprices:\n  - {model: m, since: 2026-01-01, rates: {input: 1}}\n"
            "  - {models: [n, m], since: '2026-01-01T00:00', rates: {input: 2}}\n",
            "p.yaml:4: p/m standard since 2026-01-01 stands here twice; it was at line 3",
        ),
        (
            "provider: p\nprices:\n  - {model: m, hours: 08:00-12:00, rates: {input: 1}}\n"
            "  - {model: m, hours: 22:00-09:00, days: '15', rates: {input: 2}}\n",
            "p.yaml:4: p/m standard: its hours overlap with those of line 3",
        ),
        ("provider: p\n? [a]\n: b\n", "p.yaml:2: a key is a word, not a list"),
        ("provider: p\nprices: &a [*a]\n", "p.yaml:1: its anchors go in a circle"),
        ("provider: p\nprices:\n  - {model: m, tier: [a], rates: {input: 1}}\n", "p.yaml:3: `tier` is the name of one"),
        (
            "provider: p\nprices:\n  - {model: m, hours: [a], rates: {input: 1}}\n",
            "p.yaml:3: hours: ['a'] (write UTC hours",
        ),
        (
            "provider: p\nprices:\n  - {model: m, hours: 08:00-24:30, rates: {input: 1}}\n",
            "p.yaml:3: hours: '08:00-24:30'",
        ),
        (
            "provider: p\nmultipliers:\n  - {factor: 1}\n  - {factor: 2}\n",
            "p.yaml:4: a multiplier of p/* stands here twice",
        ),
        ("provider: p\naliases: {a: b, b: c, c: a}\n", "p.yaml:2: aliases of p go in a circle: a → b → c → a"),
        ("provider: p\naliases: [a]\n", "p.yaml:2: `aliases` is a mapping"),
        (
            "provider: p\naliases:\n  - {alias: a, since: 2026-01-01}\n",
            "p.yaml:3: an alias needs `alias: NAME` and `model: NAME`",
        ),
        ("provider: p\naliases:\n  - {alias: a, model: b, til: 2026-01-01}\n", "p.yaml:3: unknown key 'til'"),
        (
            "provider: p\naliases:\n  - {alias: a, model: b}\n  - {alias: A, model: c}\n",
            "p.yaml:4: alias p/A stands here twice",
        ),
        (
            "provider: p\naliases:\n  - {alias: a, model: b, account: x}\n  - {alias: b, model: A}\n",
            "p.yaml:4: aliases of p go in a circle: a → b → a",
        ),
        ("provider: p\nprices:\n  - {model: m, rates: {input: '1 beyond 5: 2 above 9: 3'}}\n", "p.yaml:3: input: "),
        ("provider: p\nprices:\n  - {model: m, rates: {input: '1 beyond 9K: 2 beyond 5K: 3'}}\n", "p.yaml:3: input: "),
        ("provider: p\nprices:\n  - {model: m, rates: {input: 0.0000000000000000001}}\n", "p.yaml:3: input: "),
        ("provider: p\nprices:\n  - {model: m, rates: {image: 1/0}}\n", "p.yaml:3: image: a price for 0 units"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    """File, line, what is wrong, what is valid; nothing is half-loaded."""
    with pytest.raises(PriceFileError) as caught:
        load_overrides([write(tmp_path / "p.yaml", text)])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_nothing_of_several_files_is_used_where_one_is_wrong(tmp_path: Path) -> None:
    """The prices before stay in use: the new ones are an object of their own."""
    good = write(tmp_path / "1.yaml", "provider: p\nprices: [{model: m, rates: {input: 1, output: 1}}]\n")
    bad = write(tmp_path / "2.yaml", "provider: p\nprices:\n  - {model: m, rates: {input: cheap}}\n")
    before = pricer([good])
    with pytest.raises(PriceFileError, match=r"2\.yaml:3: input"):
        pricer([good, bad])
    assert before.calculate("p", "m", USAGE).total_cost_in_cents == 100


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    """Missing, and not text."""
    with pytest.raises(PriceFileError, match=r"missing\.yaml: cannot read the price file: No such file"):
        load_overrides([tmp_path / "missing.yaml"])
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PriceFileError, match=r"binary\.yaml: cannot read the price file: not UTF-8 text"):
        load_overrides([tmp_path / "binary.yaml"])
