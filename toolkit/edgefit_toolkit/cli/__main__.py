"""`python -m edgefit_toolkit.cli` is `edgefit`."""

from edgefit_toolkit.cli.main import main

main()
