"""Many budgets on many devices at once: one run directory a cell of the grid, and each distinct network made once.

SWEEP/networks/NAME   a distinct network: stages 3 to 6, and 7 where this host alone measures
SWEEP/cells/NAME      a cell, a whole run like any other: what its network has finished is taken over
SWEEP/sweep.json, sweep.md, sweep.html
"""
