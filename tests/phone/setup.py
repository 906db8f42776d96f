"""Fetch the real parts that the phone tests run: `python tests/phone/setup.py [--full]`.

Without --full: x86 adb and adbd (15 MB) and sshd. Says what is missing and exits 0, so that `make test` goes on and the
tests skip by name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from phone import parts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="also the arm64 phone and qemu (about 100 MB)")
    full = parser.parse_args().full
    steps = [("adb and adbd", parts.fetch_adb), ("sshd", parts.fetch_sshd)]
    if full:
        steps += [
            ("qemu for arm64", parts.fetch_qemu),
            ("arm64 userland", parts.fetch_arm_userland),
            ("gcc for arm64", parts.fetch_cross_compiler),
            ("Android's benchmark_model", parts.fetch_android_benchmark_model),
        ]
    for name, fetch in steps:
        try:
            fetch()
            print(f"phone tests: {name} ready in {parts.cache_dir()}")
        except parts.PartsMissingError as missing:
            print(f"phone tests: no {name}: {missing}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
