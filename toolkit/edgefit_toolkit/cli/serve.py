"""`edgefit serve`: the web app of a run on this machine, and a page with which a phone measures itself."""

from __future__ import annotations

from pathlib import Path

import click

from edgefit_toolkit import interrupts
from edgefit_toolkit.cli.options import say


@click.command("serve")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets phones in the same network in.")
@click.option("--port", type=click.IntRange(0, 65535), default=8123, show_default=True, help="0 takes a free one.")
def command(run: Path, host: str, port: int) -> None:
    """Serve the app of the run directory RUN until Ctrl-C; what /bench measures lands in the run's report."""
    import segno

    from edgefit_toolkit.serve import AppServer, addresses
    from edgefit_toolkit.serve.results import WebResult, browser_of

    def heard(result: WebResult) -> None:
        samples = sorted(result.samples_ms)
        say(
            f"{result.model} in {browser_of(result.user_agent)}, {result.threads} thread(s): "
            f"p50 {samples[len(samples) // 2]:.1f} ms, {len(samples)} samples, {result.origin}; in the report",
            err=True,
        )

    with AppServer(run, host, port, on_result=heard) as server:
        [address] = addresses(server)
        say(f"app:    {address}")
        say(f"bench:  {address}bench/")
        if server.server_address[0] in ("127.0.0.1", "::1"):
            say(f"phone:  adb reverse tcp:{server.port} tcp:{server.port}, then open the address on the phone")
        else:
            say("camera, offline use and threads need https or localhost: for them, connect the phone by USB and")
            say(
                f"        adb reverse tcp:{server.port} tcp:{server.port}, then open http://localhost:{server.port}/..."
            )
        segno.make(f"{address}bench/", micro=False).terminal(compact=True)
        say("Ctrl-C ends it.", err=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            interrupts.handled()
            click.echo("", err=True)
