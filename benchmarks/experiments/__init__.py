"""Research: how the committed figures in benchmarks/results came about. Not in the wheel."""
