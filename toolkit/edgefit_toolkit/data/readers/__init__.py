"""One module for each kind of place that pictures are read from."""
