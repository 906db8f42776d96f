"""Latency and accuracy, measured: targets, runner, statistics, float reference."""
