"""The stages of a run, one module each: what a stage depends on, its work, and what it records.

Imported one by one, and only once the pick stands: most of them load torch.
"""
