"""The whole job, from a budget to a report. The one place that joins toolkit, converters and benchmarks."""

from edgefit_toolkit.pipeline.fit import fit
from edgefit_toolkit.pipeline.settings import FitSettings, default_out

__all__ = ["FitSettings", "default_out", "fit"]
