"""Fills the generated parts of the documentation from the code. Run as ``python docs/generate.py``; a test checks it was.

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; the text around it is written by hand.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path

import click

from spectra_otel.cli import COMMANDS
from spectra_otel.cli import main as main_command
from spectra_otel.component import Kind, registry
from spectra_otel.config.settings import SETTINGS
from spectra_otel.model.fields import FIELDS
from spectra_otel.providers.registry import built_in

DOCS = Path(__file__).parent
PAGES = [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]
_PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def fields() -> str:
    """Every field of a record, by group."""
    parts = []
    for group, members in groupby(FIELDS.values(), key=lambda field: field.group):
        rows = ((f"`{f.name}`", f.type, f.doc) for f in members)
        parts.append(f"### {group}\n\n" + _table(("field", "type", "meaning"), rows))
    return "\n".join(parts)


def settings() -> str:
    """Every environment variable."""
    return _table(
        ("variable", "default", "meaning"),
        ((f"`{s.name}`", s.default, s.meaning) for s in SETTINGS),
    )


def providers() -> str:
    """Every provider: its hosts, its endpoints and what is read of each."""
    rows = []
    for name, provider in sorted(built_in().by_name.items()):
        by_type: dict[str, list[str]] = {}
        for row in provider.endpoints:
            if row.batch == "start" or (row.batch == "look" and not getattr(row.format, "inline", False)):
                continue
            shown = ("GET " if row.method == "GET" else "") + row.template
            by_type.setdefault("batch results" if row.batch else row.format.model_type, []).append(f"`{shown}`")
        hosts = ", ".join(f"`{host}`" for host in provider.hosts) or "any other"
        for number, (kind, templates) in enumerate(by_type.items()):
            rows.append((f"`{name}`" if not number else "", hosts if not number else "", kind, " ".join(templates)))
    return _table(("provider", "hosts", "type", "endpoints"), rows)


def components() -> str:
    """Every component, with its stability and where its settings are documented."""
    rows = []
    for kind in Kind:
        for name, factory in registry(kind).items():
            folder = (
                f"../{kind}/{name}"
                if kind in (Kind.PROCESSOR, Kind.EXPORTER)
                else f"../spectra_otel/service/{name}_{kind.removesuffix('s')}"
            )
            rows.append((kind.value, f"[`{name}`]({folder}/README.md)", factory.stability.value))
    return _table(("kind", "type", "stability"), rows)


def coverage() -> str:
    """What each provider sells, and where its price was read."""
    from spectra_otel.pricing.compile.coverage import rows

    return _table(("provider", "type", "model", "tiers", "read"), rows())


def commands() -> str:
    """Every command of the command line with its arguments and options, as `--help` has them."""
    root = click.Context(main_command, info_name="spectra")
    return "\n".join(_command(main_command.get_command(root, name), name, root) for name in COMMANDS)


def _command(command: click.Command | None, name: str, parent: click.Context) -> str:
    assert command is not None
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    options = [param for param in command.params if isinstance(param, click.Option)]
    records = [record for option in options if (record := option.get_help_record(context)) is not None]
    text = f"### `{context.command_path}`\n\n```text\n{context.command_path} {usage}\n```\n\n"
    text += "\n\n".join(map(_paragraph, inspect.cleandoc(command.help or "").split("\n\n"))) + "\n"
    if records:
        text += "\n" + _table(
            ("option", "meaning"), ((f"`{left}`", " ".join(right.split())) for left, right in records)
        )
    if isinstance(command, click.Group):
        text += "".join(
            "\n" + _command(command.get_command(context, sub), sub, context) for sub in command.list_commands(context)
        )
    return text


def _paragraph(text: str) -> str:
    """A paragraph of help; one that click shall not wrap is shown as it is."""
    return f"```console{text[1:]}\n```" if text.startswith("\b") else text


PARTS: dict[str, Callable[[], str]] = {
    "fields": fields,
    "settings": settings,
    "providers": providers,
    "components": components,
    "coverage": coverage,
    "commands": commands,
}


def filled(text: str) -> str:
    """``text`` with every generated part made anew."""
    return _PART.sub(lambda part: part[1] + PARTS[part[2]]() + part[3], text)


def main() -> int:
    """Rewrite what is out of date; exit status 1 with ``--check`` if anything was."""
    stale = [page for page in PAGES if filled(page.read_text()) != page.read_text()]
    for page in stale:
        if "--check" in sys.argv:
            print(f"out of date: {page.name}; run: python docs/generate.py")
        else:
            page.write_text(filled(page.read_text()))
            print(f"written: {page.name}")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
