"""Whether the default route's packages are on this machine. Imports none of them."""

from __future__ import annotations

import platform
from importlib import metadata

from edgefit_toolkit.errors import ConversionError

PACKAGES = ("litert-torch", "ai-edge-quantizer", "litert-converter")
PLATFORMS = ("Linux x86_64", "Darwin arm64")  # litert-converter's wheels; as in pyproject.toml


def check_installed() -> None:
    """Raises ConversionError where the packages that convert are not installed: what is missing and where it runs."""
    missing = [name for name in PACKAGES if not any(metadata.distributions(name=name))]
    if not missing:
        return
    here = f"{platform.system()} {platform.machine()}"
    if here in PLATFORMS:
        raise ConversionError(
            f"not installed: {', '.join(missing)}", "install edgefit again: pip install edgefit-toolkit"
        )
    raise ConversionError(
        f"nothing can be converted on {here}: litert-converter exists for Linux x86_64 and macOS arm64 only",
        "run this on one of those; here plan, devices, train, bench, inspect, report, bundle, serve and doctor work",
    )
