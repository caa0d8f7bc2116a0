"""Application → OpenTelemetry Collector → spectra collect → OpenTelemetry Collector → backend."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.backends.positions.programs import (
    CHAT_COST,
    COST,
    OTELCOL,
    address,
    free_port,
    needs,
    otelcol,
    post,
    shop,
    spectra_collect,
    stored,
    until,
    url,
)  # fmt: skip
from tests.exporters.servers import Received, http_server
from tests.service.running import CHAT, attributes_of, request, spans_of

pytestmark = needs(OTELCOL)


def by_id(backend: Received) -> dict[str, Any]:
    return {span.span_id.hex(): span for span in backend.spans}


class Hop:
    """The two collectors of docs/configs/hop-*.yaml on ports of their own."""

    def __init__(self, folder: Path, backend: Received) -> None:
        self.folder = folder
        self.http, self.back, self.spectra_port = free_port(), free_port(), free_port()
        self.otelcol = otelcol(
            folder, self.http, "hop-otelcol.yaml", OTELCOL_PRICED=address(self.back),
            OTELCOL_STORAGE=str(folder / "storage"), SPECTRA=url(self.spectra_port), BACKEND=backend.endpoint,
        )  # fmt: skip

    def spectra(self) -> Any:
        return spectra_collect(self.folder, self.spectra_port, "hop-spectra.yaml", OTELCOL_BACK=url(self.back))


def test_spans_come_back_priced_and_once(tmp_path: Path) -> None:
    """Every span reaches the backend once, under its own ids, and the chat has its cost; nothing goes round."""
    with http_server() as backend:
        hop = Hop(tmp_path, backend)
        with hop.otelcol, hop.spectra():
            (sent,) = shop(url(hop.http))
            until(lambda: len(backend.spans) >= 2)
            time.sleep(1.5)  # a loop would bring them again
        spans = by_id(backend)
        assert len(backend.spans) == 2
    assert set(spans) == {sent.chat, sent.checkout}
    assert spans[sent.chat].parent_span_id.hex() == sent.checkout
    assert attributes_of(spans[sent.chat])[COST] == pytest.approx(CHAT_COST)
    assert COST not in attributes_of(spans[sent.checkout])
    (row,) = stored(tmp_path)
    assert (row["trace_id"], row["model"]) == (sent.trace_id, "gpt-4o")


def test_spans_that_are_no_calls_come_back_as_they_were(tmp_path: Path) -> None:
    """Field by field: flags, times and counts too."""
    sent = request({"http.method": "GET"}, CHAT)
    with http_server() as backend:
        hop = Hop(tmp_path, backend)
        with hop.otelcol, hop.spectra():
            assert post(url(hop.http), sent.SerializeToString()) == 200
            until(lambda: len(backend.spans) >= 2)
        expected = spans_of(sent)[0]
        expected.status.SetInParent()  # the Go collector writes an empty status
        assert backend.spans[0] == expected


def test_what_is_sent_while_spectra_is_away_arrives(tmp_path: Path) -> None:
    """The collector keeps on disk what was not acknowledged, and sends it when Spectra is there."""
    with http_server() as backend:
        hop = Hop(tmp_path, backend)
        with hop.otelcol:
            (sent,) = shop(url(hop.http))
            time.sleep(1)
            assert backend.spans == []
            with hop.spectra():
                until(lambda: len(backend.spans) >= 2, seconds=60)
        assert attributes_of(by_id(backend)[sent.chat])[COST] == pytest.approx(CHAT_COST)
