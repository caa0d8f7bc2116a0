"""The snippets of ``docs/frameworks.md`` run as they stand."""

from __future__ import annotations

import contextvars
import importlib.util
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "frameworks.md"
SECTIONS = [section.split("\n", 1) for section in PAGE.read_text().split("\n## ")[1:]]
SNIPPETS = [(title, code) for title, text in SECTIONS for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
FRAMEWORKS = ("fastapi", "flask", "django", "celery")


@pytest.mark.parametrize(("title", "code"), SNIPPETS, ids=[title for title, _ in SNIPPETS])
def test_a_snippet_runs(title: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the framework itself; where that is not installed the test says so."""
    for name in FRAMEWORKS:
        if name in code and importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    if "django" in code:
        from django.conf import settings  # pyright: ignore[reportMissingImports]

        if not settings.configured:
            settings.configure()
    snippet = compile(code, f"{PAGE}: {title}", "exec")
    contextvars.copy_context().run(exec, snippet, {"__name__": "snippet"})  # what it says of a request ends with it


def test_every_framework_has_its_snippet() -> None:
    """Web frameworks, a worker, and a client by hand."""
    titles = [title for title, _ in SNIPPETS]
    assert {"FastAPI and Starlette", "Flask", "Django", "Celery and multiprocessing"} <= set(titles)
