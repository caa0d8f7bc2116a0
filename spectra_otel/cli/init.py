"""`spectra init`: a configuration file to start from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

DEFAULT_PATH = Path("collector-config.yaml")


def template() -> str:
    """The text of the file: the one at the top of the repository, comments included."""
    return (files("spectra_otel.config") / "collector-config.yaml").read_text(encoding="utf-8")


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default=DEFAULT_PATH)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(path: Path, force: bool) -> None:
    """Write a commented configuration to PATH [default: collector-config.yaml]."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise click.ClickException(f"{path} exists; --force replaces it") from None
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
    click.echo(f"{path} written; check it with: spectra validate --config {path}", err=True)
