"""`python -m edgefit_toolkit` is `edgefit`."""

from edgefit_toolkit.cli.main import main

main()
