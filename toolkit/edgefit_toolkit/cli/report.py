"""`edgefit report`: one run's report in another format, or several side by side."""

from __future__ import annotations

from pathlib import Path

import click

from edgefit_toolkit.cli.options import emit


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "fmt", type=click.Choice(["md", "html", "json", "csv"]), default="md", show_default=True)
def command(runs: tuple[Path, ...], fmt: str) -> None:
    """Print the report of a run directory on stdout, or compare several."""
    from edgefit_toolkit.report.csv_table import render_csv
    from edgefit_toolkit.report.documents import read_refusal, read_report
    from edgefit_toolkit.report.html import refusal_html, render_html
    from edgefit_toolkit.report.markdown import refusal_markdown, render_markdown
    from edgefit_toolkit.report.side_by_side import render_comparison

    refusal = read_refusal(runs[0]) if len(runs) == 1 and fmt != "csv" else None
    if refusal is not None:
        if fmt == "json":
            emit(refusal)
        else:
            click.echo((refusal_html if fmt == "html" else refusal_markdown)(refusal), nl=False)
        return
    docs = [read_report(run) for run in runs]
    if fmt == "json":
        emit(docs[0] if len(docs) == 1 else docs)
    elif fmt == "csv":
        for doc in docs:
            click.echo(render_csv(doc), nl=False)
    elif len(docs) == 1:
        click.echo(render_markdown(docs[0]) if fmt == "md" else render_html(docs[0]))
    else:
        click.echo(render_comparison(docs, html=fmt == "html"))
