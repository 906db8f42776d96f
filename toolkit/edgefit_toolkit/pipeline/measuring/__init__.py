"""Where networks are timed, on which probes, and what that proves before training."""
