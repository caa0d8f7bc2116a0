"""`debug`: what it prints."""

from __future__ import annotations

import io

import pytest

from spectra_otel.exporters.debug.config import DebugConfig
from spectra_otel.exporters.debug.exporter import DebugExporter
from spectra_otel.testing import make_request


def printed(verbosity: str) -> str:
    """The output for one request whose model name has a line break in it."""
    request = make_request(trace_id="1" * 32, span_id="2" * 16, parent_span_id="3" * 16, model="gpt\n4o")
    stream = io.StringIO()
    assert request.span is not None
    DebugExporter(DebugConfig(verbosity=verbosity), stream).export([request.span])  # type: ignore[arg-type]
    return stream.getvalue()


def test_basic_counts() -> None:
    """One line per batch, as the collector's."""
    assert printed("basic") == 'Traces\t{"resource spans": 1, "spans": 1}\n'


def test_normal_has_one_line_for_each_span() -> None:
    """Name, ids and attributes; text cannot break the line."""
    lines = printed("normal").splitlines()
    assert len(lines) == 3  # the name of this span holds a line break of its own
    assert f"{'1' * 32} {'2' * 16} " in lines[-1]
    assert "gen_ai.request.model='gpt\\n4o'" in lines[-1]
    assert "gen_ai.usage.cost.amount=0.0075" in lines[-1]


def test_detailed_has_one_line_for_each_attribute() -> None:
    """Resource, ids, times, status and attributes."""
    text = printed("detailed")
    assert f"    Parent ID      : {'3' * 16}\n" in text
    assert "     -> gen_ai.usage.input_tokens=1000\n" in text
    assert "     -> service.name='test'\n" in text


def test_it_prints_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to the application."""
    request = make_request()
    assert request.span is not None
    DebugExporter(DebugConfig()).export([request.span])
    out, err = capsys.readouterr()
    assert (out, err) == ("", 'Traces\t{"resource spans": 1, "spans": 1}\n')
