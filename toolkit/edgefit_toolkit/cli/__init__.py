"""The command line: flags to calls. Everything heavy is imported inside the command that needs it."""

from edgefit_toolkit.cli.main import main

__all__ = ["main"]
