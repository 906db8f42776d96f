"""`edgefit serve`: the web app on this machine, and a page with which a phone measures itself."""

from edgefit_toolkit.serve.results import read_results, web_measurements
from edgefit_toolkit.serve.server import AppServer, addresses

__all__ = ["AppServer", "addresses", "read_results", "web_measurements"]
