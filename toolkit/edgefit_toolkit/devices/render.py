"""A profile for the terminal: what is known of the device, and where each figure was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgefit_toolkit.devices.profile import DeviceProfile, Point

if TYPE_CHECKING:
    from rich.console import RenderableType


def render_profile(profile: DeviceProfile) -> RenderableType:
    """The profile as something rich can print."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    numbers = {name: index for index, name in enumerate(profile.sources, 1)}
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    yes = {True: "yes", False: "no"}
    rows = [
        ("device", f"{profile.title}, {profile.memory_gb:g} GB [{numbers[profile.source]}]"),
        ("codenames", ", ".join(profile.codenames) or "none"),
        ("SoC", f"{profile.soc} [{numbers[profile.soc_source]}]"),
        *(
            ("cores", f"{core.count}x {core.kind} at {core.clock_ghz:g} GHz [{numbers[core.source]}]")
            for core in profile.cores
        ),
        (
            "int8 instructions",
            f"dotprod {yes[profile.dotprod]}, i8mm {yes[profile.i8mm]} [{numbers[profile.soc_source]}]",
        ),
        ("memory", _memory(profile, numbers[profile.soc_source])),
        ("GPU", profile.gpu or "not used"),
        ("threads", f"predictions are for {profile.threads}"),
        ("basis", {"scaled": "scaled from cores and clocks"}.get(profile.basis, profile.basis)),
        ("file", str(profile.path)),
    ]
    if profile.note:
        rows.append(("note", profile.note))
    for label, value in rows:
        facts.add_row(label, Text(value))
    parts: list[RenderableType] = [Text(profile.name, style="bold"), facts]
    if profile.points:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("network", "precision", "threads", "latency", "source"):
            table.add_column(column, justify="right" if column in ("threads", "latency") else "left")
        for point in profile.points:
            threads = str(point.threads) if point.threads else "GPU"
            value = f"{point.latency_ms:g} ms {point.stat}"
            table.add_row(_network(point), point.precision, threads, value, Text(f"[{numbers[point.source]}]"))
        parts += [Text(), table]
    if profile.accelerators:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("accelerator", "network", "precision", "latency", "software", "source"):
            table.add_column(column, justify="right" if column == "latency" else "left")
        for known in profile.accelerators:
            row = (known.kind, known.network, known.precision, f"{known.latency_ms:g} ms", known.software)
            table.add_row(*row, Text(f"[{numbers[known.source]}]"))
        parts += [
            Text(),
            Text("Measured by others on accelerators that edgefit never picks: no model of ours ran there"),
            table,
        ]
    parts += [Text(), *(Text(f"[{number}] {profile.sources[name]}") for name, number in numbers.items())]
    return Group(*parts)


def _memory(profile: DeviceProfile, source: int) -> str:
    if profile.cache_mb and profile.copy_gb_s:
        return f"copied at {profile.copy_gb_s:g} GB/s, caches {profile.cache_mb:g} MB [{source}]"
    return "not known: left out of predictions"


def _network(point: Point) -> str:
    return point.network if point.phi is None else f"{point.network} phi={point.phi:g}"
