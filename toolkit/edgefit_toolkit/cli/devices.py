"""`edgefit devices`: the profiles, and one in full."""

from __future__ import annotations

import json
from functools import partial

import click

from edgefit_toolkit.cli.options import emit, json_option, say, where_options

LATENCY_FROM = {"published": "published figures", "scaled": "cores and clocks"}  # a profile's basis, in words


@click.group("devices", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List device profiles; `edgefit devices show NAME` prints one with its sources."""
    if ctx.invoked_subcommand is not None:
        return
    from edgefit_toolkit.devices import list_profiles
    from edgefit_toolkit.records import as_json as plain

    profiles = list_profiles()
    if as_json:
        emit({"schema": "edgefit.devices/1", "profiles": [plain(profile) for profile in profiles]})
        return
    from rich.table import Table

    from edgefit_toolkit.api.console import PlainConsole

    table = Table(box=None, header_style="bold")
    for heading in ("name", "device", "SoC", "latency from"):
        table.add_column(heading, overflow="fold")
    for profile in profiles:
        table.add_row(profile.name, profile.title, profile.soc, LATENCY_FROM.get(profile.basis, profile.basis))
    console = PlainConsole()
    console.print(table)
    console.print(_attached())


def _attached() -> str:
    """The phones that adb sees, one line each."""
    from edgefit_benchmarks.doctor import attached_devices
    from edgefit_toolkit.errors import DeviceError

    try:
        phones = attached_devices()
    except DeviceError as error:
        return f"\nattached: unknown, {error.message} (`edgefit doctor` helps)"
    if not phones:
        return "\nattached: no phone"
    lines = []
    for phone in phones:
        what = f"{phone.name} ({phone.codename}), {phone.system}" if phone.state == "device" else phone.state
        lines.append(f"  {phone.serial}  {what}" + (f"; next: {phone.hint}" if phone.hint else ""))
    return "\nattached:\n" + "\n".join(lines)


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Print one profile: cores, points, and where each figure comes from."""
    from edgefit_toolkit.api.console import PlainConsole
    from edgefit_toolkit.devices import load_profile
    from edgefit_toolkit.devices.render import render_profile

    PlainConsole().print(render_profile(load_profile(name)))


@command.command("ray")
@partial(where_options, repeated=True)
def ray(where: dict[str, tuple[str, ...]]) -> None:
    """Print what `ray start --resources` declares for all that is attached here and each --host.

    `edgefit sweep --ray ADDRESS --measure` then measures there, on this node.
    """
    from edgefit_benchmarks.fleet import members
    from edgefit_toolkit.pipeline.sweep.ray_phones import resources

    say(json.dumps(resources((member.kind.flag, member.name) for member in members(where))))
