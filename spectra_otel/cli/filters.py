"""Options that choose among recorded calls, shared by `spectra requests` and `spectra costs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from spectra_otel.model.fields import COST_STATUSES

F = TypeVar("F", bound=Callable[..., Any])

_COLUMNS = {
    "model": ("model", "Calls of this model."),
    "provider": ("provider", "Calls served by this provider."),
    "user": ("user_id", "Calls made for this user."),
    "tag": ("tag", "Calls with this tag."),
    "service": ("service_name", "Calls of this service."),
    "conversation": ("conversation_id", "Calls of this conversation."),
    "trace_id": ("trace_id", "Calls of this trace."),
}
"""Option → (column, help)."""


def _pairs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        key, equals, wanted = value.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{value!r}; valid: KEY=VALUE", ctx, param)
        pairs[key] = wanted
    return pairs


def filter_options(command: F) -> F:
    """Add the options; the command gets them as keyword arguments, for :func:`filters_of`."""
    options = [
        click.option(f"--{name.replace('_', '-')}", metavar="TEXT", help=text) for name, (_, text) in _COLUMNS.items()
    ]
    options += [
        click.option(
            "--metadata",
            multiple=True,
            metavar="KEY=VALUE",
            callback=_pairs,
            help="Calls with this metadata; repeatable.",
        ),
        click.option("--status", type=click.Choice(COST_STATUSES), help="Calls with this cost_status."),
        click.option("--failed", is_flag=True, help="Calls that failed."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def filters_of(choices: Mapping[str, Any]) -> dict[str, Any]:
    """What the options mean to the store: column → value."""
    filters = {column: choices[name] for name, (column, _) in _COLUMNS.items() if choices[name] is not None}
    filters |= {f"metadata.{key}": value for key, value in choices["metadata"].items()}
    if choices["status"]:
        filters["cost_status"] = choices["status"]
    if choices["failed"]:
        filters["is_failed"] = True
    return filters
