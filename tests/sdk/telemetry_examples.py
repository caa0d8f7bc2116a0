"""What a user writes to shape telemetry: a builder that extends, one from scratch, a transformer; and ones that go wrong."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from spectra_otel.model.record import TrackedRequest
from spectra_otel.sdk.span_builder import DefaultSpanBuilder, SpanBuilder
from spectra_otel.sdk.transformer import RequestTransformer


class MySpanBuilder(DefaultSpanBuilder):
    def span_name(self, data: TrackedRequest) -> str:
        return f"myapp.ai.{data['provider']}.{data['model']}"

    def attributes(self, data: TrackedRequest) -> dict[str, Any]:
        attrs = super().attributes(data)
        attrs["myapp.team"] = "ml-platform"
        attrs.pop("spectra.cost_cents", None)
        return attrs


class MinimalSpanBuilder(SpanBuilder):
    def build(self, data: TrackedRequest) -> ReadableSpan:
        return ReadableSpan(
            name=f"llm.{data['model']}",
            context=SpanContext(
                int(data["trace_id"].replace("-", ""), 16),
                0xABCDEF0123456789,
                is_remote=False,
                trace_flags=TraceFlags(1),
            ),
            kind=SpanKind.CLIENT,
            start_time=int(data["started_at"].timestamp() * 1_000_000) * 1000,
            end_time=int(data["completed_at"].timestamp() * 1_000_000) * 1000,
            attributes={
                "model": data["model"],
                "tokens": data["total_tokens"],
                "cost_cents": data["total_cost_in_cents"],
            },
            status=Status(StatusCode.ERROR if data["is_failed"] else StatusCode.OK),
        )


class MyTransformer(RequestTransformer):
    def transform(self, request: TrackedRequest) -> dict[str, Any]:
        data = super().transform(request)
        data["environment"] = "prod"
        data["team"] = "ml-platform"
        data.pop("trackable_type")
        data.pop("trackable_id")
        return data


class TeamBuilder(DefaultSpanBuilder):
    """Shows what the transformer left."""

    def attributes(self, data: TrackedRequest) -> dict[str, Any]:
        return {**super().attributes(data), "team": data["team"], "environment": data["environment"]}


class DropEmbeddings(DefaultSpanBuilder):
    def build(self, data: TrackedRequest) -> ReadableSpan | None:
        return None if data["operation"] == "embeddings" else super().build(data)


class EveryType(DefaultSpanBuilder):
    def attributes(self, data: TrackedRequest) -> dict[str, Any]:
        return {
            "money": Decimal("0.25"),
            "unknown": None,
            "when": data["started_at"],
            "map": {"cost": Decimal("1.5")},
            "list": [Decimal("0.5"), None],
        }


class Broken(DefaultSpanBuilder):
    def span_name(self, data: TrackedRequest) -> str:
        raise RuntimeError("out of names")


class Contextless(SpanBuilder):
    def build(self, data: TrackedRequest) -> ReadableSpan:
        return ReadableSpan(name="no context")


class BrokenTransformer(RequestTransformer):
    def transform(self, request: TrackedRequest) -> dict[str, Any]:
        raise RuntimeError("cannot")


class NeedsArguments(DefaultSpanBuilder):
    def __init__(self, team: str) -> None:
        self.team = team


class NotABuilder:
    pass


class Telling(DefaultSpanBuilder):
    """Adds something it made of what redaction hides, and something that should have been hidden."""

    def attributes(self, data: TrackedRequest) -> dict[str, Any]:
        user = str(data["user_id"])
        return super().attributes(data) | {"user.domain": user.partition("@")[2], "user.contact": f"mail to {user}"}
