"""A model loaded on a target, ready to be timed."""
