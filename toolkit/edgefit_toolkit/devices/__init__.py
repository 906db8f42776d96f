"""Device profiles: what is known about a phone, and where it is known from. One TOML file each; README.md beside this.

A user's own profiles (`edgefit calibrate` writes them) live in their config directory and win over the shipped ones.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from edgefit_toolkit.devices.profile import DeviceProfile
from edgefit_toolkit.devices.schema import read_profile, write_profile
from edgefit_toolkit.errors import DeviceUnknown

SHIPPED_DIR = Path(__file__).parent / "profiles"


def user_devices_dir() -> Path:
    """Where the user's own profiles live, such as ~/.config/edgefit/devices."""
    import platformdirs

    return Path(platformdirs.user_config_path("edgefit")) / "devices"


def list_profiles() -> tuple[DeviceProfile, ...]:
    """Every profile in order of name, the user's own in place of a shipped one of that name."""
    return tuple(read_profile(path) for _, path in sorted(_paths().items()))


def load_profile(name: str) -> DeviceProfile:
    """The profile of this name; case, spaces, - and _ do not matter ("Pixel 7" is pixel7).

    Raises DeviceUnknown with the near names (nothing is guessed), ProfileError for a broken file.
    """
    paths = _paths()
    key = _key(name)
    if key in paths:
        return read_profile(paths[key])
    near = difflib.get_close_matches(key, paths, n=4, cutoff=0.6)
    near = near or [known for known in sorted(paths) if key and key[:3] == known[:3]][:6]
    found = f"; near names: {', '.join(near)}" if near else f"; known: {', '.join(sorted(paths))}"
    raise DeviceUnknown(
        f"no device profile is called {name!r}{found}",
        "`edgefit devices` lists them all; a profile of your own is one TOML file in " + str(user_devices_dir()),
    )


def save_user_profile(profile: DeviceProfile) -> Path:
    """Write a profile where it wins over the shipped one of its name; returns the file."""
    path = user_devices_dir() / f"{profile.name}.toml"
    write_profile(profile, path)
    return path


def _paths() -> dict[str, Path]:
    found = {path.stem: path for path in SHIPPED_DIR.glob("*.toml")}
    own = user_devices_dir()
    if own.is_dir():
        found.update({path.stem: path for path in own.glob("*.toml")})
    return found


def _key(name: str) -> str:
    return "".join(char for char in name.lower() if char not in " -_")
