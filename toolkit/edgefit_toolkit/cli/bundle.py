"""`edgefit bundle`: what an app needs from a finished run."""

from __future__ import annotations

from pathlib import Path

import click

from edgefit_toolkit.cli.options import say


@click.command("bundle")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Bundle directory (default: RUN/bundle).")
@click.option("--app", type=click.Choice(["web", "android", "all"]), default="web", show_default=True)
@click.option("--force", is_flag=True, help="Replace a bundle even where its files were changed since.")
def command(run: Path, out: Path | None, app: str, force: bool) -> None:
    """Write model, labels, preprocessing, model card and app of the run directory RUN."""
    from typing import cast

    from edgefit_toolkit.app import App, bundle

    made = bundle(run, out or run / "bundle", cast(App, app), force=force)
    for name, size_bytes in made.files.items():
        say(f"{size_bytes / 1e6:8.2f} MB  {name}")
    say(f"{made.size_bytes / 1e6:8.2f} MB  in all, in {made.path}")
