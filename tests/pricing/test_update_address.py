"""A newer catalog from an address: taken whole, or refused in one line with nothing changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner

from spectra_otel.cli.prices import prices
from spectra_otel.pricing import Catalog, PriceFileError, current_catalog, shipped_catalog, update
from spectra_otel.pricing.compile.assemble import assemble
from spectra_otel.pricing.update import read_update, take
from tests.serving import Handler, serving

ON = date(2026, 12, 1)


def catalog(price: str, on: str = "2027-01-01") -> Catalog:
    offer = {"rates": {"input": price, "output": "2"}, "from": "litellm"}
    return Catalog(assemble({("groq", "one"): {"type": "text", "offers": [offer]}}, on, []))


GOOD = catalog("1").data
FILES = {
    "/good": GOOD, "/cut": GOOD[:-7], "/edited": GOOD.replace(b'"input":"1"', b'"input":"9"'), "/huge": b"x" * 5000,
    "/page": b"<!doctype html><title>Sign in</title>",
}  # fmt: skip
MOVED = {"/moved": "/good", "/around": "/around", "/to-a-file": "file:///etc/hostname"}
stopped = Event()


class Answers(Handler):
    """One path for each thing that an address can answer."""

    def do_GET(self) -> None:
        if self.path == "/silent":
            stopped.wait(5)
        elif self.path == "/drip":
            self.send_response(200)
            self.end_headers()
            while not stopped.wait(0.05):
                self.wfile.write(b"x")
        elif self.path in MOVED:
            self.reply(302, location=MOVED[self.path])
        elif self.path == "/part":
            self.reply(200, GOOD[:-7], content_length=str(len(GOOD)))
        else:
            self.reply(200 if self.path in FILES else 404, FILES.get(self.path, b""))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(Answers) as port:
        yield f"http://127.0.0.1:{port}"
        stopped.set()


@pytest.mark.parametrize("path", ["good", "moved"])
def test_a_catalog_of_ours_is_taken_from_an_address(address: str, path: str) -> None:
    """As it is, also where the address has moved."""
    assert read_update(f"{address}/{path}", shipped_catalog(), ON).data == GOOD


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing", "cannot read the prices: Not Found"),
        ("around", "cannot read the prices: "),
        ("to-a-file", "cannot read the prices: "),
        ("page", "1: this is not a price catalog"),
        ("part", "cannot read the prices|has .* bytes of prices where its header says"),
        ("cut", "has .* bytes of prices where its header says"),
        ("edited", "its prices do not have the digest of its header"),
        ("huge", r"/huge: has more than 0 MiB"),
        ("silent", "cannot read the prices: timed out"),
        ("drip", "cannot read the prices: timed out"),
    ],
)
def test_what_is_no_whole_catalog_is_refused(
    address: str, path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that names the address; the catalog in use stays, and no half of a file is left."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    monkeypatch.setattr(update, "LARGEST_BYTES", 4096)
    monkeypatch.setattr(update, "TIMEOUT_SECONDS", 0.3)
    take(catalog("3"))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    begun = time.monotonic()
    with pytest.raises(PriceFileError, match=message) as error:
        read_update(f"{address}/{path}", current_catalog(), ON)
    assert str(error.value).startswith(f"{address}/{path}:")
    assert "\n" not in str(error.value)
    assert time.monotonic() - begun < 10
    done = CliRunner().invoke(prices, ["update", "--from", f"{address}/{path}"])
    assert done.exit_code != 0
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_nobody_there_is_one_line() -> None:
    """A port that nothing listens at, and a name that is no address."""
    for source in ("http://127.0.0.1:1/catalog.tsv", "https://"):
        with pytest.raises(PriceFileError, match="cannot read the prices: "):
            read_update(source, shipped_catalog(), ON)


def test_the_command_says_what_changes_and_takes_it(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run takes nothing; then it is the catalog in use."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    take(catalog("3"))
    for more, price in ((["--dry-run"], "3"), ([], "1")):
        done = CliRunner().invoke(prices, ["update", "--from", f"{address}/good", *more])
        assert done.exit_code == 0, done.output
        assert "groq/one, input: 3 → 1" in done.output
        entry = current_catalog().find("groq", "one")
        assert entry is not None
        assert entry.offers[0].rates["input"] == price
