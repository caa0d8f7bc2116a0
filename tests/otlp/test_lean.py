"""Attributes read from their bytes are what protobuf's own classes say they are."""

from __future__ import annotations

from collections.abc import Callable
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
@given(st.sampled_from(["k", "gen_ai.usage.input_tokens"]), st.lists(values, max_size=12))
def test_values_of_one_name_are_the_same_however_many_came_before(name: str, found: list[Any]) -> None:
    """What is learnt from one pair of how another begins holds for that one too."""
    remembering = Pairs()
    for value in found:
        message = request([(name, value)])
        expected = read_attributes(message.resource_spans[0].scope_spans[0].spans[0].attributes)
        read = remembering.read(lean_attributes(message))
        assert read == expected
        assert list(map(type, read.values())) == list(map(type, expected.values()))


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
        remembering = Pairs()
        for _ in ("that it begins like this one is known the second time", encoded):
            assert remembering[known] == ("k", 5)
            assert remembering[encoded] == expected
            remembering.clear()


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
    assert len(remembering._heads) <= 50


@pytest.mark.parametrize(
    "write", [lambda n: f"session-{n}", lambda n: n * 0.1, lambda n: n * 100_000, lambda n: "x" * 130 + str(n)]
)
def test_what_never_comes_again_takes_the_room_of_a_few(write: Callable[[int], Any]) -> None:
    """It is read all the same, and what does come again is remembered beside it."""
    remembering = Pairs()
    for number in range(1000, 3000):
        read = remembering.read(lean_attributes(request([("new", write(number)), ("queue", "web")])))
        assert read == {"new": write(number), "queue": "web"}
    assert len(remembering) <= lean._MOST_ALIKE + 2


@pytest.mark.parametrize("name", ["gen_ai.system", "gen_ai." + "x" * 200])
def test_a_name_is_found_by_its_beginning(name: str) -> None:
    """Short or long, first or last among the attributes."""
    assert has_key(lean_attributes(request([("a", 1), (name, "x")])), (b"gen_ai.",))
    assert not has_key(lean_attributes(request([("a", 1), ("b", "gen_ai.")])), (b"gen_ai.",))
