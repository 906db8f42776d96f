"""edgefit: from a latency budget to a phone-ready int8 image classifier."""

__version__ = "0.1.0"
