"""Ids of spans, and by them of records, that an app's ``random.seed`` has no part in.

The SDK takes ids from the app's ``random``. Behind ``random.seed(42)``, with which many a script begins, each run has the ids of
the run before, and its records would be taken for records that are stored already.
"""

from __future__ import annotations

from random import Random

from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

from spectra_otel.forks import in_forked_child

_random = Random()
in_forked_child(_random.seed)


def span_id() -> int:
    """A new one."""
    return _random.getrandbits(64) or 1


def trace_id() -> int:
    """A new one."""
    return _random.getrandbits(128) or 1


def lend(generator: IdGenerator) -> None:
    """Have the SDK's own generator give ids of ours; one that the app chose stays as it is."""
    if type(generator) is RandomIdGenerator:
        vars(generator).update(generate_span_id=span_id, generate_trace_id=trace_id)


def take_back(generator: IdGenerator) -> None:
    """Undo :func:`lend`."""
    if type(generator) is RandomIdGenerator:
        for name in ("generate_span_id", "generate_trace_id"):
            vars(generator).pop(name, None)
