"""Two replicas of spectra collect behind a collector that routes by trace id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.backends.positions.programs import (
    CHAT_COST,
    COST,
    OTELCOL,
    free_port,
    needs,
    otelcol,
    shop,
    spectra_collect,
    stored,
    until,
    url,
)
from tests.exporters.servers import http_server
from tests.service.running import attributes_of

pytestmark = needs(OTELCOL)


def test_each_trace_goes_to_one_replica(tmp_path: Path) -> None:
    """All spans of a trace meet in one replica, both have some, and together they hold every call once."""
    router, a, b = free_port(), free_port(), free_port()
    with http_server() as backend_a, http_server() as backend_b:

        def replica(name: str, port: int, backend: str) -> Any:
            return spectra_collect(tmp_path / name, port, "plugins-spectra.yaml", BACKEND=backend)

        front = otelcol(tmp_path, router, "replicas-otelcol.yaml", SPECTRA_A=url(a), SPECTRA_B=url(b))
        with replica("a", a, backend_a.endpoint), replica("b", b, backend_b.endpoint), front:
            sent = shop(url(router), traces=40)
            until(lambda: len(backend_a.spans) + len(backend_b.spans) >= 80)
        halves = [{(span.trace_id.hex(), span.span_id.hex()) for span in x.spans} for x in (backend_a, backend_b)]
        priced = [attributes_of(s)[COST] for x in (backend_a, backend_b) for s in x.spans if COST in attributes_of(s)]
    traces = [{trace for trace, _ in half} for half in halves]
    assert all(traces)
    assert not traces[0] & traces[1]
    assert halves[0] | halves[1] == {(s.trace_id, id_) for s in sent for id_ in (s.chat, s.checkout)}
    assert priced == [pytest.approx(CHAT_COST)] * 40
    in_store = [row["trace_id"] for name in "ab" for row in stored(tmp_path / name)]
    assert sorted(in_store) == sorted(s.trace_id for s in sent)
