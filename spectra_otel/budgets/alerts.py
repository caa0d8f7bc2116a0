"""What budgets have to say: events, webhooks and metrics, all of it off the call path."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from spectra_otel import faults
from spectra_otel.budgets.amounts import cents
from spectra_otel.budgets.definition import Webhook
from spectra_otel.forks import in_forked_child
from spectra_otel.sdk.events import BudgetExceeded, BudgetThresholdReached, dispatch
from spectra_otel.sdk.queue import WorkQueue

if TYPE_CHECKING:
    from spectra_otel.budgets.ledger import Claim, Counted, Refusal

SIGNATURE = "x-spectra-signature"
"""``t=<seconds>,v1=<hex>``: HMAC-SHA256 of ``<seconds>.<body>`` with the webhook's secret."""
TRIES = 5
FIRST_PAUSE = 0.5
"""Seconds before the second try; each further pause is twice as long."""
_TIMEOUT = 10.0
_UNITS = {"cost": "cents", "tokens": "tokens", "requests": "requests"}
Event = BudgetThresholdReached | BudgetExceeded


class _Alerts:
    """The queues and counters of this process."""

    def __init__(self) -> None:
        self._fresh_lock()
        in_forked_child(self._fresh_lock)
        self.calls: WorkQueue[Callable[[], object]] = WorkQueue("budgets", _run, linger=0.0)
        # Listeners and addresses may be slow: neither the ledger nor other addresses wait for one.
        self.events: WorkQueue[Event] = WorkQueue("events", _dispatch_all, linger=0.0)
        self.posts: list[WorkQueue[bytes]] = []
        self._counters: dict[str, Any] = {}

    def _fresh_lock(self) -> None:
        self.lock = Lock()

    def counter(self, name: str, unit: str, meaning: str) -> Any:
        """A counter of the app's meter provider."""
        with self.lock:
            if name not in self._counters:
                from opentelemetry.metrics import get_meter

                self._counters[name] = get_meter("spectra_otel").create_counter(name, unit, meaning)
            return self._counters[name]


def worker() -> WorkQueue[Callable[[], object]]:
    """The queue for whatever budgets do off the call path."""
    return _alerts.calls


def use_webhooks(webhooks: Sequence[Webhook]) -> None:
    """Where events are posted from now on."""
    _alerts.posts = [
        WorkQueue("webhooks", partial(_post_all, webhook), linger=0.0, limit=1_000) for webhook in webhooks
    ]


def thresholds(counted: Counted) -> None:
    """A budget reached thresholds that nobody had seen it reach."""
    claim = counted.claim
    kind, spent, limit = _nearest(claim, counted.settled)
    for part in counted.fired:
        event = BudgetThresholdReached(
            _name(claim), part, spent, limit, _UNITS[kind], dict(claim.scope), _resets_at(claim)
        )
        _alerts.counter("spectra.budget.thresholds", "{threshold}", "Thresholds that budgets reached.").add(
            1, {"spectra.budget.name": _name(claim)}
        )
        _say(event, post=True)


def exceeded(refusal: Refusal, *, blocked: bool) -> None:
    """A budget had no room for a call. Posted once per window, dispatched each time."""
    claim, kind = refusal.claim, refusal.kind
    event = BudgetExceeded(
        _name(claim), _amount(kind, refusal.settled), _amount(kind, refusal.limit), _UNITS[kind], dict(claim.scope),
        _resets_at(claim), blocked,
    )  # fmt: skip
    _alerts.counter("spectra.budget.exceeded", "{call}", "Calls that a budget had no room for.").add(
        1, {"spectra.budget.name": _name(claim), "spectra.budget.blocked": blocked}
    )
    _say(event, post=refusal.is_first)


