"""Celery workers: the calls of a task carry its name, its id and whom it is for.

When their records are written is no concern of it: :mod:`spectra_otel.instrumentors.celery` sees to that in every worker.

::

    from spectra_otel.middleware.celery import install

    install()  # where the Celery app is made; ``user=`` and ``metadata=`` get the task
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from celery import signals  # pyright: ignore[reportMissingImports]

from spectra_otel.middleware.scope import Says, ask
from spectra_otel.tracking import context

_UID = "spectra_otel"


def install(*, user: Says | None = None, metadata: Says | None = None) -> None:
    """Name the task of every call that a worker makes. Calling it again changes nothing."""
    blocks: dict[str | None, AbstractContextManager[None]] = {}

    def began(task: Any = None, task_id: str | None = None, **_: Any) -> None:
        more = ask(metadata, task)
        about = {
            "task": {"name": getattr(task, "name", None), "id": task_id},
            **(more if isinstance(more, dict) else {}),
        }
        block = blocks[task_id] = context.context(user=ask(user, task), metadata=about)
        block.__enter__()

    def ended(task_id: str | None = None, **_: Any) -> None:
        block = blocks.pop(task_id, None)
        if block is not None:
            block.__exit__(None, None, None)

    signals.task_prerun.connect(began, weak=False, dispatch_uid=f"{_UID}.prerun")
    signals.task_postrun.connect(ended, weak=False, dispatch_uid=f"{_UID}.postrun")
