"""The whole job, from a budget to a report. The one place that joins toolkit, converters and benchmarks.

Its modules are imported one by one: a prediction needs none of what training does.
"""