def overspent(counted: Counted) -> None:
    """A call that was made elsewhere has taken a budget beyond its limit. For the one that did, not for each after it."""
    claim = counted.claim
    kind, spent, limit = _nearest(claim, counted.settled)
    _alerts.counter("spectra.budget.exceeded", "{call}", "Calls that a budget had no room for.").add(
        1, {"spectra.budget.name": _name(claim), "spectra.budget.blocked": False}
    )
    _say(
        BudgetExceeded(_name(claim), spent, limit, _UNITS[kind], dict(claim.scope), _resets_at(claim), False), post=True
    )


def count_overshoot(units: int) -> None:
    """What a call cost beyond its bound."""
    if units:
        _alerts.counter("spectra.budget.overshoot", "cents", "Cost beyond what was reserved.").add(float(cents(units)))


def payload(event: Event, id_: str) -> bytes:
    """What a webhook gets."""
    kind = "budget.threshold_reached" if isinstance(event, BudgetThresholdReached) else "budget.exceeded"
    body = {"id": id_, "type": kind, "at": datetime.now(UTC).isoformat(), **asdict(event)}
    return json.dumps(body, default=_plain).encode()


def signature(secret: str, body: bytes, moment: int) -> str:
    """The value of :data:`SIGNATURE`."""
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def flush(timeout: float, *, posts: bool = True) -> bool:
    """Have everything done and said within ``timeout`` seconds for each queue; without ``posts`` webhooks may come later."""
    queues = (_alerts.calls, _alerts.events, *(_alerts.posts if posts else ()))
    return all(queue.flush(timeout) for queue in queues)


def _say(event: Event, *, post: bool) -> None:
    _alerts.events.put(event)
    if post:
        for queue in _alerts.posts:
            queue.put(payload(event, uuid4().hex))


def _run(calls: Sequence[Callable[[], object]]) -> None:
    for call in calls:
        try:
            call()
        except Exception as error:
            faults.report("budgets", error)


def _dispatch_all(events: Sequence[Event]) -> None:
    for event in events:
        dispatch(event)


def _post_all(webhook: Webhook, posts: Sequence[bytes]) -> None:
    for body in posts:
        try:
            _post(webhook, body)
        except Exception as error:
            faults.report(f"webhook {webhook.url.partition('?')[0]}", error)


def _post(webhook: Webhook, body: bytes) -> None:
    """Post until it is taken: an answer of 2xx. A refusal that will not change (4xx but 408 and 429) ends it."""
    import urllib.error
    import urllib.request

    from opentelemetry.instrumentation.utils import suppress_instrumentation

    pause = FIRST_PAUSE
    for attempt in range(TRIES):
        moment = int(time.time())
        headers = {"content-type": "application/json", "user-agent": "spectra-otel"}
        if webhook.secret:
            headers[SIGNATURE] = signature(webhook.secret, body, moment)
        request = urllib.request.Request(webhook.url, data=body, headers=headers, method="POST")
        try:
            with suppress_instrumentation(), urllib.request.urlopen(request, timeout=_TIMEOUT):
                return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 and error.code not in (408, 429):
                raise
            failure: Exception = error
        except OSError as error:
            failure = error
        if attempt + 1 == TRIES:
            raise failure
        time.sleep(pause)
        pause *= 2


def _nearest(claim: Claim, settled: Sequence[int]) -> tuple[str, Decimal | int, Decimal | int]:
    """The kind of limit that is used most, with what is spent of it."""
    kinds = [
        (used / limit, kind, used, limit)
        for kind, used, limit in zip(_UNITS, settled, claim.limit, strict=True)
        if limit
    ]
    _, kind, used, limit = max(kinds)
    return kind, _amount(kind, used), _amount(kind, limit)


def _amount(kind: str, amount: int) -> Decimal | int:
    return cents(amount) if kind == "cost" else amount


def _name(claim: Claim) -> str:
    return claim.budget.removeprefix("tree:")


def _resets_at(claim: Claim) -> datetime | None:
    return datetime.fromtimestamp(claim.end, UTC) if claim.end is not None else None


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else str(value)


_alerts = _Alerts()
