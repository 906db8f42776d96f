"""The phones and boards of tests/phone, for the faults that need one."""

from __future__ import annotations

from phone.conftest import adb, host_package, needs_sshd, world  # noqa: F401  (fixtures)
