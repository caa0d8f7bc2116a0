"""`spectra validate`, `print-config` and `components`: the configuration, without starting anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import click

from spectra_otel.cli.output import print_rows, to_json
from spectra_otel.config.decode import Opaque
from spectra_otel.errors import ConfigError

if TYPE_CHECKING:
    from spectra_otel.config.document import Document
    from spectra_otel.config.load import ComponentInfo

_PASSWORD = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)")
"""Who a URL says to be."""

config_option = click.option(
    "--config", "locations", multiple=True, metavar="FILE", help="A file or URI; repeat to merge, later ones win."
)
set_option = click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="processors.cost.currency=EUR; repeatable."
)


@click.command()
@config_option
@set_option
def validate(locations: tuple[str, ...], sets: tuple[str, ...]) -> None:
    """Check a configuration file without starting anything; one line for each thing that is wrong.

    Without --config, SPECTRA_CONFIG is checked.
    """
    from spectra_otel.config.load import validate as problems_of
    from spectra_otel.config.settings import read_settings

    if not locations:
        chosen = read_settings().config
        if not chosen:
            raise click.UsageError("--config is needed: SPECTRA_CONFIG is not set")
        locations = (chosen,)
    problems = problems_of(locations, sets)
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    if problems:
        raise click.exceptions.Exit(1)
    click.echo(f"{', '.join(map(_name, locations))}: valid", err=True)


def _name(location: str) -> str:
    """What a location is called: one that is the configuration itself may hold secrets."""
    return "yaml:…" if location.startswith("yaml:") else location


@click.command()
@config_option
@set_option
@click.option(
    "--format", "format_", type=click.Choice(("yaml", "json")), default="yaml", show_default=True, help="How to print."
)
@click.option(
    "--mode", type=click.Choice(("redacted", "unredacted")), default="redacted", show_default=True,
    help="Whether secrets are printed.",
)  # fmt: skip
def print_config(locations: tuple[str, ...], sets: tuple[str, ...], format_: str, mode: str) -> None:
    """Print the configuration that is in effect, defaults and variables filled in, secrets as [REDACTED].

    Without --config: what SPECTRA_CONFIG names, else the one that is built in.
    """
    tree = _tree(_loaded(locations, sets), shows_secrets=mode == "unredacted")
    if format_ == "json":
        click.echo(to_json(tree))
    else:
        import yaml

        click.echo(yaml.safe_dump(tree, sort_keys=False), nl=False)


def _loaded(locations: tuple[str, ...], sets: tuple[str, ...]) -> Document:
    from spectra_otel.config.document import read_document
    from spectra_otel.config.load import load
    from spectra_otel.config.resolve import resolve
    from spectra_otel.config.settings import read_settings

    if not locations:
        return load(None, read_settings(), sets=sets)
    document, problems = read_document(resolve(locations, sets))
    if problems:
        raise ConfigError(problems[0])
    return load(document, read_settings())


def _tree(document: Document, shows_secrets: bool) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for section in ("receivers", "processors", "exporters", "extensions"):
        components = getattr(document, section)
        if components:
            tree[section] = {str(id_): _plain(item.config, shows_secrets) for id_, item in components.items()}
    if document.providers:
        tree["providers"] = _plain(document.providers, shows_secrets)
    tree["service"] = {
        **({"telemetry": _plain(document.telemetry, shows_secrets)} if document.telemetry is not None else {}),
        **({"extensions": [str(id_) for id_ in document.service_extensions]} if document.service_extensions else {}),
        "pipelines": {
            str(spec.id): {
                name: [str(id_) for id_ in getattr(spec, name)] for name in ("receivers", "processors", "exporters")
            }
            for spec in document.pipelines
        },
    }
    return tree


def _plain(value: Any, shows_secrets: bool) -> Any:
    """Settings as plain data. A secret's text is what its type prints, which is not the secret, unless it shall be.

    A block that is off is left out: written as null it would be on with its defaults.
    """
    if is_dataclass(value) and not isinstance(value, type):
        found = {field.name: _plain(getattr(value, field.name), shows_secrets) for field in fields(value)}
        return {name: item for name, item in found.items() if item is not None}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, shows_secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, shows_secrets) for item in value]
    if isinstance(value, str) and not shows_secrets:
        return _PASSWORD.sub("[REDACTED]", value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    return value.reveal() if shows_secrets and isinstance(value, Opaque) else str(value)


@click.command()
@click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "json", "csv", "yaml")),
    default="table",
    show_default=True,
    help="How to print; yaml as the OpenTelemetry Collector does.",
)
def components(format_: str) -> None:
    """List the components that are installed, with the stability each promises."""
    from spectra_otel.config.load import components as installed

    if format_ == "yaml":
        import yaml

        click.echo(yaml.safe_dump(_as_the_collector(installed()), sort_keys=False), nl=False)
        return
    columns = ("kind", "type", "stability", "deprecated_alias", "module")
    print_rows(columns, ([getattr(item, name) for name in columns] for item in installed()), format_, spare=("module",))


def _as_the_collector(installed: Iterable[ComponentInfo]) -> dict[str, Any]:
    """The shape of ``otelcol components``: the stability of each by signal."""
    tree: dict[str, Any] = {
        "buildinfo": {
            "command": "spectra",
            "description": "What your AI calls cost.",
            "version": version("spectra-otel"),
        }
    }
    tree |= {section: [] for section in ("receivers", "processors", "exporters", "connectors", "extensions")}
    for item in installed:
        promised = dict.fromkeys(item.signals or ("extension",), item.stability.capitalize())
        tree[item.kind].append({"name": item.type, "module": item.module, "stability": promised})
    return tree
