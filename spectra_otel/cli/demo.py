"""`spectra demo`: a real app with the real SDKs, launched as a user would, against a local provider."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.cli.output import print_rows

SDKS = ("openai", "anthropic")
APP = "spectra_otel.demo.app"
CONFIG = """\
# What the demo runs: the built-in pipeline, and every span in a file beside it.
receivers:
  otlp: {protocols: {http: {}}}
processors:
  usage:
  cost:
exporters:
  duckdb:
  file: {path: "${env:SPECTRA_HOME}/spans.jsonl"}
service:
  pipelines:
    traces: {receivers: [otlp], processors: [usage, cost], exporters: [duckdb, file]}
"""
SQL = """\
SELECT provider, model, count(*) AS calls, sum(prompt_tokens)::BIGINT AS prompt, sum(cached_tokens)::BIGINT AS cached,
       sum(completion_tokens)::BIGINT AS completion, sum(total_cost_in_cents) AS cents
FROM spectra_requests GROUP BY ALL ORDER BY cents DESC NULLS LAST"""


@click.command()
@click.option(
    "--home", type=click.Path(file_okay=False, path_type=Path), help="Where to keep it all.  [default: a new folder]"
)
def demo(home: Path | None) -> None:
    """Run a real app against a local provider and show what it cost. No key is needed, nothing leaves the machine."""
    missing = [name for name in SDKS if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(f"the demo needs {' and '.join(missing)}: pip install 'spectra-otel[demo]'")
    from spectra_otel.demo.provider import LocalProvider

    home = (home or Path(tempfile.mkdtemp(prefix="spectra-demo-"))).absolute()
    home.mkdir(parents=True, exist_ok=True)
    config = home / "collector-config.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    with LocalProvider() as provider:
        environment = _environment(home, config, provider.hosts, {name: provider.url(name) for name in SDKS})
        _title(f"spectra run -- python -m {APP}")
        _run(environment, "run", "--", sys.executable, "-m", APP)
        served = len(provider.ledger)
    _title("Its spans")
    spans = _spans_in(home / "spans.jsonl")
    print_rows(
        ("span", "input", "cached", "output", "cost_in_cents", "cost status"),
        _span_rows(spans),
        "table",
        headings={"cost_in_cents": "cost"},
    )
    _title(f'spectra query "{SQL}"')
    _run(environment, "query", SQL)
    _title("Where it is")
    click.echo(f"database  {home / 'spectra.duckdb'}\nspans     {home / 'spans.jsonl'}\nsettings  {config}")
    click.echo(f"\nGo on with:  spectra requests --db {home / 'spectra.duckdb'}")
    recorded = sum(_cost_status(span) is not None for span in spans)
    if recorded != served:
        raise click.ClickException(f"the provider served {served} calls, and {recorded} spans bear a cost")


def _environment(home: Path, config: Path, hosts: str, urls: Mapping[str, str]) -> dict[str, str]:
    """The environment of the app: the user's own, without what would lead its spans or calls elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPECTRA_", "OTEL_"))}
    return kept | {
        "SPECTRA_HOME": str(home),
        "SPECTRA_CONFIG": str(config),
        "SPECTRA_PROVIDER_HOSTS": hosts,
        "OTEL_SERVICE_NAME": "spectra-demo",
        "OPENAI_BASE_URL": f"{urls['openai']}/v1",
        "OPENAI_API_KEY": "no-key-needed",
        "ANTHROPIC_BASE_URL": urls["anthropic"],
        "ANTHROPIC_API_KEY": "no-key-needed",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _run(environment: Mapping[str, str], *arguments: str) -> None:
    sys.stdout.flush()
    run = subprocess.run([sys.executable, "-m", "spectra_otel.cli", *arguments], env=dict(environment), check=False)
    if run.returncode:
        raise click.ClickException(f"spectra {arguments[0]} ended with status {run.returncode}")


def _title(text: str) -> None:
    click.secho(f"\n── {text}\n", bold=True)


def _spans_in(path: Path) -> list[ReadableSpan]:
    from spectra_otel.otlp.files import read_file

    return sorted(read_file(path), key=lambda span: span.start_time or 0)


def _span_rows(spans: Iterable[ReadableSpan]) -> Iterator[tuple[Any, ...]]:
    """The spans as a tree, each with its usage and cost."""
    children: dict[int, list[ReadableSpan]] = defaultdict(list)
    known = {span.context.span_id for span in spans if span.context}
    for span in spans:
        parent = span.parent.span_id if span.parent else 0
        children[parent if parent in known else 0].append(span)

    def below(parent: int, depth: int) -> Iterator[tuple[Any, ...]]:
        for span in children[parent]:
            values = span.attributes or {}
            amount = values.get("gen_ai.usage.cost.amount")
            yield (
                "  " * depth + span.name,
                values.get("gen_ai.usage.input_tokens"),
                values.get("gen_ai.usage.cache_read.input_tokens"),
                values.get("gen_ai.usage.output_tokens"),
                None if amount is None else Decimal(repr(amount)) * 100,
                _cost_status(span) or "",
            )
            yield from below(span.context.span_id if span.context else 0, depth + 1)

    yield from below(0, 0)


def _cost_status(span: ReadableSpan) -> Any:
    return (span.attributes or {}).get("spectra.cost.status")
