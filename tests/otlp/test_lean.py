"""Attributes read from their bytes are what protobuf's own classes say they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from spectra_otel.otlp import lean
from spectra_otel.otlp.lean import LeanRequest, Pairs, has_key, read_attributes
from spectra_otel.otlp.protobuf import write_value

texts = st.text(max_size=140)
values = st.one_of(
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 70_000),
    st.floats(allow_nan=False),
    st.booleans(),
    st.binary(max_size=20),
    st.lists(st.one_of(texts, st.integers(0, 300)), max_size=3),
    st.none(),
)


def request(pairs: list[tuple[str, Any]]) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add(name="chat")
    for key, value in pairs:
        pair = span.attributes.add(key=key)
        if value is not None:
            write_value(pair.value, value)
    return message


def lean_attributes(message: ExportTraceServiceRequest) -> Any:
    return LeanRequest.FromString(message.SerializeToString()).resource_spans[0].scope_spans[0].spans[0].attributes


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(texts, values), max_size=12))
def test_attributes_are_the_same_however_they_are_read(pairs: list[tuple[str, Any]]) -> None:
    """Text, numbers, bytes, lists, no value at all, names twice: as protobuf's classes give them, also the second time."""
    message, remembering = request(pairs), Pairs()
    expected = read_attributes(message.resource_spans[0].scope_spans[0].spans[0].attributes)
    for _ in range(2):
        found = remembering.read(lean_attributes(message))
        assert found == expected
        assert list(map(type, found.values())) == list(map(type, expected.values()))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=20))
def test_bytes_in_no_usual_order_are_read_as_protobuf_reads_them(tail: bytes) -> None:
    """Fields that come twice, in another order, or that nobody knows: the last value counts, as in protobuf."""
    known = KeyValue(key="k", value=AnyValue(int_value=5)).SerializeToString()
    for encoded in (known + tail, known[3:] + known[:3] + tail, tail):
        try:
            pair = KeyValue.FromString(encoded)
        except Exception:
            continue
        expected = lean.read_pair(pair)
        assert Pairs()[encoded] == expected


def test_a_list_is_not_shared_between_spans() -> None:
    """What one processor does to a span's list, no other span has."""
    remembering, attributes = Pairs(), lean_attributes(request([("tags", ["a"])]))
    remembering.read(attributes)["tags"].append("b")
    assert remembering.read(attributes) == {"tags": ["a"]}


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither many values nor many names nor long ones fill the memory."""
    monkeypatch.setattr(lean, "_MOST", 50)
    remembering = Pairs()
    for number in range(500):
        remembering.read(lean_attributes(request([(f"name{number}", number), (f"n{number}", "x" * 300)])))
    assert len(remembering) <= 50
    assert len(remembering._names) <= 50


@pytest.mark.parametrize("name", ["gen_ai.system", "gen_ai." + "x" * 200])
def test_a_name_is_found_by_its_beginning(name: str) -> None:
    """Short or long, first or last among the attributes."""
    assert has_key(lean_attributes(request([("a", 1), (name, "x")])), (b"gen_ai.",))
    assert not has_key(lean_attributes(request([("a", 1), ("b", "gen_ai.")])), (b"gen_ai.",))
