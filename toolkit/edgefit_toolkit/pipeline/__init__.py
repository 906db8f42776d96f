"""The whole job, from a budget to a report. The one place that joins toolkit, converters and benchmarks."""

from edgefit_toolkit.pipeline.fit import fit, run_stages
from edgefit_toolkit.pipeline.settings import FitSettings, default_out, saved_settings

__all__ = ["FitSettings", "default_out", "fit", "run_stages", "saved_settings"]
