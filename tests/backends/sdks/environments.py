"""The environments in which other people's packages run: small, and apart where their requirements conflict.

Each is made once, of what is newest on that day, under ``.build/sdks/``; delete the folder to have today's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HOME = ROOT / ".build" / "sdks"

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "clients": (
        "openai", "anthropic", "google-genai", "mistralai", "cohere", "groq", "ollama", "replicate", "xai-sdk",
        "elevenlabs", "fal-client", "aiohttp",
    ),
    "google": ("google-genai",),  # without aiohttp its asynchronous client is another one
    "langchain": ("langchain", "langchain-openai", "langchain-anthropic"),
    "pydantic_ai": ("pydantic-ai-slim[openai,anthropic]",),
    "openai_agents": ("openai-agents",),
    "litellm": ("litellm",),
    "llama_index": ("llama-index-core", "llama-index-llms-openai"),
    "instructor": ("instructor", "anthropic"),
    "pairs": (
        "openai", "anthropic", "opentelemetry-instrumentation-genai-openai",
        "opentelemetry-instrumentation-genai-anthropic", "openinference-instrumentation-openai",
        "openinference-instrumentation-anthropic", "opentelemetry-instrumentation-openai",
        "opentelemetry-instrumentation-anthropic", "logfire",
    ),
    "web": ("fastapi", "django", "flask", "celery", "uvicorn", "gunicorn", "openai"),
}  # fmt: skip
"""Name → the packages it is for; ours comes with each, editable."""


def python_of(name: str) -> Path:
    """The interpreter of an environment, which is made now if it is not there yet or is for other packages.

    Raises:
        RuntimeError: It cannot be made; the message is the installer's.
    """
    folder, packages = HOME / name, ENVIRONMENTS[name]
    python, marker = folder / "bin" / "python", folder / "packages.txt"
    wanted = "\n".join(packages)
    if not marker.exists() or marker.read_text() != wanted:
        _uv("venv", "--clear", "--python", sys.executable, folder)
        _uv("pip", "install", "--python", python, "-e", ROOT, *packages)
        marker.write_text(wanted)
    return python


def versions_of(name: str) -> dict[str, str]:
    """Package → the version that an environment has of it."""
    names = [package.partition("[")[0] for package in ENVIRONMENTS[name]]
    code = "import sys; from importlib.metadata import version; print(*[version(n) for n in sys.argv[1:]])"
    command = [python_of(name), "-c", code, *names]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(zip(names, found.stdout.split(), strict=True))


def _uv(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "uv", *map(str, arguments), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")


if __name__ == "__main__":  # all of them, or those that are named, before a run
    for name in sys.argv[1:] or ENVIRONMENTS:
        python_of(name)
        print(name, versions_of(name), flush=True)
