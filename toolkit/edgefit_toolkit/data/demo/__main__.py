"""A process of its own that draws: `python -m edgefit_toolkit.data.demo FOLDER`, one `kind index` a line on stdin.

Answers with the relative path of each picture on stdout once it is on disk.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgefit_toolkit.data.demo.album import write_photo


def main() -> None:
    """Draws what stdin lists, in order."""
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        kind, index = line.split()
        print(write_photo(folder, kind, int(index)), flush=True)


if __name__ == "__main__":
    main()
