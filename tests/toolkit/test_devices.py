"""Profile files: shipped ones are whole, broken ones are refused with file and line, the user's own win."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgefit_toolkit import devices
from edgefit_toolkit.devices.render import render_profile
from edgefit_toolkit.devices.schema import read_profile, write_profile
from edgefit_toolkit.errors import DeviceUnknown, OutputError, ProfileError

SHIPPED = sorted(devices.SHIPPED_DIR.glob("*.toml"))


@pytest.fixture
def own_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's profile folder, empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = devices.user_devices_dir()
    assert tmp_path in folder.parents
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_profiles_hold_and_survive_a_round_trip(path: Path, tmp_path: Path) -> None:
    profile = read_profile(path)
    again = tmp_path / path.name
    write_profile(profile, again)
    assert dataclasses.replace(read_profile(again), path=path) == profile


def test_every_source_is_used_and_every_figure_has_one() -> None:
    for path in SHIPPED:
        profile = read_profile(path)
        used = {profile.source, profile.soc_source}
        used |= {entry.source for entry in (*profile.cores, *profile.points, *profile.accelerators)}
        assert used == set(profile.sources), path


@pytest.mark.parametrize("name", ["pixel4", "Pixel 4", "PIXEL-4", "pixel_4"])
def test_spelling_of_case_and_spaces_does_not_matter(name: str, own_dir: Path) -> None:
    assert devices.load_profile(name).name == "pixel4"


def test_unknown_device_lists_near_names_and_guesses_nothing(own_dir: Path) -> None:
    with pytest.raises(DeviceUnknown, match="pixel7") as caught:
        devices.load_profile("pixl7")
    assert "edgefit devices" in caught.value.hint
    with pytest.raises(DeviceUnknown, match=r"known: .*host"):
        devices.load_profile("zzz")
    with pytest.raises(DeviceUnknown):
        devices.load_profile("")


def test_own_profile_wins(own_dir: Path) -> None:
    assert devices.load_profile("pixel4").title == "Google Pixel 4"
    mine = dataclasses.replace(devices.load_profile("pixel4"), title="My own phone")
    assert devices.save_user_profile(mine) == own_dir / "pixel4.toml"
    assert devices.load_profile("pixel4").title == "My own phone"
    assert [p.title for p in devices.list_profiles() if p.name == "pixel4"] == ["My own phone"]


GOOD = """\
[sources]
maker = "the maker's page"

[device]
title = "A phone"
kind = "phone"
codenames = ["phone"]
threads = 4
memory_gb = 8
basis = "scaled"
source = "maker"

[soc]
name = "A chip"
dotprod = true
i8mm = false
source = "maker"

[[cores]]
kind = "Cortex-A76"
count = 2
clock_ghz = 2.4
source = "maker"

[[cores]]
kind = "Cortex-A55"
count = 6
clock_ghz = 1.8
source = "maker"
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("clock_ghz = 1.8", "clock = 1.8", 28, "unknown key 'clock'.*near: clock_ghz.*units"),
        ("clock_ghz = 1.8", "clock_ghz = -1.8", 28, "must be a positive number"),
        ("clock_ghz = 1.8", "clock_ghz = nan", 28, "must be a positive number"),
        ("clock_ghz = 1.8", 'clock_ghz = "1.8"', 28, "must be a positive number"),
        ("count = 6", "count = 0", 27, "whole number"),
        ("count = 6", "count = true", 27, "whole number"),
        ("memory_gb = 8", "memory_gb = 8\nzoom = 3", 10, "unknown key 'zoom'.*valid: title"),
        ("memory_gb = 8", "memory = 8", 9, "near: memory_gb"),
        ('i8mm = false\nsource = "maker"', "i8mm = false", 13, r"\[soc\] has no source"),
        ('i8mm = false\nsource = "maker"', 'i8mm = false\nsource = "me"', 17, "'me' is not in"),
        ("dotprod = true", 'dotprod = "yes"', 15, "true or false"),
        ("[soc]", "[sock]", 13, "unknown key 'sock'.*near: soc"),
        ('basis = "scaled"', 'basis = "guessed"', 10, "one of: published"),
        ('basis = "scaled"', 'basis = "published"', 10, "there are no"),
        ('[sources]\nmaker = "the maker\'s page"\n', "", 1, "must name where it was read"),
    ],
)
def test_broken_files_are_refused_with_file_and_line(old: str, new: str, line: int, says: str, tmp_path: Path) -> None:
    path = tmp_path / "phone.toml"
    path.write_text(GOOD)
    assert read_profile(path).threads == 4
    assert old in GOOD
    before, _, after = GOOD.rpartition(old)
    path.write_text(before + new + after)
    with pytest.raises(ProfileError, match=says) as caught:
        read_profile(path)
    assert caught.value.message.startswith(f"{path}:{line}: "), caught.value.message


def test_text_that_is_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "phone.toml"
    path.write_text(GOOD + "threads 4\n")
    with pytest.raises(ProfileError, match="line 30"):
        read_profile(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ProfileError, match="UTF-8"):
        read_profile(path)
    with pytest.raises(ProfileError, match="cannot be read"):
        read_profile(tmp_path / "absent.toml")


def test_a_point_names_its_network(tmp_path: Path) -> None:
    path = tmp_path / "phone.toml"
    point = '\n[[points]]\nnetwork = "{}"\nprecision = "int8"\nthreads = 4\nlatency_ms = 3\n'
    point += 'stat = "p50"\nsource = "maker"\n'
    path.write_text(GOOD + point.format("lite0"))
    assert read_profile(path).points[0].network == "lite0"
    path.write_text(GOOD + point.format("lite"))
    with pytest.raises(ProfileError, match=r":31: .*has no phi"):
        read_profile(path)
    path.write_text(GOOD + point.format("mobilenet"))
    with pytest.raises(ProfileError, match=r":32: .*one of: lite0"):
        read_profile(path)


def test_profiles_of_the_phones_that_people_have() -> None:
    names = {path.stem for path in SHIPPED}
    assert names >= {f"pixel{n}" for n in ("3", "4", "5", "6", "6a", "7", "7a", "8", "8a", "9", "10")}
    assert names >= {f"galaxys{n}" for n in range(21, 26)} | {"rpi4", "rpi5", "host"}
    phones = [profile for path in SHIPPED if (profile := read_profile(path)).kind == "phone"]
    assert all(profile.codenames for profile in phones)
    codenames = [name for profile in phones for name in profile.codenames]
    assert len(set(codenames)) == len(codenames)


def test_i8mm_comes_with_dotprod() -> None:
    for path in SHIPPED:
        profile = read_profile(path)
        assert profile.dotprod or not profile.i8mm


def test_rendered_profile_shows_every_source(own_dir: Path) -> None:
    from rich.console import Console

    profile = devices.load_profile("pixel4")
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render_profile(profile))
    text = capture.get()
    assert "Cortex-A76 at 2.84 GHz" in text
    assert "6.5 ms mean" in text
    assert all(source[:60] in text for source in profile.sources.values())


def test_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_profile(devices.load_profile("pixel4"), tmp_path / "file" / "pixel4.toml")
