"""The `budget` processor: settles what calls of this process reserved, and counts those that nobody reserved for."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import Event, ReadableSpan

from spectra_otel import faults
from spectra_otel.budgets.amounts import Amount, units
from spectra_otel.budgets.book import book, on_event_loop
from spectra_otel.budgets.ledger import WouldWait, is_over
from spectra_otel.errors import LedgerError
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan, rejected
from spectra_otel.processors.budget.config import Config

if TYPE_CHECKING:
    from spectra_otel.budgets.ledger import Claim, Tally

EXCEEDED = "spectra.budget.exceeded"


class BudgetProcessor:
    """Takes priced records. Where a call of this process reserved room, that is settled with the record's own cost.

    Calls made elsewhere, or seen by other instrumentations, are counted once per record, in the window in which they started,
    whenever and however often they arrive; a later revision of one corrects what it counted. A span that says which budgets of
    this ledger counted it is not counted by these again. Never raises.
    """

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config()
        if self._config.budgets:
            book.configure(self._config.budgets)
        book.asks_at_start = self._config.enforce_on_start
        if self._config.webhooks:
            from spectra_otel.budgets import alerts

            alerts.use_webhooks(self._config.webhooks)

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """The same spans, with what budgets say on those that bear a cost; without those that the policy drops."""
        known = sys.modules.get("spectra_otel.budgets.ticket")
        if book.is_idle() and not (
            known is not None and known.are_left()
        ):  # a budget may go while its calls are under way
            return spans
        from spectra_otel.budgets import owed

        kept: list[ReadableSpan] = []
        for span in spans:
            goes_on = True
            try:
                goes_on = self._take(span)
            except WouldWait:  # an event loop goes on; the call is counted without being marked
                owed.owe(partial(self._take, span))
            except LedgerError as error:
                faults.report("processor budget", str(error))
                owed.owe(partial(self._take, span))
            except Exception as error:
                faults.report("processor budget", error)
            if goes_on:
                kept.append(span)
        return kept

    def _take(self, span: ReadableSpan) -> bool:
        """Settle or count one span; whether it goes on."""
        from spectra_otel.budgets import ticket as tickets

        if isinstance(span, TrackedSpan) and span.record is not None:
            return self._count(span, span.record)
        ticket = tickets.take(span.context)
        if ticket is not None:
            ticket.release()  # it turned out to be no call of its own
        return True

    def _count(self, span: TrackedSpan, record: TrackedRequest) -> bool:
        """Whether the span goes on."""
        from spectra_otel.budgets import owed
        from spectra_otel.budgets import ticket as tickets

        values = record.values_by_field
        ticket = tickets.take(span.context)
        if ticket is not None:
            ticket.settle(values)
            span.set_attributes(ticket.marks)
            _add_events(span, ticket.events)
            return True
        if span.completes:
            tickets.settle_job(values, span.attributes or {}, not on_event_loop())
        if record.rev:
            owed.owe(partial(self._count_late, span, values, record.rev))  # after what is owed for the record itself
            return True
        return values.get("cost_status") == "not_billed" or self._count_late(span, values)

    def _count_late(self, span: TrackedSpan, values: Mapping[str, Any], rev: int = 0) -> bool:
        from spectra_otel.budgets import marks

        already = marks.counted_here(span.attributes or {})
        started = values.get("started_at")
        moment = started.timestamp() if started is not None else time.time()
        wait = not on_event_loop()
        claims = [claim for _, claim in book.claims(values, moment, wait) if claim.budget not in already]
        if not claims:
            return True
        tally = self._tally(values, claims, rev, wait)
        if rev:
            return True
        span.set_attributes(marks.marks_of(tally.counted))
        _add_events(span, [(EXCEEDED, {"budget": name}) for name in tally.over])
        stops = [claim.budget for claim in claims if claim.is_hard and claim.budget in tally.over]
        return not stops or self._lets_go_on(stops[0])

    def _tally(self, values: Mapping[str, Any], claims: Sequence[Claim], rev: int, wait: bool) -> Tally:
        """Count a record or its later revision, and say what came of it."""
        from spectra_otel.budgets import alerts, owed, used
        from spectra_otel.budgets import ticket as tickets

        amount, unpriced = Amount(), 0
        if values.get("cost_status") != "not_billed":
            cost = used.cost_of(values)
            amount = Amount(0 if cost is None else units(cost), used.tokens_of(values) or 0, 1)
            unpriced = int(cost is None)
        id_ = str(values.get("id") or "")
        tally = book.ask(lambda ledger: ledger.count(id_, claims, amount, unpriced=unpriced, rev=rev, wait=wait))
        owed.pay_soon()
        tickets.tend()
        for one in tally.counted:
            alerts.thresholds(one)
            before = Amount(*(a - b for a, b in zip(one.settled, one.added, strict=True)))
            if is_over(one.claim.limit, one.settled) and not is_over(one.claim.limit, before):
                alerts.overspent(one)
        return tally

    def _lets_go_on(self, budget: str) -> bool:
        """What the policy says of a span of a call that a hard budget had no room for."""
        if self._config.policy == "refuse":
            reasons = rejected.get()
            if reasons is not None:
                reasons.append(f"budget '{budget}' is used up")
        return self._config.policy == "mark"


def _add_events(span: TrackedSpan, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Events on our copy of the span; the app's own stays as it was."""
    if events:
        moment = span.end_time
        more = [Event(name, attributes, moment) for name, attributes in events]
        span._events = (*span.events, *more)
