"""Where the traceback of an unexpected error goes."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
from datetime import datetime
from pathlib import Path

from edgefit_toolkit import __version__


def kept_traceback(error: BaseException) -> str:
    """The name of a new file with the command, the versions and the traceback; without one, the traceback itself."""
    import platformdirs

    lines = traceback.format_exception(error)
    head = f"edgefit {__version__}, Python {sys.version.split()[0]}, {sys.platform}\n{sys.argv!r}\n\n"
    text = (head + "".join(lines)).encode(errors="backslashreplace")
    for folder in (platformdirs.user_log_path("edgefit"), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{datetime.now():%Y-%m-%d-%H%M%S}-{os.getpid()}.txt"
            file.write_bytes(text)
            return f"the traceback in {file}"
    return "".join(["this traceback:\n", *lines])
