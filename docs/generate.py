"""Fills the generated parts of the documentation from the code. Run as ``python docs/generate.py``; a test checks it was.

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; the text around it is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path

from spectra_otel.component import Kind, registry
from spectra_otel.config.settings import SETTINGS
from spectra_otel.model.fields import FIELDS

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
        ((f"`{s.name}`", f"`{s.default_text}`" if s.default_text else "–", s.doc) for s in SETTINGS),
    )


def components() -> str:
    """Every component, with its stability and where its settings are documented."""
    rows = []
    for kind in Kind:
        for name, factory in registry(kind).items():
            folder = (
                f"../{kind}/{name}"
                if kind in (Kind.PROCESSOR, Kind.EXPORTER)
                else f"../spectra_otel/service/{name}_receiver"
            )
            rows.append((kind.value, f"[`{name}`]({folder}/README.md)", factory.stability.value))
    return _table(("kind", "type", "stability"), rows)


PARTS: dict[str, Callable[[], str]] = {"fields": fields, "settings": settings, "components": components}


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
