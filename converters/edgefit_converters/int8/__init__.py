"""From float to int8: ranges, rounding, calibration."""
