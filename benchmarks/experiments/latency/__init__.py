"""What teaches the latency predictor, and how far off it is."""
