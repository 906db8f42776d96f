"""Whole runs compared: what a sweep saves, whether two runs made the same."""
