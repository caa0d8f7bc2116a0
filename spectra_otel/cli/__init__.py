"""The `spectra` command line: one group whose commands are imported when they are called."""

from __future__ import annotations

import codecs
import io
import sys
from importlib import import_module
from typing import Any

import click

from spectra_otel.errors import SpectraError

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run:run", "Run an app with everything on; ends with one line: calls and cost."),
    "collect": ("collect:collect", "Run the stand-alone collector: OTLP in, cost out."),
    "demo": ("demo:demo", "Run a real app against a local provider and show what it cost."),
    "init": ("init:init", "Write a commented collector-config.yaml."),
    "doctor": ("doctor:doctor", "Say what is attached, what is pending and what needs attention."),
    "costs": ("costs:costs", "Show what calls cost, by model or any other key."),
    "requests": ("requests:requests", "List recorded calls, or show one."),
    "query": ("query:query", "Run SQL, read-only, on the store."),
    "estimate": ("prices:estimate", "Price a call before it is made."),
    "prices": ("prices:prices", "Look at the price catalog."),
    "budgets": ("budgets:budgets", "Set and look at budgets."),
    "import": ("importing:import_", "Import OTLP JSON files, exactly once."),
    "export": ("maintain:export", "Write records to a Parquet, CSV, JSON or FOCUS file."),
    "snapshot": ("maintain:snapshot", "Write a copy of the database for other tools."),
    "prune": ("maintain:prune", "Remove records of old days; totals stay."),
    "rebuild-stats": ("maintain:rebuild_stats", "Compute the rollup tables again from the records."),
    "reprice": ("maintain:reprice", "Price recorded calls again with today's catalog."),
    "validate": ("configuration:validate", "Check a configuration file without starting anything."),
    "print-config": ("configuration:print_config", "Print the configuration that is in effect."),
    "components": ("configuration:components", "List the components that are installed."),
}
"""Command → (``module:attribute`` below this package, its line in `spectra --help`), in the order of the help page."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is used: `spectra --help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line, where the locale knows few characters too."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors=_LIKENESS)
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours is one line on stderr and exit status 1."""
        try:
            return super().invoke(ctx)
        except SpectraError as error:
            raise click.ClickException(str(error)) from error
        except PermissionError as error:  # a store of another user, such as a collector's
            raise click.ClickException(
                f"{error.filename}: {error.strerror}; run this as the user whose it is"
            ) from error
        except RuntimeError as error:
            if "interrupted" in str(error).lower():  # what DuckDB makes of Ctrl-C in the middle of a query
                raise KeyboardInterrupt from error
            raise


_LIKENESS = "spectra.likeness"
_LIKE = str.maketrans({"–": "-", "─": "-", "…": "...", "→": "->", "·": "-", "≥": ">="})


def _likeness(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that the locale does not have: for ours what looks like them, else a question mark."""
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end].translate(_LIKE)
    return "".join(char if char.isascii() else "?" for char in missing), error.end


codecs.register_error(_LIKENESS, _likeness)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="spectra-otel", prog_name="spectra")
def main() -> None:
    """What your AI calls cost.

    Exit status: 0 ok, 1 the thing asked for is not so, 2 wrong usage.
    """
