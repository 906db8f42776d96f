"""The linear probe, with all rows in memory or streamed from a file."""
